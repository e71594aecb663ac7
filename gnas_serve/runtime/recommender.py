"""The request path on one screen: who asks -> a vector -> candidates -> ranked items."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FLAT, Manifest
from gnas_serve.errors import IntegrityError, ItemNotFoundError
from gnas_serve.runtime.asker import Asker, Askers
from gnas_serve.runtime.catalogue_scores import CatalogueScores
from gnas_serve.runtime.cold_start import FoldIn, Popularity
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.explain import Explainer, Explanation
from gnas_serve.runtime.index import FlatIndex, Index, IvfIndex
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.query import MAX_K, Answer, ModelInfo, Query, check_k
from gnas_serve.runtime.ranker import Ranker
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.session import open_session
from gnas_serve.runtime.similar import SimilarItems
from gnas_serve.runtime.tables import Tables
from gnas_serve.runtime.topk import top_k
from gnas_serve.vocabulary import Id, Vocabulary

_Rows = npt.NDArray[np.integer]
_Floats = npt.NDArray[np.float32]


class Recommender:
    """An artifact in memory, ready to answer; built by :meth:`load`, safe to share between threads.

    Parameters
    ----------
    manifest
        What the artifact says of itself.
    users, items
        Vocabularies.
    item_vectors
        The shipped vectors.
    """

    def __init__(
        self,
        manifest: Manifest,
        users: Vocabulary,
        items: Vocabulary,
        item_vectors: EmbeddingTable,
        *,
        seen: SeenItems,
        neighbours: Neighbours | None,
        askers: Askers,
        retriever: Retriever,
        ranker: Ranker,
        popularity: Popularity,
        similar: SimilarItems,
        explainer: Explainer,
    ) -> None:
        self.users = users
        self.items = items
        self.item_vectors = item_vectors
        self.candidates = manifest.ranker.candidates
        self._seen = seen
        self._neighbours = neighbours
        self._askers = askers
        self._retriever = retriever
        self._ranker = ranker
        self._popularity = popularity
        self._similar = similar
        self._explainer = explainer
        self.catalogue_scores = CatalogueScores(
            users, item_vectors, askers=askers, seen=seen, neighbours=neighbours, popularity=popularity
        )
        self.info = ModelInfo(
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
        )

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
        try:
            tables = Tables.open(path, manifest)
            if verify:
                tables.check_content()
            return cls._assemble(path, manifest, tables)
        except (ValueError, TypeError, OSError) as error:
            raise IntegrityError(f"{path}: {error}", hint="make or copy the artifact again") from error

    @classmethod
    def _assemble(cls, path: Path, manifest: Manifest, tables: Tables) -> Recommender:
        items, counts, branches = tables.item_vectors, tables.counts, manifest.branches
        index: Index
        if (facts := manifest.index).kind != FLAT:
            index = IvfIndex.load(
                path / LAYOUT.index, facts.nprobe, refine=facts.refine, shape=(len(items), facts.dims)
            )
        elif tables.projection is None:
            index = FlatIndex(items.dense())
        else:
            raise ValueError("a flat index is over the vectors as they are, without a projection")
        fold_in = FoldIn(tables.fold_in, items, counts, branches)
        ranker = Ranker(
            open_session(path / LAYOUT.ranker),
            manifest.ranker.cross,
            counts,
            num_parts=len(branches),
            user_table=tables.ranker_users,
            item_table=tables.ranker_items,
            content=tables.item_content,
        )
        ranker.try_out(len(tables.users))
        folds_in = manifest.newcomers == "fold_in"
        return cls(
            manifest,
            tables.users,
            tables.items,
            items,
            seen=tables.seen,
            neighbours=tables.neighbours,
            askers=Askers(branches, tables.user_vectors, fold_in, tables.neighbours, folds_in=folds_in),
            retriever=Retriever(items, index, tables.neighbours, tables.projection),
            ranker=ranker,
            popularity=Popularity(counts),
            similar=SimilarItems(items, branches, tables.neighbours),
            explainer=Explainer(branches, items, counts, fold_in, tables.neighbours),
        )

    @property
    def seen(self) -> SeenItems:
        """What each user has already, as the model knows it."""
        return self._seen

    def recommend(self, query: Query) -> Answer:
        """Answer one question.

        Raises
        ------
        RequestError
            If k or a list is outside its limits.
        """
        query.check()
        user_row = -1 if query.user_id is None else self.users.row(query.user_id)
        history = self._known_rows(query.history)
        past = self._seen.of(user_row)
        excluded = (past if query.exclude_seen else past[:0]).astype(np.int64)
        if query.history or query.exclude:
            excluded = np.union1d(excluded, self._known_rows(query.history + query.exclude))
        allowed = None if query.candidates is None else self._known_rows(query.candidates)
        asker = self._askers.represent(user_row, past, history)
        if asker is None:
            rows, scores = self._popularity.retrieve(query.k, excluded, allowed)
            return Answer(self.items.ids(rows), scores.tolist(), "popularity")
        found = self._retriever.retrieve(asker.vector, asker.history, self.candidates, excluded, allowed)
        if len(found.rows) == 0:
            return Answer([], [], asker.source)
        ranked = self._ranker.score(user_row, asker.history, found)
        best = top_k(ranked, query.k)
        rows, ranked = found.rows[best], ranked[best]
        if query.k > self.candidates == len(rows):
            rows, ranked = self._continue(asker, excluded, allowed, rows, ranked, query.k)
        return Answer(self.items.ids(rows), ranked.tolist(), asker.source)

    def _continue(
        self,
        asker: Asker,
        excluded: _Rows,
        allowed: npt.NDArray[np.int64] | None,
        rows: npt.NDArray[np.int64],
        ranked: _Floats,
        k: int,
    ) -> tuple[npt.NDArray[np.int64], _Floats]:
        """Lengthen a list beyond the candidates that the ranker was trained on, in the retriever's order.

        The ranker's features are relative to its list: ranking a longer one would change the head of the answer. For
        the same reason as many are retrieved whatever k is: an approximate index proposes by its own order.
        """
        past = np.union1d(excluded, rows)
        more = self._retriever.retrieve(asker.vector, asker.history, MAX_K - len(rows), past, allowed)
        if len(more.rows) == 0:
            return rows, ranked
        # One descending scale: the retriever's scores go on where the ranker's end.
        shifted = (ranked[-1] + np.minimum(more.scores - more.scores[0], 0.0)).astype(np.float32)
        return np.concatenate([rows, more.rows])[:k], np.concatenate([ranked, shifted])[:k]

    def with_index(self, index: Index) -> Recommender:
        """Give the same recommender with another index over the whole vectors, to compare retrieval alone."""
        other = copy.copy(self)
        other._retriever = Retriever(self.item_vectors, index, self._neighbours)
        return other

    def similar_items(self, item_id: Id, k: int = 10) -> Answer:
        """Find the items that are most like one item, itself left out: see :class:`SimilarItems`.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        RequestError
            If k is outside its limits, or the model is of popularity alone.
        """
        check_k(k)
        rows, scores = self._similar.find(self._item_row(item_id), k)
        return Answer(self.items.ids(rows), scores.tolist(), "item")

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
        Query(user_id, history=history).check()
        row = self._item_row(item_id)
        user_row = -1 if user_id is None else self.users.row(user_id)
        asker = self._askers.represent(user_row, self._seen.of(user_row), self._known_rows(history))
        if asker is None:
            score = self._popularity.score(row)
            return Explanation(self.items.id(row), score, "popularity", (), {"popularity": score})
        shares, remainder = self._explainer.divide(asker.vector, asker.history, row)
        order = [place for place in np.argsort(-np.abs(shares), kind="stable").tolist() if shares[place] != 0]
        ids = self.items.ids(asker.history[order])
        score = float(shares.sum()) + sum(remainder.values())
        return Explanation(
            self.items.id(row), score, asker.source, tuple(zip(ids, shares[order].tolist(), strict=True)), remainder
        )

    def _item_row(self, item_id: Id) -> int:
        row = self.items.row(item_id)
        if row < 0:
            raise ItemNotFoundError(
                f"item {item_id!r} is unknown to this model", hint="ask for an item of its catalogue"
            )
        return row

    def _known_rows(self, ids: tuple[Id, ...]) -> npt.NDArray[np.int64]:
        rows = np.unique(self.items.rows(ids)) if ids else np.empty(0, dtype=np.int64)
        return rows[rows >= 0]
