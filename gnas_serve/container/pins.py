"""The packages of an image, all of them pinned: what the Bento asks for, and what that brings as installed here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gnas_serve.errors import IntegrityError

REQUIREMENTS = Path("env") / "python" / "requirements.txt"  # in a Bento
_RUNTIME, _GPU_RUNTIME = "onnxruntime", "onnxruntime-gpu"
# The wheels of CUDA and cuDNN that it was built for: the machine has to bring the driver alone.
_GPU_EXTRAS = "[cuda,cudnn]"


def requirements_of(bento: Path, *, gpu: bool = False) -> tuple[str, ...]:
    """Read what a Bento asks for.

    Parameters
    ----------
    bento
        Its folder.
    gpu
        Whether to take the ONNX Runtime that has CUDA, in the same version.

    Raises
    ------
    IntegrityError
        If the Bento has no such list, or one that is not pinned.
    """
    path = bento / REQUIREMENTS
    found = []
    try:
        for line in path.read_text(encoding="utf-8").split():
            one = _pinned(line)
            swapped = gpu and canonicalize_name(one.name) == _RUNTIME
            found.append(f"{_GPU_RUNTIME}{_GPU_EXTRAS}{one.specifier}" if swapped else line)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} is unreadable: {error}", hint="build the Bento anew") from error
    if not found:
        raise IntegrityError(f"{path} is empty", hint="build the Bento anew")
    return tuple(found)


def _pinned(line: str) -> Requirement:
    one = Requirement(line)
    if [clause.operator for clause in one.specifier] != ["=="]:
        raise ValueError(f"{line} is not pinned")
    return one


def constraints(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """Pin what packages bring, and what that brings, to the versions that are installed here.

    What is not installed here, as on another kind of machine, is left to pip.

    Returns
    -------
    tuple of str
        ``NAME==VERSION``, sorted, without the packages that are given.
    """
    given = {canonicalize_name(Requirement(line).name) for line in requirements}
    waiting, brought = sorted(given), dict[str, str]()
    while waiting:
        for one in _brought(waiting.pop()):
            name = canonicalize_name(one)
            if name not in given and name not in brought:
                try:
                    brought[name] = version(name)
                except PackageNotFoundError:
                    continue
                waiting.append(name)
    return tuple(f"{name}=={brought[name]}" for name in sorted(brought))


def _brought(name: str) -> list[str]:
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        # Of the two ONNX Runtimes, which need the same, one is installed.
        return _brought(_GPU_RUNTIME) if name == _RUNTIME else []
    wanted = (Requirement(line) for line in lines)
    return [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
