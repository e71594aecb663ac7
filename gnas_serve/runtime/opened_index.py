"""Which index answers: by the manifest's word for it, and by what the vectors are."""

from __future__ import annotations

from pathlib import Path

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FLAT, IVF_FLAT, IndexFacts
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.index import FlatIndex, Index, IvfIndex
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.scan import ListScan, TableScan


def flat_index(items: EmbeddingTable) -> Index:
    """Give exact search over vectors: as they are where they are int8, else over a float32 copy."""
    return FlatIndex(items.dense()) if items.scales is None else TableScan(items)


def scan_of(items: EmbeddingTable, lists: InvertedLists, nprobe: int) -> ListScan:
    """Give a scan of lists: over the shipped vectors, or over the projection of them that the lists hold."""
    if lists.projected is None:
        return ListScan(items, lists, nprobe)
    if len(lists.projected) != len(items):
        raise ValueError(f"the inverted lists are of {len(lists.projected)} projected vectors, not of {len(items)}")
    return ListScan(lists.projected, lists, nprobe)


def open_index(path: Path, facts: IndexFacts, items: EmbeddingTable) -> Index:
    """Open the index of an artifact.

    Parameters
    ----------
    path
        The artifact's folder.
    facts
        What its manifest says of the index.
    items
        The shipped vectors.

    Raises
    ------
    IntegrityError
        If its file is missing or damaged.
    ValueError
        If it is of other vectors.
    """
    if facts.kind == FLAT:
        return flat_index(items)
    if facts.nprobe < 1:
        raise ValueError(f"an index of kind {facts.kind} visits {facts.nprobe} lists")
    if facts.kind == IVF_FLAT:
        return scan_of(items, InvertedLists.load(path / LAYOUT.lists), facts.nprobe)
    return IvfIndex.load(path / LAYOUT.index, facts.nprobe, refine=facts.refine, shape=(len(items), facts.dims))
