"""What is told of the requests of both doors: metrics, and where they are asked for the access log and traces.

All names begin with ``gnas_serve_``, units are base units, and no id is ever a label. Under BentoML every worker
writes to the shared multiprocess folder, and any worker's ``/metrics`` shows the sum.

What happens at every request is counted in plain numbers and handed on a few times a second: each touch of a metric
takes a lock, a look at the process's id and a write into a mapped file, and a request had six.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from gnas_serve.runtime.query import Answer, ModelInfo, Query
from gnas_serve.runtime.stages import StageClock
from gnas_serve.service.answer_metrics import TIMED, AnswerMetrics
from gnas_serve.service.trail import CURRENT, Trail
from gnas_serve.vocabulary import Id

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from gnas_serve.artifact.score_facts import ScoreFacts
    from gnas_serve.service.access_log import AccessLog
    from gnas_serve.service.tracing import Tracing

Door = Literal["http", "grpc"]
SHARE_BUCKETS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# From the first byte, as proxies have it: what a caller waited for a busy worker to read is time that it waited. grpcio
# does not show us a call before its message is whole.
_DURATION = "From a request's first byte read, at the gRPC door from its whole message, to its answer handed over."
HANDED_ON_S = 0.5
"""Between two times that a worker hands on what it has counted: as old may the other workers' numbers be at most."""


