"""What an artifact has to hold its own against: the simple models, fitted to the same data for the same users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp

from gnas_export.gates import Gate, at_least, compared
from gnas_export.judging.quality import Jury, K, relative_change
from gnas_search.baselines import BASELINES, baseline_spec
from gnas_search.checkpoint import Checkpoint
from gnas_search.closed_form.fitting import fit_closed_form, with_prior
from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import UserMetrics, Validation
from gnas_search.fit import Fit
from gnas_search.memory_check import TOO_LARGE, within_memory
from gnas_serve.errors import ConfigError

CHOOSING_USERS = 5000
"""At most, of the other validation users, choose what a simple model leaves open."""


def measured_baselines(
    checkpoint: Checkpoint, jury: Jury, known: Mapping[str, UserMetrics] | None = None
) -> dict[str, UserMetrics]:
    """Fit the simple models to what the selection fit was fitted to, and measure them on the gate users.

    What a model leaves open is chosen by the other validation users. One that would not go into memory is left out:
    it could not ship either.

    Parameters
    ----------
    known
        Metrics of those that were measured before: they are not measured again.

    Returns
    -------
    dict
        Name, of :data:`gnas_search.baselines.BASELINES`, -> its metrics, in the order of the jury.
    """
    graph = InteractionGraph(checkpoint.train, checkpoint.train)
    others = _without(checkpoint.valid, jury)
    choosing = Validation(
        checkpoint.train, others if others.nnz else checkpoint.valid, max_users=CHOOSING_USERS, seed=jury.seed, k=K
    )
    judging = Validation(checkpoint.train, _of(checkpoint.valid, jury), max_users=None, seed=jury.seed, k=K)
    shared, found = Spectra(graph, checkpoint.seed, lean=True), {}
    for name in BASELINES:
        if known is not None and name in known:
            found[name] = known[name]
            continue
        try:
            spec = baseline_spec(name, graph, choosing, seed=checkpoint.seed, spectra=shared)
            with within_memory(spec, graph):
                branches = with_prior(fit_closed_form(spec, graph, seed=checkpoint.seed, spectra=shared), graph)
                found[name] = judging.score_with(Fit(branches, 0).score_rows(graph.positives))
        except ConfigError as error:
            if error.code != TOO_LARGE:
                raise
    return found


def not_below_baselines(
    jury: Jury, found: UserMetrics, baselines: Mapping[str, UserMetrics], allowed_loss: float
) -> Gate:
    """Gate: a path is not significantly worse than the best of the simple models, or by no more than is allowed.

    Parameters
    ----------
    allowed_loss
        Relative; 0 for none, 1 for any.
    """
    name = max(baselines, key=lambda one: float(baselines[one].ndcg.mean()))
    change = relative_change(jury, found, baselines[name])
    remark = (
        f"relative change of ndcg@{K} against {name}, the best simple model, high end of the 95 % interval, "
        f"{len(jury.users)} gate users; mean change {change.value:+.4f}"
    )
    return compared(at_least("baseline", change.high, 0.0 - allowed_loss, remark), name, change)


def _of(valid: sp.csr_matrix, jury: Jury) -> sp.csr_matrix:
    return _kept(valid, np.isin(np.arange(valid.shape[0]), jury.users))


def _without(valid: sp.csr_matrix, jury: Jury) -> sp.csr_matrix:
    return _kept(valid, ~np.isin(np.arange(valid.shape[0]), jury.users))


def _kept(valid: sp.csr_matrix, rows: np.ndarray) -> sp.csr_matrix:
    found: sp.csr_matrix = sp.diags_array(rows.astype(np.float32)).tocsr() @ valid
    found.eliminate_zeros()
    return found
