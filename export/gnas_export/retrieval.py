"""Steps of the first stage: vectors, index, fold-in."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from gnas_export.decisions import Form, quickest
from gnas_export.draft import Draft
from gnas_export.fold_in import fit_fold_in
from gnas_export.gates import at_least
from gnas_export.index import FLAT_UP_TO, build_ivf, index_bytes, open_ivf, tune
from gnas_export.quality import Jury, K, relative_change
from gnas_export.shipped import ShippedFit, item_counts, probe_users, seen_items, validation_halves
from gnas_export.tables import WIDTHS, Tables, compress, exact_lists, mean_recall
from gnas_export.timing import median_us
from gnas_serve.artifact.manifest import IndexFacts
from gnas_serve.runtime.index import FlatIndex, Index
from gnas_serve.runtime.retriever import Retriever

_TIMED_USERS = 200
QUICK_ENOUGH = "exact enough, and quicker than flat search by more than a tie"
NOT_QUICK_ENOUGH = "IVF is exact enough, but not quicker than flat search by more than a tie"


def choose_users(draft: Draft) -> None:
    """Divide the validation users, and sample real users for what needs no labels.

    Given: the checkpoint.
    Result: ``fitting``, ``jury``, ``probes``.
    """
    halves = validation_halves(draft.checkpoint)
    draft.fitting = halves.fitting
    draft.jury = Jury.of(halves.gate, draft.checkpoint.valid, draft.seed)
    draft.probes = probe_users(draft.checkpoint, draft.seed)
    draft.facts["users"] = {
        "ranker_fitting": len(halves.fitting),
        "gate": len(draft.jury.users),
        "probes": len(draft.probes),
    }
    if draft.jury.too_small:
        draft.facts["users"]["remark"] = f"label gates are skipped: {draft.jury.too_small}"


def compress_tables(draft: Draft) -> None:
    """Store the vectors as narrow as recall@C allows, starting where the profile says.

    Given: ``probes``.
    Result: ``width``, ``selection`` and ``final`` with flat search and no fold-in yet.
    """
    checkpoint, limit = draft.checkpoint, draft.profile.gates.table_recall
    final_seen = seen_items(checkpoint.seen())
    exact_fit = checkpoint.final
    compress(exact_fit, "fp32")  # refuses vectors that are not finite before anything is compared with them
    exact = exact_lists(exact_fit.user_vectors, exact_fit.item_vectors, final_seen, draft.probes, draft.candidates)
    given = draft.decisions.given("tables")
    start = given.choice if given else draft.profile.tables
    tried: dict[str, float] = {}
    changes: dict[str, float] = {}
    for width in WIDTHS[WIDTHS.index(start) :]:
        tables = compress(exact_fit, width)
        found = exact_lists(tables.users.dense(), tables.items.dense(), final_seen, draft.probes, draft.candidates)
        tried[width] = mean_recall(found, exact)
        changes[width] = _change(draft, width)
        harmless = tried[width] >= limit and changes[width] >= -draft.profile.gates.quality_loss
        if harmless or width == WIDTHS[-1]:
            break
    draft.width = width
    remark = f"recall@{draft.candidates} of {width} vectors against exact ones, {len(draft.probes)} users"
    draft.gates.append(at_least("table_recall", tried[width], limit, remark))
    draft.facts["tables"] = {"width": width, "recall": tried, "ndcg_change_low": changes}
    if given is None or given.choice != width:
        figures = [_figures(draft, name, recall, changes[name]) for name, recall in tried.items()]
        draft.decisions.take("tables", width, ", ".join(figures))
    no_fold_in = np.zeros((tables.items.dim + 1, tables.items.dim), dtype=np.float32)
    selection_seen = seen_items(checkpoint.train)
    num_items = len(checkpoint.items)
    draft.final = ShippedFit(exact_fit, tables, item_counts(final_seen, num_items), final_seen, None, 0, no_fold_in)
    draft.selection = ShippedFit(
        checkpoint.selection,
        compress(checkpoint.selection, width),
        item_counts(selection_seen, num_items),
        selection_seen,
        None,
        0,
        no_fold_in,
    )


def _figures(draft: Draft, width: str, recall: float, change: float) -> str:
    """Say what a width costs, and which limits it breaches."""
    limits = draft.profile.gates
    breached = [f"the recall limit of {limits.table_recall:g}"] if recall < limits.table_recall else []
    if change < -limits.quality_loss:
        breached.append(f"the quality limit of {100 * limits.quality_loss:g} %")
    said = f" (breaches {' and '.join(breached)})" if breached else ""
    return f"{width} has recall@{draft.candidates} {recall:.4f} and changes ndcg@{K} by {change:+.4f} at worst{said}"


def _change(draft: Draft, width: str) -> float:
    """Give the relative change of ndcg by a width, low end of the interval; 0 where there are too few labels."""
    jury, fit = draft.jury, draft.checkpoint.selection
    if jury.too_small or width == "fp32":
        return 0.0
    tables, seen = compress(fit, width), seen_items(draft.checkpoint.train)
    exact = jury.judge(exact_lists(fit.user_vectors, fit.item_vectors, seen, jury.users, K))
    found = jury.judge(exact_lists(tables.users.dense(), tables.items.dense(), seen, jury.users, K))
    return relative_change(jury, found, exact).low


def build_index(draft: Draft) -> None:
    """Build IVF where there are many items; keep it where it is exact enough and quicker than flat search.

    Given: ``final``, ``selection``, ``probes``.
    Result: ``index``; both fits with their index.
    """
    num_items = len(draft.checkpoint.items)
    limit = draft.profile.gates.index_recall
    kind, draft.index = "flat", IndexFacts("flat")
    reason = ""
    if draft.profile.index == "flat":
        reason = "the profile says so"
    elif draft.profile.index == "auto" and num_items <= FLAT_UP_TO:
        reason = f"{num_items:,} items: up to {FLAT_UP_TO:,} exact search is as quick"
    elif len(draft.probes) == 0:
        reason = "no user has a vector to tune nprobe on"
    else:
        raw = index_bytes(build_ivf(draft.final.tables.items.dense(), seed=draft.seed))
        tuned = tune(raw, draft.final.tables, draft.final.seen, draft.probes, count=draft.candidates, limit=limit)
        draft.index = replace(draft.index, curve=tuned.curve)
        given = draft.decisions.given("index")
        if tuned.nprobe == 0:
            reason = f"IVF reaches recall@{draft.candidates} {tuned.recall:.4f}, below {limit:g}"
        elif given is not None:
            kind, reason = given.choice, given.reason
        else:
            kind, reason = _quicker(draft, raw.nbytes, {"ivf": open_ivf(raw, tuned.nprobe)})
        if kind == "ivf":
            draft.index = IndexFacts("ivf", tuned.nprobe, tuned.recall, tuned.curve)
            selection_raw = index_bytes(build_ivf(draft.selection.tables.items.dense(), seed=draft.seed))
            draft.final = replace(draft.final, index=raw, nprobe=tuned.nprobe)
            draft.selection = replace(draft.selection, index=selection_raw, nprobe=tuned.nprobe)
    draft.decisions.take("index", kind, reason)
    remark = f"recall@{draft.candidates} of the {kind} index against exact search, {len(draft.probes)} users"
    draft.gates.append(at_least("index_recall", draft.index.recall, limit, remark))


def _quicker(draft: Draft, size_bytes: int, rivals: dict[str, Index]) -> tuple[str, str]:
    """Time the index against flat search, both through the retriever; the profile may have chosen already."""
    tables, seen = draft.final.tables, draft.final.seen
    retrievers = {
        name: Retriever(tables.items, index)
        for name, index in {"flat": FlatIndex(tables.items.dense()), **rivals}.items()
    }
    users = draft.probes[:_TIMED_USERS]
    queries, excluded = tables.users.rows(users), [seen.of(int(row)).astype(np.int64) for row in users]

    def search(retriever: Retriever, turn: int) -> None:
        place = turn % len(users)
        retriever.retrieve(queries[place], draft.candidates, excluded[place])

    latency = median_us(
        {name: partial(search, retriever) for name, retriever in retrievers.items()},
        rounds=_TIMED_USERS,
    )
    draft.facts["index"] = {"latency_us": latency, "size_bytes": size_bytes}
    if draft.profile.index == "ivf":
        return "ivf", "the profile says so"
    kind = quickest([Form("flat", 0, latency["flat"]), Form("ivf", size_bytes, latency["ivf"])]).name
    return kind, QUICK_ENOUGH if kind == "ivf" else NOT_QUICK_ENOUGH


def fit_fold_ins(draft: Draft) -> None:
    """Fit the map for users who come after training.

    Given: both fits with the vectors that ship, which histories are summarised with.
    Result: both fits with their ``fold_in``.
    """
    for name in ("selection", "final"):
        fit: ShippedFit = getattr(draft, name)
        matrix = fit_fold_in(fit.exact.user_vectors, fit.tables.items, fit.seen, fit.counts, seed=draft.seed)
        setattr(draft, name, replace(fit, fold_in=matrix))


def uncompressed(fit: ShippedFit) -> ShippedFit:
    """Give a fit with exact vectors and exact search: the reference of the quality gate."""
    tables: Tables = compress(fit.exact, "fp32")
    return replace(fit, tables=tables, index=None, nprobe=0)
