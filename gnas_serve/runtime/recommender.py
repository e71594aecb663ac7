"""The request path on one screen: who asks -> what may be answered -> candidates -> ranked -> rearranged -> answer."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.runtime.asker import Asker
from gnas_serve.runtime.catalogue_scores import CatalogueScores
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.index import Index
from gnas_serve.runtime.lookup import NOTHING, Who, item_row, known_rows, unknown_user
from gnas_serve.runtime.parts import Parts
from gnas_serve.runtime.pool import Pool, restrict
from gnas_serve.runtime.providers import CPU
from gnas_serve.runtime.query import MAX_K, Answer, ModelInfo, Query, SimilarUsersAnswer, check_k
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import RecentItems, SeenItems, united
from gnas_serve.runtime.segments import Features
from gnas_serve.runtime.stage_clock import StageClock
from gnas_serve.runtime.topk import top_k
from gnas_serve.vocabulary import Id

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]
_Ranking = tuple[_Rows, _Floats]


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

    def recommend(self, query: Query, clock: StageClock | None = None) -> Answer:
        """Answer one question.

        Parameters
        ----------
        clock
            Is told when each stage is over.

        Raises
        ------
        RequestError
            If a number or a list is outside its limits, the filter is malformed, or a feature is unknown.
        UserNotFoundError, ItemNotFoundError
            If an id of a strict question is unknown.
        """
        query.check()
        who = self._who(query)
        excluded = (who.past if query.exclude_seen else who.past[:0]).astype(np.int64)
        unwanted, unknown = known_rows(self.items, query.exclude_items, strict=query.strict)
        for rows in (who.history, unwanted):
            if len(rows):
                excluded = united(excluded, rows)
        allowed = None
        if query.candidates is not None:
            allowed, unknown_candidates = known_rows(self.items, query.candidates, strict=query.strict)
            unknown += unknown_candidates
        return self._answer(query, who, Pool(excluded, allowed), unknown, clock)

    def rank(self, query: Query, clock: StageClock | None = None) -> Answer:
        """Order given items, all that the model knows of them: those that the asker has, too.

        Parameters
        ----------
        query
            With ``candidates``; its ``k`` and what it excludes are not looked at.
        clock
            As of :meth:`recommend`.

        Raises
        ------
        RequestError, UserNotFoundError, ItemNotFoundError
            As :meth:`recommend`.
        """
        query = replace(query, k=max(len(query.candidates or ()), 1))
        query.check()
        rows, unknown = known_rows(self.items, query.candidates or (), strict=query.strict)
        return self._answer(query, self._who(query), Pool(NOTHING, rows), unknown, clock)

    def _who(self, query: Query) -> Who:
        parts = self._parts
        user_row = -1 if query.user_id is None else parts.users.row(query.user_id)
        if query.strict and user_row < 0 and query.user_id is not None:
            raise unknown_user(query.user_id)
        past = parts.seen.of(user_row)
        history, unknown = known_rows(self.items, query.history, strict=query.strict)
        recent = NOTHING
        if self._recent is not None and query.user_id is not None:
            recent = self._recent.of(query.user_id)
        asker = parts.askers.represent(user_row, past, history, recent)
        crowd = parts.segments.of(query.user_features) if query.user_features else parts.segments.everybody
        described = parts.encoder.row(query.user_features if user_row < 0 else ())
        later = united(past, recent) if len(recent) else past
        return Who(user_row, later, history, asker, crowd, described, unknown)

    def _answer(self, query: Query, who: Who, pool: Pool, unknown: int, clock: StageClock | None) -> Answer:
        parts = self._parts
        if clock is not None:
            clock.end("represent")
        if query.filter is not None:
            pool = restrict(pool, query.filter, parts.filters)
            if clock is not None:
                clock.end("filter")
        rearranged = query.diversity > 0.0 or query.exploration > 0.0
        wanted = max(query.k, self.candidates) if rearranged else query.k
        if who.asker is None:
            rows, scores = who.crowd.retrieve(wanted, pool.excluded, pool.allowed)
            if clock is not None:
                clock.end("retrieve")
        else:
            rows, scores = self._ranked(who, who.asker, pool, wanted, clock)
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
            if clock is not None:
                clock.end("rerank")
        explained = None
        if query.explain:
            explained = tuple(parts.explainer.explain(who.asker, who.crowd, row) for row in rows.tolist())
            if clock is not None:
                clock.end("explain")
        return Answer(
            self.items.ids(rows),
            scores.tolist(),
            who.crowd.source if who.asker is None else who.asker.source,
            underfilled=len(rows) < query.k,
            explanations=explained,
            rows=rows,
            unknown_user=who.user_row < 0 and query.user_id is not None,
            unknown_items=who.unknown_items + unknown,
        )

    def _ranked(self, who: Who, asker: Asker, pool: Pool, count: int, clock: StageClock | None) -> _Ranking:
        """Retrieve, rank, and keep the best: (<= count,) rows and scores."""
        parts = self._parts
        found = parts.retriever.retrieve(asker.vector, asker.history, self.candidates, pool.excluded, pool.allowed)
        if clock is not None:
            clock.end("retrieve")
        if len(found.rows) == 0:
            return found.rows, found.scores
        ranked = parts.ranker.score(who.user_row, asker.history, found, who.described)
        best = top_k(ranked, count)
        rows, ranked = found.rows.take(best), ranked.take(best)
        if clock is not None:
            clock.end("rank")
        if count > self.candidates == len(rows):
            return self._continued(asker, pool, rows, ranked, count)
        return rows, ranked

    def _continued(self, asker: Asker, pool: Pool, rows: _Rows, ranked: _Floats, k: int) -> _Ranking:
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
        self, item_id: Id, user_id: Id | None = None, history: tuple[Id, ...] = (), user_features: Features = ()
    ) -> Explanation:
        """Say what of an asker's past the score of one item comes from.

        Parameters
        ----------
        item_id
            Any item of the catalogue, also one that the asker has.
        user_id, history, user_features
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
            If the history is too long, or a feature is unknown.
        """
        query = Query(user_id, history=history, user_features=user_features)
        query.check()
        who = self._who(query)
        return self._parts.explainer.explain(who.asker, who.crowd, item_row(self.items, item_id))
