"""The standard streams of a command that was started without some of them, or with a full one."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_NAMES = ("stdin", "stdout", "stderr")


def prepare() -> None:
    """Give every standard stream a place to go, and make every text writable.

    A closed one (``>&-``) becomes the null device, in this process and in its children. Left closed, its descriptor
    would go to the next file that is opened, and what is meant for the stream would be written into that file.
    """
    for descriptor, name in enumerate(_NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free descriptor is taken: this one, for those below it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # until the end
    for stream in (sys.stdout, sys.stderr):
        # A name that is no text (bytes of another encoding) is shown with its escapes, which JSON reads too.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> OSError | None:
    """Write out what is buffered; of a stream that takes no more, drop the rest, for nothing can be said there.

    Returns
    -------
    OSError or None
        Why stdout took no more; None where it took all.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            discard(stream)
            if stream is sys.stdout:
                return error
    return None


def discard(stream: TextIO) -> None:
    """Send what is still written to a stream nowhere, so that the interpreter's own flush at exit succeeds."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        stream.flush()
