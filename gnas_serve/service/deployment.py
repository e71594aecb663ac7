"""Deployment: which versions are served to whom, in a file that all workers of a machine follow."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gnas_serve.artifact.file_lock import TurnLock
from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.artifact.store import MANIFEST
from gnas_serve.errors import ConfigError, IntegrityError, StorageError
from gnas_serve.service.errors import ArtifactNotFoundError, RefusedArtifactError

STATE = ".deployment"
_FORMAT_VERSION = 1
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""What the name of an artifact's folder looks like: no path, nothing hidden."""
_NAME = re.compile(NAME)
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class Canary:
    """A version that a share of the users gets.

    Attributes
    ----------
    artifact
        Its folder's name.
    weight
        The share, above 0 and below 1.
    salt
        Decides, with a user's id, who that is: the same users as long as it is the same.
    """

    artifact: str
    weight: float
    salt: str


@dataclass(frozen=True)
class Deployment:
    """What is served; artifacts are named by their folders in the folder of versions.

    Attributes
    ----------
    stable
        What everybody gets who is no part of the canary.
    previous
        What was stable before, for a rollback; None at first.
    canary, shadow
        The latter is asked what the others are asked, and nobody is told what it says.
    revision
        Counts the changes.
    """

    stable: str
    previous: str | None = None
    canary: Canary | None = None
    shadow: str | None = None
    revision: int = 0

    @property
    def artifacts(self) -> set[str]:
        """Of all that is served or asked."""
        return {self.stable, *([self.canary.artifact] if self.canary else []), *([self.shadow] if self.shadow else [])}

    def switched(self, artifact: str) -> Deployment:
        """Make another version the stable one; a canary or shadow of it has come to its end."""
        if artifact == self.stable:
            return self
        canary = None if self.canary is None or self.canary.artifact == artifact else self.canary
        shadow = None if self.shadow == artifact else self.shadow
        return replace(self, stable=artifact, previous=self.stable, canary=canary, shadow=shadow)

    def rolled_back(self) -> Deployment:
        """End the canary; where there is none, make the version before the stable one again.

        Who goes back while a canary runs wants it gone, and the others stay with what they have.

        Raises
        ------
        RefusedArtifactError
            If there is neither.
        """
        if self.canary is not None:
            return replace(self, canary=None)
        if self.previous is None:
            raise RefusedArtifactError(
                "there is no version to go back to", hint="switch to one with stable", code="no_previous"
            )
        return self.switched(self.previous)

    def check(self) -> None:
        """Look for what is compared with itself.

        Raises
        ------
        RefusedArtifactError
            If the canary or the shadow is the stable version.
        """
        for role, artifact in (("canary", self.canary and self.canary.artifact), ("shadow", self.shadow)):
            if artifact == self.stable:
                raise RefusedArtifactError(
                    f"{artifact!r} is the stable version: a {role} of it would be compared with itself",
                    hint=f"name another version, or end the {role} with null",
                    code="same_version",
                )

    def told(self) -> str:
        """Say in a line who gets what."""
        canary = "none" if self.canary is None else f"{self.canary.artifact} for {self.canary.weight:g} of the users"
        return (
            f"stable {self.stable}, canary {canary}, shadow {self.shadow or 'none'}, previous {self.previous or 'none'}"
        )

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"format_version": _FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Deployment:
        """Read the JSON form.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is something else.
        """
        if raw["format_version"] != _FORMAT_VERSION:
            raise ValueError(f"format_version is {raw['format_version']!r}")
        canary = None if raw["canary"] is None else Canary(**raw["canary"])
        found = cls(raw["stable"], raw["previous"], canary, raw["shadow"], raw["revision"])
        names = [found.stable, *found.artifacts, *([found.previous] if found.previous else [])]
        if not all(is_name(name) for name in names) or type(found.revision) is not int:
            raise ValueError("an artifact is no name of a folder")
        if canary is not None and not 0.0 < canary.weight < 1.0:
            raise ValueError(f"the canary's weight is {canary.weight!r}")
        return found


