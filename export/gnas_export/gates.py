"""Gates: numbers that an export must reach; all are reported, then the first breach ends it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from gnas_search.bootstrap import Interval
from gnas_serve.errors import GnasError, LatencyError, ParityError, QualityGateError

_EXACT = "see the report for every gate; profile exact ships the uncompressed form"
_HINT_OF = {
    "baseline": "train the simple model (`train --trial NAME`), or allow the loss: `baseline_loss` under [gates]",
}
"""Of gates that no other profile passes by being more exact."""
_HINTS: dict[type[GnasError], str] = {
    LatencyError: "see the report for every run; fewer candidates or a narrower ranker are quicker, e.g. profile fast",
    ParityError: _EXACT,
    QualityGateError: _EXACT,
}


@dataclass(frozen=True)
class Gate:
    """One number against its limit.

    Attributes
    ----------
    name
        Stable name, e.g. ``"onnx_parity"``.
    value
        What was measured; None where there was nothing to measure, which the remark explains.
    limit
        The least or the largest value allowed, as the gate is defined.
    passed
        Whether the artifact may ship as far as this gate goes.
    failure
        The error that a breach raises; its class carries the exit code.
    remark
        What was compared, and on what.
    against
        What the artifact is held against, where that is not always the same: values against different things are not
        to be compared.
    change
        The difference from it with its 95 % interval, of which ``value`` is one end.
    """

    name: str
    value: float | None
    limit: float
    passed: bool
    failure: type[GnasError]
    remark: str = ""
    against: str = ""
    change: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form, as it stands in reports and manifests; a value that is no number is null."""
        body: dict[str, Any] = {
            "name": self.name,
            "value": self.value if self.value is None or math.isfinite(self.value) else None,
            "limit": self.limit,
            "passed": self.passed,
            "remark": self.remark,
        }
        if self.against:
            body["against"] = self.against
        if self.change is not None:
            body["change"] = {"value": self.change.value, "low": self.change.low, "high": self.change.high}
        return body


def significance(low: float, high: float) -> str:
    """Say what the interval of a difference tells."""
    if low > 0:
        return "significantly better"
    return "significantly worse" if high < 0 else "not significantly different"


def at_least(name: str, value: float, limit: float, remark: str) -> Gate:
    """Build a quality gate that wants ``value >= limit``; NaN fails."""
    return Gate(name, float(value), limit, bool(value >= limit), QualityGateError, remark)


def at_most(name: str, value: float, limit: float, remark: str, failure: type[GnasError] = ParityError) -> Gate:
    """Build a gate, of parity where nothing else is said, that wants ``value <= limit``; NaN fails."""
    return Gate(name, float(value), limit, bool(value <= limit), failure, remark)


def compared(gate: Gate, against: str, change: Interval) -> Gate:
    """Add to a gate on a difference what it is held against, and the whole interval."""
    return replace(gate, against=against, change=change)


def skipped(name: str, limit: float, reason: str) -> Gate:
    """Build a gate that could not be measured: it passes, and says why it was not."""
    return Gate(name, None, limit, True, QualityGateError, f"skipped: {reason}")


def raise_first_breach(gates: Iterable[Gate], hint: str | None = None) -> None:
    """End the export if a gate was breached; the report must have been written before.

    Parameters
    ----------
    hint
        What to do about the last of them, where more is known than of any gate of its kind.

    Raises
    ------
    ParityError, QualityGateError, LatencyError
        For the first breached gate, as it states.
    """
    found = list(gates)
    for gate in found:
        if not gate.passed:
            told = _HINT_OF.get(gate.name, _HINTS.get(gate.failure, "see the report for every gate"))
            raise gate.failure(
                f"gate {gate.name}: {gate.value:.6g} against a limit of {gate.limit:g} ({gate.remark})",
                hint=hint if hint is not None and gate is found[-1] else told,
            )
