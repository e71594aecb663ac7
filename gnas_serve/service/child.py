"""Child processes that do not outlive their parent, and end as they were asked to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

# The kernel signals a child whose parent died only where it was asked to before that: hence the look at the parent.
# PR_SET_PDEATHSIG is 1, and survives the exec.
_TIE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
if os.getppid() != int(sys.argv[1]):
    sys.exit(143)
os.execv(sys.argv[2], sys.argv[2:])
"""


def tied(command: list[str]) -> list[str]:
    """Make a command end with this process, however that ends: on Linux the kernel sends it a SIGTERM.

    Elsewhere the command is given back as it is: a parent that is killed outright leaves it running. What the kernel
    watches is the thread that starts the command: that should be the main one.

    Parameters
    ----------
    command
        Begins with the path of a program.
    """
    if sys.platform != "linux":
        return command
    # A program in between, since code between fork and exec (`preexec_fn`) may hang in a process with threads.
    return [sys.executable, "-I", "-c", _TIE, str(os.getpid()), *command]


def end(process: subprocess.Popen[str], number: signal.Signals, patience_s: float) -> None:
    """Ask a child to end, wait, and kill it where it does not.

    Parameters
    ----------
    number
        The signal that asks.
    patience_s
        How long it may take to tidy up.
    """
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
