"""The forms in which a fit's vectors and neighbours ship: narrow where retrieval does not notice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_export.retrieval.turning import Turns
from gnas_search.fit import Branch, Fit
from gnas_serve.artifact.branches import spans
from gnas_serve.errors import ExportError
from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.topk import top_k

# From narrow to wide: a profile starts somewhere and a gate moves it to the right.
WIDTHS = ("int8", "fp16", "fp32")
LINKS = ("pruned", "fp16", "fp32")
_BLOCK_USERS = 64
_BLOCK_ROWS = 16_384
# The square of a length and the sums of some such are within float32, which ends at 3.4e38.
_LONGEST = 1e18
_AGAIN = "train again, with a lower learning rate if it recurs"
_LARGEST_HALF = float(np.finfo(np.float16).max)

Floats = npt.NDArray[np.float32]
Lists = list[npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Tables:
    """What one fit scores with, in the form in which it ships.

    Attributes
    ----------
    users, items
        Vectors, the branches' columns side by side.
    neighbours
        Of the two-hop branch; None where the model has none.
    """

    users: EmbeddingTable
    items: EmbeddingTable
    neighbours: Neighbours | None

    @property
    def size_bytes(self) -> int:
        """What they take together."""
        links = 0 if self.neighbours is None else self.neighbours.size_bytes
        return self.users.size_bytes + self.items.size_bytes + links


def check_fit(fit: Fit) -> None:
    """Refuse what cannot be served.

    Raises
    ------
    ExportError
        Naming the branch: if its vectors, links or fold-in map hold NaN or infinity, a vector is too long for its
        scores, a link is negative, or the map is of another shape.
    """
    for branch in fit.branches:
        name, width = f"checkpoint: branch {branch.facts.name}", branch.facts.width
        for side, vectors in (("user", branch.user_vectors), ("item", branch.item_vectors)):
            broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
            if len(broken):
                raise ExportError(
                    f"{name}: the {side} vector of row {broken[0]} is not finite ({len(broken)} such rows)",
                    hint=_AGAIN,
                )
            lengths = _lengths(vectors)
            if len(lengths) and lengths.max() > _LONGEST:
                raise ExportError(
                    f"{name}: the {side} vector of row {int(lengths.argmax())} has a length of {lengths.max():.3g}: "
                    f"scores of vectors longer than {_LONGEST:g} do not fit into float32",
                    hint=_AGAIN,
                )
        if branch.neighbours is not None:
            _check_links(name, branch.neighbours)
        if branch.fold_in is not None and branch.fold_in.shape != (width + 1, width):
            raise ExportError(
                f"{name}: a fold-in map of shape {branch.fold_in.shape}, expected {(width + 1, width)}",
                hint="train again",
            )
        if branch.fold_in is not None and not np.isfinite(branch.fold_in).all():
            raise ExportError(f"{name}: its fold-in map is not finite", hint="train again")


def _lengths(vectors: Floats) -> npt.NDArray[np.float64]:
    """Measure vectors block by block, (n,); in float64, as the squares are what does not fit."""
    blocks = (vectors[start : start + _BLOCK_ROWS] for start in range(0, len(vectors), _BLOCK_ROWS))
    found = [np.sqrt(np.einsum("nd,nd->n", block, block, dtype=np.float64)) for block in blocks]
    return np.concatenate(found) if found else np.empty(0)


def _check_links(name: str, neighbours: sp.csr_matrix) -> None:
    values = neighbours.data
    broken = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(broken):
        row = int(np.searchsorted(neighbours.indptr, broken[0], side="right")) - 1
        raise ExportError(
            f"{name}: a link of item row {row} has the weight {values[broken[0]]:g} ({len(broken)} such links)",
            hint="a link weighs at least 0; train again",
        )


def compress(fit: Fit, width: str, neighbours: Neighbours | None = None) -> Tables:
    """Store the vectors of a fit as ``"int8"``, ``"fp16"`` or ``"fp32"``; those in int8 are turned first.

    Parameters
    ----------
    neighbours
        From :func:`links`; None where the fit has no two-hop branch.
    """
    columns = spans(tuple(branch.facts for branch in fit.branches))
    if width == "int8":
        turns = Turns.of(fit)
        users, items = (_bytes(vectors, turns, columns) for vectors in (fit.user_vectors, fit.item_vectors))
        return Tables(users, items, neighbours)
    return Tables(_table(fit.user_vectors, width, columns), _table(fit.item_vectors, width, columns), neighbours)


def _bytes(vectors: Floats, turns: Turns, columns: tuple[slice, ...]) -> EmbeddingTable:
    """Turn and quantise block by block: no second table of floats is held."""
    values = np.empty(vectors.shape, dtype=np.int8)
    scales = np.empty((len(vectors), len(columns)), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        values[block], scales[block] = quantize_rows(turns(vectors[block]), columns)
    return EmbeddingTable(values, scales, columns)


def _table(vectors: Floats, width: str, columns: tuple[slice, ...]) -> EmbeddingTable:
    if width == "fp16":
        return EmbeddingTable(_halves(vectors), columns=columns)
    return EmbeddingTable(np.ascontiguousarray(vectors, dtype=np.float32), columns=columns)


def links(fit: Fit, form: str, most: int = 0) -> Neighbours | None:
    """Store the links of a fit's two-hop branch.

    Parameters
    ----------
    form
        ``"fp32"``, ``"fp16"``, or ``"pruned"``: float16, and of each item the heaviest alone.
    most
        How many links an item keeps where they are pruned.
    """
    branch = fit.two_hop
    if branch is None or branch.neighbours is None:
        return None
    matrix = sp.csr_matrix(branch.neighbours, copy=True)
    matrix.sum_duplicates()  # sorts the links of each item as well
    if form == "pruned":
        matrix = _heaviest(matrix, most)
    matrix.eliminate_zeros()
    values = matrix.data.astype(np.float32) if form == "fp32" else _halves(matrix.data)
    return Neighbours(
        matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), values, branch.facts.history_power
    )


def _halves(values: Floats) -> npt.NDArray[np.float16]:
    """Round to float16; what is too large is cut off, which shows as lost recall, and float32 is taken instead."""
    halves: npt.NDArray[np.float16] = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    return halves


def _heaviest(matrix: sp.csr_matrix, most: int) -> sp.csr_matrix:
    """Keep the ``most`` heaviest links of every row, ties by the lower column."""
    lengths = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    place = np.arange(len(order)) - np.repeat(matrix.indptr[:-1], lengths)  # within the row, heaviest first
    kept = np.sort(order[place < most])
    indptr = np.concatenate([[0], np.cumsum(np.minimum(lengths, most))])
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)


def exact_lists(tables: Tables, seen: SeenItems, user_rows: npt.NDArray[np.integer], count: int) -> Lists:
    """Search exactly by the summed scores of all branches, seen items left out.

    Parameters
    ----------
    seen
        The histories: what two-hop scores start from, and what is left out.
    user_rows : (n,)
    count
        How many items per user.

    Returns
    -------
    n arrays of item rows, best first
    """
    lists = []
    items = tables.items.dense().T  # (D, I)
    for start in range(0, len(user_rows), _BLOCK_USERS):
        block = user_rows[start : start + _BLOCK_USERS]
        scores = tables.users.rows(block) @ items  # (b, I)
        for user_row, row in zip(block, scores, strict=True):
            history = seen.of(int(user_row))
            if tables.neighbours is not None:
                linked = tables.neighbours.links(history)
                row[linked.rows] += linked.scores
            row[history] = -np.inf
            lists.append(top_k(row, count))
    return lists


def two_hop_lists(tables: Tables, seen: SeenItems, user_rows: npt.NDArray[np.integer], count: int) -> Lists:
    """Give what the two-hop branch alone proposes to each user: items that a link leads to, seen ones left out."""
    if tables.neighbours is None:
        return [np.empty(0, dtype=np.int64) for _ in user_rows]
    histories = (seen.of(int(user_row)) for user_row in user_rows)
    return [tables.neighbours.links(history).best(count, history) for history in histories]


def mean_recall(found: Lists, exact: Lists) -> float:
    """Average the share of each exact list that was found; 1 where there is nothing to find."""
    shares = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True) if len(b)]
    return float(np.mean(shares)) if shares else 1.0


def branch_bytes(branch: Branch, tables: Tables) -> int:
    """Tell what a branch takes in the artifact: its columns of both tables, or its links."""
    if branch.facts.width == 0:
        found = tables.neighbours
        return 0 if found is None else found.size_bytes
    scale = 0 if tables.items.scales is None else tables.items.scales.itemsize
    return (len(tables.users) + len(tables.items)) * (branch.facts.width * tables.items.values.itemsize + scale)