def is_name(text: object) -> bool:
    """Tell whether a text can be the name of an artifact's folder: no path, nothing hidden."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


class DeploymentFile:
    """The deployment of one machine.

    Parameters
    ----------
    folder
        Of the versions; the file is in ``.deployment`` in it.

    Attributes
    ----------
    revision
        What was read here last; None where that failed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / STATE
        self._path = self._state / "deployment.json"
        self._seen: tuple[int, int, int] | None = None
        self.revision: int | None = None

    def open(self, artifact: Path) -> Deployment:
        """Read it; where there is none yet, begin with an artifact.

        Raises
        ------
        ConfigError
            If the artifact is not in the folder.
        IntegrityError
            If the file is garbled.
        StorageError
            If it cannot be written.
        """
        try:
            self._state.mkdir(mode=0o700, exist_ok=True)
            with self._locked():
                if self._path.exists():
                    return self.read()
                first = Deployment(self.name_of(artifact))
                self._write(first)
                return first
        except OSError as error:
            raise StorageError(f"{self._state}: {error}", hint="give a folder that can be written") from error

    def read(self) -> Deployment:
        """Read it.

        Raises
        ------
        IntegrityError
            If it is absent or garbled.
        """
        self.revision = None
        try:
            # Before it is opened: what comes between the two is read once more, and what cannot be opened is seen, too.
            self._seen = self._stamp(self._path.stat())
            with self._path.open("rb") as file:
                found = Deployment.from_json(json.loads(file.read(_MOST_BYTES)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(
                f"{self._path} is garbled: {error}", hint="remove it: the next start begins with GNAS_ARTIFACT"
            ) from error
        self.revision = found.revision
        return found

    def has_changed(self) -> bool:
        """Tell whether it was written since it was read here: one call of the system."""
        try:
            return self._stamp(self._path.stat()) != self._seen
        except OSError:
            return False

    def change(self, change: Callable[[Deployment], Deployment], check: Callable[[Deployment], None]) -> Deployment:
        """Change it: one at a time, and only to what stands a check.

        Parameters
        ----------
        check
            Raises where the new one cannot be served; nothing is written then.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        try:
            with self._locked():
                before = self.read()
                after = change(before)
                if after == before:
                    return before
                after = replace(after, revision=before.revision + 1)
                check(after)
                self._write(after)
                return after
        except OSError as error:
            raise StorageError(f"{self._state}: {error}", hint="give a folder that can be written") from error

    def name_of(self, artifact: Path) -> str:
        """Give the name of an artifact's folder, where a link leads to, among the versions.

        Raises
        ------
        ConfigError
            If it is not in the folder.
        """
        found = artifact.resolve()
        if found.parent != self.folder.resolve() or not is_name(found.name):
            raise ConfigError(
                f"{artifact} is not in the folder of versions, {self.folder}",
                hint="put the artifact there, or start without GNAS_VERSIONS",
            )
        return found.name

    def path_of(self, artifact: str) -> Path:
        """Give the folder of an artifact.

        Raises
        ------
        ArtifactNotFoundError
            If there is none of that name.
        """
        path = self.folder / artifact
        if not is_name(artifact) or not (path / MANIFEST).is_file():
            known = sorted(one.parent.name for one in self.folder.glob(f"*/{MANIFEST}") if is_name(one.parent.name))
            raise ArtifactNotFoundError(
                f"there is no artifact {artifact!r} among the versions", hint=f"known: {', '.join(known[:20])}"
            )
        return path

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = TurnLock(self._state / "lock")
        try:
            with lock.held():
                yield
        finally:
            lock.close()

    def _write(self, deployment: Deployment) -> None:
        replace_file(self._path, json.dumps(deployment.to_json(), indent=1).encode(), synced=True)

    @staticmethod
    def _stamp(status: os.stat_result) -> tuple[int, int, int]:
        # Each writing is another file: its number tells two apart that a coarse clock does not.
        return status.st_ino, status.st_mtime_ns, status.st_size
