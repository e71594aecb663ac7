"""The request path on one screen: who asks -> a vector -> candidates -> ranked items."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import IntegrityError, ItemNotFoundError
from gnas_serve.runtime.cold_start import FoldIn, Popularity
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.index import FlatIndex, Index, IvfIndex
from gnas_serve.runtime.query import Answer, ModelInfo, Query, check_k
from gnas_serve.runtime.ranker import Ranker
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.session import open_session
from gnas_serve.runtime.similar import SimilarItems
from gnas_serve.runtime.tables import Tables
from gnas_serve.runtime.topk import top_k
from gnas_serve.vocabulary import Id, Vocabulary

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


class Recommender:
    """An artifact in memory, ready to answer; built by :meth:`load`, safe to share between threads.

    Parameters
    ----------
    manifest
        What the artifact says of itself.
    users, items
        Vocabularies.
    user_vectors, item_vectors
        The shipped vectors.
    """

    def __init__(
        self,
        manifest: Manifest,
        users: Vocabulary,
        items: Vocabulary,
        user_vectors: EmbeddingTable,
        item_vectors: EmbeddingTable,
        *,
        seen: SeenItems,
        retriever: Retriever,
        ranker: Ranker,
        fold_in: FoldIn,
        popularity: Popularity,
        similar: SimilarItems,
    ) -> None:
        self.users = users
        self.items = items
        self.item_vectors = item_vectors
        self.candidates = manifest.ranker.candidates
        self._user_vectors = user_vectors
        self._seen = seen
        self._retriever = retriever
        self._ranker = ranker
        self._fold_in = fold_in
        self._popularity = popularity
        self._similar = similar
        self.info = ModelInfo(
            name=manifest.name,
            version=manifest.version,
            profile=manifest.profile,
            num_users=manifest.num_users,
            num_items=manifest.num_items,
            embedding_dim=manifest.embedding_dim,
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
        items, counts = tables.item_vectors, tables.counts
        index: Index
        if manifest.index.kind == "ivf":
            index = IvfIndex.load(path / LAYOUT.index, manifest.index.nprobe, shape=(len(items), items.dim))
        else:
            index = FlatIndex(items.dense())
        ranker = Ranker(
            open_session(path / LAYOUT.ranker),
            manifest.ranker.cross,
            counts,
            user_table=tables.ranker_users,
            item_table=tables.ranker_items,
            content=tables.item_content,
        )
        ranker.try_out(len(tables.users))
        return cls(
            manifest,
            tables.users,
            tables.items,
            tables.user_vectors,
            items,
            seen=tables.seen,
            retriever=Retriever(items, index),
            ranker=ranker,
            fold_in=FoldIn(tables.fold_in, items, counts, unit_length=manifest.scorer == "cosine"),
            popularity=Popularity(counts),
            similar=SimilarItems(items),
        )

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
        vector, source = self._represent(user_row, history)
        if vector is None:
            rows, scores = self._popularity.retrieve(query.k, excluded)
            return Answer(self.items.ids(rows), scores.tolist(), source)
        rows, scores = self._retriever.retrieve(vector, self.candidates, excluded)
        if len(rows) == 0:
            return Answer([], [], source)
        ranked = self._ranker.score(user_row, past if source == "user" else history, rows, scores)
        best = top_k(ranked, query.k)
        rows, ranked = rows[best], ranked[best]
        if query.k > self.candidates == len(rows):
            rows, ranked = self._continue(vector, excluded, rows, ranked, query.k)
        return Answer(self.items.ids(rows), ranked.tolist(), source)

    def _continue(
        self, vector: _Floats, excluded: _Rows, rows: _Rows, ranked: _Floats, k: int
    ) -> tuple[_Rows, _Floats]:
        """Lengthen a list beyond the candidates that the ranker was trained on, in the retriever's order.

        The ranker's features are relative to its list: ranking a longer one would change the head of the answer.
        """
        more, scores = self._retriever.retrieve(vector, k - len(rows), np.union1d(excluded, rows))
        if len(more) == 0:
            return rows, ranked
        # One descending scale: the retriever's scores go on where the ranker's end.
        shifted = (ranked[-1] + np.minimum(scores - scores[0], 0.0)).astype(np.float32)
        return np.concatenate([rows, more]), np.concatenate([ranked, shifted])

    def with_index(self, index: Index) -> Recommender:
        """Give the same recommender with another index, to compare retrieval alone."""
        other = copy.copy(self)
        other._retriever = Retriever(self.item_vectors, index)
        return other

    def similar_items(self, item_id: Id, k: int = 10) -> Answer:
        """Find the items whose vectors point the way of one item's, the item itself left out.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        RequestError
            If k is outside its limits.
        """
        check_k(k)
        row = self.items.row(item_id)
        if row < 0:
            raise ItemNotFoundError(
                f"item {item_id!r} is unknown to this model", hint="ask for an item of its catalogue"
            )
        rows, scores = self._similar.find(row, k)
        return Answer(self.items.ids(rows), scores.tolist(), "item")

    def _represent(self, user_row: int, history: _Rows) -> tuple[_Floats | None, str]:
        if user_row >= 0:
            vector = self._user_vectors.row(user_row)
            # A user known only from events that the model does not use has a vector of zeros: no preference at all.
            if vector.any():
                return vector, "user"
        if len(history):
            vector = self._fold_in.vector(history)
            if vector.any():
                return vector, "fold_in"
        return None, "popularity"

    def _known_rows(self, ids: tuple[Id, ...]) -> _Rows:
        rows = np.unique(self.items.rows(ids)) if ids else np.empty(0, dtype=np.int64)
        return rows[rows >= 0]
