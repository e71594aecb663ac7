"""What is told of the requests of both doors: metrics, and where they are asked for the access log and traces.

All names begin with ``gnas_serve_``, units are base units, and no id is ever a label. Under BentoML every worker
writes to the shared multiprocess folder, and any worker's ``/metrics`` shows the sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gnas_serve.runtime.query import Answer, ModelInfo, Query
from gnas_serve.runtime.stage_clock import StageClock
from gnas_serve.service.answer_metrics import TIMED, AnswerMetrics
from gnas_serve.service.trail import CURRENT, Trail
from gnas_serve.vocabulary import Id

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

    from gnas_serve.artifact.score_facts import ScoreFacts
    from gnas_serve.service.access_log import AccessLog
    from gnas_serve.service.tracing import Tracing

Door = Literal["http", "grpc"]
SHARE_BUCKETS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


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

        registry = REGISTRY if registry is None else registry
        self._access_log, self._tracing = access_log, tracing
        self._follows = access_log is not None or tracing is not None
        self._answers = AnswerMetrics(registry)
        self._until_timed = 1
        self._requests = Counter(
            "gnas_serve_requests", "Requests answered.", ["door", "method", "code"], registry=registry
        )
        self._durations = Histogram(
            "gnas_serve_request_duration_seconds",
            "From the first byte read to the answer handed over.",
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
            "gnas_serve_variant_answers", "Answers by variant, while a canary runs.", ["variant"], registry=registry
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
            "Questions that the shadow was not asked, or refused.",
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
        # `labels()` takes a lock and builds a key each time: the few children are kept.
        self._request_children: dict[tuple[Door, str, str], Counter] = {}
        self._duration_children: dict[tuple[Door, str], Histogram] = {}
        self._source_children: dict[str, Counter] = {}
        self._in_flight_children: dict[Door, Gauge] = {
            "http": self._in_flight.labels("http"),
            "grpc": self._in_flight.labels("grpc"),
        }

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
        self._variants.labels(variant).inc()

    def shadowed(self, overlap: float, duration_s: float) -> None:
        """Tell of an answer of the shadow."""
        self._overlaps.observe(overlap)
        self._shadow_durations.observe(duration_s)

    def shadow_skipped(self) -> None:
        """Count a question that the shadow was not asked: too many wait."""
        self._shadow_unasked.labels("busy").inc()

    def shadow_refused(self) -> None:
        """Count a question that the shadow cannot answer: it has not what the question names."""
        self._shadow_unasked.labels("refused").inc()

    def began(self, door: Door, traceparent: bytes = b"", tracestate: bytes = b"") -> None:
        """Count a request in.

        Parameters
        ----------
        traceparent, tracestate
            Its headers of these names, empty where they are absent.
        """
        self._in_flight_children[door].inc()
        if self._follows:
            tracing = self._tracing
            sent = traceparent.decode("latin-1"), tracestate.decode("latin-1")
            CURRENT.set(Trail(None if tracing is None else tracing.context(*sent)))

    def ended(self, door: Door, method: str, code: str, duration_s: float, request_id: str = "") -> None:
        """Count a request out.

        Parameters
        ----------
        door, method, code
            Labels: the call's name, and its status in the words of its protocol.
        duration_s
            How long it took.
        request_id
            For the log line.
        """
        self._in_flight_children[door].dec()
        key = (door, method, code)
        requests = self._request_children.get(key)
        if requests is None:
            requests = self._request_children[key] = self._requests.labels(*key)
        requests.inc()
        durations = self._duration_children.get((door, method))
        if durations is None:
            durations = self._duration_children[door, method] = self._durations.labels(door, method)
        durations.observe(duration_s)
        if self._follows and (trail := CURRENT.get()) is not None:
            CURRENT.set(None)
            told = door, method, code, duration_s, request_id
            trace_id = None if self._tracing is None else self._tracing.tell(trail, *told)
            if self._access_log is not None:
                self._access_log.write(*told, user_id=trail.user_id, trace_id=trace_id)

    def asked(self, user_id: Id | None, version: str) -> StageClock | None:
        """Take note of a question before it is answered.

        Parameters
        ----------
        user_id
            Whom it is about.
        version
            Of the artifact that is asked.

        Returns
        -------
        StageClock or None
            For the question's stages, where they are to be timed.
        """
        if self._follows and (trail := CURRENT.get()) is not None:
            trail.noted(user_id, version)
            if (clock := trail.clock()) is not None:
                return clock
        self._until_timed -= 1
        if self._until_timed:
            return None
        self._until_timed = TIMED
        return StageClock()

    def noted(self, user_id: Id | None, version: str) -> None:
        """Take note of what passes no stages; parameters as of :meth:`asked`."""
        if self._follows and (trail := CURRENT.get()) is not None:
            trail.noted(user_id, version)

    def answered(self, answer: Answer, clock: StageClock | None = None) -> None:
        """Count how an asker was represented, whether there was enough to answer, and what was unknown."""
        child = self._source_children.get(answer.source)
        if child is None:
            child = self._source_children[answer.source] = self._sources.labels(answer.source)
        child.inc()
        if answer.underfilled:
            self._underfilled.inc()
        self._answers.answered(answer, clock)
        if self._follows and (trail := CURRENT.get()) is not None:
            trail.source = answer.source

    def recommended(self, query: Query, answer: Answer) -> None:
        """Look at an answer of the stable model, for coverage and drift."""
        self._answers.recommended(query, answer)
