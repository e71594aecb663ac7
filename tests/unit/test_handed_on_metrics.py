"""What telemetry counts in plain numbers is what the metrics would have been told one by one."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Histogram

from gnas_serve.service.tallied_histogram import TalliedHistogram
from gnas_serve.service.telemetry import HANDED_ON_S, LATENCY_BUCKETS_S, Telemetry

DURATIONS_S = [0.0, 0.0005, 0.00051, 0.0049, 0.005, 3.0, 10.0, 11.0, 1e6]


def samples(registry, name):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in registry.collect()
        if metric.name == name
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_durations_fall_into_the_buckets_that_prometheus_would_choose():
    name = "gnas_serve_request_duration_seconds"
    registry, other = CollectorRegistry(), CollectorRegistry()
    telemetry = Telemetry(registry)
    plain = Histogram(name, "The same.", ["door", "method"], buckets=LATENCY_BUCKETS_S, registry=other)
    for turn, duration_s in enumerate(DURATIONS_S):
        telemetry.began("http")
        telemetry.ended("http", "recommend", "200", duration_s)
        plain.labels("http", "recommend").observe(duration_s)
        if turn % 4 == 0:
            telemetry.hand_on()
    telemetry.hand_on()
    assert samples(registry, name) == samples(other, name)


def test_handing_on_twice_counts_once_and_nothing_is_told_before():
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    labels = {"door": "grpc", "method": "rank", "code": "OK"}
    for _ in range(3):
        telemetry.began("grpc")
    telemetry.ended("grpc", "rank", "OK", 0.001)
    assert registry.get_sample_value("gnas_serve_requests_total", labels) is None
    telemetry.hand_on()
    telemetry.hand_on()
    assert registry.get_sample_value("gnas_serve_requests_total", labels) == 1
    assert registry.get_sample_value("gnas_serve_in_flight_requests", {"door": "grpc"}) == 2
    assert registry.get_sample_value("gnas_serve_in_flight_requests", {"door": "http"}) == 0


def test_it_hands_on_by_itself_again_and_again():
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    labels = {"door": "http", "method": "model", "code": "200"}

    async def run() -> list[float | None]:
        telemetry.keep_handing_on(asyncio.get_running_loop())
        seen = []
        for _ in range(2):
            telemetry.began("http")
            telemetry.ended("http", "model", "200", 0.001)
            await asyncio.sleep(1.5 * HANDED_ON_S)
            seen.append(registry.get_sample_value("gnas_serve_requests_total", labels))
        return seen

    assert asyncio.run(run()) == [1, 2]


def test_counts_of_other_buckets_are_refused():
    histogram = TalliedHistogram("some_seconds", "x", buckets=(1.0, 2.0), registry=CollectorRegistry())
    with pytest.raises(ValueError, match="zip"):
        histogram.add([1, 2], 3.0)
