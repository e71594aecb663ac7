"""What is no HTTP, or wants to be two requests to two readers, at the socket of a real server."""

from __future__ import annotations

import http.client
import io
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest
from leaks import leak_of
from served_process import Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.connections import MAX_HEAD_BYTES

TIMEOUT_S = 2
HOST = b"host: x\r\n"
CLOSE = b"connection: close\r\n"
GET = b"GET /v1/model HTTP/1.1\r\n" + HOST
POST = b"POST /v1/recommend HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"transfer-encoding: chunked\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("raw")
    settings = {"GNAS_TIMEOUT_S": str(TIMEOUT_S)}
    server = Served(str(write_tiny_artifact(folder / "artifact")), folder / "run", settings=settings)
    try:
        yield server
    finally:
        assert server.stop() == 0, server.log.read_text()


def exchange(served: Served, sent: bytes, limit_s: float = 5.0) -> bytes:
    """Send bytes, and take all that comes until the server closes, or says nothing for so long."""
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=limit_s) as raw:
        with suppress(ConnectionError):  # closed while we were sending
            raw.sendall(sent)
        return rest_of(raw)


def rest_of(raw: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionError, TimeoutError):
        while part := raw.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def replies_of(received: bytes) -> list[tuple[int, str, bytes]]:
    """Read replies, one after the other, as status, content type and body."""
    found = []
    left = io.BytesIO(received)
    while left.tell() < len(received):
        status = int(left.readline().split()[1])
        headers = http.client.parse_headers(left)
        assert "content-length" in headers
        found.append((status, headers.get("content-type", ""), left.read(int(headers["content-length"]))))
    return found


def is_well(served: Served) -> bool:
    return bool(served.http("/v1/recommend", {"user_id": 1007, "k": 3})["items"])


