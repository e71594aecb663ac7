"""The request path on one screen: who asks -> what may be answered -> candidates -> ranked -> rearranged -> answer."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.runtime.catalogue_scores import CatalogueScores
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.index import Index
from gnas_serve.runtime.joined import CONTENT, items_found, traced
from gnas_serve.runtime.lookup import Who, item_row, unknown_user, who_asks
from gnas_serve.runtime.parts import Parts
from gnas_serve.runtime.pool import Pool
from gnas_serve.runtime.providers import CPU
from gnas_serve.runtime.query import Answer, ItemFeatures, ModelInfo, Query, SimilarUsersAnswer, check_k
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import RecentItems, SeenItems
from gnas_serve.runtime.stages import Staged, found_by
from gnas_serve.runtime.told_values import Features
from gnas_serve.runtime.unseen_items import UnseenItems, told_apart
from gnas_serve.vocabulary import Id


class Recommender:
    """An artifact in memory, ready to answer; built by :meth:`load`, safe to share between threads.

    Parameters
    ----------
    manifest
        What the artifact says of itself.
    parts
        Its files, opened.
    """

    def __init__(self, manifest: Manifest, parts: Parts) -> None:
        self.manifest = manifest
        self._parts = parts
        self._recent: RecentItems | None = None
        self.users = parts.users
        self.items = parts.items
        self.item_vectors = parts.item_vectors
        self.candidates = manifest.ranker.candidates
        self.catalogue_scores = CatalogueScores(
            parts.users,
            parts.item_vectors,
            askers=parts.askers,
            seen=parts.seen,
            neighbours=parts.neighbours,
            popularity=parts.segments.everybody,
        )
        self.info = ModelInfo.of(manifest, parts.filters.names)

    @classmethod
    def load(cls, path: Path, *, verify: bool = True, provider: str = CPU) -> Recommender:
        """Load an artifact.

        Parameters
        ----------
        path
            The artifact's folder.
        verify
            Hash every file and check the content of every table first; without it sizes, types and shapes alone.
        provider
            What the ranker computes on, ``"cpu"`` or ``"cuda"``.

        Raises
        ------
        ConfigError, IntegrityError, FormatVersionError
            If it is no artifact, damaged, or of a newer format.
        MissingExtraError
            If the provider cannot be used here.
        """
        manifest = Manifest.read(path, verify=verify)
        return cls(manifest, Parts.open(path, manifest, verify=verify, provider=provider))

    def follow(self, recent: RecentItems) -> None:
        """Take what users have had since the model was made into account, from the next question on."""
        self._recent = recent

    @property
    def seen(self) -> SeenItems:
        """What each user has already, as the model knows it."""
        return self._parts.seen

    def recommend(self, query: Query) -> Answer:
        """Answer one question.

        Raises
        ------
        RequestError
            If a number or a list is outside its limits, or the filter is malformed.
        FeatureError
            If a feature or an attribute is told that the model does not have, or of another type than it has it in;
            attributes also if it has no content encoder or, of a strict question, the catalogue has one of the items.
        UserNotFoundError, ItemNotFoundError
            If an id of a strict question is unknown.
        """
        return found_by(self.recommend_staged(query))

    def recommend_staged(self, query: Query) -> Staged[Answer]:
        """Answer one question stage by stage, so that several can take each stage together; as :meth:`recommend`."""
        query.check()
        query, unseen = told_apart(query, self._parts, self._recent, excluding=True)
        who = who_asks(query, self._parts, self._recent)
        return (yield from self._answer(query, who, Pool.of(query, who, self.items, unseen)))

    def rank(self, query: Query) -> Answer:
        """Order given items, all that the model knows of them: those that the asker has, too.

        Parameters
        ----------
        query
            With ``candidates``; its ``k`` and what it excludes are not looked at.

        Raises
        ------
        RequestError, FeatureError, UserNotFoundError, ItemNotFoundError
            As :meth:`recommend`.
        """
        return found_by(self.rank_staged(query))

    def rank_staged(self, query: Query) -> Staged[Answer]:
        """Order given items stage by stage, as :meth:`rank`."""
        query = replace(query, k=max(len(query.candidates or ()), 1))
        query.check()
        query, unseen = told_apart(query, self._parts, self._recent, excluding=False)
        pool = Pool.of_candidates(query, self.items, unseen)
        return (yield from self._answer(query, who_asks(query, self._parts, self._recent), pool))

    def _answer(self, query: Query, who: Who, pool: Pool) -> Staged[Answer]:
        parts = self._parts
        yield "represent"
        if query.filter is not None:
            pool = pool.passing(query.filter, parts.filters)
            yield "filter"
        rearranged = query.diversity > 0.0 or query.exploration > 0.0
        wanted = max(query.k, self.candidates) if rearranged else query.k
        found = yield from items_found(parts, self.candidates, who, pool, wanted)
        rows, scores, source = found.rows, found.scores, who.source
        if rearranged and len(rows):
            order = parts.rerank.order(
                found.stand_ins,
                scores,
                query.k,
                diversity=query.diversity,
                exploration=query.exploration,
                rng=np.random.default_rng(query.seed),
            )
            rows, scores = rows[order], scores[order]
            yield "rerank"
        elif len(rows) > query.k:
            rows, scores = rows[: query.k], scores[: query.k]
        explained = None
        if query.explain:
            explained = tuple(found.explanation(who, row, parts.explainer) for row in rows.tolist())
            yield "explain"
        ids, known, sources = found.laid_out(rows, self.items, source)
        return Answer(
            ids,
            scores.tolist(),
            source,
            underfilled=len(rows) < query.k,
            explanations=explained,
            rows=known,
            unknown_user=who.user_row < 0 and query.user_id is not None,
            unknown_items=who.unknown_items + pool.unknown_items,
            sources=sources,
        )

    def with_index(self, index: Index) -> Recommender:
        """Give the same recommender with another index over the whole vectors, to compare retrieval alone."""
        other = copy.copy(self)
        retriever = Retriever(self.item_vectors, index, self._parts.neighbours)
        other._parts = replace(self._parts, retriever=retriever)
        return other

    def similar_items(self, item_id: Id, k: int = 10, item_features: ItemFeatures = ()) -> Answer:
        """Find the items of the catalogue that are most like one item, itself left out.

        Parameters
        ----------
        item_features
            The attributes of the item, where the catalogue does not have it; else they are passed over.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        FeatureError
            If the attributes are of another item, or tell nothing that a known one has.
        RequestError
            If k is outside its limits, or the model is of popularity alone.
        """
        check_k(k)
        if item_features:
            lean = UnseenItems.of(item_features, self._parts, strict=False).lean_of(item_id)
            if lean is not None:
                rows, scores = self._parts.similar_items.find_like(lean.rows, lean.weights, k)
                return Answer(self.items.ids(rows), scores.tolist(), CONTENT, underfilled=len(rows) < k)
        rows, scores = self._parts.similar_items.find(item_row(self.items, item_id), k)
        return Answer(self.items.ids(rows), scores.tolist(), "item", underfilled=len(rows) < k)

    def similar_users(self, user_id: Id, k: int = 10) -> SimilarUsersAnswer:
        """Find the users that are most like one user, the one left out.

        Raises
        ------
        UserNotFoundError
            If the model does not know the user: there is nothing to compare.
        RequestError
            If k is outside its limits.
        """
        check_k(k)
        row = self.users.row(user_id)
        if row < 0:
            raise unknown_user(user_id)
        rows, scores = self._parts.similar_users.find(row, k)
        return SimilarUsersAnswer(self.users.ids(rows), scores.tolist(), self._parts.similar_users.source)

    def explain(
        self,
        item_id: Id,
        user_id: Id | None = None,
        history: tuple[Id, ...] = (),
        user_features: Features = (),
        item_features: ItemFeatures = (),
    ) -> Explanation:
        """Say what of an asker's past the score of one item comes from.

        Parameters
        ----------
        item_id
            Any item of the catalogue, also one that the asker has; or an unseen one that is told of.
        user_id, history, user_features
            As of a :class:`Query`; the asker is represented as `recommend` does it.
        item_features
            As of :meth:`similar_items`.

        Returns
        -------
        Explanation
            Of the retrieval score; contributions and remainder add up to it.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        RequestError
            If the history is too long.
        FeatureError
            As :meth:`recommend`, or if attributes of another item are told.
        """
        query = Query(user_id, history=history, user_features=user_features, item_features=item_features)
        query.check()
        query, unseen = told_apart(query, self._parts, self._recent, excluding=False)
        if unseen is not None:
            unseen.check_alone(item_id)
            return traced(self._parts, who_asks(query, self._parts, self._recent), unseen)
        who = who_asks(query, self._parts, self._recent)
        return self._parts.explainer.explain(who.asker, who.crowd, item_row(self.items, item_id))
