"""Building an image: the context in a folder that goes away, the engine as a child, its words passed on."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.store import atomic_folder
from gnas_serve.container.containerfile import PIP_SECRET, Recipe
from gnas_serve.container.context import CONTAINERFILE, stated_moment, write_context
from gnas_serve.container.engines import Engine
from gnas_serve.errors import ConfigError, ExportError
from gnas_serve.plain_text import plain_text
from gnas_serve.service.bundle import BuiltBento, artifact_of
from gnas_serve.service.child import end, tied

_LOG_LINES = 12
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Build:
    """How an image is built.

    Attributes
    ----------
    engine
        The program.
    names
        Of the image; one at least.
    pip_config
        A file of pip's settings, given as a secret; None for pip's own.
    options
        Further words for the engine.
    """

    engine: Engine
    names: tuple[str, ...]
    pip_config: Path | None = None
    options: tuple[str, ...] = ()

    def check(self) -> None:
        """Make sure that the engine can be given what it is to be given.

        Raises
        ------
        ConfigError
            If pip's settings are no file, or one whose path cannot stand in an option.
        """
        if self.pip_config is None:
            return
        if not self.pip_config.is_file():
            raise ConfigError(f"--pip-config {self.pip_config} is no file", hint="give the path of a pip.conf")
        if "," in str(self.pip_config.absolute()):
            raise ConfigError(f"--pip-config {self.pip_config}: engines take no path with a comma", hint="move it")

    def command(self, bento: BuiltBento, folder: Path) -> list[str]:
        """Give the command that builds the image from a context."""
        words = [self.engine.name, *self.engine.build, "--file", str(folder / CONTAINERFILE)]
        for name in self.names:
            words += ["--tag", name]
        moment = stated_moment(Manifest.read(artifact_of(bento.path), verify=False))
        if moment is not None:
            seconds = int(datetime.fromisoformat(moment).timestamp())
            words += [word.format(seconds=seconds) for word in self.engine.timestamp]
        if self.pip_config is not None:
            words += ["--secret", f"id={PIP_SECRET},src={self.pip_config.absolute()}"]
        return [*words, *self.options, str(folder)]


def build_image(bento: BuiltBento, recipe: Recipe, build: Build, say: Callable[[str], None]) -> str:
    """Build an image.

    Parameters
    ----------
    say
        Is given each line of the engine.

    Returns
    -------
    str
        The image's id; empty where the engine does not tell, as where it hands the image on.

    Raises
    ------
    ConfigError, IntegrityError
        As :func:`gnas_serve.container.context.write_context`.
    ExportError
        If the engine fails; its last lines are in the message.
    StorageError
        If the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="gnas-serve-image-") as folder:
        context, identity = Path(folder) / "context", Path(folder) / "id"
        context.mkdir()
        write_context(bento, recipe, context)
        command = build.command(bento, context)
        _run([*command[:-1], "--iidfile", str(identity), command[-1]], say)
        return identity.read_text(encoding="utf-8").strip() if identity.is_file() else ""


def keep_context(bento: BuiltBento, recipe: Recipe, folder: Path) -> None:
    """Write what an image is built from into a folder, whole or not at all.

    Raises
    ------
    ConfigError
        If the folder exists, and as :func:`gnas_serve.container.context.write_context`.
    IntegrityError, StorageError
        As there.
    """
    with atomic_folder(folder) as temporary:
        write_context(bento, recipe, temporary)


def shown(command: list[str]) -> str:
    """Write a command as it can be typed."""
    return shlex.join(command)


def _run(command: list[str], say: Callable[[str], None]) -> None:
    last: deque[str] = deque(maxlen=_LOG_LINES)
    path = shutil.which(command[0]) or command[0]
    # Docker's older build, which BuildKit took the place of, knows no secrets; and "docker" may be podman.
    environment = {"DOCKER_BUILDKIT": "1", "BUILDAH_FORMAT": "docker", **os.environ}
    with subprocess.Popen(
        tied([path, *command[1:]]),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                text = plain_text(line.rstrip())
                last.append(text)
                say(text)
            status = process.wait()
        except BaseException:
            end(process, signal.SIGTERM, _PATIENCE_S)
            raise
    if status != 0:
        said = "\n".join(filter(None, last)) or "it said nothing"
        raise ExportError(
            f"{command[0]} could not build the image, exit {status}:\n{said}",
            hint="what it needs: the base image, and pip's index (--pip-config FILE for one of your own)",
            code="image_build",
        )
