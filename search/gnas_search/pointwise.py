"""Metrics of single user-item pairs, fixed here for the whole product: how scores divide what is wanted from the rest.

- ``auc``: the chance that a relevant item of a user stands above another one, ties counted half, over *all* items that
  are not masked: a value per user, and its mean over the users (Rendle et al. 2009; the statistic is that of Mann and
  Whitney 1947). A relevant item that the data does not know stands below all others.
- ``log_loss``: the mean of ``-log p`` of what was observed over a user's labelled pairs, in nats, and its mean over the
  users.
- ``accuracy``: the share of a user's labelled pairs that are on the right side of probability .5.

A recommender's scores are no probabilities: the last two are of scores *calibrated* by a logistic curve (Platt 1999),
which is fitted to validation and never to what is judged. What the labelled pairs are is in :mod:`gnas_search.labels`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Values = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Scores = npt.NDArray[np.floating]

_FEW_RELEVANT = 10  # of so many, counting twice through a row of scores each is quicker than sorting it
_NEWTON_STEPS, _HALVINGS = 50, 20
_LEAST_DECREASE = 1e-12
_RIDGE = 1e-9


def percentiles(scores: Floats, relevant: sp.csr_matrix) -> Values:
    """Find the share of a user's other items that each relevant item stands above, ties counted half.

    Parameters
    ----------
    scores : (b, I)
        Of all items; ``-inf`` where one is masked, which none of the relevant is.
    relevant : (b, I) CSR
        Of the same users.

    Returns
    -------
    (nnz,) float64
        In the order of ``relevant.indices``; NaN where every item that is not masked is relevant.
    """
    found = np.empty(relevant.nnz, dtype=np.float64)
    for line, row in enumerate(scores):
        span = slice(relevant.indptr[line], relevant.indptr[line + 1])
        items = relevant.indices[span]
        if len(items) == 0:
            continue
        wanted = row[items]
        masked = np.count_nonzero(row == -np.inf)
        ordered = np.sort(wanted)
        # Once below and once below or level: half the sum counts ties half. The relevant themselves are taken off.
        twice = _twice_below(row, wanted) - 2.0 * masked
        twice -= np.searchsorted(ordered, wanted, "left") + np.searchsorted(ordered, wanted, "right")
        others = len(row) - masked - len(items)
        found[span] = twice / (2.0 * others) if others else np.nan
    return found


def _twice_below(row: Floats, wanted: Floats) -> Values:
    if len(wanted) <= _FEW_RELEVANT:
        counts = [np.count_nonzero(row < score) + np.count_nonzero(row <= score) for score in wanted]
        return np.array(counts, dtype=np.float64)
    ordered = np.sort(row)
    both: Values = np.searchsorted(ordered, wanted, "left") + np.searchsorted(ordered, wanted, "right").astype(float)
    return both


def auc(shares: Values, relevant: sp.csr_matrix, num_relevant: npt.NDArray[np.integer] | None = None) -> Values:
    """Average the :func:`percentiles` of each user's relevant items: the area under the ROC curve.

    Parameters
    ----------
    shares : (nnz,)
        In the order of ``relevant.indices``.
    relevant : (n, I) CSR
    num_relevant : (n,), optional
        All relevant items of each user, where some have no row in ``relevant``.

    Returns
    -------
    (n,) float64
        NaN where a user has nothing relevant, or nothing else.

    References
    ----------
    Mann, H. B. and Whitney, D. R. (1947). On a test of whether one of two random variables is stochastically larger
    than the other. The Annals of Mathematical Statistics 18(1).
    Rendle, S. et al. (2009). BPR: Bayesian personalized ranking from implicit feedback. UAI, section 4.1.1.
    """
    known = np.diff(relevant.indptr)
    totals = np.asarray(known if num_relevant is None else num_relevant, dtype=np.float64)
    sums = np.bincount(np.repeat(np.arange(len(known)), known), weights=shares, minlength=len(known))
    areas: Values = np.divide(sums, totals, out=np.full(len(totals), np.nan), where=totals > 0)
    return areas


@dataclass(frozen=True)
class Calibration:
    """A logistic curve from scores to probabilities: ``1 / (1 + exp(-(slope * score + intercept)))``."""

    slope: float
    intercept: float

    def margins(self, scores: Scores) -> Values:
        """Give the log-odds of some scores."""
        margins: Values = self.slope * np.asarray(scores, dtype=np.float64) + self.intercept
        return margins


def calibrate(scores: Scores, labels: npt.NDArray[np.bool_], weights: Values) -> Calibration:
    """Fit a logistic curve by the likelihood of the labels.

    Parameters
    ----------
    scores, labels, weights : (p,)
        Pairs with their labels, at least one. Their weights are above 0.

    Notes
    -----
    Labels are drawn in a little from 0 and 1, by Platt's rule, so that the fit is finite where scores divide the labels
    entirely.

    References
    ----------
    Platt, J. (1999). Probabilistic outputs for support vector machines and comparisons to regularized likelihood
    methods. Advances in Large Margin Classifiers.
    Lin, H.-T., Lin, C.-J. and Weng, R. C. (2007). A note on Platt's probabilistic outputs for support vector machines.
    Machine Learning 68 (the Newton method with backtracking).
    """
    if len(scores) == 0:
        raise ValueError("a calibration needs at least one pair")
    positives = np.count_nonzero(labels)
    targets = np.where(labels, (positives + 1.0) / (positives + 2.0), 1.0 / (len(labels) - positives + 2.0))
    exact = np.asarray(scores, dtype=np.float64)
    shares = weights / weights.sum()
    centre = float(shares @ exact)
    spread = float(np.sqrt(shares @ np.square(exact - centre)))
    if spread <= np.finfo(np.float64).eps * abs(centre):
        mean = float(shares @ targets)
        return Calibration(0.0, float(np.log(mean / (1.0 - mean))))
    design = np.stack([(exact - centre) / spread, np.ones(len(exact))], axis=1)  # (p, 2)
    found = np.zeros(2)
    loss = _cross_entropy(design @ found, targets, shares)
    for _ in range(_NEWTON_STEPS):
        margins = design @ found
        chances = _logistic(margins)
        gradient = design.T @ (shares * (chances - targets))
        curvature = (design * (shares * chances * (1.0 - chances))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        length = 1.0
        for _ in range(_HALVINGS):
            nearer = _cross_entropy(design @ (found - length * step), targets, shares)
            if nearer <= loss:
                break
            length /= 2.0
        if not loss - nearer > _LEAST_DECREASE:
            break
        found, loss = found - length * step, nearer
    slope = float(found[0]) / spread
    return Calibration(slope, float(found[1]) - slope * centre)


def pair_log_loss(margins: Values, labels: npt.NDArray[np.bool_]) -> Values:
    """Give ``-log p`` of each label, from log-odds: (p,), NaN where there are none."""
    with np.errstate(invalid="ignore"):
        losses: Values = np.logaddexp(0.0, np.where(labels, -margins, margins))
    return losses


def pair_accuracy(margins: Values, labels: npt.NDArray[np.bool_]) -> Values:
    """Give 1 where the label is on its side of probability .5, which counts as positive, else 0: (p,), NaN as above."""
    return np.where(np.isnan(margins), np.nan, (margins >= 0.0) == labels)


def _cross_entropy(margins: Values, targets: Values, shares: Values) -> float:
    return float(shares @ (np.logaddexp(0.0, margins) - targets * margins))


def _logistic(margins: Values) -> Values:
    chances: Values = np.exp(-np.logaddexp(0.0, -margins))
    return chances
