"""What was found latest, kept by digests of what it was found for: small whatever was asked, and free of its owner."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from threading import Lock
from typing import Generic, TypeVar

Found = TypeVar("Found")
_DIGEST_BYTES = 16


class Kept(Generic[Found]):
    """The values of the latest used keys, safe to share between threads.

    Unlike :func:`functools.lru_cache` it holds neither what was asked, which may be long texts of a caller, nor a bound
    method, by which an object would hold itself: such a cycle is never freed once the collector is frozen.

    Parameters
    ----------
    most
        How many values.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[bytes, Found] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> Found | None:
        """Give what is kept under a key, or None."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            return found

    def put(self, key: bytes, found: Found) -> None:
        """Keep a value, and let go of what was not used for the longest time."""
        with self._lock:
            self._values[key] = found
            if len(self._values) > self._most:
                self._values.popitem(last=False)


def digest_of(told: object) -> bytes:
    """Give a short key of plain values: equal for equal ones of equal types, and for no others."""
    return blake2b(repr(told).encode(), digest_size=_DIGEST_BYTES).digest()
