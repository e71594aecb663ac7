"""Gates: numbers that an export must reach; all are reported, then the first breach ends it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gnas_serve.errors import GnasError, LatencyError, ParityError, QualityGateError

_EXACT = "see the report for every gate; profile exact ships the uncompressed form"
_HINT_OF = {
    "baseline": "train the simple model (`train --trial NAME`), or allow the loss: `baseline_loss` under [gates]",
    "artifact_bytes": "profile small takes fewest bytes; see the report for what each form takes",
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
    """

    name: str
    value: float | None
    limit: float
    passed: bool
    failure: type[GnasError]
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form, as it stands in reports and manifests; a value that is no number is null."""
        return {
            "name": self.name,
            "value": self.value if self.value is None or math.isfinite(self.value) else None,
            "limit": self.limit,
            "passed": self.passed,
            "remark": self.remark,
        }


def at_least(name: str, value: float, limit: float, remark: str) -> Gate:
    """Build a quality gate that wants ``value >= limit``; NaN fails."""
    return Gate(name, float(value), limit, bool(value >= limit), QualityGateError, remark)


def at_most(name: str, value: float, limit: float, remark: str, failure: type[GnasError] = ParityError) -> Gate:
    """Build a gate, of parity where nothing else is said, that wants ``value <= limit``; NaN fails."""
    return Gate(name, float(value), limit, bool(value <= limit), failure, remark)


def skipped(name: str, limit: float, reason: str) -> Gate:
    """Build a gate that could not be measured: it passes, and says why it was not."""
    return Gate(name, None, limit, True, QualityGateError, f"skipped: {reason}")


def raise_first_breach(gates: Iterable[Gate]) -> None:
    """End the export if a gate was breached; the report must have been written before.

    Raises
    ------
    ParityError, QualityGateError, LatencyError
        For the first breached gate, as it states.
    """
    for gate in gates:
        if not gate.passed:
            raise gate.failure(
                f"gate {gate.name}: {gate.value:.6g} against a limit of {gate.limit:g} ({gate.remark})",
                hint=_HINT_OF.get(gate.name, _HINTS.get(gate.failure, "see the report for every gate")),
            )
