"""Build and tune the retrieval index: IVF whose lists are assigned by L2 and probed by inner product."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from gnas_export.tables import Lists, Tables, mean_recall
from gnas_serve.runtime.index import FlatIndex, Index, IvfIndex
from gnas_serve.runtime.seen import SeenItems

# Below this many items exact search costs no more than the structure around an approximate one.
FLAT_UP_TO = 10_000
_POINTS_PER_LIST = 200
_ITERATIONS = 12
_PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512)


def num_lists(num_items: int) -> int:
    """Choose how many lists: about the square root of the number of items."""
    return max(1, round(math.sqrt(num_items)))


def probes(lists: int) -> tuple[int, ...]:
    """Give the values of nprobe that are tried: geometric, never all lists (that is flat search)."""
    return tuple(nprobe for nprobe in _PROBES if nprobe < lists) or (1,)


def build_ivf(vectors: npt.NDArray[np.float32], *, seed: int) -> faiss.IndexIVFScalarQuantizer:
    """Build the IVF index over the shipped (already compressed) vectors.

    Stock inner-product IVF assigns a vector to the centroid with the largest inner product, so that a few long
    centroids collect most items. Assigning by L2 keeps the lists even; probing by inner product still visits the
    lists where the largest products are.

    Parameters
    ----------
    vectors : (I, d) float32
    seed
        Of the k-means. One thread: equal input gives equal bytes.

    Returns
    -------
    faiss.IndexIVFScalarQuantizer
        Inner product, 8-bit codes per component.

    References
    ----------
    Guo et al., "Accelerating Large-Scale Inference with Anisotropic Vector Quantization", ICML 2020 (assignment
    apart from probing).
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    n, dim = vectors.shape
    lists = num_lists(n)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        sample = vectors
        if n > lists * _POINTS_PER_LIST:
            rows = np.random.default_rng(seed).choice(n, lists * _POINTS_PER_LIST, replace=False)
            sample = vectors[np.sort(rows)]
        kmeans = faiss.Kmeans(
            dim, lists, niter=_ITERATIONS, seed=seed + 1, min_points_per_centroid=1, max_points_per_centroid=n
        )
        kmeans.train(sample)
        centroids = np.ascontiguousarray(kmeans.centroids)
        quantizer: Any = faiss.IndexFlatIP(dim)
        quantizer.add(centroids)
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
        )
        index.train(vectors)  # the ranges of the codes; the quantizer holds its centroids already
        nearest = faiss.IndexFlatL2(dim)
        nearest.add(centroids)
        _, assigned = nearest.search(vectors, 1)
        assigned = np.ascontiguousarray(assigned[:, 0])
        index.add_core(n, faiss.swig_ptr(vectors), None, faiss.swig_ptr(assigned))
        # The index owns its quantizer from here on: Python must not free it under it.
        quantizer.this.disown()
        index.own_fields = True
    finally:
        faiss.omp_set_num_threads(threads)
    return index


def index_bytes(index: Any) -> npt.NDArray[np.uint8]:
    """Serialise an index; equal indexes give equal bytes."""
    raw: npt.NDArray[np.uint8] = faiss.serialize_index(index)
    return raw


@dataclass(frozen=True)
class TunedProbe:
    """How the index measured against exact search.

    Attributes
    ----------
    nprobe
        The smallest value that reached the limit; 0 where none did.
    recall
        At that value, else the best reached.
    curve
        ``{"nprobe", "recall"}`` of every value tried, ascending.
    """

    nprobe: int
    recall: float
    curve: tuple[dict[str, float], ...]


def open_ivf(raw: npt.NDArray[np.uint8], nprobe: int) -> IvfIndex:
    """Open serialised bytes as serving opens the file."""
    faiss.omp_set_num_threads(1)
    return IvfIndex(faiss.deserialize_index(raw), nprobe)


def tune(
    raw: npt.NDArray[np.uint8],
    tables: Tables,
    seen: SeenItems,
    user_rows: npt.NDArray[np.integer],
    *,
    count: int,
    limit: float,
) -> TunedProbe:
    """Find the smallest nprobe that is exact enough, by the index's own proposals.

    The retriever would search exactly where the probed lists run dry; counted here, that would make the slowest
    setting look perfect.

    Parameters
    ----------
    raw
        From :func:`index_bytes`.
    tables
        The shipped vectors; exact search over them is the reference.
    user_rows : (n,)
        Real users.
    count
        C, the recall's depth.
    limit
        Least recall@C.
    """
    queries = tables.users.rows(user_rows)
    exact = proposed(FlatIndex(tables.items.dense()), queries, seen, user_rows, count)
    curve: list[dict[str, float]] = []
    for nprobe in probes(num_lists(len(tables.items))):
        recall = mean_recall(proposed(open_ivf(raw, nprobe), queries, seen, user_rows, count), exact)
        curve.append({"nprobe": nprobe, "recall": recall})
        if recall >= limit:
            return TunedProbe(nprobe, recall, tuple(curve))
    return TunedProbe(0, max(point["recall"] for point in curve), tuple(curve))


def proposed(
    index: Index,
    queries: npt.NDArray[np.float32],
    seen: SeenItems,
    user_rows: npt.NDArray[np.integer],
    count: int,
) -> Lists:
    """Ask an index for each user's candidates, seen items left out."""
    return [
        index.propose(query, count, seen.of(int(row)).astype(np.int64))
        for query, row in zip(queries, user_rows, strict=True)
    ]