class _Times:
    """How long the requests of one call took, since they were last handed on."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self.total_s = 0.0


class Telemetry:
    """Counts what the doors of one worker do.

    Parameters
    ----------
    registry
        Where the metrics are registered; the process's own, which BentoML exposes, when not given.
    access_log, tracing
        Where each request is told of besides, if anywhere.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        access_log: AccessLog | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        # Imported here: prometheus_client decides at its import whether it writes for one process or for many,
        # and a worker's environment says so only after this module was imported by its parent.
        from prometheus_client import REGISTRY, Counter, Gauge, Histogram

        from gnas_serve.service.tallied_histogram import TalliedHistogram

        registry = REGISTRY if registry is None else registry
        self._access_log, self._tracing = access_log, tracing
        self._follows = access_log is not None or tracing is not None
        self._answers = AnswerMetrics(registry)  # and what feedback is like
        self._until_timed = 1
        self._requests = Counter(
            "gnas_serve_requests", "Requests answered.", ["door", "method", "code"], registry=registry
        )
        self._durations = TalliedHistogram(
            "gnas_serve_request_duration_seconds",
            _DURATION,
            ["door", "method"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._sources = Counter(
            "gnas_serve_answers", "Answers by how the asker was represented.", ["source"], registry=registry
        )
        self._underfilled = Counter(
            "gnas_serve_underfilled_answers",
            "Answers of fewer items than were asked for, as no others may be answered.",
            registry=registry,
        )
        self._variants = Counter(
            "gnas_serve_variant_answers",
            "Answers by variant, while a canary runs, of all calls that are divided among the users.",
            ["variant"],
            registry=registry,
        )
        self._overlaps = Histogram(
            "gnas_serve_shadow_overlap_ratio",
            "Items that the shadow's answer shares with the one that was given, by the longer of both.",
            buckets=SHARE_BUCKETS,
            registry=registry,
        )
        self._shadow_durations = Histogram(
            "gnas_serve_shadow_duration_seconds",
            "Time of the shadow's answers.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._shadow_unasked = Counter(
            "gnas_serve_shadow_unanswered",
            "Questions that the shadow was not asked, refused, or failed at.",
            ["reason"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "gnas_serve_in_flight_requests",
            "Requests being read or answered.",
            ["door"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._model = Gauge(
            "gnas_serve_model_info",
            "1 of what is being served, 0 of what no more is; the labels say what.",
            ["name", "version", "profile", "index", "ranker", "precision"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._served: set[tuple[str, ...]] = set()
        self._requests_now: dict[Door, int] = {"http": 0, "grpc": 0}
        self._ended: dict[tuple[Door, str, str], int] = {}
        self._times: dict[tuple[Door, str], _Times] = {}
        self._answered: dict[str, int] = {}
        self._varied: dict[str, int] = {}
        self._underfilled_answers = 0
        for door in self._requests_now:
            self._in_flight.labels(door)

    def hand_on(self) -> None:
        """Hand on to the metrics what was counted since the last time."""
        ended, times_of, answered, underfilled = self._ended, self._times, self._answered, self._underfilled_answers
        varied, self._varied = self._varied, {}
        self._ended, self._times, self._answered, self._underfilled_answers = {}, {}, {}, 0
        for door, count in self._requests_now.items():
            self._in_flight.labels(door).set(count)
        for key, count in ended.items():
            self._requests.labels(*key).inc(count)
        for call, times in times_of.items():
            self._durations.labels(*call).add(times.counts, times.total_s)
        for source, count in answered.items():
            self._sources.labels(source).inc(count)
        for variant, count in varied.items():
            self._variants.labels(variant).inc(count)
        self._underfilled.inc(underfilled)

    def keep_handing_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand on again and again from now on."""
        loop.call_later(HANDED_ON_S, self.keep_handing_on, loop)
        self.hand_on()

    def serving(self, *models: ModelInfo, scores: ScoreFacts | None = None) -> None:
        """Say what is being served, the stable model first, and that what was before is no more.

        Parameters
        ----------
        scores
            What the manifest of the stable model says of its scores.
        """
        self._answers.follow(models[0].version, models[0].num_items, scores)
        labels: set[tuple[str, ...]] = {
            (one.name, one.version, one.profile, one.index, one.ranker, one.precision) for one in models
        }
        for gone in self._served - labels:
            self._model.labels(*gone).set(0)
        for one in labels:
            self._model.labels(*one).set(1)
        self._served = labels

    def varied(self, variant: str) -> None:
        """Count an answer of a variant."""
        self._varied[variant] = self._varied.get(variant, 0) + 1

    def shadowed(self, overlap: float, duration_s: float) -> None:
        """Tell of an answer of the shadow."""
        self._overlaps.observe(overlap)
        self._shadow_durations.observe(duration_s)

    def shadow_unanswered(self, reason: Literal["busy", "failed", "refused"]) -> None:
        """Count a question that was kept from the shadow as too many wait, or that it failed at, or refused."""
        self._shadow_unasked.labels(reason).inc()

    def began(self, door: Door, traceparent: bytes = b"", tracestate: bytes = b"") -> None:
        """Count a request in.

        Parameters
        ----------
        traceparent, tracestate
            Its headers of these names, empty where they are absent.
        """
        self._requests_now[door] += 1
        if self._follows:
            tracing = self._tracing
            sent = traceparent.decode("latin-1"), tracestate.decode("latin-1")
            CURRENT.set(Trail(None if tracing is None else tracing.context(*sent)))

    def set_aside(self) -> Trail | None:
        """Leave off telling of a request that was counted in, as others have their turn; see :meth:`take_up`."""
        if not self._follows:
            return None
        trail = CURRENT.get()
        CURRENT.set(None)
        return trail

    def take_up(self, trail: Trail | None) -> None:
        """Tell of a request again from now on."""
        if self._follows:
            CURRENT.set(trail)

    def ended(self, door: Door, method: str, code: str, duration_s: float, request_id: str = "") -> None:
        """Count a request out.

        Parameters
        ----------
        door, method, code
            Labels: the call's name, and its status in the words of its protocol.
        duration_s
            How long it took, as the metric's description has it.
        request_id
            For the log line.
        """
        self._requests_now[door] -= 1
        key = (door, method, code)
        self._ended[key] = self._ended.get(key, 0) + 1
        times = self._times.get((door, method))
        if times is None:
            times = self._times[door, method] = _Times()
        times.counts[bisect_left(LATENCY_BUCKETS_S, duration_s)] += 1
        times.total_s += duration_s
        if self._follows and (trail := CURRENT.get()) is not None:
            CURRENT.set(None)
            told = door, method, code, duration_s, request_id
            trace_id = None if self._tracing is None else self._tracing.tell(trail, *told)
            if self._access_log is not None:
                self._access_log.write(*told, user_id=trail.user_id, trace_id=trace_id)

    def asked(self, user_id: Id | None, version: str) -> tuple[StageClock | None, Trail | None]:
        """Take note of a question before it is answered, between whose stages others may have theirs.

        Parameters
        ----------
        user_id
            Whom it is about.
        version
            Of the artifact that is asked.

        Returns
        -------
        clock
            For the question's stages; None where they are not to be timed.
        trail
            Of the request that asks it; None where nobody follows it.
        """
        trail = self.noted(user_id, version)
        clock = None if trail is None else trail.clock()
        if clock is None:
            self._until_timed -= 1
            if not self._until_timed:
                self._until_timed = TIMED
                clock = StageClock()
        return clock, trail

    def noted(self, user_id: Id | None, version: str) -> Trail | None:
        """Take note of what passes no stages; parameters as of :meth:`asked`, and its trail."""
        trail = CURRENT.get() if self._follows else None
        if trail is not None:
            trail.noted(user_id, version)
        return trail

    def answered(self, answer: Answer, clock: StageClock | None, trail: Trail | None) -> None:
        """Count how an asker was represented, whether there was enough, and what was unknown; the rest by `asked`."""
        self._answered[answer.source] = self._answered.get(answer.source, 0) + 1
        self._underfilled_answers += answer.underfilled
        self._answers.answered(answer, clock)
        if trail is not None:
            trail.source = answer.source

    def fed_back(self, unlike: Mapping[str, int]) -> None:
        """Count events of feedback that are unlike the data, by the field."""
        self._answers.fed_back(unlike)

    def recommended(self, query: Query, answer: Answer) -> None:
        """Look at an answer of the stable model, for coverage and drift."""
        self._answers.recommended(query, answer)
