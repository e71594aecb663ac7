"""Tracing: OpenTelemetry spans of requests, where it is asked for.

BentoML's middlewares, which would make spans, are passed by, and gRPC has none here. A span is made once its request is
answered, of the times that were taken: until then a traced request costs the clocks, and one that is not traced a look
at its headers. What a span says has no id of a user or an item in it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any

from gnas_serve.errors import MissingExtraError
from gnas_serve.service.settings import Settings
from gnas_serve.service.trail import Trail

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

_FLUSH_S = 5.0
# By OpenTelemetry's conventions for spans of gRPC servers.
_GRPC_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class Tracing:
    """Makes spans, and hands them to an exporter in batches, in a thread.

    Parameters
    ----------
    share
        Of the requests that come without a ``traceparent`` and are traced, 0 to 1. What comes with one is traced where
        that says so.
    exporter
        Where spans go.
    draw
        Gives numbers from 0 to 1; other than by chance in tests.
    """

    def __init__(self, share: float, exporter: SpanExporter, draw: Callable[[], float] = random.random) -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._share = share
        self._draw = draw
        self._propagator = TraceContextTextMapPropagator()
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say has the last word.
        resource = Resource({"service.name": "gnas-serve"}).merge(OTELResourceDetector().detect())
        self._processor = BatchSpanProcessor(exporter)
        provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("gnas_serve")

    @classmethod
    def of(cls, settings: Settings) -> Tracing | None:
        """Begin to trace as the settings say; the exporter reads the ``OTEL_EXPORTER_OTLP_...`` variables.

        Raises
        ------
        MissingExtraError
            If there is no exporter.
        """
        if settings.tracing is None:
            return None
        return cls(settings.tracing, _exporter()())

    def context(self, traceparent: str, tracestate: str) -> Context | None:
        """Tell in which context a request is traced; None where it is not.

        Parameters
        ----------
        traceparent, tracestate
            The headers, empty where they are absent.

        References
        ----------
        W3C Trace Context, level 1.
        """
        from opentelemetry.context import Context
        from opentelemetry.trace import get_current_span

        if traceparent:
            carrier = {"traceparent": traceparent, "tracestate": tracestate}
            context = self._propagator.extract(carrier, Context())
            parent = get_current_span(context).get_span_context()
            if parent.is_valid:
                return context if parent.trace_flags.sampled else None
        return Context() if self._draw() < self._share else None

    def tell(self, trail: Trail, door: str, method: str, code: str, duration_s: float, request_id: str) -> str | None:
        """Make the spans of a request that is answered.

        Parameters
        ----------
        trail
            What is known of it.
        door, method, code, duration_s, request_id
            As :meth:`gnas_serve.service.telemetry.Telemetry.ended`.

        Returns
        -------
        str or None
            The id of the trace; None where it is not traced.
        """
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        if trail.context is None:
            return None
        ended = time_ns()
        offset = ended - int(perf_counter() * 1e9)
        attributes: dict[str, Any] = {"gnas.door": door, "gnas.method": method, "gnas.code": code}
        attributes["gnas.request_id"] = request_id
        if trail.questions:
            attributes |= {"gnas.questions": trail.questions, "gnas.artifact.version": trail.version}
        if trail.source:
            attributes["gnas.source"] = trail.source
        span = self._tracer.start_span(
            method, trail.context, SpanKind.SERVER, attributes, start_time=ended - int(duration_s * 1e9)
        )
        within = set_span_in_context(span, trail.context)
        for clock in trail.clocks:
            for stage, began_s, ended_s in clock.spans():
                child = self._tracer.start_span(stage, within, start_time=offset + int(began_s * 1e9))
                child.end(offset + int(ended_s * 1e9))
        if code in _GRPC_FAULTS or code.startswith("5"):
            span.set_status(StatusCode.ERROR)
        span.end(ended)
        return f"{span.get_span_context().trace_id:032x}"

    def close(self) -> None:
        """Export what is left, for some seconds at most: a collector that is gone must not hold up the end."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_S)


def check_exporter(settings: Settings) -> None:
    """Make sure that what is to be traced can be exported.

    Raises
    ------
    MissingExtraError
        If it cannot.
    """
    if settings.tracing is not None:
        _exporter()


def _exporter() -> type[SpanExporter]:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise MissingExtraError(
            "GNAS_TRACING is set, and there is no exporter for traces", hint="pip install 'gnas-serve[tracing]'"
        ) from error
    exporter: type[SpanExporter] = OTLPSpanExporter
    return exporter
