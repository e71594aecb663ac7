"""Asks the server of the same container whether it is ready: the health check of an image, run as a file of its own."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

_LIMIT_S = 4.0
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # asked on loopback, never bound


def is_ready(environment: Mapping[str, str]) -> bool:
    """Ask ``/readyz`` of the HTTP door, where BentoML's variables say that it is."""
    host = environment.get("BENTOML_HOST", "")
    # Not urllib: a proxy that the environment names is not for this.
    try:
        port = int(environment.get("BENTOML_PORT") or 3000)
        connection = http.client.HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=_LIMIT_S)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, ValueError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    sys.exit(not is_ready(os.environ))
