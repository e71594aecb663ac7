"""The compiled part of the request path: scans of int8 vectors, selection, the ranker's features (`src/*.c`).

It is optional. What it computes is defined by the numpy code beside every call of it, to the last bit: whole numbers
and sums of a stated order, so that an answer does not depend on whether a compiler was at hand, or on the processor.
It holds the interpreter's lock: some tens of microseconds over lists, as long as a scan takes over whole tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

native: ModuleType | None
"""The compiled module, or None where this installation has none."""

# Of the calls of the module: one that was compiled from other sources is not taken. Where these are at hand, in a
# checkout that may have moved on since it was installed, they are compared as well.
_ABI = 2
_SOURCES = Path(__file__).parent / "src"


def _is_of_these_sources(module: ModuleType) -> bool:
    if getattr(module, "ABI", None) != _ABI:
        return False
    files = sorted(_SOURCES.glob("*.[ch]"))
    found = hashlib.sha256()
    for path in files:
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return not files or found.hexdigest() == module.SOURCES


try:
    from gnas_serve.kernels import _native as native
except ImportError:  # none was compiled, or for another kind of machine
    native = None
if native is not None and not _is_of_these_sources(native):
    native = None

LEVELS = ("avx512vnni", "avx2", "plain")
"""Instruction sets that it is written for, the quickest first; the best that the processor has is taken."""


def described() -> str:
    """Say what computes: an instruction set, or ``"numpy"``."""
    return "numpy" if native is None else str(native.level())


@contextmanager
def using(level: str) -> Iterator[None]:
    """Compute by another instruction set, or by ``"numpy"``, for a while: to hold them against each other.

    Raises
    ------
    ValueError
        If this processor, or this installation, does not have it.
    """
    global native  # noqa: PLW0603  # whoever computes asks for it at every call
    before = native
    try:
        if level == "numpy":
            native = None
            yield
        elif before is None:
            raise ValueError("this installation has no compiled kernels")
        else:
            usual = before.level()
            before.use_level(level)
            try:
                yield
            finally:
                before.use_level(usual)
    finally:
        native = before
