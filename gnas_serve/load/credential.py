"""What the client says who it is: an API key or a JSON Web Token, from a file, since a command line is seen by all."""

from __future__ import annotations

from pathlib import Path

from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import ConfigError

_MAX_CHARACTERS = 8192


def read_credential(path: Path) -> str:
    """Read a key or token: the one line of a file.

    Raises
    ------
    ConfigError
        If there is no such file, or something else is in it. The message does not tell what.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file", hint="give a file that holds the key", code="not_found")
    with storage_errors(path), path.open("rb") as file:
        found = file.read(_MAX_CHARACTERS + 1).strip()
    # It becomes a part of a header: a space or a line's end would begin something else there.
    if not 1 <= len(found) <= _MAX_CHARACTERS or any(not 0x21 <= byte <= 0x7E for byte in found):
        raise ConfigError(
            f"{path}: no key or token in it", hint="one line without spaces, as `gnas-serve api-key` says it"
        )
    return found.decode("ascii")
