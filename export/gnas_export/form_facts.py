"""What a report says of each form of the learned ranker: its cost, and what is left of the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnas_export.draft import Draft, RankerForm
from gnas_export.gates import Gate
from gnas_export.quality import K
from gnas_search.bootstrap import Interval

Latencies = Mapping[int, Mapping[str, float]]


def form_facts(
    draft: Draft,
    gates: Mapping[str, list[Gate]],
    sizes: Mapping[str, int],
    latencies: Latencies,
    changes: Mapping[str, Interval],
) -> dict[str, dict[str, Any]]:
    """Tell of all forms, the teacher's float32 form first: the others are so many times smaller and faster than it.

    Parameters
    ----------
    gates
        Of each form.
    sizes
        Bytes that each adds to the artifact.
    latencies
        Number of candidates -> form -> median microseconds, of one run; none where decisions were repeated.
    changes
        Of ndcg against the teacher, relative; none where there are too few labels.
    """
    teacher = next(iter(draft.forms))
    return {
        name: {
            **_what(form),
            "breaches": [gate.name for gate in gates[name] if not gate.passed],
            "size_bytes": sizes[name],
            "times_smaller": sizes[teacher] / sizes[name],
            **_speed(name, teacher, latencies),
            **_quality(draft, name, changes),
        }
        for name, form in draft.forms.items()
    }


def _what(form: RankerForm) -> dict[str, Any]:
    overlap, correlation = form.likeness
    return {
        "network": form.network,
        "numeric": form.numeric,
        "hidden": list(form.hidden),
        f"overlap@{K}": form.overlap,
        f"teacher_overlap@{K}": overlap,
        "teacher_rank_correlation": correlation,
    }


def _speed(name: str, teacher: str, latencies: Latencies) -> dict[str, dict[str, float]]:
    if not latencies:
        return {}
    return {
        "latency_us": {str(count): times[name] for count, times in sorted(latencies.items())},
        "times_faster": {str(count): times[teacher] / times[name] for count, times in sorted(latencies.items())},
    }


def _quality(draft: Draft, name: str, changes: Mapping[str, Interval]) -> dict[str, Any]:
    if name not in changes:
        return {}
    ends = {end: getattr(changes[name], end) for end in ("value", "low", "high")}
    return {
        f"ndcg@{K}": float(draft.form_metrics[name].ndcg.mean()),
        "change": ends,
        "retained": {end: 1 + value for end, value in ends.items()},
    }
