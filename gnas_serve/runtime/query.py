"""Questions and answers: what passes between a door and the recommender."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import RequestError
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.told_values import Features, ItemValue
from gnas_serve.vocabulary import Id

MAX_K = 1000
MAX_LIST = 1000
MAX_CANDIDATES = 10_000
MAX_FEATURES = 100
MAX_EXPLAINED = 100
MAX_UNSEEN_ITEMS = 100
MAX_SEED = 2**63 - 1


ItemFeatures = tuple[tuple[str, tuple[tuple[str, ItemValue], ...]], ...]
"""Attributes by name, by the id of an item that the catalogue does not have."""


@dataclass(frozen=True)
class Query:
    """One question.

    Attributes
    ----------
    user_id
        Who asks; None for somebody unknown.
    k
        How many items, 1 to :data:`MAX_K`.
    history
        Items that the caller knows the user to have: never recommended, and the basis of fold-in for a
        user without a vector. Unknown ids are passed over.
    exclude_items
        Items that are not wanted.
    exclude_seen
        Whether the items of the user's own past are left out.
    candidates
        What alone may be answered, each scored exactly whatever the index finds; None for the whole catalogue. Unknown
        ids are passed over.
    filter
        A condition on the items' attributes, see :mod:`gnas_serve.runtime.filters`; None for none.
    diversity, exploration
        0 to 1, see :class:`gnas_serve.runtime.rerank.Rerank`; 0 keeps the ranker's order.
    seed
        Of the exploration: equal seeds draw equal lists. None draws anew each time.
    explain
        Whether each item is answered with where its score comes from; of at most :data:`MAX_EXPLAINED` items.
    strict
        Whether an unknown id is an error.
    user_features
        What is known of the user, by name: of somebody without a vector and a history that folds in, the answer is
        what is popular among users like that; of one with a history, a ranker reads them. Unknown values are passed
        over, an unknown name is an error.
    item_features
        Items that the catalogue does not have, and what is known of them: where the model has a content encoder they
        may be answered with the others, among the ``candidates`` where these are given. One that the catalogue has is
        answered as it is known; of a strict question it is an error.
    """

    user_id: Id | None = None
    k: int = 10
    history: tuple[Id, ...] = ()
    exclude_items: tuple[Id, ...] = ()
    exclude_seen: bool = True
    candidates: tuple[Id, ...] | None = None
    filter: str | None = None
    diversity: float = 0.0
    exploration: float = 0.0
    seed: int | None = None
    explain: bool = False
    strict: bool = False
    user_features: Features = ()
    item_features: ItemFeatures = ()

    def check(self) -> None:
        """Check the limits.

        Raises
        ------
        RequestError
            If a number or a list is outside of them.
        """
        check_k(self.k)
        _check_length("history", self.history, MAX_LIST)
        _check_length("exclude_items", self.exclude_items, MAX_LIST)
        if self.candidates is not None:
            _check_length("candidates", self.candidates, MAX_CANDIDATES)
        if len(self.user_features) > MAX_FEATURES:
            raise RequestError(f"user_features: {len(self.user_features)} given", hint=f"give at most {MAX_FEATURES}")
        _check_share("diversity", self.diversity)
        _check_share("exploration", self.exploration)
        if self.seed is not None and not 0 <= self.seed <= MAX_SEED:
            raise RequestError(f"seed: {self.seed} is outside 0..{MAX_SEED}", hint="give a whole number of 63 bits")
        if self.explain and self.k > MAX_EXPLAINED:
            raise RequestError(
                f"explain: {self.k} items asked for",
                hint=f"ask for at most {MAX_EXPLAINED} explained ones",
                code="invalid_k",
            )


@dataclass(slots=True)  # not frozen: that would take a microsecond, once for each request
class Answer:
    """Ranked items, best first, at most k.

    Attributes
    ----------
    source
        How the asker was represented: ``"user"`` (own vector), ``"fold_in"`` (from the given history),
        ``"segment"`` (from the given features), ``"popularity"`` (nothing known), or ``"item"`` for similar items,
        ``"content"`` for those of an item that the catalogue does not have.
    underfilled
        Whether these are fewer than were asked for: there are no more that may be answered.
    explanations
        One per item, where they were asked for.
    rows : (<= k,) int64, or None
        Of those items that the catalogue has, in their vocabulary; None of similar items.
    unknown_user
        Whether the question named a user whom the model does not know.
    unknown_items
        How many ids of its lists the model does not know.
    sources
        Of each item, where they differ: ``"content"`` for one that the catalogue does not have, and ``"unknown"``
        where nothing is known of it either. None where all have ``source``.
    """

    item_ids: list[Id]
    scores: list[float]
    source: str
    underfilled: bool = False
    explanations: tuple[Explanation, ...] | None = None
    rows: npt.NDArray[np.int64] | None = field(default=None, repr=False, compare=False)
    unknown_user: bool = False
    unknown_items: int = 0
    sources: tuple[str, ...] | None = None

    def items(self, *, scores: bool = True) -> list[dict[str, Any]]:
        """Lay the items out as every door shows them.

        Returns
        -------
        list
            ``[{"item_id", "score", "source"}, ...]``, without the scores where they are not wanted, with
            ``"explanation"`` where there are any.
        """
        items: list[dict[str, Any]] = [
            {"item_id": item_id, "score": score, "source": self.source}
            for item_id, score in zip(self.item_ids, self.scores, strict=True)
        ]
        if self.sources is not None:
            for item, source in zip(items, self.sources, strict=True):
                item["source"] = source
        if not scores:
            for item in items:
                del item["score"]
        if self.explanations is not None:
            for item, explanation in zip(items, self.explanations, strict=True):
                item["explanation"] = explanation.beside_item()
        return items


@dataclass(frozen=True)
class SimilarUsersAnswer:
    """Users like one user, best first.

    Attributes
    ----------
    source
        What they are compared by: ``"vector"`` (cosine) or ``"history"`` (cosine of the sets of items).
    """

    user_ids: list[Id]
    scores: list[float]
    source: str

    def users(self) -> list[dict[str, Any]]:
        """Lay the answer out as every door shows it: ``[{"user_id", "score", "source"}, ...]``."""
        return [
            {"user_id": user_id, "score": score, "source": self.source}
            for user_id, score in zip(self.user_ids, self.scores, strict=True)
        ]


@dataclass(frozen=True)
class ModelInfo:
    """What is being served."""

    name: str
    version: str
    profile: str
    num_users: int
    num_items: int
    embedding_dim: int
    branches: tuple[str, ...]  # the kinds of what the scores add up from
    metrics: dict[str, float]
    index: str
    ranker: str
    precision: str
    attributes: tuple[str, ...]  # of the items, by which answers can be filtered
    user_features: tuple[str, ...]  # of newcomers, which move their answers
    item_features: tuple[str, ...]  # of items that the catalogue does not have, by which they are scored
    item_features_metrics: dict[str, float]  # how well, measured at export on items that were left out
    attribute_types: dict[str, str]  # of each of the attributes its kind, see AttributeFacts

    @classmethod
    def of(cls, manifest: Manifest, attributes: tuple[str, ...]) -> ModelInfo:
        """Tell of an artifact whose items have these attributes."""
        return cls(
            name=manifest.name,
            version=manifest.version,
            profile=manifest.profile,
            num_users=manifest.num_users,
            num_items=manifest.num_items,
            embedding_dim=manifest.embedding_dim,
            branches=tuple(branch.kind for branch in manifest.branches),
            metrics=manifest.metrics,
            index=manifest.index.kind,
            ranker=manifest.ranker.kind,
            precision=manifest.ranker.precision,
            attributes=attributes,
            user_features=_moving(manifest),
            item_features=() if manifest.content is None else tuple(one.name for one in manifest.content.columns),
            item_features_metrics={} if manifest.content is None else manifest.content.metrics,
            attribute_types={fact.name: fact.kind for fact in manifest.attributes},
        )

    def signature(self) -> dict[str, str]:
        """Name the model as every answer does: ``{"name", "version"}``."""
        return {"name": self.name, "version": self.version}


def _moving(manifest: Manifest) -> tuple[str, ...]:
    """Name the features by which somebody without a history is answered, or the ranker orders for one with."""
    if manifest.segments is None:
        return ()
    read = {encoding.name for encoding in manifest.user_encoding}
    return tuple(feature.name for feature in manifest.segments.features if feature.values or feature.name in read)


def check_k(k: int) -> None:
    """Check the length of a list.

    Raises
    ------
    RequestError
        If it is outside 1..:data:`MAX_K`.
    """
    if not 1 <= k <= MAX_K:
        raise RequestError(f"k: {k} is outside 1..{MAX_K}", hint=f"ask for 1 to {MAX_K} items", code="invalid_k")


def check_item_features(features: ItemFeatures) -> None:
    """Check how many unseen items are told of, and how much of each.

    Raises
    ------
    RequestError
        If it is more than may be.
    """
    if len(features) > MAX_UNSEEN_ITEMS:
        raise RequestError(f"item_features: {len(features)} items given", hint=f"give at most {MAX_UNSEEN_ITEMS}")
    if any(len(attributes) > MAX_FEATURES for _, attributes in features):
        raise RequestError("item_features: too many attributes of an item", hint=f"give at most {MAX_FEATURES}")


def _check_length(name: str, values: tuple[Id, ...], most: int) -> None:
    if len(values) > most:
        raise RequestError(f"{name}: {len(values)} ids given", hint=f"give at most {most}", code="list_too_long")


def _check_share(name: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise RequestError(f"{name}: {share} is outside 0..1", hint="give a number from 0 to 1")
