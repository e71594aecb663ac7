"""The forecast of an export: seconds and memory of every step, and the bytes of the artifact."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnas_export.decisions import Decisions
from gnas_export.draft import Draft
from gnas_export.forecast.baseline_costs import BaselineCosts
from gnas_export.forecast.content_costs import ContentCosts
from gnas_export.forecast.meter import metered, seconds_of
from gnas_export.forecast.ranker_costs import RankerCosts
from gnas_export.forecast.retrieval_costs import RetrievalCosts
from gnas_export.forecast.segment_costs import SegmentCosts
from gnas_export.judging.simple_models import CHOOSING_USERS
from gnas_export.pipeline import PACKAGE
from gnas_export.profile import ExportProfile
from gnas_export.ranker.variants import planned
from gnas_export.retrieval.rounding import vector_rounding
from gnas_export.retrieval.turning import Turns
from gnas_search.baselines import SVD_DIMS
from gnas_search.checkpoint import Checkpoint
from gnas_search.memory import resident_bytes
from gnas_serve.artifact.sizes import artifact_bytes

_AUDITED_ROWS = 16_384


@dataclass(frozen=True)
class StepForecast:
    """What a step will take.

    Attributes
    ----------
    name
        Of the step, or :data:`gnas_export.pipeline.PACKAGE`: what follows them.
    seconds
        On this machine as busy as it is now.
    peak_bytes
        The most memory of the process meanwhile.
    """

    name: str
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class ExportForecast:
    """What an export will take.

    Attributes
    ----------
    steps
        In their order.
    artifact_bytes
        About: which ranker ships is not known before. See :mod:`gnas_serve.artifact.sizes`.
    taken_s
        What the forecast itself took.
    """

    steps: tuple[StepForecast, ...]
    artifact_bytes: int
    taken_s: float

    @property
    def seconds(self) -> float:
        """Of all steps."""
        return sum(step.seconds for step in self.steps)

    @property
    def peak_bytes(self) -> int:
        """The most memory of the process."""
        return max(step.peak_bytes for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "seconds": self.seconds,
            "peak_bytes": self.peak_bytes,
            "artifact_bytes": self.artifact_bytes,
            "steps": [vars(step) for step in self.steps],
            "forecast_seconds": self.taken_s,
        }


def forecast_export(
    checkpoint: Checkpoint,
    profile: ExportProfile,
    *,
    ranker: str,
    steps: tuple[str, ...],
    decisions: Decisions | None = None,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
) -> ExportForecast:
    """Forecast an export, without one: nothing is written but files that go again.

    Tables and index are really made, and weighed by a few users; of the learned ranker and the simple models short
    parts are timed. Where a step of the export goes back, as after a breached quality gate, it takes so much again.

    Parameters
    ----------
    ranker, decisions
        As :func:`gnas_export.pipeline.export` takes them.
    steps
        Names of the export's steps, in their order.
    on_step
        Called with the name of what is looked at.

    Raises
    ------
    ExportError
        If a step that is really run fails.
    """
    start = time.perf_counter()
    said = on_step or (lambda _: None)
    draft = Draft(checkpoint, profile, ranker, seed, decisions or Decisions(profile, ranker))
    said("build_index")
    retrieval = RetrievalCosts.of(draft)
    said("train_ranker")
    trained, held = metered(lambda: RankerCosts.of(retrieval))
    said("judge")
    judges = 0 if retrieval.jury.too_small else len(retrieval.jury.users)
    baselines = BaselineCosts.of(checkpoint) if judges else BaselineCosts(0.0, 0)
    segments = SegmentCosts.of(retrieval.draft, judges)
    content = ContentCosts.of(retrieval.draft, judges)
    opening = 2 * retrieval.opening_s if segments.seconds else 0.0
    seconds = trained.seconds | _served_s(retrieval, trained, baselines, judges)
    seconds["choose_segments"] = segments.seconds + opening
    seconds["choose_content"] = content.seconds
    before = max(reading.peak_bytes for reading in retrieval.readings.values())
    learning = max(before, held.peak_bytes + trained.held_bytes)
    resident = resident_bytes() + trained.held_bytes
    peaks = {"judge": resident + baselines.needed_bytes}
    found = []
    for name in (*steps, PACKAGE):
        if name in retrieval.readings:
            found.append(StepForecast(name, retrieval.seconds(name), retrieval.readings[name].peak_bytes))
        else:
            found.append(StepForecast(name, seconds.get(name, 0.0), max(learning, peaks.get(name, 0))))
    size_bytes = _artifact_bytes(retrieval, trained) + segments.size_bytes + content.size_bytes
    return ExportForecast(tuple(found), size_bytes, time.perf_counter() - start)


def _served_s(
    retrieval: RetrievalCosts, trained: RankerCosts, baselines: BaselineCosts, judges: int
) -> dict[str, float]:
    """Forecast the steps that ask as a client would, and the packing."""
    draft = retrieval.draft
    asked = retrieval.opening_s + judges * retrieval.ask_s
    paths = 2 if trained.lists and draft.mode == "auto" else 0
    judged = 0.0 if paths else asked
    if trained.lists:
        judged += retrieval.opening_s + judges * (retrieval.ask_s + retrieval.list_s)
    # Three widths of the singular vectors are compared, then each model is measured; wider vectors take longer.
    dim = max(1, draft.final.tables.items.dim)
    scored = (len(SVD_DIMS) * min(CHOOSING_USERS, len(draft.fitting)) + 2 * judges) * retrieval.answer_s
    return {
        "choose_ranker": paths * asked,
        "choose_fold_in": retrieval.opening_s + judges * retrieval.fold_in_s if judges else 0.0,
        "judge": (judged + baselines.seconds + scored * max(1.0, max(SVD_DIMS) / dim / 2)) if judges else 0.0,
        # Of one of the two fits the maps are made again.
        PACKAGE: 2 * retrieval.opening_s + _audited_s(draft) + retrieval.readings["fit_fold_ins"].seconds / 2,
    }


def _audited_s(draft: Draft) -> float:
    tables, exact = draft.final.tables, draft.final.exact
    rows, turns = np.arange(min(_AUDITED_ROWS, len(tables.items))), Turns.of(exact)
    one = seconds_of(lambda: vector_rounding(tables.items, exact.item_vectors, rows, turns), repeats=2)
    return one * (len(tables.items) + len(tables.users)) / max(1, len(rows))


def _artifact_bytes(retrieval: RetrievalCosts, trained: RankerCosts) -> int:
    draft = retrieval.draft
    with draft.written(draft.final, draft.plain) as folder:
        size_bytes = artifact_bytes({path.name: path.stat().st_size for path in folder.iterdir()})
    if trained.lists:
        # Of the networks that may ship one of middling width, its item rows a byte each.
        widths = sorted(variant.hidden[0] for variant in planned(draft.profile.ranker))
        size_bytes += len(draft.checkpoint.items) * widths[len(widths) // 2]
        size_bytes += sum(one.nbytes for one in (draft.plan.users, draft.plan.content) if one is not None)
    return size_bytes
