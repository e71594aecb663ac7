"""The programs that build images: which are here, and which of them works."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from gnas_serve.errors import MissingExtraError, unknown_name

AUTO = "auto"
_ANSWER_LIMIT_S = 20.0


@dataclass(frozen=True)
class Engine:
    """A program that builds images from a Containerfile.

    Attributes
    ----------
    name
        Of its command.
    build
        The words of a build before those that all of them understand.
    timestamp
        What states the moment of an image and of all its files, as ``str.format`` takes it; empty words otherwise.
    """

    name: str
    build: tuple[str, ...]
    timestamp: tuple[str, ...]


# An image in the OCI's own format has no health check: docker's format, where the program has a choice.
ENGINES: Mapping[str, Engine] = {
    "buildah": Engine("buildah", ("build", "--format", "docker", "--layers"), ("--timestamp", "{seconds}")),
    "docker": Engine("docker", ("build",), ("--build-arg", "SOURCE_DATE_EPOCH={seconds}")),
    "podman": Engine("podman", ("build", "--format", "docker"), ("--timestamp", "{seconds}")),
}
_IN_TURN = ("docker", "podman", "buildah")  # of `auto`: what most people run images with comes first


def found_engines() -> dict[str, str | None]:
    """Look for the commands; none is run.

    Returns
    -------
    dict
        name -> path, or None where there is none.
    """
    return {name: shutil.which(name) for name in ENGINES}


def choose_engine(name: str = AUTO) -> Engine:
    """Choose a program that works: docker's command, say, is often there without a daemon that answers it.

    Parameters
    ----------
    name
        Of one, or ``auto`` for the first that works of docker, podman and buildah.

    Raises
    ------
    ConfigError
        If the name is none of them.
    MissingExtraError
        If it is not installed or does not work, or none does.
    """
    if name not in {AUTO, *ENGINES}:
        raise unknown_name("engine", name, {AUTO, *ENGINES})
    found = found_engines()
    silent = []
    for one in _IN_TURN if name == AUTO else (name,):
        path = found[one]
        if path is not None:
            reason = _refusal(path)
            if reason is None:
                return ENGINES[one]
            silent.append(f"{one} is installed and does not work: {reason}")
    wanted = "docker, podman or buildah" if name == AUTO else name
    raise MissingExtraError(
        "; ".join(silent) or f"nothing to build an image with: {wanted} is not installed",
        hint=f"{'start its service' if silent else f'install {wanted}'}, or write with --context FOLDER what another "
        "machine builds the image from",
        code="no_engine",
    )


def _refusal(path: str) -> str | None:
    """Say why a program does not work; None where it does."""
    try:
        done = subprocess.run(
            [path, "version"], capture_output=True, text=True, errors="replace", check=False, timeout=_ANSWER_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {_ANSWER_LIMIT_S:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
    return lines[-1]
