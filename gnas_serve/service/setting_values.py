"""How the values of settings are read: each function gives the value, or says what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

_SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def switch(raw: str) -> bool:
    """Read yes or no."""
    if raw.lower() not in _SWITCHES:
        raise ValueError("true or false")
    return _SWITCHES[raw.lower()]


def whole(low: int, high: int) -> Callable[[str], int]:
    """Read a whole number within limits."""

    def parse(raw: str) -> int:
        if not raw.isascii() or not raw.isdecimal() or not low <= int(raw) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(raw)

    return parse


def seconds(raw: str) -> float:
    """Read a time."""
    try:
        value = float(raw)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise ValueError("seconds, more than 0 and at most 3600")
    return value


def rate(raw: str) -> float:
    """Read how many per second; 0 is no limit."""
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise ValueError("requests per second, 0 (no limit) to 1000000")
    return value


def tracing(raw: str) -> float | None:
    """Read which share of the requests is traced; None for none, 0 for those whose caller says so."""
    if raw.lower() in _SWITCHES:
        return 1.0 if _SWITCHES[raw.lower()] else None
    try:
        value = 0.0 if raw.lower() == "parent" else float(raw)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError("off, parent, on, or a share from 0 to 1")
    return value


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """Read one of some names, in whatever case."""
    known = tuple(names)

    def parse(raw: str) -> str:
        if raw.lower() not in known:
            raise ValueError(" or ".join(known))
        return raw.lower()

    return parse


def path(raw: str) -> Path:
    """Read a place on the disk."""
    return Path(raw).expanduser().absolute()
