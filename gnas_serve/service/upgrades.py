"""Requests that offer another protocol: this door speaks one, and answers them as if nothing had been offered.

The parser stops where the head of such a request ends, as what follows may be of the other protocol. Java's client
offers HTTP/2 with every first request, one with a body too, so what it sends would be taken for a request of its own.

References
----------
Fielding et al. (2022), HTTP Semantics, RFC 9110, section 7.8: a server may ignore what is offered.
"""

from __future__ import annotations

from collections.abc import Sequence

_OFFERS = frozenset({b"upgrade", b"http2-settings"})


def without_offer(method: bytes, url: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Lay out the head of a request without the protocol that it offers.

    Parameters
    ----------
    method, url, version, headers
        As they were parsed, the names of the headers in small letters.
    """
    lines = [b"%s %s HTTP/%s" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            kept = [option for option in value.split(b",") if option.strip().lower() not in _OFFERS]
            if kept:
                lines.append(b"connection: " + b",".join(kept))
        elif name not in _OFFERS:
            lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", b""])
