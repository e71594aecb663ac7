"""Metrics of what is answered: time by stage, ids that the model does not know, coverage, drift of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.runtime.joined import CONTENT, UNTOLD
from gnas_serve.runtime.query import Answer, Query
from gnas_serve.runtime.stages import STAGES, StageClock
from gnas_serve.service.coverage import WINDOW, Coverage
from gnas_serve.service.drift import Drift, is_comparable
from gnas_serve.service.feedback_likeness import FIELDS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge

STAGE_BUCKETS_S = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1)
TIMED = 16
"""One question of so many is timed stage by stage."""
_REFRESHED = 256  # answers between two looks at the windows, at most


class AnswerMetrics:
    """Tells what the answers of one worker are like.

    Parameters
    ----------
    registry
        Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        unknown = Counter(
            "gnas_serve_unknown_ids",
            "Ids that the model does not know, in questions that were answered; one that is refused for it is a 404.",
            ["kind"],
            registry=registry,
        )
        self._unknown_users, self._unknown_items = unknown.labels("user"), unknown.labels("item")
        unseen = Counter(
            "gnas_serve_unseen_items",
            "Items that the catalogue does not have, in answers, by what is known of them.",
            ["source"],
            registry=registry,
        )
        self._unseen = {source: unseen.labels(source) for source in (CONTENT, UNTOLD)}
        self._unlike = Counter(
            "gnas_serve_feedback_unlike_data",
            "Events of feedback with a kind that the model's data does not have, or with text for an id that is an "
            "integer there, by the field.",
            ["field"],
            registry=registry,
        )
        for field in FIELDS:
            self._unlike.labels(field)
        durations = Histogram(
            "gnas_serve_stage_duration_seconds",
            f"Time by stage of the request path; one question of {TIMED} is timed, and those that are traced.",
            ["stage"],
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self._durations = {stage: durations.labels(stage) for stage in STAGES}
        # Workers answer beside each other: of their windows the widest is shown, of their drifts the farthest.
        self._covered = Gauge(
            "gnas_serve_catalogue_coverage_ratio",
            f"Share of the stable model's items in the latest {WINDOW} answers of a worker; that of the one with most.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._registry = registry
        self._drifted: Gauge | None = None
        self._coverage: Coverage | None = None
        self._drift: Drift | None = None
        self._followed = ""
        self._refresh_coverage = self._refresh_drift = 1

    def follow(self, version: str, num_items: int, scores: ScoreFacts | None) -> None:
        """Look at the answers of another stable model from now on; of the same one go on.

        Parameters
        ----------
        version
            Of the artifact.
        num_items
            In its catalogue.
        scores
            What its manifest says of scores; without, there is no drift.
        """
        if version == self._followed:
            return
        self._followed = version
        self._coverage, self._refresh_coverage = Coverage(num_items), 1
        self._covered.set(0.0)
        self._drift = None if scores is None else Drift(scores)
        if scores is not None and self._drifted is None:
            from prometheus_client import Gauge

            self._drifted = Gauge(
                "gnas_serve_score_drift",
                "Population stability index of first scores against the manifest's, of known users who asked for items "
                "and nothing else; 0 until there are enough. Of the worker that is farthest.",
                registry=self._registry,
                multiprocess_mode="livemax",
            )
        if self._drifted is not None:
            # Not NaN while there are few answers: of several workers it would hide those that have enough.
            self._drifted.set(math.nan if scores is None else 0.0)

    def fed_back(self, unlike: Mapping[str, int]) -> None:
        """Count events of feedback that are unlike the data, by the field."""
        for field, count in unlike.items():
            self._unlike.labels(field).inc(count)

    def answered(self, answer: Answer, clock: StageClock | None) -> None:
        """Count what a question named in vain, unseen items, and how long its stages took where a clock was running."""
        if answer.unknown_user:
            self._unknown_users.inc()
        if answer.unknown_items:
            self._unknown_items.inc(answer.unknown_items)
        if answer.sources is not None:
            for source, counter in self._unseen.items():
                if count := answer.sources.count(source):
                    counter.inc(count)
        if clock is not None:
            for stage, began, ended in clock.spans():
                self._durations[stage].observe(ended - began)

    def recommended(self, query: Query, answer: Answer) -> None:
        """Look at an answer of the stable model."""
        if self._coverage is None or answer.rows is None:
            return
        count = self._coverage.add(answer.rows)
        self._refresh_coverage -= 1
        if self._refresh_coverage <= 0:
            # At first after 1, 2, 4, ... answers, so that something is seen soon.
            self._refresh_coverage = min(count, max(_REFRESHED, self._coverage.num_items >> 10))
            self._covered.set(self._coverage.ratio())
        if self._drift is not None and self._drifted is not None and is_comparable(query, answer):
            self._drift.add(answer.scores[0])
            self._refresh_drift -= 1
            if self._refresh_drift == 0:
                self._refresh_drift = _REFRESHED
                if not math.isnan(index := self._drift.index()):
                    self._drifted.set(index)
