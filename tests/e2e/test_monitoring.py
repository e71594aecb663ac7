"""Dashboard and alerts of `examples/monitoring`: of metrics that a real server has. Its log and its traces."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import grpc
import jsonschema
import promql_parser
import pytest
import yaml
from kubernetes_manifests import built
from promql_names import OF_OTHERS, OF_THE_TARGET, labels_on, selectors, unknown, values_on
from served_process import Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.errors import GnasError
from gnas_serve.service.client import recommend
from gnas_serve.service.errors import STATUSES, OverloadedError, RateLimitedError

EXAMPLE = Path(__file__).parents[2] / "examples" / "monitoring"
DASHBOARD = json.loads((EXAMPLE / "dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((EXAMPLE / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
BURST = 6
# As Grafana fills them in.
VARIABLES = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*", "$method": ".*", "$namespace": "shop"}
RULE_FILE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["groups"],
    "properties": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "rules"],
                "properties": {
                    "name": {"type": "string"},
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["alert", "expr", "for", "labels", "annotations"],
                            "properties": {
                                "alert": {"type": "string", "pattern": "^GnasServe[A-Za-z]+$"},
                                "expr": {"type": "string"},
                                "for": {"type": "string", "pattern": "^[0-9]+m$"},
                                "labels": {
                                    "type": "object",
                                    "required": ["severity"],
                                    "additionalProperties": {"type": "string"},
                                },
                                "annotations": {
                                    "type": "object",
                                    "required": ["summary", "description"],
                                    "additionalProperties": {"type": "string"},
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


HAS_EXPORTER = find_spec("opentelemetry.exporter") is not None


class Collector(BaseHTTPRequestHandler):
    """Takes what an OTLP exporter sends."""

    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:  # http.server's
        assert self.path == "/v1/traces"
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def collector() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        taking = threading.Thread(target=server.serve_forever)
        taking.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        taking.join()


@dataclass(frozen=True)
class Watched:
    """What a server told that has answered, erred and refused at both doors, and ended."""

    page: str
    log: str
    spans: bytes


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, collector: str) -> Watched:
    facts = ScoreFacts(60, 2.0, 1.0, (1.0, 2.0), (0.2, 0.3, 0.5))
    artifact = write_tiny_artifact(tmp_path_factory.mktemp("watched") / "artifact", scores=facts)
    settings = {"GNAS_RATE_PER_S": "0.001", "GNAS_RATE_BURST": str(BURST)}
    settings |= {"GNAS_ACCESS_LOG": "1", "GNAS_LOG_FORMAT": "json"}
    if HAS_EXPORTER:
        settings |= {"GNAS_TRACING": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    served = Served(str(artifact), artifact.parent / "elsewhere", settings=settings)
    try:
        questions: list[dict[str, Any]] = [{"user_id": 1001}, {"user_id": 1001, "k": 1000}, {}, {"history": [2001]}]
        for question in questions:
            served.http("/v1/recommend", question)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            served.http("/v1/recommend", {"k": 0})
        recommend(served.ready["grpc"], user_id=1001)
        assert len(questions) + 2 == BURST  # a caller is one at both doors
        with pytest.raises(urllib.error.HTTPError, match="429"):
            served.http("/v1/recommend", {})
        with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
            recommend(served.ready["grpc"], user_id=1001)
        # A gRPC call is counted when its handler ends, which may be after its caller has the answer.
        until = time.monotonic() + 10
        while "RESOURCE_EXHAUSTED" not in (page := served.http("/metrics")) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        assert served.stop() == 0, served.log.read_text()
    return Watched(page, served.log.read_text(), b"".join(Collector.bodies))


@pytest.fixture(scope="module")
def page(watched: Watched) -> str:
    return watched.page


@pytest.fixture(scope="module")
def known(page: str) -> dict[str, set[str]]:
    return {**labels_on(page), **{name: set(labels) for name, labels in OF_OTHERS.items()}}


def filled(text: str) -> str:
    """Put values in the places of Grafana's variables."""
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    assert "$" not in text
    return text


def of_the_dashboard() -> list[str]:
    return [filled(target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_metric_and_label_is_on_the_page(known: dict[str, set[str]]) -> None:
    for expression in [*of_the_dashboard(), *(rule["expr"] for rule in RULES)]:
        assert unknown(expression, known) == [], expression


def test_what_tells_of_misspelt_feedback_is_seen_and_raises_an_alarm() -> None:
    metric = "gnas_serve_feedback_unlike_data_total"
    for expressions in (of_the_dashboard(), [rule["expr"] for rule in RULES]):
        assert [one for one in expressions if metric in {selector.name for selector in selectors(one)}]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("gnas_serve_request_total", "no metric gnas_serve_request_total"),
        ("process_cpu_seconds_total", "no metric process_cpu_seconds_total"),
        ('rate(gnas_serve_requests_total{status="200"}[5m])', "no label status of gnas_serve_requests_total"),
        ("sum by (source) (rate(gnas_serve_requests_total[5m]))", "no label source of gnas_serve_requests_total"),
        ("up == 1 unless on (door) gnas_serve_model_info", "no label door of gnas_serve_model_info"),
        (
            "histogram_quantile(0.9, sum by (door) (rate(gnas_serve_request_duration_seconds_bucket[5m])))",
            "le is not kept by sum",
        ),
        ("histogram_quantile(0.9, gnas_serve_requests_total)", "no label le of gnas_serve_requests_total"),
    ],
)
def test_what_is_not_there_is_found(known: dict[str, set[str]], expression: str, problem: str) -> None:
    assert problem in unknown(expression, known)


