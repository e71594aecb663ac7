"""Metrics and the access log of both doors.

All names begin with ``gnas_serve_``, units are base units, and no id is ever a label. Under BentoML every worker
writes to the shared multiprocess folder, and any worker's ``/metrics`` shows the sum.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from gnas_serve.runtime.query import ModelInfo

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Door = Literal["http", "grpc"]
SHARE_BUCKETS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_log = logging.getLogger(__name__)


class Telemetry:
    """Counts what the doors of one worker do.

    Parameters
    ----------
    registry
        Where the metrics are registered; the process's own, which BentoML exposes, when not given.
    access_log
        Whether each request is also a log line.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, access_log: bool = False) -> None:
        # Imported here: prometheus_client decides at its import whether it writes for one process or for many,
        # and a worker's environment says so only after this module was imported by its parent.
        from prometheus_client import REGISTRY, Counter, Gauge, Histogram

        registry = REGISTRY if registry is None else registry
        self._access_log = access_log
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

    def serving(self, *models: ModelInfo) -> None:
        """Say what is being served, and that what was before is no more."""
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

    def began(self, door: Door) -> None:
        """Count a request in."""
        self._in_flight_children[door].inc()

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
        if self._access_log:
            _log.info("%s %s %s %.2f ms %s", door, method, code, duration_s * 1e3, request_id or "-")

    def answered(self, source: str, *, underfilled: bool) -> None:
        """Count how an asker was represented, and whether there was enough to answer."""
        child = self._source_children.get(source)
        if child is None:
            child = self._source_children[source] = self._sources.labels(source)
        child.inc()
        if underfilled:
            self._underfilled.inc()
