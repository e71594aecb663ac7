"""A real `gnas-serve serve` process: both doors, their surroundings, ports taken, and how it stops."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from processes import words_of
from served_process import BENTOML_CLIENT, Served, free_port
from tiny_artifact import write_tiny_artifact

from gnas_serve import kernels
from gnas_serve.service.auth import digest_of
from gnas_serve.service.client import recommend
from gnas_serve.service.grpc_calls import SERVICE
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.proto.recommender_pb2_grpc import RecommenderStub


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("serve") / "artifact")


@pytest.fixture(scope="module")
def served(artifact: Path) -> Iterator[Served]:
    running = Served(str(artifact), artifact.parent / "elsewhere")
    yield running
    if running.process.poll() is None:
        assert running.stop() == 0, running.log.read_text()


def test_both_doors_give_the_same_answers(served: Served) -> None:
    for row in range(60):
        over_http = served.http("/v1/recommend", {"user_id": 1000 + row, "k": 7})
        assert over_http == recommend(served.ready["grpc"], user_id=1000 + row, k=7)
        assert len(over_http["items"]) == 7
    assert served.http("/v1/recommend", {"history": [2001]}) == recommend(served.ready["grpc"], history=(2001,))


def test_what_is_said_when_ready(served: Served) -> None:
    assert served.ready["model"] == {"name": "tiny", "version": "test-0"}
    assert served.http("/v1/model")["name"] == "tiny"
    assert f"serving tiny test-0, computed by {kernels.described()}, gRPC on port" in served.log.read_text()


def test_health_of_both_doors(served: Served) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert served.http(path).strip() == ""
    with served.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            status = health.Check(health_pb2.HealthCheckRequest(service=name)).status
            assert status == health_pb2.HealthCheckResponse.SERVING


def test_reflection(served: Served) -> None:
    with served.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
        (reply,) = stub.ServerReflectionInfo(iter([request]))
    assert b"RecommendBatch" in b"".join(reply.file_descriptor_response.file_descriptor_proto)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at threads as Linux tells of them")
def test_grpcio_works_in_one_thread_that_steps_back(served: Served) -> None:
    worker = next(
        process
        for process in psutil.Process(served.process.pid).children(recursive=True)
        if any(one.laddr and one.laddr.port == served.grpc_port for one in process.net_connections())
    )
    tasks = [path for path in Path(f"/proc/{worker.pid}/task").iterdir() if path.name != str(worker.pid)]

    def waits_of_the_pool() -> int:
        said = [(path / "status").read_text() for path in tasks if (path / "comm").read_text() == "event_engine\n"]
        return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in said)

    with served.channel() as channel:
        stub = RecommenderStub(channel)
        stub.Recommend(pb.RecommendRequest())  # to open a connection takes timers, which are the pool's
        before = waits_of_the_pool()
        for _ in range(100):
            stub.Recommend(pb.RecommendRequest())
        assert waits_of_the_pool() - before < 100  # three for each call, where the pool reads
    nice = os.getpriority(os.PRIO_PROCESS, worker.pid)
    assert max(os.getpriority(os.PRIO_PROCESS, int(path.name)) for path in tasks) == min(nice + 10, 19)


def test_metrics_of_both_doors_are_in_bentomls(served: Served) -> None:
    served.http("/v1/recommend", {"user_id": 1001})
    recommend(served.ready["grpc"], user_id=1001)
    lines = served.http("/metrics").splitlines()
    for door, code in (("http", "200"), ("grpc", "OK")):
        name = f'gnas_serve_requests_total{{code="{code}",door="{door}",method="recommend"}} '
        assert any(line.startswith(name) and float(line.split()[-1]) >= 1 for line in lines)
    assert any(line.startswith("gnas_serve_model_info{") and 'version="test-0"' in line for line in lines)
    assert any(line.startswith('gnas_serve_answers_total{source="user"}') for line in lines)
    assert any('gnas_serve_request_duration_seconds_bucket{door="grpc",le="0.0005"' in line for line in lines)


def test_the_page_for_people_leads_to_what_there_is(served: Served) -> None:
    page = served.http("/")
    assert "google" not in page
    links = re.findall(r'href="([^"]*)"', page)
    assert links
    assert all(served.http(f"/{link}") is not None for link in links)  # which raises where it is not 200


def test_openapi_lists_the_calls_with_their_schemas(served: Served) -> None:
    document = served.http("/docs.json")
    schemas = document["components"]["schemas"]
    for path, method, request in (
        ("/v1/recommend", "post", "RecommendRequest"),
        ("/v1/recommend/batch", "post", "RecommendBatchRequest"),
        ("/v1/similar-items", "post", "SimilarItemsRequest"),
        ("/v1/similar-users", "post", "SimilarUsersRequest"),
        ("/v1/rank", "post", "RankRequest"),
        ("/v1/explain", "post", "ExplainRequest"),
        ("/v1/model", "get", None),
    ):
        operation = document["paths"][path][method]
        expected = {"200", "401", "405", "408", "413", "429", "431", "500", "503", "504"}
        expected |= {"400", "404", "415"} if request else set()
        if request and path != "/v1/similar-users":
            expected.add("422")  # of what is told of users and items
        assert set(operation["responses"]) == expected
        problems = [reply["content"] for status, reply in operation["responses"].items() if status != "200"]
        assert all("application/problem+json" in content for content in problems)
        if request:
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert reference == f"#/components/schemas/{request}"
            assert schemas[request]["additionalProperties"] is False
    address = document["paths"]["/v1/users/{user_id}/recommendations"]["get"]
    fields = {parameter["name"]: parameter["in"] for parameter in address["parameters"]}
    assert fields.pop("user_id") == "path"
    assert set(fields) == set(schemas["RecommendRequest"]["properties"]) - {"user_id"}
    assert {"400", "404"} < set(address["responses"])
    references = set(_references(document))
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(schemas)
    # The server keeps no feedback and has no admins; anybody may call.
    assert not {"/v1/feedback", "/v1/admin/deployment"} & set(document["paths"])
    assert address["security"] == []


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_bentomls_client_gets_the_same_answers(served: Served) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BENTOML_CLIENT, served.ready["http"]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    one, many, like = json.loads(done.stdout.splitlines()[-1])
    assert one == served.http("/v1/recommend", {"user_id": 1007, "k": 3})
    assert many["results"] == [one]
    assert like == served.http("/v1/similar-items", {"item_id": 2003, "k": 3})


def test_a_body_of_20_megabytes_is_refused_with_a_reason(served: Served) -> None:
    worker = _worker(served)
    before = worker.memory_info().rss
    connection = http.client.HTTPConnection("127.0.0.1", served.http_port, timeout=10)
    connection.request("POST", "/v1/recommend", b" " * 20_000_000)
    reply = connection.getresponse()
    assert (reply.status, json.load(reply)["code"]) == (413, "body_too_large")
    assert reply.getheader("connection") == "close"
    connection.close()
    assert worker.memory_info().rss - before < 10_000_000
    assert served.http("/v1/recommend", {})["items"]


def test_a_garbled_request_does_not_hurt_the_server(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=5) as raw:
        raw.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert served.http("/v1/recommend", {})["items"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_the_serving_process_has_no_training_library_in_memory(served: Served) -> None:
    mapped = Path(f"/proc/{_worker(served).pid}/maps").read_text()
    assert "onnxruntime" in mapped
    for library in ("libtorch", "/torch/", "/polars", "/scipy/", "/numba/"):
        assert library not in mapped


def test_a_port_that_is_taken(served: Served, artifact: Path) -> None:
    for http_port, grpc_port, option in (
        (served.http_port, free_port(), "--http-port"),
        (free_port(), served.grpc_port, "--grpc-port"),
    ):
        command = [sys.executable, "-m", "gnas_serve.cli", "serve", str(artifact)]
        command += ["--http-port", str(http_port), "--grpc-port", str(grpc_port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 10, done.stderr
        assert option in done.stderr
        assert done.stdout == ""


def test_wrong_arguments(artifact: Path, tmp_path: Path) -> None:
    for arguments, text in (
        ([str(tmp_path / "nothing")], "neither the folder of an artifact nor the tag of a Bento"),
        ([str(artifact), "--host", "localhost"], "not an IP address"),
        ([str(artifact), "--http-port", "3333", "--grpc-port", "3333"], "both doors"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "gnas_serve.cli", "serve", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stderr
        assert text in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("GNAS_TIMEOUT_S", "nan"), ("GNAS_DRAIN_S", "-1"), ("GNAS_MAX_IN_FLIGHT", "0"), ("GNAS_ACCESS_LOG", "maybe")],
)
def test_a_wrong_setting(artifact: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "gnas_serve.cli", "serve", str(artifact)]
    command += ["--http-port", str(free_port()), "--grpc-port", str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert name in done.stderr


# Last: it stops the server of this module.
def test_sigterm_drains_both_doors(served: Served) -> None:
    body = b'{"user_id": 1007, "k": 3}'
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=20) as raw, served.channel() as channel:
        head = f"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        raw.sendall(head.encode() + body[:5])
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=20)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        served.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        # The HTTP request is still on its way: it ends well, and so do gRPC calls meanwhile.
        time.sleep(0.2)
        over_grpc = recommend(served.ready["grpc"], user_id=1007, k=3)
        raw.sendall(body[5:])
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status == 200
        assert json.load(answer) == over_grpc
    status = served.process.wait(30)
    assert served.process.stdout is not None
    served.process.stdout.close()
    assert status == 0, served.log.read_text()
    for port in (served.http_port, served.grpc_port):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), timeout=2)


def _worker(served: Served) -> psutil.Process:
    """Find the process that answers: the one below BentoML's supervisor."""
    children = psutil.Process(served.process.pid).children(recursive=True)
    (found,) = [child for child in children if "_bentoml_impl.worker.service" in " ".join(words_of(child))]
    return found


def test_places_are_looked_up_from_where_the_command_was_started(artifact: Path, tmp_path: Path) -> None:
    """Not from the folder that the workers work in; those of a settings file from where it lies."""
    settings = tmp_path / "etc"
    settings.mkdir()
    (settings / "keys").write_text(f"shop {digest_of('k' * 32)}\n")
    (settings / "serve.toml").write_text('api_keys = "keys"\n')
    served = Served(
        str(artifact), tmp_path / "started", settings={"GNAS_SETTINGS": "../etc/serve.toml", "GNAS_FEEDBACK": "log"}
    )
    try:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            served.http("/v1/recommend", {"user_id": 1001})
        assert (tmp_path / "started" / "log").is_dir()
    finally:
        assert served.stop() == 0, served.log.read_text()
