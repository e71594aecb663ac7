"""The moment that an artifact states as its own: that of ``SOURCE_DATE_EPOCH``, or none at all.

See https://reproducible-builds.org/specs/source-date-epoch/ for what the variable means.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from gnas_serve.errors import ConfigError

VARIABLE = "SOURCE_DATE_EPOCH"
_LATEST = 253_402_300_799  # the end of the year 9999: later moments have no ISO 8601 form


def source_date() -> int | None:
    """Read the variable: seconds since 1970 in UTC; None where it is not set.

    Raises
    ------
    ConfigError
        If it is no whole number of seconds from 1970 to the year 9999.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LATEST)) and int(text) <= _LATEST):
        raise ConfigError(
            f"{VARIABLE} is {text!r}, expected whole seconds since 1970, at most {_LATEST}",
            hint=f"unset {VARIABLE}, or give e.g. $(git log -1 --format=%ct)",
        )
    return int(text)


def stated_time() -> str | None:
    """Give the moment in ISO 8601; None where none is to be stated.

    Raises
    ------
    ConfigError
        As :func:`source_date`.
    """
    seconds = source_date()
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(folder: Path) -> None:
    """Give a folder and all that is in it the stated moment as time of modification; leave it alone where none is.

    Raises
    ------
    ConfigError
        As :func:`source_date`.
    OSError
        If the time of one cannot be set.
    """
    seconds = source_date()
    if seconds is not None:
        for path in (*folder.rglob("*"), folder):
            if path == folder or not path.is_symlink():  # what a link leads to is not in the folder
                os.utime(path, (seconds, seconds))
