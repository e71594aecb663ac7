"""What offers another protocol is answered as if it had not, with its body and in its turn; a tunnel is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from http_door_world import ASKED, Door, request
from tiny_artifact import write_tiny_artifact

OFFERS = {
    # As Java's client does with the first request of a connection.
    "h2c": (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAEAAEAAAAIAAAABAAMAAABk"),
    "websocket": (b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13"),
    "nonsense": (b"connection: keep-alive, upgrade", b"connection: x-a", b"upgrade: TLS/1.2, nonsense"),
}
MODEL = b"GET /v1/model HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    opened = Door(write_tiny_artifact(tmp_path_factory.mktemp("protocols") / "artifact"), limit_s=20.0)
    yield opened
    opened.close()


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS.keys())
class TestOffer:
    @pytest.mark.parametrize("path", [b"/v1/recommend", b"/v1/recommend/batch"])
    def test_it_is_answered_like_any_other(self, door: Door, offer: tuple[bytes, ...], path: bytes) -> None:
        body = ASKED if path == b"/v1/recommend" else b'{"queries": [%b]}' % ASKED
        plain, offering = request(body, path=path), request(body, *offer, path=path)
        (wanted,) = door.send(plain)
        (found,) = door.send(offering)
        assert (found[0], found[2]) == (wanted[0], wanted[2]) == (200, wanted[2])

    def test_its_body_is_no_request(self, door: Door, offer: tuple[bytes, ...]) -> None:
        hidden = MODEL + b"x-request-id: hidden\r\n\r\n"
        head, _, body = request(hidden, *offer).partition(b"\r\n\r\n")
        for pieces in ((head + b"\r\n\r\n", body), (head, b"\r\n\r\n", body), (head + b"\r\n\r\n" + body,)):
            refused, model = door.send(*pieces, MODEL + b"\r\n", pause_s=0.05, answers=2)
            assert (refused[0], refused[2]["code"]) == (400, "invalid_json")
            assert model[0] == 200
            assert model[1]["x-request-id"] != "hidden"

    def test_what_comes_after_it_has_its_turn(self, door: Door, offer: tuple[bytes, ...]) -> None:
        chunks = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
        chunks += b"\r\n".join([*offer, b"", b"%x" % len(ASKED), ASKED, b"0", b"", b""])
        offering = MODEL + b"\r\n".join([*offer, b"", b""])
        found = door.send((offering + request(ASKED, *offer) + chunks) * 3, answers=9)
        assert [status for status, *_ in found] == [200] * 9
        assert [("items" in body) for *_, body in found] == [False, True, True] * 3

    def test_a_wish_to_close_is_kept(self, door: Door, offer: tuple[bytes, ...]) -> None:
        first, *rest = offer
        (found,) = door.send(request(ASKED, first + b", close", *rest))
        assert found[1]["connection"] == "close"


def test_there_is_no_tunnel(door: Door) -> None:
    (found,) = door.send(b"CONNECT other:443 HTTP/1.1\r\nhost: other\r\n\r\n" + request())
    assert (found[0], found[2]["code"], found[1]["connection"]) == (400, "invalid_http", "close")


def test_many_offers_in_one_piece_cost_little(door: Door) -> None:
    offering = MODEL + b"connection: upgrade\r\nupgrade: x\r\n\r\n"
    assert [status for status, *_ in door.send(offering * 500, answers=500)] == [200] * 500
