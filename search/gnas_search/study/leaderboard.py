"""The leaderboard and the status of a study, as plain values for people and programs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gnas_search.specs import BLEND
from gnas_search.study.descriptions import described
from gnas_search.study.finalists import Finalist
from gnas_search.study.front import front
from gnas_search.study.journal import is_locked
from gnas_search.study.measurement import Measurement
from gnas_search.study.notes import notes
from gnas_search.study.objectives import Objectives
from gnas_search.study.phases import HYPERPARAMETERS
from gnas_search.study.records import STATES
from gnas_search.study.standings import averages, spent_s, standings
from gnas_search.study.study import Study
from gnas_search.study.verdict import BASELINE
from gnas_search.study.warm_start import WarmStart
from gnas_serve.errors import NoViableTrialError


def leaderboard(study: Study) -> dict[str, Any]:
    """List the models of a study: baselines first, then blends, then measured trials, each group best first.

    Returns
    -------
    dict
        ``rows`` (``name``, ``kind``, ``trial``, ``model``, ``ndcg@20``, ``recall@20``, ``intervals`` of the two,
        ``values`` of the objectives by name, None where one was not measured, whether it stands on the ``front``,
        ``best_epoch``, ``seconds``, ``parameters``, ``peak_bytes``, ``seeds`` (of a finalist, whose figures are means
        over its seeds, the values of the first objective from each), ``remark``), ``verdict``
        (None where no model is usable), ``front`` (names, where there are several objectives),
        ``infeasible`` and ``failed`` (trial numbers, None of a blend, with reasons), ``notes`` (lines of
        :func:`gnas_search.study.notes.notes`), ``objective`` (the first) and ``objectives``.
    """
    try:
        verdict = study.verdict
    except NoViableTrialError:
        verdict = None
    finalists = {one.trial.number: one for one in study.finalists}
    told = _Told(study.header.objectives, verdict.name if verdict is not None else "", front(study))
    models = described(study)
    rows = [
        told.row(baseline.name, BASELINE, None, models[baseline.name], baseline.measured, [])
        for baseline in study.baselines
    ]
    for blend in study.blends:
        loss = [] if blend.spec.dims is None else [f"{blend.loss:+.1%} ndcg"]
        facts = [*loss, f"{blend.scan_us:.0f} us per scan", *(["infeasible"] if blend.infeasible else [])]
        rows.append(told.row(blend.key, BLEND, None, study.describe(blend.spec), blend.measured, facts))
    for trial, measured in standings(study):
        remarks = []
        if measured.stopped == "deadline":
            remarks = [f"cut {len(measured.history)}/{measured.epochs}" if measured.is_cut else "budget ended"]
        elif measured.stopped == "rung":
            remarks = [f"stopped {len(measured.history)}/{measured.epochs}"]
        remarks += [remark] if (remark := study.warm_start.remark(trial.key)) else []
        model = models.get(trial.key, "")
        remarks += ["tuned"] if trial.phase == HYPERPARAMETERS else []
        again = finalists.get(trial.number)
        remarks += [_of_seeds(again, told.sign)] if again is not None else []
        row = told.row(trial.key, trial.kind, trial.number, model, measured, remarks)
        rows.append({**row, "seeds": [] if again is None else [told.sign * value for value in again.qualities]})
    return {
        "objective": told.objectives.first,
        "objectives": list(told.objectives.names),
        "rows": rows,
        "front": list(told.front),
        "verdict": None if verdict is None else verdict.to_json(),
        "infeasible": [
            {"trial": t.number, "reason": t.reason} for t in study.trials if t.state == "infeasible" and t.measured
        ]
        + [{"trial": None, "reason": f"{b.key}: {b.infeasible}"} for b in study.blends if b.infeasible],
        "failed": [{"trial": t.number, "reason": t.reason} for t in study.trials if t.state == "failed"],
        "notes": notes(study),
    }


def _of_seeds(finalist: Finalist, sign: int) -> str:
    low, high = sorted(sign * end for end in (min(finalist.qualities), max(finalist.qualities)))
    return f"{len(finalist.seeds)} seeds {sign * finalist.mean:.4f} ({low:.4f}-{high:.4f})"


@dataclass(frozen=True)
class _Told:
    """What the rows of a leaderboard are told by."""

    objectives: Objectives
    shipped: str
    front: tuple[str, ...]

    @property
    def sign(self) -> int:
        """Of the first objective: 1 where more is better, else -1."""
        return self.objectives.sign(self.objectives.first)

    def row(
        self, name: str, kind: str, number: int | None, model: str, measured: Measurement, remarks: list[str]
    ) -> dict[str, Any]:
        marks = ["verdict"] if name == self.shipped else []
        marks += ["front"] if self.objectives.are_several and name in self.front else []
        quality, sign = measured.quality, self.sign
        return {
            "name": name,
            "kind": kind,
            "trial": number,
            "model": model,
            "ndcg@20": measured.ndcg.value,
            "recall@20": measured.recall.value,
            "values": {one: _finite(measured.value_of(one)) for one in self.objectives.names},
            "intervals": {
                "ndcg@20": [measured.ndcg.low, measured.ndcg.high],
                "recall@20": [measured.recall.low, measured.recall.high],
                self.objectives.first: sorted((sign * quality.low, sign * quality.high)),
            },
            "front": name in self.front,
            "best_epoch": measured.best_epoch,
            "seconds": round(measured.seconds, 3),
            "parameters": measured.parameters,
            "peak_bytes": measured.peak_bytes,
            "seeds": [],
            "remark": ", ".join(marks + remarks),
        }


def status(study: Study) -> dict[str, Any]:
    """Say what a study is about and how far it is.

    Returns
    -------
    dict
        ``running``, ``trials`` (count per state), ``best`` (name and value, or None), ``strategy`` (of the latest
        trial, or that the study begins with), ``strategies`` (that drew trials, in order), ``seed``, ``objective`` (the
        first), ``objectives``, ``space_size`` (continuous genes count once), ``data`` (fingerprint, policy, config),
        ``seconds`` (spent on measured models and supernets), ``notes`` (as in :func:`leaderboard`), ``warm_start``
        (of the study that it was started from the name, ``study``, the fingerprint of its ``data``, and how many
        ``models`` and ``weights`` were taken over; None where it was started from none).
    """
    counts = Counter(trial.state for trial in study.trials)
    simple = [(b.key, b.measured) for b in study.baselines] + [(b.key, b.measured) for b in study.feasible_blends]
    models = simple + [(t.key, m) for t, m in averages(study)]
    best = max(models, key=lambda model: model[1].quality.value, default=None)
    header = study.header
    first = header.objectives.first
    return {
        "running": is_locked(study.folder),
        "trials": {state: counts[state] for state in STATES if state != "waiting"},
        "best": None if best is None else {"name": best[0], "value": best[1].value_of(first)},
        "strategy": next((trial.strategy for trial in reversed(study.trials) if trial.strategy), header.strategy),
        "strategies": list(study.strategies),
        "seed": header.seed,
        "objective": first,
        "objectives": list(header.objectives.names),
        "space_size": header.space.size(),
        "data": {"fingerprint": header.fingerprint, "policy": header.policy, "config": header.config.to_json()},
        "seconds": round(spent_s(study), 3),
        "notes": notes(study),
        "warm_start": _warm_start(study.warm_start),
    }


def _warm_start(warm: WarmStart) -> dict[str, Any] | None:
    if not warm.source:
        return None
    carried = sum(bool(model.digest) for model in warm.models)
    return {"study": warm.study, "data": warm.data, "models": len(warm.models), "weights": carried}


def _finite(value: float | None) -> float | None:
    """Give a value that JSON can say; what a metric says of nobody is none."""
    return value if value is not None and math.isfinite(value) else None
