"""Audit: the files of an artifact, read back as serving reads them, held against what they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_export.draft import Draft
from gnas_export.gates import Gate, at_most
from gnas_export.ranker.candidates import at_lengths
from gnas_export.ranker.parity import relative_difference
from gnas_export.retrieval.turning import Turns
from gnas_export.steps.scoring import score_lists
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FLAT, Manifest
from gnas_serve.errors import ParityError
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.index import IvfIndex
from gnas_serve.runtime.tables import Tables

Floats = npt.NDArray[np.float32]

_BLOCK_ROWS = 16_384
_LISTS = 64
_PROBES = 64
# What each type of stored vectors may round off of a component: half a step, of a row's scale or of its own size.
_HALF_STEPS = {"float16": 2.0**-11, "float32": 2.0**-24}
_LEAST_HALF, _LARGEST_HALF = 2.0**-24, 65504.0
# Where a value lies between two steps is itself rounded.
_ROUNDING = 1.01
_NOTHING = np.empty(0, dtype=np.int64)


def audit(draft: Draft, folder: Path, manifest: Manifest) -> list[Gate]:
    """Hold the written files against the checkpoint and the draft.

    The steps measured what they had in memory. What is measured here is what was written: a row that went to another
    place, an index over other vectors, weights that changed on their way are told by a number, not by users.

    Parameters
    ----------
    folder
        All files but the manifest.
    manifest
        What is going to be written.

    Returns
    -------
    list
        Gates ``vector_parity``, ``row_parity``, ``index_parity`` and, of a learned ranker, ``scorer_parity``.

    Raises
    ------
    IntegrityError
        If a file cannot be opened.
    """
    tables = Tables.open(folder, manifest)
    gates = [_vector_parity(draft, tables), _row_parity(draft, tables)]
    if manifest.index.kind != FLAT:
        gates.append(_index_parity(draft, folder, manifest))
    if draft.learned:
        gates.append(_scorer_parity(draft, folder, tables))
    return gates


def _vector_parity(draft: Draft, tables: Tables) -> Gate:
    """Compare every component of every vector with the one that was trained."""
    exact = draft.final.exact
    turns = Turns.of(exact)
    worst = max(
        _worst_rounding(tables.user_vectors, exact.user_vectors, turns),
        _worst_rounding(tables.item_vectors, exact.item_vectors, turns),
    )
    count = len(tables.user_vectors) + len(tables.item_vectors)
    remark = f"largest error of a component of {count:,} vectors, 1 is half a step of {draft.width}"
    return at_most("vector_parity", worst, _ROUNDING, remark)


def _worst_rounding(table: EmbeddingTable, exact: Floats, turns: Turns) -> float:
    worst = 0.0
    for start in range(0, len(table), _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, len(table)))
        worst = max(worst, vector_rounding(table, exact, rows, turns))
    return worst


def vector_rounding(table: EmbeddingTable, exact: Floats, rows: npt.NDArray[np.integer], turns: Turns) -> float:
    """Give the largest error of a component of some rows, in units of what their form may round off.

    Parameters
    ----------
    exact : (n, D)
        As they were trained.
    turns
        What int8 vectors were turned by.
    """
    wanted = (exact[rows] if table.scales is None else turns(exact[rows])).astype(np.float64)
    if table.values.dtype == np.float16:
        wanted = wanted.clip(-_LARGEST_HALF, _LARGEST_HALF)
    error = np.abs(table.rows(rows) - wanted)
    if table.scales is None:
        allowed = np.maximum(np.abs(wanted) * _HALF_STEPS[str(table.values.dtype)], _LEAST_HALF)
    else:
        allowed = np.empty_like(error)
        for place, span in enumerate(table.columns):
            allowed[:, span] = table.scales[rows, place, None] / 2.0
    worst = float((error / allowed).max(initial=0.0))
    return worst if worst >= 0.0 else float("inf")  # a NaN is the largest of all and compares to nothing


def _row_parity(draft: Draft, tables: Tables) -> Gate:
    """Count the rows of all other tables that are not what they were made from."""
    fit, checkpoint = draft.final, draft.checkpoint
    ranker = draft.shipping(fit)
    links, shipped = tables.neighbours, fit.tables.neighbours
    pairs: dict[str, tuple[npt.NDArray[np.generic] | None, npt.NDArray[np.generic] | None]] = {
        LAYOUT.user_ids: (tables.users.values, checkpoint.users.values),
        LAYOUT.user_id_offsets: (tables.users.offsets, checkpoint.users.offsets),
        LAYOUT.item_ids: (tables.items.values, checkpoint.items.values),
        LAYOUT.item_id_offsets: (tables.items.offsets, checkpoint.items.offsets),
        LAYOUT.item_counts: (tables.counts, fit.counts),
        LAYOUT.seen_offsets: (tables.seen.offsets, fit.seen.offsets),
        LAYOUT.seen_items: (tables.seen.items, fit.seen.items),
        LAYOUT.fold_in: (tables.fold_in, fit.fold_in),
        LAYOUT.neighbour_offsets: (_of(links, "offsets"), _of(shipped, "offsets")),
        LAYOUT.neighbour_items: (_of(links, "items"), _of(shipped, "items")),
        LAYOUT.neighbour_values: (_of(links, "values"), _of(shipped, "values")),
        LAYOUT.projection: (tables.projection, None if fit.index is None else fit.index.projection),
        LAYOUT.ranker_users: (tables.ranker_users, ranker.users),
        LAYOUT.ranker_items: (tables.ranker_items, ranker.items),
        LAYOUT.item_content: (tables.item_content, ranker.content),
    }
    differing = {name: count for name, (found, wanted) in pairs.items() if (count := _differing(found, wanted))}
    where = f": {', '.join(differing)}" if differing else ""
    remark = f"rows of ids, histories, links and inputs of the ranker that differ from what they were made from{where}"
    return at_most("row_parity", sum(differing.values()), 0.0, remark)


def _of(neighbours: object, name: str) -> npt.NDArray[np.generic] | None:
    return None if neighbours is None else getattr(neighbours, name)


def _differing(found: npt.NDArray[np.generic] | None, wanted: npt.NDArray[np.generic] | None) -> int:
    """Count the rows of two tables that differ; of tables that cannot be compared all."""
    if found is None or wanted is None:
        return 0 if found is wanted else max(1, *(len(one) for one in (found, wanted) if one is not None))
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return max(1, len(found), len(wanted))
    count = 0
    for start in range(0, len(found), _BLOCK_ROWS):
        unequal = found[start : start + _BLOCK_ROWS] != wanted[start : start + _BLOCK_ROWS]
        count += int(unequal.reshape(len(unequal), -1).any(axis=1).sum())
    return count


def _index_parity(draft: Draft, folder: Path, manifest: Manifest) -> Gate:
    """Ask the index file for the candidates of real users, which the tuned index must propose as well."""
    facts, index = manifest.index, draft.final.index
    if index is None:
        raise ValueError("the manifest speaks of an index that the draft does not have")
    shape = (manifest.num_items, facts.dims)
    found = IvfIndex.load(folder / LAYOUT.index, facts.nprobe, refine=facts.refine, shape=shape)
    tuned = draft.final.proposer()
    shares = []
    for query in _queries(draft):
        wanted = tuned.propose(query, draft.candidates, _NOTHING)
        proposed = found.propose(query, draft.candidates, _NOTHING)
        shares.append(len(np.intersect1d(proposed, wanted)) / max(1, len(wanted)))
    share = float(np.mean(shares)) if shares else 1.0
    remark = f"mean share of the tuned index's proposals that its file makes, {len(shares)} users"
    return Gate("index_parity", share, 1.0, share >= 1.0, ParityError, remark)


def _queries(draft: Draft) -> Iterator[Floats]:
    index = draft.final.index
    for vector in draft.final.tables.users.rows(draft.probes[:_PROBES]):
        yield vector if index is None or index.projection is None else vector @ index.projection


def _scorer_parity(draft: Draft, folder: Path, tables: Tables) -> Gate:
    """Score lists of several lengths with the files, and with the form that was weighed."""
    form, items = draft.forms[draft.form], tables.ranker_items
    if items is None:
        raise ValueError("the manifest speaks of a learned ranker that the files do not have")
    rows = form.items.rows(draft.plan.item_inputs(draft.final.counts))
    lists = at_lengths(draft.lists[:_LISTS])
    written = score_lists((folder / LAYOUT.ranker).read_bytes(), lists, items)
    difference = relative_difference(written, score_lists(form.graph, lists, rows))
    lengths = ", ".join(str(length) for length in sorted({len(one.rows) for one in lists}))
    remark = f"largest relative difference of the files from form {draft.form}, {len(lists)} lists, C = {lengths}"
    return at_most("scorer_parity", difference, draft.profile.gates.parity, remark)
