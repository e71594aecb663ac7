"""Steps around the vectors: who is asked, and how those are answered who have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gnas_export.draft import Draft
from gnas_export.judging.quality import Jury
from gnas_export.retrieval.fold_in import fold_in_blocks, unturned
from gnas_export.retrieval.shipped import ShippedFit, probe_users
from gnas_export.retrieval.tables import LINKS, WIDTHS, check_fit, compress, links
from gnas_search.checkpoint import Checkpoint
from gnas_search.division import divided_users
from gnas_search.fit import Fit
from gnas_serve.errors import ExportError


def choose_users(draft: Draft) -> None:
    """Divide the validation users, and sample real users for what needs no labels.

    Given: the checkpoint.
    Result: ``fitting``, ``jury``, ``probes``.
    """
    checkpoint = draft.checkpoint
    for fit in (checkpoint.final, checkpoint.selection):
        check_fit(fit)
    _check_inputs(checkpoint)
    # The ranker learns from the branches of one fit and is served those of the other.
    selection, final = (_kinds(fit) for fit in (checkpoint.selection, checkpoint.final))
    if selection != final:
        raise ExportError(f"checkpoint: the selection fit has {selection}, the final fit {final}", hint="train again")
    divided = divided_users(checkpoint)
    draft.fitting = divided.fitting
    draft.jury = Jury(divided.gate, checkpoint.valid[divided.gate], draft.seed)
    draft.probes = probe_users(checkpoint, draft.seed)
    draft.facts["users"] = {
        "ranker_fitting": len(divided.fitting),
        "gate": len(draft.jury.users),
        "probes": len(draft.probes),
    }
    if draft.jury.too_small:
        draft.facts["users"]["remark"] = f"label gates are skipped: {draft.jury.too_small}"


def _check_inputs(checkpoint: Checkpoint) -> None:
    """Refuse attributes that are no numbers before anything is learned from them."""
    recency = checkpoint.item_recency
    inputs = {
        "attributes of item": None if checkpoint.item_features is None else checkpoint.item_features.values,
        "attributes of user": None if checkpoint.user_features is None else checkpoint.user_features.values,
        "recency of item": None if recency is None else recency[:, None],
    }
    for name, values in inputs.items():
        if values is None:
            continue
        broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(broken):
            raise ExportError(
                f"checkpoint: the {name} row {broken[0]} are no finite numbers ({len(broken)} such rows)",
                hint="mend the data and train again",
            )


def _kinds(fit: Fit) -> str:
    return " + ".join(branch.facts.kind for branch in fit.branches)


def fit_fold_ins(draft: Draft) -> None:
    """Lay out the maps for users who come after training, fitting those that the model does not bring.

    Given: both fits with the vectors that ship, which histories are summarised with.
    Result: both fits with their ``fold_in``.
    """
    for name in ("selection", "final"):
        fit: ShippedFit = getattr(draft, name)
        blocks = fold_in_blocks(fit.exact, fit.tables.items, fit.seen, fit.counts, seed=draft.seed)
        setattr(draft, name, replace(fit, fold_in=blocks))


def uncompressed(fit: ShippedFit) -> ShippedFit:
    """Give a fit with exact vectors and exact search: the reference of a learned ranker that was asked for."""
    tables, fold_in = compress(fit.exact, WIDTHS[-1], links(fit.exact, LINKS[-1])), fit.fold_in
    if fit.tables.items.scales is not None and len(fold_in):
        fold_in = unturned(fold_in, tuple(branch.facts for branch in fit.exact.branches))
    return replace(fit, tables=tables, fold_in=fold_in, index=None)
