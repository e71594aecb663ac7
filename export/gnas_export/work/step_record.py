"""The record of a kept step: JSON that holds its own digest, so that half of it is none."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gnas_export.work.keeping import LEAVES

FORMAT_VERSION = 2


def sealed(record: dict[str, Any]) -> bytes:
    """Encode a record with its format version and digest."""
    versioned = {**record, "format_version": FORMAT_VERSION}
    return _encoded({**versioned, "digest": _digest(versioned)})


def unsealed(raw: bytes) -> dict[str, Any]:
    """Decode a record.

    Raises
    ------
    ValueError, KeyError, AttributeError, RecursionError
        If it is none, was altered, or is of another format version.
    """
    record: dict[str, Any] = json.loads(raw)
    if record.pop("digest") != _digest(record):
        raise ValueError("it does not match its own digest")
    if record.pop("format_version") != FORMAT_VERSION:
        raise ValueError("it is of another format version")
    return record


def files_of(tree: Any) -> set[str]:
    """Name the files that the tree of a draft has arrays in."""
    found, waiting = set[str](), [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict) and one.get("$") in LEAVES and isinstance(one["at"], list):
            found.add(one["at"][0])
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(_encoded(record)).hexdigest()


def _encoded(record: dict[str, Any]) -> bytes:
    # On one line, for which Python has an encoder in C: a record of lists of candidates takes megabytes.
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
