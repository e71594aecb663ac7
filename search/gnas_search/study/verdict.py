"""The verdict of a study: ship the best graph network, or the simple model that it does not clearly beat."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_search.evaluate import Interval, paired_interval
from gnas_search.study.records import Baseline, Trial
from gnas_serve.errors import NoViableTrialError

MARGIN_NDCG = 0.006
"""Least mean gain in ndcg@20 for a graph network to win: about how far two seeds of one model lie apart."""

NdcgPerUser = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Better:
    """A model that is better than the one to ship, but that this version cannot serve.

    Attributes
    ----------
    name
        Of a baseline.
    gain
        Its mean difference in ndcg@20 to the model to ship, on the same validation users.
    """

    name: str
    gain: Interval


@dataclass(frozen=True)
class Verdict:
    """Which model of a study to ship, and why.

    Attributes
    ----------
    name
        Key of the best graph network, or name of the best baseline.
    kind
        ``"gnn"`` or ``"baseline"``.
    gain
        Mean difference in ndcg@20, best graph network minus best servable baseline, on the same validation users,
        with its 95 % interval; None where one of the two is absent.
    margin
        :data:`MARGIN_NDCG`.
    reason
        One line for people.
    better
        What would have been better still; None where nothing is.
    """

    name: str
    kind: str
    gain: Interval | None
    margin: float
    reason: str
    better: Better | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)


def decide(
    gnn: tuple[Trial, NdcgPerUser] | None,
    baseline: tuple[Baseline, NdcgPerUser] | None,
    *,
    unservable: tuple[Baseline, NdcgPerUser] | None = None,
    seed: int,
) -> Verdict:
    """Compare the best graph network with the best servable baseline.

    The network wins if the 95 % interval of its mean gain lies above 0 and the mean is at least the margin. The
    margin also stands against the optimism of having picked the best of many trials on these very users.

    Parameters
    ----------
    gnn, baseline
        Each with its ndcg@20 per validation user, in the same order; None where there is none.
    unservable
        The best baseline that cannot be served: never the verdict, but named where it is better.
    seed
        Of the bootstrap.

    Raises
    ------
    NoViableTrialError
        If neither is usable: nothing put one held-out item into anybody's best 20.
    """
    gnn = gnn if gnn is not None and gnn[1].any() else None
    baseline = baseline if baseline is not None and baseline[1].any() else None
    if gnn is None and baseline is None:
        raise NoViableTrialError(
            "no model of the study is usable: none finds a held-out item of any validation user",
            hint="give more interactions, more --trials or a longer --budget",
        )
    verdict = _choose(gnn, baseline, seed)
    shipped = gnn if verdict.kind == "gnn" else baseline
    if unservable is None or shipped is None:
        return verdict
    gain = paired_interval(unservable[1], shipped[1], seed)
    if gain.value <= 0:
        return verdict
    name = unservable[0].name
    still = f"{name} is better still by {_figures(gain)} but cannot be served in this version"
    return replace(verdict, reason=f"{verdict.reason}; {still}", better=Better(name, gain))


def _choose(gnn: tuple[Trial, NdcgPerUser] | None, baseline: tuple[Baseline, NdcgPerUser] | None, seed: int) -> Verdict:
    if gnn is None:
        name = baseline[0].name if baseline is not None else ""
        return Verdict(
            name, "baseline", None, MARGIN_NDCG, f"ship {name}: no graph network was trained to a usable end"
        )
    if baseline is None:
        reason = f"ship {gnn[0].key}: no servable baseline is usable{_cut(gnn[0])}"
        return Verdict(gnn[0].key, "gnn", None, MARGIN_NDCG, reason)
    gain = paired_interval(gnn[1], baseline[1], seed)
    against = f"trial {gnn[0].number} ({gnn[0].key}) against {baseline[0].name}: {_figures(gain)}{_cut(gnn[0])}"
    if gain.low > 0 and gain.value >= MARGIN_NDCG:
        return Verdict(gnn[0].key, "gnn", gain, MARGIN_NDCG, f"ship the graph network: {against}")
    short = "within the noise" if gain.low <= 0 else f"below the margin of {MARGIN_NDCG}"
    return Verdict(baseline[0].name, "baseline", gain, MARGIN_NDCG, f"ship the simple model: {against}, {short}")


def _cut(trial: Trial) -> str:
    """Say that time stopped a trial before it could show what it is worth; empty where it did not."""
    measured = trial.measured
    if measured is None or measured.stopped != "deadline":
        return ""
    done = f"{'cut' if measured.is_cut else 'stopped'} after {len(measured.history)} of {measured.epochs} epochs"
    return f" ({done}: a longer budget may do better)"


def _figures(gain: Interval) -> str:
    return f"{gain.value:+.4f} ndcg@20 [{gain.low:+.4f}, {gain.high:+.4f}]"
