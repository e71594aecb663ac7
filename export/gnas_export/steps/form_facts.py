"""What a report says of each form of the learned ranker: its cost, and what is left of the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnas_export.draft import Draft, RankerForm
from gnas_export.gates import Gate
from gnas_export.judging.quality import K, relative_change
from gnas_export.ranker.variants import ATTENTION, attention_name
from gnas_search.bootstrap import Interval

Latencies = Mapping[int, Mapping[str, float]]


def form_facts(
    draft: Draft,
    gates: Mapping[str, list[Gate]],
    lossy: set[str],
    sizes: Mapping[str, int],
    latencies: Latencies,
    changes: Mapping[str, Interval],
) -> dict[str, dict[str, Any]]:
    """Tell of all forms, the teacher's float32 form first: the others are so many times smaller and faster than it.

    Parameters
    ----------
    gates
        Of each form.
    lossy
        Those with which the whole path would breach the gate ``quality``.
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
            "breaches": [*(gate.name for gate in gates[name] if not gate.passed), *["quality"] * (name in lossy)],
            "size_bytes": sizes[name],
            "times_smaller": sizes[teacher] / sizes[name],
            **_speed(name, teacher, latencies),
            **_quality(draft, name, changes),
        }
        for name, form in draft.forms.items()
    }


def attention_facts(draft: Draft, reference: str) -> dict[str, Any]:
    """Tell of the network that attends to histories, which has no form and cannot ship.

    Parameters
    ----------
    reference
        The form that all others are held against.
    """
    found = draft.measured[ATTENTION]
    change = relative_change(draft.jury, found, draft.form_metrics[reference])
    return {
        "network": attention_name(draft.profile.ranker),
        "followed": draft.thoughts is not None,
        f"ndcg@{K}": float(found.ndcg.mean()),
        **_against(change),
    }


def _against(change: Interval) -> dict[str, dict[str, float]]:
    ends = {end: getattr(change, end) for end in ("value", "low", "high")}
    return {"change": ends, "retained": {end: 1 + value for end, value in ends.items()}}


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
    return {f"ndcg@{K}": float(draft.form_metrics[name].ndcg.mean()), **_against(changes[name])}
