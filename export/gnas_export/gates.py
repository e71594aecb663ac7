"""Gates: numbers that an export must reach; all are reported, then the first breach ends it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from gnas_search.bootstrap import Interval
from gnas_serve.errors import GnasError, ParityError, QualityGateError

_REPORT = "see the report for every gate"
_EXACT = f"{_REPORT}; profile exact ships the uncompressed form"
_FORM = "leave its choice open (`--distil auto --prune auto --precision auto`), or allow more: "
_FILES = (
    "export again: the files are not what was measured; where it recurs, check disk and memory, and report it as a bug"
)
_GRAPH = "the graph is not its network, which no setting causes: report it as a bug, with the report"
HINTS = {
    "artifact_bytes": f"{_REPORT}; profile small takes fewest bytes",
    "baseline": "train the simple model (`train --trial NAME`), or allow the loss: `baseline_loss` under [gates]",
    "fold_in": "export without `--decisions`: newcomers are then answered by popularity, which is better for them",
    "form_quality": f"{_FORM}`form_loss` under [gates]",
    "index_parity": _FILES,
    "index_recall": _EXACT,
    "index_top_recall": _EXACT,
    "latency_p99_us": f"{_REPORT} and run; fewer candidates or a narrower ranker are quicker, e.g. profile fast",
    "neighbour_recall": _EXACT,
    "newcomer_parity": f"{_FILES}; profile exact rounds nothing off",
    "onnx_parity": f"{_GRAPH}; `--ranker never` draws none",
    "onnx_parity_plain": _GRAPH,
    "popularity": "train popularity (`train --trial popularity`), which is better for these users, or search again",
    "quality": _EXACT,
    "rank_overlap": f"{_FORM}`rank_overlap` under [gates]",
    "row_parity": _FILES,
    "scorer_parity": _FILES,
    "segments": "export without `--decisions`: users' features are then passed over, which is better for newcomers",
    "table_recall": _EXACT,
    "vector_parity": _FILES,
}
"""What to do about a breach, by the name of the gate."""


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
            told = HINTS.get(gate.name, _REPORT)
            raise gate.failure(
                f"gate {gate.name}: {gate.value:.6g} against a limit of {gate.limit:g} ({gate.remark})",
                hint=hint if hint is not None and gate is found[-1] else told,
            )
