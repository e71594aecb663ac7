"""The compiled part of the request path: scans of int8 vectors, selection, the ranker's features (`src/*.c`).

It is optional. What it computes is defined by the numpy code beside every call of it, to the last bit: whole numbers
and sums of a stated order, so that an answer does not depend on whether a compiler was at hand, or on the processor.
It holds the interpreter's lock for some tens of microseconds, seldom a millisecond: scans of more than eight megabytes
are made without it, while others compute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

native: ModuleType | None
"""The compiled module, or None where this installation has none."""
absence: str
"""Why there is none; empty where there is one."""

# Of the calls of the module: one that was compiled from other sources is not taken. Where these are at hand, in a
# checkout that may have moved on since it was installed, they are compared as well.
_ABI = 2
_FOLDER = Path(__file__).parent
_MODULE = _FOLDER / "_native.abi3.so"
_NOT_WHOLE = "the compiled module is not the one that was built (a damaged file?)"
_OTHER_SOURCES = "the compiled module is of other sources than these"


def _problem_of_file() -> str:
    """Look at the file before the system does: to load one that is cut off or damaged may end the process.

    Where another process replaces it meanwhile, what is noted before and after names what was read between them.
    """
    try:
        before = _noted()
        found = hashlib.sha256(_MODULE.read_bytes()).hexdigest()
    except OSError:
        return "none was compiled"
    noted = before | _noted()
    if not noted:
        return "the compiled module has no checksum beside it"
    return "" if found in noted else _NOT_WHOLE


def _noted() -> set[str]:
    """Read the checksums: one, or while the module is replaced that of the one before, too."""
    try:
        noted = _MODULE.with_name(f"{_MODULE.name}.sha256").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return set()
    return {line.partition(" ")[0] for line in noted.splitlines() or [""]}


def _is_of_these_sources(module: ModuleType) -> bool:
    if getattr(module, "ABI", None) != _ABI:
        return False
    files = sorted((_FOLDER / "src").glob("*.[ch]"))
    found = hashlib.sha256()
    for path in files:
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return not files or found.hexdigest() == module.SOURCES


def _loaded() -> tuple[ModuleType | None, str]:
    if problem := _problem_of_file():
        return None, problem
    name = f"{__name__}._native"
    # Of this very file: an import would prefer one that is left beside it of one interpreter (`.cpython-311-...so`).
    loader = ExtensionFileLoader(name, str(_MODULE))
    try:
        module = module_from_spec(ModuleSpec(name, loader, origin=str(_MODULE)))
        loader.exec_module(module)
    except ImportError as error:  # for another kind of machine
        return None, f"the compiled module cannot be loaded: {error}"
    return (module, "") if _is_of_these_sources(module) else (None, _OTHER_SOURCES)


native, absence = _loaded()

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
