"""The ids of requests: taken from the caller where they are sound, else drawn; both doors give them back."""

from __future__ import annotations

import os
import random
import re

HEADER = "x-request-id"
# No secrets: the system's own source would be a call of the system at every request.
_ids = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_ids.seed)
_SOUND = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def request_id_of(sent: bytes) -> bytes:
    """Keep the id that a caller sent, or draw one.

    Parameters
    ----------
    sent
        Empty where there is none.
    """
    return sent if _SOUND.fullmatch(sent) else b"%016x" % _ids.getrandbits(64)
