"""The parts of a recommender, opened from an artifact and fitted together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FLAT, Manifest
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.asker import Askers
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.content_encoder import ContentEncoder
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.explain import Explainer
from gnas_serve.runtime.filters import Filters
from gnas_serve.runtime.index import Index
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.opened_index import open_index
from gnas_serve.runtime.providers import CPU
from gnas_serve.runtime.ranker import Ranker
from gnas_serve.runtime.rerank import Rerank
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.scan import ListScan
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.segments import Segments
from gnas_serve.runtime.session import open_session
from gnas_serve.runtime.similar import SimilarItems, SimilarUsers
from gnas_serve.runtime.tables import Tables
from gnas_serve.runtime.user_encoding import UserEncoder
from gnas_serve.vocabulary import Vocabulary


@dataclass(frozen=True)
class Parts:
    """What a request passes through, in order, and what the other calls need.

    Attributes
    ----------
    no_content
        Why there is no content encoder, where the artifact says.
    """

    users: Vocabulary
    items: Vocabulary
    item_vectors: EmbeddingTable
    neighbours: Neighbours | None
    seen: SeenItems
    filters: Filters
    askers: Askers
    segments: Segments
    encoder: UserEncoder
    retriever: Retriever
    ranker: Ranker
    rerank: Rerank
    explainer: Explainer
    similar_items: SimilarItems
    similar_users: SimilarUsers
    content: ContentEncoder | None
    no_content: str

    @classmethod
    def open(cls, path: Path, manifest: Manifest, *, verify: bool, provider: str = CPU) -> Parts:
        """Open the files of an artifact.

        Parameters
        ----------
        verify
            Check the content of every table.
        provider
            What the ranker computes on, see :func:`gnas_serve.runtime.session.open_session`.

        Raises
        ------
        IntegrityError
            If a file is damaged, or two do not fit together.
        MissingExtraError
            If the provider cannot be used here.
        """
        try:
            tables = Tables.open(path, manifest)
            if verify:
                tables.check_content(manifest)
            return cls._fitted(path, manifest, tables, provider)
        except (ValueError, TypeError, OSError) as error:
            raise IntegrityError(f"{path}: {error}", hint="make or copy the artifact again") from error

    @classmethod
    def _fitted(cls, path: Path, manifest: Manifest, tables: Tables, provider: str) -> Parts:
        items, counts, branches = tables.item_vectors, tables.counts, manifest.branches
        fold_in = FoldIn(tables.fold_in, items, counts, branches)
        folds_in, described = manifest.newcomers == "fold_in", tables.ranker_users
        return cls(
            users=tables.users,
            items=tables.items,
            item_vectors=items,
            neighbours=tables.neighbours,
            seen=tables.seen,
            filters=Filters(tables.attributes, len(items)),
            askers=Askers(branches, tables.user_vectors, fold_in, tables.neighbours, folds_in=folds_in),
            segments=Segments(manifest.segments, tables.segments, counts),
            encoder=UserEncoder(manifest.user_encoding, 0 if described is None else described.shape[1]),
            retriever=Retriever(items, _index(path, manifest, tables), tables.neighbours, tables.projection),
            ranker=_ranker(path, manifest, tables, provider),
            rerank=Rerank(items, branches, tables.neighbours),
            explainer=Explainer(branches, items, counts, fold_in, tables.neighbours, item_ids=tables.items),
            similar_items=SimilarItems(items, branches, tables.neighbours),
            similar_users=SimilarUsers(tables.user_vectors, branches, tables.seen),
            content=_content(manifest, tables),
            no_content=manifest.no_content,
        )


def _content(manifest: Manifest, tables: Tables) -> ContentEncoder | None:
    if manifest.content is None or tables.content is None:
        return None
    kinds = {fact.name: fact.kind for fact in manifest.attributes}
    other = next((one.name for one in manifest.content.columns if kinds.get(one.name) != one.kind), None)
    if other is not None:
        raise ValueError(f"the content encoder reads {other!r}, which is no attribute of that kind")
    return ContentEncoder(manifest.content, tables.content, tables.counts)


def _index(path: Path, manifest: Manifest, tables: Tables) -> Index:
    facts, items = manifest.index, tables.item_vectors
    if facts.kind == FLAT and tables.projection is not None:
        raise ValueError("a flat index is over the vectors as they are, without a projection")
    index = open_index(path, facts, items)
    width = items.dim if tables.projection is None else tables.projection.shape[1]
    if isinstance(index, ListScan) and (index.dim, index.is_over(items)) != (width, tables.projection is None):
        raise ValueError("inverted lists of projected vectors come with a projection, and only they do")
    return index


def _ranker(path: Path, manifest: Manifest, tables: Tables, provider: str) -> Ranker:
    ranker = Ranker(
        open_session(path / LAYOUT.ranker, provider),
        manifest.ranker.cross,
        tables.counts,
        num_parts=len(manifest.branches),
        user_table=tables.ranker_users,
        item_table=tables.ranker_items,
        content=tables.item_content,
    )
    ranker.try_out(len(tables.users))
    return ranker
