"""Audit: the files of an artifact, read back as serving reads them, held against what they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_export.draft import Draft
from gnas_export.gates import Gate, at_most
from gnas_export.package import arrays_of, shipped_tables
from gnas_export.ranker.candidates import at_lengths, plan_features
from gnas_export.ranker.parity import relative_difference
from gnas_export.retrieval.content import ContentTerms
from gnas_export.retrieval.fold_in import fold_in_blocks
from gnas_export.retrieval.rounding import vector_rounding
from gnas_export.retrieval.segments import segment_table
from gnas_export.retrieval.shipped import item_counts, seen_items
from gnas_export.retrieval.tables import WIDTHS, compress, links
from gnas_export.retrieval.turning import Turns
from gnas_export.steps.scoring import score_lists
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FLAT, Manifest
from gnas_serve.errors import ParityError
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.opened_index import open_index
from gnas_serve.runtime.session import open_session
from gnas_serve.runtime.tables import Tables

Floats = npt.NDArray[np.float32]

_BLOCK_ROWS = 16_384
_LISTS = 64
_PROBES = 64
# Where a value lies between two steps is itself rounded.
_ROUNDING = 1.01
# What rounding of vectors moves newcomers' scores by is a few percent; another map moves them by their own size.
_NEWCOMERS = 0.25
_SCORED_ITEMS = 2000
_NOTHING = np.empty(0, dtype=np.int64)


def audit(draft: Draft, folder: Path, manifest: Manifest) -> list[Gate]:
    """Hold the written files against the checkpoint and the draft.

    The steps measured what they had in memory. What is measured here is what was written: a row that went to another
    place, an index over other vectors, weights that changed on their way are told by a number, not by users.

    What can be made of the checkpoint again is held against that, and not against what the steps made of it: ids,
    histories, counts, links, attributes, segments, content, what the ranker is told of users and items, every component
    of the vectors as near as their form allows, and newcomers' scores. Against the draft stand what was learned, chosen
    or rounded: codes and scales of the vectors, fold-in maps, projection, index, graph and item rows of the ranker.

    Parameters
    ----------
    folder
        All files but the manifest.
    manifest
        What is going to be written.

    Returns
    -------
    list
        Gates ``vector_parity``, ``row_parity``, ``newcomer_parity``, ``scorer_parity`` and, unless search is flat,
        ``index_parity``.

    Raises
    ------
    IntegrityError
        If a file cannot be opened.
    """
    tables = Tables.open(folder, manifest)
    gates = [_vector_parity(draft, tables), _row_parity(draft, tables), _newcomer_parity(draft, tables, manifest)]
    if manifest.index.kind != FLAT:
        gates.append(_index_parity(draft, folder, manifest, tables))
    gates.append(_scorer_parity(draft, folder, tables) if draft.learned else _order_parity(draft, folder))
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


def _row_parity(draft: Draft, tables: Tables) -> Gate:
    """Count the rows of all tables that are not what they were made from."""
    found, wanted = arrays_of(tables), arrays_of(_wanted(draft))
    counts = {name: _differing(found.get(name), wanted.get(name)) for name in {**wanted, **found}}
    differing = {name: count for name, count in counts.items() if count}
    where = f": {', '.join(differing)}" if differing else ""
    of = "ids, vectors, histories, links, attributes, segments, content and inputs of the ranker"
    remark = f"rows of {of} that differ from what they are of{where}"
    return at_most("row_parity", sum(differing.values()), 0.0, remark)


def _wanted(draft: Draft) -> Tables:
    """Make the tables again: of the checkpoint what it tells, of the draft what was learned, chosen or rounded."""
    checkpoint, final = draft.checkpoint, draft.final
    seen = seen_items(checkpoint.seen())
    linked = replace(final.tables, neighbours=links(checkpoint.final, draft.links, draft.profile.neighbours))
    segments = None
    if draft.segments is not None:
        segments = segment_table(draft.segments, checkpoint.user_attributes, checkpoint.seen())
    counts = item_counts(seen, len(checkpoint.items))
    content = None
    if draft.content is not None:
        terms = ContentTerms.of(checkpoint.item_attributes).as_stated(draft.content.columns)
        content = terms.table(np.flatnonzero(counts > 0))
    fit = replace(final, seen=seen, counts=counts, tables=linked, segments=segments, content=content)
    ranker = draft.shipping(fit)
    if draft.learned:
        inputs = plan_features(checkpoint)
        ranker = replace(ranker, users=inputs.users, content=inputs.content)
    return shipped_tables(checkpoint, fit, ranker)


def _differing(found: npt.NDArray[np.generic] | None, wanted: npt.NDArray[np.generic] | None) -> int:
    """Count the rows of two tables that differ; of tables that cannot be compared all."""
    if found is None or wanted is None:
        return 0 if found is wanted else max(1, *(len(one) for one in (found, wanted) if one is not None))
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return max(1, len(found), len(wanted))
    count = 0
    for start in range(0, len(found), _BLOCK_ROWS):
        unequal = _bits(found[start : start + _BLOCK_ROWS]) != _bits(wanted[start : start + _BLOCK_ROWS])
        count += int(unequal.reshape(len(unequal), -1).any(axis=1).sum())
    return count


def _bits(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Give numbers as their bits: one that is unknown, a NaN, equals no other."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def _index_parity(draft: Draft, folder: Path, manifest: Manifest, tables: Tables) -> Gate:
    """Ask the index file for the candidates of real users, which the tuned index must propose as well."""
    index = draft.final.index
    if index is None:
        raise ValueError("the manifest speaks of an index that the draft does not have")
    found = open_index(folder, manifest.index, tables.item_vectors)
    tuned = draft.final.proposer()
    shares = []
    for query in _queries(draft):
        wanted = tuned.propose(query, draft.candidates, _NOTHING)
        proposed = found.propose(query, draft.candidates, _NOTHING)
        shares.append(len(np.intersect1d(proposed, wanted)) / max(1, len(wanted)))
    share = float(np.mean(shares)) if shares else 1.0
    remark = f"mean share of the tuned index's proposals that its file makes, {len(shares)} users"
    if not np.array_equal(np.fromfile(folder / index.file, dtype=np.uint8), index.raw):
        # These users may be proposed what they should, and others not.
        return Gate("index_parity", 0.0, 1.0, False, ParityError, f"{remark}; 0 for its bytes are others")
    return Gate("index_parity", share, 1.0, share >= 1.0, ParityError, remark)


def _queries(draft: Draft) -> Iterator[Floats]:
    index = draft.final.index
    for vector in draft.final.tables.users.rows(draft.probes[:_PROBES]):
        yield vector if index is None or index.projection is None else vector @ index.projection


def _newcomer_parity(draft: Draft, tables: Tables, manifest: Manifest) -> Gate:
    """Score items for newcomers with the histories of real users by the files, and by exact vectors and their maps.

    Branch by branch: the large numbers of one must not hide another.
    """
    checkpoint, exact = draft.checkpoint, draft.checkpoint.final
    seen = seen_items(checkpoint.seen())
    counts = item_counts(seen, len(checkpoint.items))
    whole = compress(exact, WIDTHS[-1]).items
    maps = fold_in_blocks(exact, whole, seen, counts, seed=draft.seed)
    branches = manifest.branches
    sides = (
        (tables.item_vectors, FoldIn(tables.fold_in, tables.item_vectors, tables.counts, branches)),
        (whole, FoldIn(maps, whole, counts, branches)),
    )
    rng = np.random.default_rng(draft.seed)
    rows = np.sort(rng.permutation(len(whole))[:_SCORED_ITEMS])
    histories = [history for row in draft.probes.tolist() if len(history := seen.of(row))][:_PROBES]
    found, wanted = (
        np.array([items.score_parts(fold_in.vector(history), rows) for history in histories], dtype=np.float64)
        for items, fold_in in sides
    )
    difference = _relative_rms(found, wanted) if histories else 0.0
    remark = (
        f"largest difference of a branch's scores for newcomers from those by exact vectors and their map, relative to "
        f"them (root of the mean square), {len(histories)} histories"
    )
    return at_most("newcomer_parity", difference, _NEWCOMERS, remark)


def _relative_rms(found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> float:
    """Compare scores branch by branch, (n, m, B): the largest of B ratios."""
    error, size = (np.sqrt(np.mean(np.square(values), axis=(0, 1))) for values in (found - wanted, wanted))
    ratios = np.divide(error, size, out=np.where(error > 0, np.inf, 0.0), where=size > 0)
    return float(ratios.max(initial=0.0)) if np.isfinite(error).all() else float("inf")


def _order_parity(draft: Draft, folder: Path) -> Gate:
    """Ask the file of the plain ranker for scores, which must be the retriever's own."""
    scores = np.random.default_rng(draft.seed).standard_normal((draft.candidates, 1)).astype(np.float32)
    graph = (folder / LAYOUT.ranker).read_bytes()
    found = open_session(graph).run(["score"], {"cross": scores})[0]
    remark = "largest relative difference of the file's scores from the retriever's"
    return at_most("scorer_parity", relative_difference([found], [scores[:, 0]]), draft.profile.gates.parity, remark)


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
