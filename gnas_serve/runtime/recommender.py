"""The request path on one screen: who asks -> what may be answered -> candidates -> ranked -> rearranged -> answer."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import ItemNotFoundError, UserNotFoundError
from gnas_serve.runtime.asker import Asker
from gnas_serve.runtime.catalogue_scores import CatalogueScores
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.index import Index
from gnas_serve.runtime.parts import Parts
from gnas_serve.runtime.pool import Pool, restrict
from gnas_serve.runtime.query import MAX_K, Answer, ModelInfo, Query, SimilarUsersAnswer, check_k
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import RecentItems, SeenItems, united
from gnas_serve.runtime.topk import top_k
from gnas_serve.vocabulary import Id

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]
_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Who:
    """One asker in rows: -1 for a user whom the model does not know."""

    user_row: int
    past: npt.NDArray[np.integer]  # as the model has seen it, and what came since
    history: _Rows
    asker: Asker | None  # None where nothing is known: popularity is the answer


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
            popularity=parts.popularity,
        )
        self.info = ModelInfo.of(manifest, parts.filters.names)

    @classmethod
    def load(cls, path: Path, *, verify: bool = True) -> Recommender:
        """Load an artifact.

        Parameters
        ----------
        path
            The artifact's folder.
        verify
            Hash every file and check the content of every table first; without it sizes, types and shapes alone.

        Raises
        ------
        ConfigError, IntegrityError, FormatVersionError
            If it is no artifact, damaged, or of a newer format.
        """
        manifest = Manifest.read(path, verify=verify)
        return cls(manifest, Parts.open(path, manifest, verify=verify))

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
        UserNotFoundError, ItemNotFoundError
            If an id of a strict question is unknown.
        """
        query.check()
        who = self._who(query)
        excluded = (who.past if query.exclude_seen else who.past[:0]).astype(np.int64)
        if query.history or query.exclude_items:
            excluded = united(excluded, self._rows(query.history + query.exclude_items, strict=query.strict))
        allowed = None if query.candidates is None else self._rows(query.candidates, strict=query.strict)
        return self._answer(query, who, Pool(excluded, allowed))

    def rank(self, query: Query) -> Answer:
        """Order given items, all that the model knows of them: those that the asker has, too.

        Parameters
        ----------
        query
            With ``candidates``; its ``k`` and what it excludes are not looked at.

        Raises
        ------
        RequestError, UserNotFoundError, ItemNotFoundError
            As :meth:`recommend`.
        """
        query = replace(query, k=max(len(query.candidates or ()), 1))
        query.check()
        rows = self._rows(query.candidates or (), strict=query.strict)
        return self._answer(query, self._who(query), Pool(_NOTHING, rows))

    def _who(self, query: Query) -> _Who:
        parts = self._parts
        user_row = -1 if query.user_id is None else parts.users.row(query.user_id)
        if query.strict and user_row < 0 and query.user_id is not None:
            raise _unknown_user(query.user_id)
        past, history = parts.seen.of(user_row), self._rows(query.history, strict=query.strict)
        recent = _NOTHING
        if self._recent is not None and query.user_id is not None:
            recent = self._recent.of(query.user_id)
        asker = parts.askers.represent(user_row, past, history, recent)
        return _Who(user_row, united(past, recent) if len(recent) else past, history, asker)

    def _answer(self, query: Query, who: _Who, pool: Pool) -> Answer:
        parts = self._parts
        if query.filter is not None:
            pool = restrict(pool, query.filter, parts.filters)
        rearranged = query.diversity > 0.0 or query.exploration > 0.0
        wanted = max(query.k, self.candidates) if rearranged else query.k
        if who.asker is None:
            rows, scores = parts.popularity.retrieve(wanted, pool.excluded, pool.allowed)
        else:
            rows, scores = self._ranked(who.asker, who.user_row, pool, wanted)
        if rearranged and len(rows):
            order = parts.rerank.order(
                rows,
                scores,
                query.k,
                diversity=query.diversity,
                exploration=query.exploration,
                rng=np.random.default_rng(query.seed),
            )
            rows, scores = rows[order], scores[order]
        explained = tuple(parts.explainer.explain(who.asker, row) for row in rows.tolist()) if query.explain else None
        source = "popularity" if who.asker is None else who.asker.source
        ids = self.items.ids(rows)
        return Answer(ids, scores.tolist(), source, underfilled=len(ids) < query.k, explanations=explained)

    def _ranked(self, asker: Asker, user_row: int, pool: Pool, count: int) -> tuple[_Rows, _Floats]:
        """Retrieve, rank, and keep the best: (<= count,) rows and scores."""
        parts = self._parts
        found = parts.retriever.retrieve(asker.vector, asker.history, self.candidates, pool.excluded, pool.allowed)
        if len(found.rows) == 0:
            return found.rows, found.scores
        ranked = parts.ranker.score(user_row, asker.history, found)
        best = top_k(ranked, count)
        rows, ranked = found.rows.take(best), ranked.take(best)
        if count > self.candidates == len(rows):
            return self._continued(asker, pool, rows, ranked, count)
        return rows, ranked

    def _continued(self, asker: Asker, pool: Pool, rows: _Rows, ranked: _Floats, k: int) -> tuple[_Rows, _Floats]:
        """Lengthen a list beyond the candidates that the ranker was trained on, in the retriever's order.

        The ranker's features are relative to its list: ranking a longer one would change the head of the answer. For
        the same reason as many are retrieved whatever k is: an approximate index proposes by its own order.
        """
        past = united(pool.excluded, np.sort(rows))
        more = self._parts.retriever.retrieve(asker.vector, asker.history, MAX_K - len(rows), past, pool.allowed)
        if len(more.rows) == 0:
            return rows, ranked
        # One descending scale: the retriever's scores go on where the ranker's end.
        shifted = (ranked[-1] + np.minimum(more.scores - more.scores[0], 0.0)).astype(np.float32)
        return np.concatenate([rows, more.rows])[:k], np.concatenate([ranked, shifted])[:k]

    def with_index(self, index: Index) -> Recommender:
        """Give the same recommender with another index over the whole vectors, to compare retrieval alone."""
        other = copy.copy(self)
        retriever = Retriever(self.item_vectors, index, self._parts.neighbours)
        other._parts = replace(self._parts, retriever=retriever)
        return other

    def similar_items(self, item_id: Id, k: int = 10) -> Answer:
        """Find the items that are most like one item, itself left out.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        RequestError
            If k is outside its limits, or the model is of popularity alone.
        """
        check_k(k)
        rows, scores = self._parts.similar_items.find(self._item_row(item_id), k)
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
            raise _unknown_user(user_id)
        rows, scores = self._parts.similar_users.find(row, k)
        return SimilarUsersAnswer(self.users.ids(rows), scores.tolist(), self._parts.similar_users.source)

    def explain(self, item_id: Id, user_id: Id | None = None, history: tuple[Id, ...] = ()) -> Explanation:
        """Say what of an asker's past the score of one item comes from.

        Parameters
        ----------
        item_id
            Any item of the catalogue, also one that the asker has.
        user_id, history
            As of a :class:`Query`; the asker is represented as `recommend` does it.

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
        """
        query = Query(user_id, history=history)
        query.check()
        return self._parts.explainer.explain(self._who(query).asker, self._item_row(item_id))

    def _item_row(self, item_id: Id) -> int:
        row = self.items.row(item_id)
        if row < 0:
            raise _unknown_item(item_id)
        return row

    def _rows(self, ids: tuple[Id, ...], *, strict: bool) -> _Rows:
        """Give the ascending rows of the ids that the model knows; of a strict question it has to know all."""
        if not ids:
            return _NOTHING
        rows = self.items.rows(ids)
        if strict and (rows < 0).any():
            raise _unknown_item(ids[int(np.argmax(rows < 0))])
        rows = np.unique(rows)
        return rows[rows >= 0]


def _unknown_item(item_id: Id) -> ItemNotFoundError:
    return ItemNotFoundError(f"item {item_id!r} is unknown to this model", hint="ask for an item of its catalogue")


def _unknown_user(user_id: Id) -> UserNotFoundError:
    return UserNotFoundError(f"user {user_id!r} is unknown to this model", hint="ask for a user it was trained with")
