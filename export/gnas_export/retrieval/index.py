"""Build and tune the retrieval index: IVF whose lists are assigned by L2 and probed by inner product."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from gnas_export.retrieval.tables import Lists, mean_recall
from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows
from gnas_serve.runtime.index import Index, IvfIndex
from gnas_serve.runtime.inverted_lists import InvertedLists

# Below this many items, or numbers in all, exact search costs no more than the structure around an approximate one.
FLAT_UP_TO = 10_000
FLAT_UP_TO_VALUES = 1_280_000
# Share of requests whose probed lists may hold too few items: the retriever answers those by exact search.
MAX_DRY = 0.005
# How much of an exact list is its head: what the metrics of the gates look at.
TOP = 20
# Of fewer there are no 16 codes per pair of components to learn.
PQ_AT_LEAST = 256
# How many times the wanted number product codes propose: more is tried where the first is too few.
REFINES = (2, 4)
_POINTS_PER_LIST = 200
_POINTS_PER_SCANNED_LIST = 64
_MOST_SCANNED_LISTS = 2048
_ITERATIONS = 12
_PQ_POINTS = 65_536
_ADDED_AT_ONCE = 65_536
_PROBES = (
    *(1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 72, 80),
    *(96, 112, 128, 144, 160, 192, 224, 256, 320, 384, 448, 512),
)


def num_lists(num_items: int) -> int:
    """Choose how many lists: about the square root of the number of items."""
    return max(1, round(math.sqrt(num_items)))


def num_scanned_lists(num_items: int) -> int:
    """Choose how many lists vectors are divided into that are scanned as they are: more and shorter ones.

    What is scanned is the cost there. On Gowalla (40,981 items, 64 and 128 columns) four times as many lists reach the
    same recall with 7 to 27 % fewer vectors, centroids included; twice as many are the quickest by the clock, as lists
    are filled up to whole blocks.
    """
    return max(1, min(round(2 * math.sqrt(num_items)), _MOST_SCANNED_LISTS))


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
    with _one_thread():
        centroids = _centroids(vectors, seed, num_lists(n), _POINTS_PER_LIST)
        quantizer = _holding(faiss.IndexFlatIP(dim), centroids)
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, dim, len(centroids), faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
        )
        index.train(vectors)  # the ranges of the codes; the quantizer holds its centroids already
        _, assigned = _holding(faiss.IndexFlatL2(dim), centroids).search(vectors, 1)
        assigned = np.ascontiguousarray(assigned[:, 0])
        index.add_core(n, faiss.swig_ptr(vectors), None, faiss.swig_ptr(assigned))
        _own(index, quantizer)
    return index


def build_pq(vectors: npt.NDArray[np.float32], *, seed: int) -> faiss.IndexIVFPQFastScan:
    """Build the index of product codes: the same lists, of 4-bit codes per two components.

    Codes are of what a vector differs from its centroid by: on 300,000 vectors of 64 columns, four times the
    candidates and nprobe 32, recall@300 was .981, and .939 where codes were of the vectors themselves. They take a
    quarter of the bytes of :func:`build_ivf`, and propose :data:`REFINES` times what is wanted, to be scored exactly.

    Parameters
    ----------
    vectors : (I, d) float32
        d even.
    seed
        Of the k-means.

    References
    ----------
    Jegou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011. Andre, Kermarrec and
    Le Scouarnec, "Cache locality is not enough: High-Performance Nearest Neighbor Search with Product Quantization
    Fast Scan", VLDB 2015.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    n, dim = vectors.shape
    with _one_thread():
        centroids = _centroids(vectors, seed, num_lists(n), _POINTS_PER_LIST)
        nearest = _holding(faiss.IndexFlatL2(dim), centroids)
        index = faiss.IndexIVFPQFastScan(nearest, dim, len(centroids), dim // 2, 4, faiss.METRIC_INNER_PRODUCT)
        index.by_residual = True
        index.pq.cp.min_points_per_centroid = 1  # of few it is wanted all the same, without a word on stderr
        index.train(_sample(vectors, _PQ_POINTS, seed))
        for start in range(0, n, _ADDED_AT_ONCE):
            index.add(vectors[start : start + _ADDED_AT_ONCE])
        quantizer = _holding(faiss.IndexFlatIP(dim), centroids)
        index.quantizer = quantizer
        _own(index, quantizer)
    return index


def build_lists(items: EmbeddingTable, *, seed: int) -> InvertedLists:
    """Divide int8 vectors into lists, to be scanned as they are: no codes beside them, and exact scores.

    Parameters
    ----------
    items
        (I, D) int8 vectors.
    seed
        Of the k-means.
    """
    vectors = items.dense()
    with _one_thread():
        centroids = _centroids(vectors, seed, num_scanned_lists(len(vectors)), _POINTS_PER_SCANNED_LIST)
        _, assigned = _holding(faiss.IndexFlatL2(items.dim), centroids).search(vectors, 1)
    return InvertedLists(assigned[:, 0].astype(np.uint16), *quantize_rows(centroids, items.columns))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _centroids(
    vectors: npt.NDArray[np.float32], seed: int, lists: int, points_per_list: int
) -> npt.NDArray[np.float32]:
    n, dim = vectors.shape
    sample = _sample(vectors, lists * points_per_list, seed)
    kmeans = faiss.Kmeans(
        dim, lists, niter=_ITERATIONS, seed=seed + 1, min_points_per_centroid=1, max_points_per_centroid=n
    )
    kmeans.train(sample)
    return np.ascontiguousarray(kmeans.centroids)


def _sample(vectors: npt.NDArray[np.float32], most: int, seed: int) -> npt.NDArray[np.float32]:
    if len(vectors) <= most:
        return vectors
    return vectors[np.sort(np.random.default_rng(seed).choice(len(vectors), most, replace=False))]


def _holding(structure: Any, centroids: npt.NDArray[np.float32]) -> Any:  # faiss has no types
    structure.add(centroids)
    return structure


def _own(index: Any, quantizer: Any) -> None:
    """Give an index its quantizer for good: Python must not free it under it."""
    quantizer.this.disown()
    index.own_fields = True


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
        The smallest value that reached both limits and nearly never ran dry; 0 where none did.
    recall, top_recall
        At that value, else the best reached.
    curve
        ``{"nprobe", "recall", "top_recall", "dry"}`` of every value tried, ascending, ``dry`` the share of users whose
        probed lists held too few items; of all lists alone where even those miss.
    """

    nprobe: int
    recall: float
    top_recall: float
    curve: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class RecallLimits:
    """What an index must find of an exact list: of all C candidates, and of those that lead it."""

    candidates: float
    top: float


def open_ivf(raw: npt.NDArray[np.uint8], nprobe: int, refine: int = 1) -> IvfIndex:
    """Open serialised bytes as serving opens the file."""
    faiss.omp_set_num_threads(1)
    return IvfIndex(faiss.deserialize_index(raw), nprobe, refine)


def tune(
    opened: Callable[[int], Index],
    queries: npt.NDArray[np.float32],
    others: Lists,
    exact: Lists,
    excluded: Lists,
    *,
    num_items: int,
    lists: int,
    limits: RecallLimits,
) -> TunedProbe:
    """Find the smallest nprobe that is exact enough, by the index's own proposals.

    What is proposed is scored exactly, so an item of the exact list is found where anything proposes it. The retriever
    would search exactly where the probed lists run dry; counted here, that would make the slowest setting look perfect.

    Parameters
    ----------
    opened
        Opens the index with a value of nprobe.
    queries : (n, r) float32
        Of real users, in the space of the index.
    others
        What else is proposed to each of them: the two-hop candidates.
    exact
        The exact lists by the summed scores of all branches, best first, their length the number of candidates.
    excluded
        Ascending rows never to propose.
    num_items, lists
        In the index.
    limits
        Least recalls.
    """
    count = max((len(best) for best in exact), default=1)
    heads = [best[:TOP] for best in exact]

    def measured(nprobe: int) -> dict[str, float]:
        index = opened(nprobe)
        proposed = [index.propose(query, count, rows) for query, rows in zip(queries, excluded, strict=True)]
        dry = [len(rows) < min(count, num_items - len(never)) for rows, never in zip(proposed, excluded, strict=True)]
        found = [np.union1d(rows, more) for rows, more in zip(proposed, others, strict=True)]
        return {
            "nprobe": nprobe,
            "recall": mean_recall(found, exact),
            "top_recall": mean_recall(found, heads),
            "dry": float(np.mean(dry)),
        }

    def enough(point: dict[str, float]) -> bool:
        reached = point["recall"] >= limits.candidates and point["top_recall"] >= limits.top
        return reached and point["dry"] <= MAX_DRY

    every = measured(lists)
    if not enough(every):  # what codes and projection lose no number of lists brings back
        return TunedProbe(0, every["recall"], every["top_recall"], (every,))
    curve: list[dict[str, float]] = []
    for nprobe in probes(lists):
        curve.append(measured(nprobe))
        if enough(curve[-1]):
            return TunedProbe(nprobe, curve[-1]["recall"], curve[-1]["top_recall"], tuple(curve))
    best = {name: max(point[name] for point in curve) for name in ("recall", "top_recall")}
    return TunedProbe(0, best["recall"], best["top_recall"], tuple(curve))
