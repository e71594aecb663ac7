"""The terminal that a command was started from, and whether it is still there."""

from __future__ import annotations

import os
import signal
import time

_MOMENT_S = 0.1
_MOMENTS = 5


class Terminal:
    """What tells a SIGHUP of a terminal that is closed from one that somebody sends.

    Attributes
    ----------
    matters
        Whether there was one at the start whose end is to be this process's end: not where it was started by
        ``nohup``, which ignores the signal, nor by a service manager.
    """

    def __init__(self) -> None:
        hangup = getattr(signal, "SIGHUP", None)
        self.matters = hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN and _is_there()

    def is_gone(self) -> bool:
        """Tell whether it was closed since; to be asked when a SIGHUP has come.

        A shell that ends has its jobs told a moment before they lose the terminal, on a busy machine some more: it is
        looked for again and again for half a second.
        """
        if not self.matters:
            return False
        for _ in range(_MOMENTS):
            if not _is_there():
                return True
            time.sleep(_MOMENT_S)
        return not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
