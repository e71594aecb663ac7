"""The verdict of a study: which model to ship; the simpler one unless a richer one is clearly better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_search.bootstrap import Interval, paired_interval
from gnas_serve.errors import NoViableTrialError

CONFIDENCE = 0.8
"""Of the interval that must lie above 0: nine to one that the richer model is the better."""
MARGIN = 0.01
"""Least gain, relative to the simpler model: two seeds of one network differ by about as much in ndcg@20."""

BASELINE = "baseline"
RICHNESS = (BASELINE, "two-hop", "filter", "gnn", "blend")
"""Kinds of models from simple to rich: what each asks of training and serving."""

ValuePerUser = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Representative:
    """The best model of one kind.

    Attributes
    ----------
    name
        A baseline's name, or the key of a spec.
    kind
        One of :data:`RICHNESS`.
    values : (n,)
        What models are chosen by, per validation user in the same order for all, the higher the better.
    remark
        What to know of it, e.g. that time cut it short; empty where nothing is.
    is_usable
        Whether it puts any held-out item into anybody's best 20.
    """

    name: str
    kind: str
    values: ValuePerUser
    remark: str = ""
    is_usable: bool = True


@dataclass(frozen=True)
class Verdict:
    """Which model of a study to ship, and why.

    Attributes
    ----------
    name
        Of the model.
    kind
        One of :data:`RICHNESS`.
    gain
        Mean difference to ``against``, in what models are chosen by, as a rule ndcg@20, the higher the better, on the
        same validation users, with its 95 % interval; None where the model is that one.
    margin
        :data:`MARGIN`.
    reason
        One line for people: the gain over ``against`` and, where that is another model, over the simpler one that was
        held until then, each with its interval of :data:`CONFIDENCE`.
    against
        Name of the best baseline, or of the simplest usable model where that baseline is not usable; empty where the
        model is that one.
    """

    name: str
    kind: str
    gain: Interval | None
    margin: float
    reason: str
    against: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)


def decide(representatives: Sequence[Representative], *, seed: int, metric: str = "ndcg@20", sign: int = 1) -> Verdict:
    """Go from simple to rich, and change to the richer model where it is clearly better than the one held so far.

    It is where the :data:`CONFIDENCE` interval of its mean gain lies above 0, and the mean is at least
    :data:`MARGIN` of the other's value. The margin also stands against the optimism of having picked the best of many
    trials on these very users.

    Parameters
    ----------
    representatives
        The best of each kind.
    seed
        Of the bootstrap.
    metric, sign
        What the values are of, and -1 where they are its negatives, so that more is better.

    Raises
    ------
    NoViableTrialError
        If none is usable: nothing put one held-out item into anybody's best 20.
    """
    usable = sorted((one for one in representatives if one.is_usable), key=lambda one: RICHNESS.index(one.kind))
    if not usable:
        raise NoViableTrialError(
            "no model of the study is usable: none finds a held-out item of any validation user",
            hint="give more interactions, more --trials or a longer --budget",
        )
    held, refused = usable[0], ""
    beaten = held
    for richer in usable[1:]:
        gain = paired_interval(richer.values, held.values, seed, confidence=CONFIDENCE)
        if gain.low > 0 and gain.value >= MARGIN * abs(float(held.values.mean())):
            beaten, held, refused = held, richer, ""
        elif gain.value > 0:
            short = "within the noise" if gain.low <= 0 else f"below the margin of {MARGIN:.0%}"
            refused = f"; the best {richer.kind}, {richer.name}, gains {sign * gain.value:+.4f}, {short}{_said(richer)}"
    simple = usable[0]
    if held is simple:
        alone = simple.kind != BASELINE and any(one.kind == BASELINE for one in representatives)
        reasons = ["no simple model finds any held-out item"] if alone else []
        reasons += ["nothing richer is clearly better"] if len(usable) > 1 else []
        whole = f"ship {held.name}" + (f": {', '.join(reasons)}{refused}" if reasons else "")
        return Verdict(held.name, held.kind, None, MARGIN, whole)
    shown = paired_interval(held.values, simple.values, seed)
    figures = f"{_decided(held, simple, seed, sign, f' {metric}')} against {simple.name}"
    if beaten is not simple:  # the step that was decided last
        figures += f"; {_decided(held, beaten, seed, sign)} against {beaten.name}"
    return Verdict(
        held.name,
        held.kind,
        shown,
        MARGIN,
        f"ship the {held.kind} {held.name}: {figures}{_said(held)}{refused}",
        simple.name,
    )


def _decided(richer: Representative, simpler: Representative, seed: int, sign: int, unit: str = "") -> str:
    """Give a gain with the interval that decides."""
    gain = paired_interval(richer.values, simpler.values, seed, confidence=CONFIDENCE)
    low, high = sorted((sign * gain.low, sign * gain.high))
    return f"{sign * gain.value:+.4f}{unit} [{low:+.4f}, {high:+.4f}]"


def _said(representative: Representative) -> str:
    return f" ({representative.remark})" if representative.remark else ""