MALFORMED = {
    "not HTTP": b"hello\r\n\r\n",
    "TLS": bytes.fromhex("16030100f1010000ed0303") + bytes(range(200)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version to come": b"GET /v1/model HTTP/7.3\r\n" + HOST + b"\r\n",
    "no such method": b"FETCH /v1/model HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path of other bytes": b"GET /v1/users/\xff\xfe/recommendations HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space in the path": b"GET /v1/users/a b/recommendations HTTP/1.1\r\n" + HOST + b"\r\n",
    "a header without a colon": GET + b"nothing\r\n\r\n",
    "a null in a header": GET + b"x-a: a\x00b\r\n\r\n",
    "a space before the colon": POST + b"content-length : 2\r\n\r\n{}",
    "two lengths": POST + b"content-length: 2\r\ncontent-length: 20\r\n\r\n{}",
    "two equal lengths": POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "a length and chunks": CHUNKED + b"content-length: 2\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": POST + b"content-length: -1\r\n\r\n{}",
    "a signed length": POST + b"content-length: +2\r\n\r\n{}",
    "a hexadecimal length": POST + b"content-length: 0x2\r\n\r\n{}",
    "a list of lengths": POST + b"content-length: 2, 2\r\n\r\n{}",
    "a huge length": POST + b"content-length: " + b"9" * 40 + b"\r\n\r\n{}",
    "chunks that are not last": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an encoding of another name": POST + b"transfer-encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a chunk of no number": CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a huge chunk": CHUNKED + b"\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + b"\r\n1\r\n{}\r\n0\r\n\r\n",
    "a chunk with bare line feeds": CHUNKED + b"\r\n2\n{}\n0\n\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_request_is_refused_and_the_connection_closed(served: Served, sent: bytes) -> None:
    # What follows is not to be taken for a request of its own.
    replies = replies_of(exchange(served, sent + GET + b"\r\n"))
    assert [reply[0] for reply in replies] == [400], replies
    status, kind, body = replies[0]
    assert kind == "application/problem+json"
    assert json.loads(body)["status"] == status
    assert leak_of(body.decode()) is None
    assert is_well(served)


@pytest.mark.parametrize(
    ("identifier", "status"),
    [
        (b"1007", 200),
        (b"%31%30%30%37", 200),
        (b"a%2Fb", 200),
        (b"..%2f..%2fetc%2fpasswd", 200),
        (b"%00", 200),
        (b"%F0%9F%98%80", 200),
        (b"%C3%28", 400),
        (b"%ff%fe", 400),
        (b"%ED%A0%80", 400),  # half of a surrogate pair
        (b"", 400),
        (b"x" * 257, 400),
        (b"a/b", 404),
    ],
)
def test_user_ids_in_the_address(served: Served, identifier: bytes, status: int) -> None:
    sent = b"GET /v1/users/%b/recommendations?k=3 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % identifier
    replies = replies_of(exchange(served, sent))
    assert [reply[0] for reply in replies] == [status], replies
    assert leak_of(replies[0][2].decode()) is None


def test_requests_in_one_piece_are_answered_in_their_order(served: Served) -> None:
    ask = POST + b"content-length: 30\r\n\r\n" + b'{"user_id": 1007, "k": 3}'.ljust(30)
    # A body that looks like a request is a body.
    hidden = POST + b"content-length: 26\r\n\r\n" + b"GET /v1/nothing HTTP/1.1\r\n"
    unknown = b"GET /v1/nothing HTTP/1.1\r\n" + HOST + b"\r\n"
    chunks = CHUNKED + b"\r\n" + b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in b'{"k": 3}') + b"0\r\nx-a: b\r\n\r\n"
    replies = replies_of(exchange(served, (ask + hidden + unknown + chunks) * 20 + GET + CLOSE + b"\r\n"))
    assert [reply[0] for reply in replies] == [*[200, 400, 404, 200] * 20, 200]


def test_a_change_of_protocol_is_not_made(served: Served) -> None:
    key = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
    for wanted in (b"websocket", b"h2c", b"nonsense"):
        sent = GET + b"connection: upgrade\r\nupgrade: " + wanted + b"\r\n" + key + b"\r\n"
        with socket.create_connection(("127.0.0.1", served.http_port), timeout=5) as raw:
            raw.sendall(sent)
            received = raw.recv(1 << 16)
        assert int(received.split()[1]) == 200, received
        assert leak_of(received.decode()) is None


class TestLongHeads:
    @pytest.mark.parametrize("where", ["path", "query", "header", "headers"])
    def test_a_head_beyond_the_limit(self, served: Served, where: str) -> None:
        def ask(length: int) -> int:
            long = b"x" * length
            sent = {
                "path": b"GET /v1/" + long + b" HTTP/1.1\r\n" + HOST,
                "query": b"GET /v1/users/1/recommendations?filter=" + long + b" HTTP/1.1\r\n" + HOST,
                "header": GET + b"x-a: " + long + b"\r\n",
                "headers": GET + b"x-a: %b\r\n" % long[:1000] * (length // 1000),
            }[where]
            ((status, kind, body),) = replies_of(exchange(served, sent + CLOSE + b"\r\n"))
            assert leak_of(body.decode()) is None
            assert (kind == "application/problem+json") == (status >= 400)
            return status

        assert ask(MAX_HEAD_BYTES // 2) in {200, 400, 404}
        assert ask(MAX_HEAD_BYTES + 1000) == 431
        assert ask(20 * MAX_HEAD_BYTES) == 431
        assert is_well(served)

    def test_a_long_body_with_its_head_is_none(self, served: Served) -> None:
        body = b'{"k": 3}'.ljust(2 * MAX_HEAD_BYTES)
        sent = POST + b"content-length: %d\r\n\r\n" % len(body) + body
        assert [reply[0] for reply in replies_of(exchange(served, sent * 3 + GET + CLOSE + b"\r\n"))] == [200] * 4

    @pytest.mark.parametrize(
        "begun",
        [GET, GET + b"x-a: ", CHUNKED + b"\r\n2\r\n{}\r\n0\r\n", CHUNKED + b"\r\n2;"],
        ids=["headers", "one header", "trailers", "an extension of a chunk"],
    )
    def test_what_goes_on_for_ever_takes_no_memory(self, served: Served, begun: bytes) -> None:
        before = _memory(served)
        piece = b"y" * 1000 if begun.endswith((b"x-a: ", b";")) else b"x-a: " + b"y" * 993 + b"\r\n"
        sent = 0
        with socket.create_connection(("127.0.0.1", served.http_port), timeout=5) as raw:
            raw.sendall(begun)
            try:
                while sent < 64 << 20:
                    raw.sendall(piece * 60)
                    sent += len(piece) * 60
            except ConnectionError:
                pass
        assert sent < 16 << 20  # it was closed, rather than read to the end
        assert _memory(served) - before < 24 << 20
        assert is_well(served)


def test_slow_bodies_hold_nobody_up(served: Served) -> None:
    with ExitStack() as stack:
        slow = []
        for _ in range(150):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", served.http_port), timeout=3 * TIMEOUT_S))
            raw.sendall(POST + b"content-length: 100\r\n\r\n{")
            slow.append(raw)
        for _ in range(5):
            for raw in slow:
                raw.sendall(b" ")
            started = time.monotonic()
            assert is_well(served)
            assert time.monotonic() - started < 1
        started = time.monotonic()
        replies = [replies_of(rest_of(raw)) for raw in slow]
        assert {reply[0][0] for reply in replies} == {408}
        assert time.monotonic() - started < TIMEOUT_S + 1  # and all connections are closed


def test_noise(served: Served) -> None:
    rng = random.Random(7)
    right = POST + CLOSE + b"content-length: 25\r\n\r\n" + b'{"user_id": 1007, "k": 3}'
    before = _memory(served)
    for _ in range(250):
        if rng.random() < 0.3:
            sent = rng.randbytes(rng.randrange(1, 400))
        else:
            mutated = bytearray(right)
            for _ in range(rng.randrange(1, 5)):
                place = rng.randrange(len(mutated))
                mutated[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
            sent = bytes(mutated)
        received = exchange(served, sent, 0.05)  # most of it is no whole request, and has no answer
        if received:
            assert int(received.split()[1]) < 500, (sent, received)
            assert leak_of(received.decode(errors="replace")) is None, (sent, received)
    assert is_well(served)
    assert _memory(served) - before < 16 << 20
    assert "Traceback" not in served.log.read_text()


def _memory(served: Served) -> int:
    whole = psutil.Process(served.process.pid)
    return sum(process.memory_info().rss for process in (whole, *whole.children(recursive=True)))
