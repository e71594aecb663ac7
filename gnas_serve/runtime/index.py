"""Index: proposes the items nearest to a query by inner product; the retriever scores what is proposed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.neighbours import Links
from gnas_serve.runtime.topk import top_k

# Up to so many excluded rows, proposing as many more is quicker than looking each row up while lists are scanned.
_OVER_FETCHED = 2000
# Of faiss's ways through product codes, the one without its blocks of questions: for one question a fifth quicker
# than what it chooses (66 us against 80, the best 627 of 41,000 items).
_ONE_QUESTION = 11


class Index(Protocol):
    """What the retriever asks of an ANN structure.

    Attributes
    ----------
    exhaustive
        Whether it looks at every item and adds the links of a history to its scores. To the proposals of one that does
        not, the retriever adds the best-linked items.
    """

    exhaustive: bool

    def propose(
        self,
        query: npt.NDArray[np.float32],
        count: int,
        excluded: npt.NDArray[np.integer],
        links: Links | None = None,
    ) -> npt.NDArray[np.int64]:
        """Propose ``count`` rows with high inner products, in no particular order.

        Fewer where the structure holds no more; more where its own order is too coarse to cut by.

        Parameters
        ----------
        query : (d,) float32
        count
            How many rows are wanted.
        excluded : (e,) ascending rows never to propose
        links
            Scores to be added to the inner products, where the index is exhaustive.
        """
        ...


class FlatIndex:
    """Exact search by one matrix-vector product; right for up to some ten thousand items.

    Parameters
    ----------
    vectors : (n, d) float32
    """

    exhaustive = True

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self._vectors = vectors

    def propose(
        self,
        query: npt.NDArray[np.float32],
        count: int,
        excluded: npt.NDArray[np.integer],
        links: Links | None = None,
    ) -> npt.NDArray[np.int64]:
        """Propose the exact best rows of the summed scores."""
        scores = self._vectors @ query  # (n,)
        if links is not None:
            scores[links.rows] += links.scores
        scores[excluded] = -np.inf
        return top_k(scores, count)


class IvfIndex:
    """Inverted lists, assigned by L2 k-means and probed by inner product (built by ``gnas_export.retrieval.index``).

    Parameters
    ----------
    structure
        A ``faiss.IndexIVF`` whose ids are rows.
    nprobe
        How many lists a query visits.
    refine
        How many times the wanted number is proposed: of coarse codes more, which the retriever scores exactly.
    """

    exhaustive = False

    def __init__(self, structure: Any, nprobe: int, refine: int = 1) -> None:  # faiss has no types
        import faiss  # where there is such an index: flat search goes without

        structure.nprobe = nprobe
        if isinstance(structure, faiss.IndexIVFPQFastScan):
            structure.implem = _ONE_QUESTION
        self._structure = structure
        self._pointer = faiss.swig_ptr
        self._marks = _Marks(structure.ntotal)
        self._refine = refine

    @classmethod
    def load(cls, path: Path, nprobe: int, *, refine: int = 1, shape: tuple[int, int]) -> IvfIndex:
        """Read an index file.

        Raises
        ------
        IntegrityError
            If faiss cannot read it, or it does not hold ``shape`` = (items, width).
        """
        import faiss

        # Parallelism is across workers; within one query it only adds wake-ups.
        faiss.omp_set_num_threads(1)
        hint = "make or copy the artifact again"
        try:
            structure = faiss.read_index(str(path))
        except RuntimeError as error:
            raise IntegrityError(f"{path} is not a faiss index", hint=hint) from error
        if not isinstance(structure, faiss.IndexIVF) or (structure.ntotal, structure.d) != shape:
            raise IntegrityError(f"{path} is no index of {shape[0]} items of width {shape[1]}", hint=hint)
        return cls(structure, nprobe, refine)

    def propose(
        self,
        query: npt.NDArray[np.float32],
        count: int,
        excluded: npt.NDArray[np.integer],
        links: Links | None = None,  # noqa: ARG002  # no list holds every item: the retriever adds what is linked
    ) -> npt.NDArray[np.int64]:
        """Propose the best rows of the probed lists, over-fetching by what is excluded.

        Where that is much, as with a filter, the lists are searched without it, and more of them in the same
        proportion, so that as many items as ever are looked at.
        """
        count *= self._refine
        num_items = self._structure.ntotal
        left = num_items - len(excluded)
        if len(excluded) <= _OVER_FETCHED or left == 0:
            rows = self._search(query, min(count + len(excluded), num_items))
            return rows[self._marks.are_apart(rows, excluded)][:count] if len(excluded) else rows
        may = np.ones(num_items, dtype=np.bool_)
        may[excluded] = False
        bits = np.packbits(may, bitorder="little")
        nprobe = min(self._structure.nlist, -(-self._structure.nprobe * num_items // left))
        return self._search(query, min(count, left), self._parameters(nprobe, bits))

    def _search(self, query: npt.NDArray[np.float32], count: int, parameters: Any = None) -> npt.NDArray[np.int64]:
        """Give the best rows of the probed lists, best first; fewer than ``count`` where they hold no more."""
        # What `search` of faiss's Python class does, without a third of the time that it takes around the search.
        query = np.ascontiguousarray(query, dtype=np.float32)
        products, found = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.int64)
        pointer = self._pointer
        self._structure.search_c(1, pointer(query), count, pointer(products), pointer(found), parameters)
        # Places that nothing was found for, -1, stand at the end.
        return found if found[-1] >= 0 else found[found >= 0]

    def _parameters(self, nprobe: int, bits: npt.NDArray[np.uint8]) -> Any:
        import faiss

        library: Any = faiss  # whose Python constructors take other arguments than its types say
        return library.SearchParametersIVF(nprobe=nprobe, sel=library.IDSelectorBitmap(bits))


class _Marks(threading.local):
    """Marks on rows, for looking up unordered rows among others; each thread has its own, kept clear between uses.

    A third of the time of a binary search for each row, where some hundred are looked up among some tens.

    Parameters
    ----------
    num_rows
        How many rows there are; a byte each.
    """

    def __init__(self, num_rows: int) -> None:
        self._clear = np.ones(num_rows, dtype=np.bool_)

    def are_apart(self, rows: npt.NDArray[np.int64], others: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Tell which rows are not among the others, (m,)."""
        clear = self._clear
        clear[others] = False
        found: npt.NDArray[np.bool_] = clear.take(rows)
        clear[others] = True
        return found
