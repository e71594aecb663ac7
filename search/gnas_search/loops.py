"""Loops in Python that numba compiles: for one thread and for many, on first use."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numba

_SMALL = 1 << 19
"""Multiplications below which threads cost more than they give: waking them takes up to a millisecond."""


class Kernel:
    """A loop over rows, compiled on first use for one thread and for many.

    Parameters
    ----------
    function
        Called as ``kernel(work, *arguments)``, ``work`` being its number of multiplications.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.__doc__ = function.__doc__
        # Compiled code is cached on disk under the function's name, so the two forms need two names.
        serial = types.FunctionType(function.__code__, function.__globals__, f"{function.__name__}_serial")
        serial.__qualname__ = serial.__name__
        self._serial = _compiled(serial, parallel=False)
        self._parallel = _compiled(function, parallel=True)

    def __call__(self, work: int, *arguments: Any) -> None:
        """Run in as many threads as torch is set to use (all without it); in one where there is little work."""
        threads = 1 if work < _SMALL else _threads()
        if threads == 1:
            self._serial(*arguments)
        else:
            numba.set_num_threads(threads)
            self._parallel(*arguments)

    def compile(self) -> None:
        """Compile the form for many threads, too, of what that for one was called with so far."""
        for signature in self._serial.signatures:  # type: ignore[attr-defined]
            self._parallel.compile(signature)  # type: ignore[attr-defined]


def _threads() -> int:
    torch = sys.modules.get("torch")  # not loaded for its sake: a second, of commands that only read
    most = int(numba.config.NUMBA_NUM_THREADS)
    return most if torch is None else min(torch.get_num_threads(), most)


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop for one thread, on first use."""
    return _compiled(function, parallel=False)


def _compiled(function: Callable[..., None], *, parallel: bool) -> Callable[..., None]:
    # Contraction and reassociation let the compiler use vector units; NaN and infinity keep their meaning.
    options: dict[str, Any] = {"parallel": parallel, "nogil": True, "fastmath": {"contract", "reassoc"}}
    try:
        compiled: Callable[..., None] = numba.njit(function, cache=True, **options)
    except RuntimeError:  # neither the package folder nor a user cache folder is writable: compile in each process
        compiled = numba.njit(function, **options)
    return compiled
