"""Whose a work folder is: one user's, and of two exports to one output the first one's."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from gnas_serve.artifact.file_lock import try_lock
from gnas_serve.errors import ConfigError

PRIVATE = 0o755
"""Mode of a work folder, whatever the umask: what others wrote there is not trusted."""


def check_owner(folder: Path) -> None:
    """Refuse a folder into which somebody else may have put work: what is kept there ships without being made again.

    Raises
    ------
    OSError
        If it belongs to another user, or others may write to it.
    """
    if sys.platform == "win32":
        return
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise OSError("it belongs to another user")
    if found.st_mode & 0o022:
        raise OSError("others may write to it")


def locked(path: Path) -> BinaryIO:
    """Hold a lock file, made where it is absent, until what is given is closed or its process dies.

    Raises
    ------
    ConfigError
        If another process holds it.
    OSError
        If it cannot be written, or locked.
    """
    while True:
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        stream = path.open("ab")
        try:
            is_ours = try_lock(stream)
        except OSError:  # the file system has no locks: nothing is left of the attempt
            stream.close()
            path.unlink()
            with suppress(OSError):
                path.parent.rmdir()
            raise
        if not is_ours:
            stream.close()
            raise ConfigError(
                f"{path.parent}: another export to this output is running",
                hint="wait for it, stop it, or name another output",
                code="locked",
            )
        # Whoever held it may have removed the folder meanwhile: the lock of a file that is gone locks nothing.
        with suppress(OSError):
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        stream.close()