def test_codes_and_sources_that_are_asked_for_exist(page: str) -> None:
    own = {kind: statuses for kind, statuses in STATUSES.items() if statuses.http in (500, 503, 504)}
    codes = {str(one.http.value) for one in STATUSES.values()} | {one.grpc.name for one in STATUSES.values()}
    faults = {str(one.http.value) for one in own.values()} | {one.grpc.name for one in own.values()} - {
        "FAILED_PRECONDITION"  # which is also said of what a caller asks for
    }
    refused = {code for kind in (OverloadedError, RateLimitedError) for code in _codes(kind)}
    assert refused == {"429", "RESOURCE_EXHAUSTED"} <= values_on(page, "gnas_serve_requests_total", "code")
    for rule in RULES:
        for selector in selectors(rule["expr"]):
            for matcher in selector.matchers.matchers:
                if matcher.name == "code":
                    matched = {code for code in codes if re.fullmatch(matcher.value, code)}
                    assert matched == (faults if rule["alert"] == "GnasServeErrors" else refused)
                elif matcher.name not in OF_THE_TARGET:
                    assert matcher.value in values_on(page, selector.name, matcher.name)
    errors = next(panel for panel in DASHBOARD["panels"] if panel["title"] == "Errors")["targets"][0]["expr"]
    said = next(rule for rule in RULES if rule["alert"] == "GnasServeErrors")["expr"]
    assert re.findall(r'code=~"([^"]+)"', errors) == re.findall(r'code=~"([^"]+)"', said)


def _codes(kind: type[GnasError]) -> tuple[str, str]:
    return str(STATUSES[kind].http.value), STATUSES[kind].grpc.name


def test_the_kubelets_metrics_are_asked_of_our_container() -> None:
    (own,) = built(feedback=False)["Deployment", "gnas-serve"]["spec"]["template"]["spec"]["containers"]
    for expression in of_the_dashboard():
        for selector in selectors(expression):
            if selector.name.startswith("container_"):
                (container,) = [one.value for one in selector.matchers.matchers if one.name == "container"]
                assert container == own["name"]


def test_alerts_are_of_the_form_that_prometheus_reads() -> None:
    jsonschema.validate(yaml.safe_load((EXAMPLE / "alerts.yml").read_text()), RULE_FILE)
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(f"`{name}`" in (EXAMPLE / "README.md").read_text() for name in names)
    services = {name for kind, name in built(feedback=False) if kind == "Service"}
    for rule in RULES:
        for selector in selectors(rule["expr"]):
            assert all(one.value in services for one in selector.matchers.matchers if one.name == "job")


def test_annotations_name_labels_that_the_alert_has(known: dict[str, set[str]]) -> None:
    for rule in RULES:
        used = re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))
        # Grouping the result by a label that it does not have any more is what is found above.
        needed = f"sum by ({', '.join(used)}) ({rule['expr']})"
        assert unknown(needed, known) == [], rule["alert"]
        promql_parser.parse(needed)


def test_panels_fit_the_grid_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)
    variables = {f"${variable['name']}" for variable in DASHBOARD["templating"]["list"]}
    assert variables == {*VARIABLES, "$datasource"} - {"$__rate_interval"}


def test_every_line_of_the_log_is_json_and_none_names_a_user_or_an_item(watched: Watched) -> None:
    lines = [json.loads(line) for line in watched.log.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert any(line["logger"].startswith("bentoml") for line in lines)
    assert any(line["message"].startswith("serving tiny") for line in lines)
    asked = [line for line in lines if line["logger"] == "gnas_serve.service.access_log"]
    codes = sorted(line["code"] for line in asked)
    assert codes == ["200"] * 4 + ["400", "429", "OK", "RESOURCE_EXHAUSTED"]
    assert len({line.get("user") for line in asked}) == 2  # one user and nobody
    assert not re.search(r"\b(1001|2001)\b", " ".join(line["message"] for line in asked))
    assert not {1001, 2001, "1001", "2001"} & {value for line in lines for value in line.values()}


@pytest.mark.skipif(not HAS_EXPORTER, reason="needs the extra [tracing]")
def test_traces_reach_a_collector(watched: Watched) -> None:
    lines = [json.loads(line) for line in watched.log.splitlines()]
    traced = {line["trace_id"] for line in lines if "trace_id" in line}
    assert len(traced) == 8
    assert all(bytes.fromhex(trace_id) in watched.spans for trace_id in traced)
    assert all(word in watched.spans for word in (b"recommend", b"retrieve", b"gnas.artifact.version", b"gnas-serve"))
    assert b"1001" not in watched.spans


def test_the_variables_read_metrics_that_exist(known: dict[str, set[str]]) -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert query is not None
            assert unknown(f"sum by ({query[2]}) ({filled(query[1])})", known) == []
