"""Step that chooses the index: flat search, lists of the vectors as they ship or of codes, or over a projection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from gnas_export.decisions import Form, quickest
from gnas_export.draft import Draft
from gnas_export.gates import at_least
from gnas_export.profile import MAX_INDEXED
from gnas_export.retrieval.index import (
    FLAT_UP_TO,
    FLAT_UP_TO_VALUES,
    PQ_AT_LEAST,
    REFINES,
    TOP,
    RecallLimits,
    TunedProbe,
    build_ivf,
    build_lists,
    build_pq,
    index_bytes,
    num_lists,
    num_scanned_lists,
    tune,
)
from gnas_export.retrieval.projection import SAMPLE_USERS, Projection, best_projection, padding
from gnas_export.retrieval.shipped import ShippedFit, ShippedIndex
from gnas_export.retrieval.tables import WIDTHS, exact_lists, two_hop_lists
from gnas_export.timing import median_us
from gnas_serve.artifact.manifest import FLAT, IVF_FLAT, IndexFacts
from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows
from gnas_serve.runtime.index import Index

_TIMED_USERS = 200
IVF, PQ = "ivf", "ivf-pq"
INT8 = WIDTHS[0]
# An index holds the items a second time and misses some: a tie rule's 20 % is not worth that.
_WORTH = 1.5
QUICK_ENOUGH = f"exact enough, and at least {_WORTH:g} times as quick as flat search"
NOT_QUICK_ENOUGH = f"no other is exact enough and at least {_WORTH:g} times as quick as flat search"


@dataclass(frozen=True)
class _Rival:
    """An approximate index with how it measured."""

    name: str
    dims: int
    index: ShippedIndex
    tuned: TunedProbe
    limits: RecallLimits

    def curve(self) -> list[dict[str, float]]:
        return [{"dims": self.index.dims, "refine": self.index.refine, **point} for point in self.tuned.curve]


def build_index(draft: Draft) -> None:
    """Build the indexes that the vectors allow; keep one that is exact enough and quicker than flat search.

    Given: ``final``, ``selection``, ``probes``.
    Result: ``index``; both fits with their index.
    """
    gates = draft.profile.gates
    reason = _why_flat(draft)
    rivals = [] if reason else _rivals(draft)
    fit = [rival for rival in rivals if rival.tuned.nprobe]
    given = draft.decisions.given("index")
    chosen = FLAT
    if not reason and not fit:
        reason = _misses(draft, rivals)
    elif not reason and given is not None and given.choice in {FLAT, *(rival.name for rival in fit)}:
        chosen, reason = given.choice, given.reason
    elif not reason:
        chosen, reason = _chosen(draft, fit)
    draft.index = IndexFacts(FLAT, draft.final.tables.items.dim, curve=tuple(p for r in rivals for p in r.curve()))
    limit, top_recall = gates.index_recall, 1.0
    for rival in fit:
        if rival.name == chosen:
            tuned, limit, top_recall = rival.tuned, rival.limits.candidates, rival.tuned.top_recall
            draft.index = replace(
                draft.index,
                kind=rival.index.kind,
                dims=rival.index.dims,
                nprobe=tuned.nprobe,
                recall=tuned.recall,
                refine=rival.index.refine,
            )
            draft.final = replace(draft.final, index=rival.index)
            same = _shipped(draft, draft.selection, rival.name, rival.dims)
            same = replace(same, nprobe=tuned.nprobe, refine=rival.index.refine)
            draft.selection = replace(draft.selection, index=same)
    draft.decisions.take("index", chosen, reason)
    draft.facts.setdefault("index", {}).update(
        kind=draft.index.kind,
        dims=draft.index.dims,
        nprobe=draft.index.nprobe,
        refine=draft.index.refine,
        recall=draft.index.recall,
        top_recall=top_recall,
        curve=list(draft.index.curve),
    )
    what = f"of the {chosen} index against exact search by the summed scores, {len(draft.probes)} users"
    for gate, depth, recall, least in (
        ("index_recall", draft.candidates, draft.index.recall, limit),
        ("index_top_recall", TOP, top_recall, gates.top_recall),
    ):
        draft.gates.append(at_least(gate, recall, least, f"recall@{depth} {what}"))


def _why_flat(draft: Draft) -> str:
    """Say why no other index is tried; empty where some are."""
    num_items, dim = len(draft.checkpoint.items), draft.final.tables.items.dim
    if not _wanted(draft):
        return "the profile says so"
    if draft.profile.index in {PQ, IVF_FLAT} and dim > MAX_INDEXED:
        return f"{draft.profile.index} is made of up to {MAX_INDEXED} columns, and the vectors have {dim}"
    if draft.profile.index == IVF_FLAT and draft.width != INT8:
        return f"vectors of int8 are scanned in lists, and these are {draft.width}"
    if draft.profile.index == "auto" and num_items <= FLAT_UP_TO and num_items * dim <= FLAT_UP_TO_VALUES:
        return f"{num_items:,} items of width {dim}: so few are searched exactly as quickly"
    if draft.profile.index == PQ and num_items < PQ_AT_LEAST:
        return f"{num_items:,} items are too few for product codes, which take {PQ_AT_LEAST}"
    return "" if len(draft.probes) else "no user has a vector to tune nprobe on"


def _wanted(draft: Draft) -> dict[str, int]:
    """Name the approximate indexes to try, with the width of their projection: 0 for none."""
    dim = draft.final.tables.items.dim
    if dim <= MAX_INDEXED:
        if draft.profile.index == FLAT:
            return {}
        if draft.profile.index != "auto":
            return {draft.profile.index: 0}
        # Lists of int8 vectors are scanned as they are. Product codes take fewer bytes to scan, which pays where exact
        # scores bring back what they lose, and there are many items: that depends on the vectors.
        names = [IVF, *([PQ] if len(draft.checkpoint.items) >= PQ_AT_LEAST else [])]
        return dict.fromkeys([IVF_FLAT, *names] if draft.width == INT8 else names, 0)
    kinds = (IVF_FLAT, IVF) if draft.profile.index == "auto" else (IVF,)
    return {f"{kind}-{dims}": dims for dims in draft.profile.projection for kind in kinds}


def _rivals(draft: Draft) -> list[_Rival]:
    """Build and tune the indexes to try, on the fit that ships.

    All columns of wide vectors are indexed where no projection of them is exact enough: many times the bytes and the
    time, and still much less time than a scan.
    """
    fit, probes = draft.final, draft.probes
    exact = exact_lists(fit.tables, fit.seen, probes, draft.candidates)
    linked = two_hop_lists(fit.tables, fit.seen, probes, draft.candidates)
    excluded = [fit.seen.of(int(row)).astype(np.int64) for row in probes]

    def tried(name: str, dims: int) -> _Rival:
        index, gates = _shipped(draft, fit, name, dims), draft.profile.gates
        num_items = len(fit.tables.items)
        queries = fit.tables.users.rows(probes)
        if index.projection is not None:
            queries = queries @ index.projection
        alone = dims == 0 and fit.tables.neighbours is None
        limits = RecallLimits(gates.index_recall if alone else gates.blend_recall, gates.top_recall)
        for refine in REFINES if name == PQ else (1,):
            tuned = tune(
                _opener(replace(index, refine=refine), fit),
                queries,
                linked,
                exact,
                excluded,
                num_items=num_items,
                lists=(num_scanned_lists if index.kind == IVF_FLAT else num_lists)(num_items),
                limits=limits,
            )
            if tuned.nprobe:
                break
        return _Rival(name, dims, replace(index, nprobe=tuned.nprobe, refine=refine), tuned, limits)

    rivals = [tried(name, dims) for name, dims in _wanted(draft).items()]
    if draft.profile.index != FLAT and all(rival.dims and not rival.tuned.nprobe for rival in rivals):
        rivals.append(tried(IVF, 0))
    return rivals


def _shipped(draft: Draft, fit: ShippedFit, name: str, dims: int) -> ShippedIndex:
    """Build an index over the shipped vectors of a fit; its nprobe and refine are not known yet."""
    if name == IVF_FLAT:
        lists = build_lists(fit.tables.items, seed=draft.seed)
        return ShippedIndex(IVF_FLAT, lists.to_bytes(), 0, fit.tables.items.dim, None)
    items = fit.tables.items.dense()
    projection = _projection(draft, fit, items, dims)
    if projection is not None:
        items = items @ projection.items
    queries = None if projection is None else projection.queries
    if name.startswith(f"{IVF_FLAT}-"):
        projected = EmbeddingTable(*quantize_rows(items))
        lists = replace(build_lists(projected, seed=draft.seed), projected=projected)
        return ShippedIndex(IVF_FLAT, lists.to_bytes(), 0, dims, queries)
    raw = index_bytes((build_pq if name == PQ else build_ivf)(items, seed=draft.seed))
    return ShippedIndex(PQ if name == PQ else IVF, raw, 0, items.shape[1], queries)


def _opener(index: ShippedIndex, fit: ShippedFit) -> Callable[[int], Index]:
    return lambda nprobe: replace(index, nprobe=nprobe).open(fit.tables.items)


def _projection(draft: Draft, fit: ShippedFit, items: npt.NDArray[np.float32], dims: int) -> Projection | None:
    if dims == 0:
        return padding(fit.tables.items.dim)
    users = np.random.default_rng(draft.seed).permutation(len(fit.tables.users))[:SAMPLE_USERS]
    return best_projection(fit.tables.users.rows(np.sort(users)), items, dims)


def _misses(draft: Draft, rivals: list[_Rival]) -> str:
    def figures(depth: int, recall: float, limit: float) -> str:
        return f"recall@{depth} {recall:.4f}" + (f", below {limit:g}" if recall < limit else "")

    return "; ".join(
        f"{rival.name} reaches {figures(draft.candidates, rival.tuned.recall, rival.limits.candidates)}"
        f" and {figures(TOP, rival.tuned.top_recall, rival.limits.top)}"
        for rival in rivals
    )


def _chosen(draft: Draft, fit: list[_Rival]) -> tuple[str, str]:
    """Choose among the indexes that are exact enough, by time and size, as far as the profile leaves it open."""
    profile = draft.profile
    if profile.index == FLAT:
        return min(fit, key=lambda rival: rival.dims).name, "the smallest projection that is exact enough"
    rivals = {rival.name: replace(draft.final, index=rival.index) for rival in fit}
    latency = _latencies(draft, {FLAT: draft.final, **rivals})
    sizes = {rival.name: int(rival.index.raw.nbytes) for rival in fit}
    draft.facts["index"] = {"latency_us": latency, "size_bytes": sizes}
    forms = [Form(name, size, latency[name]) for name, size in sizes.items()]
    if profile.index != "auto":
        return quickest(forms).name, "the profile says so"
    return worth_it(forms, latency[FLAT])


def worth_it(forms: list[Form], flat_us: float) -> tuple[str, str]:
    """Choose among indexes that are exact enough, or flat search where none is so much quicker that it is worth it.

    Parameters
    ----------
    flat_us
        What flat search takes, in microseconds.

    Returns
    -------
    str
        The name of one, or :data:`gnas_serve.artifact.manifest.FLAT`.
    str
        The reason.
    """
    worth = [form for form in forms if _WORTH * form.latency_us <= flat_us]
    return (quickest(worth).name, QUICK_ENOUGH) if worth else (FLAT, NOT_QUICK_ENOUGH)


def _latencies(draft: Draft, fits: dict[str, ShippedFit]) -> dict[str, float]:
    """Time retrieval with each index, rescoring and the links of a history included."""
    retrievers = {name: fit.retriever() for name, fit in fits.items()}
    users = draft.probes[:_TIMED_USERS]
    queries = draft.final.tables.users.rows(users)
    histories = [draft.final.seen.of(int(row)).astype(np.int64) for row in users]

    def search(name: str, turn: int) -> None:
        place = turn % len(users)
        retrievers[name].retrieve(queries[place], histories[place], draft.candidates, histories[place])

    return median_us({name: partial(search, name) for name in fits}, rounds=_TIMED_USERS)
