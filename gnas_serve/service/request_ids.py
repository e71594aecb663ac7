"""The ids of requests: taken from the caller where they are sound, else drawn; both doors give them back."""

from __future__ import annotations

import os
import re

HEADER = "x-request-id"
_SOUND = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def request_id_of(sent: bytes) -> bytes:
    """Keep the id that a caller sent, or draw one.

    Parameters
    ----------
    sent
        Empty where there is none.
    """
    return sent if _SOUND.fullmatch(sent) else os.urandom(8).hex().encode()
