"""FeedbackEvent: one thing that a user did, as a caller reports it."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import NamedTuple

from gnas_serve.errors import RequestError
from gnas_serve.vocabulary import MAX_ID_CHARACTERS, Id

MAX_EVENT_ID_CHARACTERS = 128
MAX_EVENT_CHARACTERS = 64
MAX_MODEL_CHARACTERS = 256
DIGEST_BYTES = 16
_ID_EXPECTED = f"a 64-bit integer or a text of 1 to {MAX_ID_CHARACTERS} characters"
MAX_VALUE = 3.4e38  # either way: ratings are kept in single precision, and larger ones are refused where data is read
MAX_TIME_S = 9.2e12  # either way of 1970: what 64 bits of microseconds hold


class FeedbackEvent(NamedTuple):
    """One thing that a user did; a tuple, as a million of them are made when a log is opened.

    Attributes
    ----------
    event_id
        The caller's key: an event of the same key is the same event, however often it is sent.
    user_id, item_id
        Who, with what; also such as no model knows.
    event
        Its kind: view, purchase, ...
    value
        A rating, an amount; None where the event has none.
    timestamp
        When, in seconds since 1970 (UTC).
    model
        Version of the model that the caller had the item from, or that was being served.
    propensity
        With what probability the item was shown, above 0 and at most 1; None where nobody knows.
    """

    event_id: str
    user_id: Id
    item_id: Id
    event: str
    value: float | None
    timestamp: float
    model: str
    propensity: float | None = None

    def check(self) -> None:
        """Check types and limits.

        Raises
        ------
        RequestError
            Naming the field and what it should be.
        """
        if not _is_text(self.event_id, 1, MAX_EVENT_ID_CHARACTERS):
            raise _wrong("event_id", f"a text of 1 to {MAX_EVENT_ID_CHARACTERS} characters")
        if not _is_id(self.user_id):
            raise _wrong("user_id", _ID_EXPECTED)
        if not _is_id(self.item_id):
            raise _wrong("item_id", _ID_EXPECTED)
        if not _is_text(self.event, 1, MAX_EVENT_CHARACTERS):
            raise _wrong("event", f"a text of 1 to {MAX_EVENT_CHARACTERS} characters")
        if not _is_text(self.model, 0, MAX_MODEL_CHARACTERS):
            raise _wrong("model", f"a text of at most {MAX_MODEL_CHARACTERS} characters")
        if self.value is not None and not _is_within(self.value, MAX_VALUE):
            raise _wrong("value", f"a finite number of at most {MAX_VALUE:g} either way, or null")
        if not _is_within(self.timestamp, MAX_TIME_S):
            raise _wrong("timestamp", f"seconds since 1970, at most {MAX_TIME_S:g} either way")
        if self.propensity is not None and not (_is_within(self.propensity, 1.0) and self.propensity > 0):
            raise _wrong("propensity", "a number above 0 and at most 1, or null")

    @property
    def digest(self) -> bytes:
        """What stands for the event id where many are kept: 16 bytes.

        References
        ----------
        RFC 7693, BLAKE2.
        """
        return blake2b(self.event_id.encode(), digest_size=DIGEST_BYTES).digest()


def _is_within(value: object, limit: float) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= limit and math.isfinite(value)


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return _is_text(value, 1, MAX_ID_CHARACTERS)
    return type(value) is int and -(2**63) <= value < 2**63


def _is_text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and (value.isascii() or _is_writable(value))


def _is_writable(text: str) -> bool:
    """Tell whether a text has a UTF-8 form: half of a surrogate pair is text to Python and to nobody else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong(name: str, expected: str) -> RequestError:
    return RequestError(f"{name}: expected {expected}", hint="mend the field and send the event again")
