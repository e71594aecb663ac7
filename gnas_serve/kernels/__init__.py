"""The compiled part of the request path: scans of int8 vectors, selection, the ranker's features (`src/*.c`).

It is optional. What it computes is defined by the numpy code beside every call of it, to the last bit: whole numbers
and sums of a stated order, so that an answer does not depend on whether a compiler was at hand, or on the processor.
It holds the interpreter's lock; a call takes some tens of microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

native: ModuleType | None
"""The compiled module, or None where this installation has none."""

# Of the calls of the module: one that was compiled from other sources is not taken.
_ABI = 1

try:
    from gnas_serve.kernels import _native as native
except ImportError:  # none was compiled, or for another kind of machine
    native = None
if getattr(native, "ABI", None) != _ABI:
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
