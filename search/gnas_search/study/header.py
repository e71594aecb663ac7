"""StudyHeader: what a study is about, written once; everything else follows from its journal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from gnas_search.data.interactions import DatasetConfig
from gnas_search.space import SearchSpace
from gnas_search.study.objectives import NDCG, Objectives
from gnas_search.study.transfer import Transfer
from gnas_search.study.warm_source import WarmSource
from gnas_search.study.warm_start import WarmStart
from gnas_serve.artifact.store import atomic_folder, canonical_json
from gnas_serve.errors import ConfigError, FormatVersionError, IntegrityError

HEADER = "study.json"
KIND = "study"
FORMAT_VERSION = 2
_PLAIN_VERSION = 1  # of headers that an earlier version can read: with the one objective that it knew


@dataclass(frozen=True)
class StudyHeader:
    """What a study is about.

    Attributes
    ----------
    fingerprint
        SHA-256 of the data's content.
    policy
        How the data was split.
    config
        How the data is read; `train --study` reads it the same way.
    space
        As given, before :meth:`SearchSpace.restrict`.
    strategy
        The one it began with; a later run may use another.
    seed
        Of the strategy, the training runs and the bootstrap; the validation users are drawn by the data's
        ``split_seed``.
    objectives
        What its strategy makes better, on validation users.
    warm_start
        Digest of what it took over from another study; empty where it was started from none.
    digest
        SHA-256 of all this, as it was read; empty before.
    """

    fingerprint: str
    policy: str
    config: DatasetConfig
    space: SearchSpace
    strategy: str
    seed: int
    objectives: Objectives = NDCG
    warm_start: str = ""
    digest: str = field(default="", compare=False)

    def write(self, folder: Path, transfer: Transfer | None = None) -> None:
        """Make the study's folder, whole or not at all, with what it takes over from another one.

        Raises
        ------
        ConfigError
            If ``folder`` exists.
        StorageError
            If the disk is full or not writable.
        """
        body: dict[str, Any] = {
            "kind": KIND,
            "format_version": _PLAIN_VERSION if self.objectives == NDCG else FORMAT_VERSION,
            "data": {"fingerprint": self.fingerprint, "policy": self.policy, "config": self.config.to_json()},
            "space": self.space.to_json(),
            "strategy": self.strategy,
            "seed": self.seed,
            "objective": list(self.objectives.names) if self.objectives.are_several else self.objectives.first,
            **({"warm_start": self.warm_start} if self.warm_start else {}),
        }
        body["digest"] = hashlib.sha256(canonical_json(body)).hexdigest()
        with atomic_folder(folder) as temporary:
            (temporary / HEADER).write_bytes(canonical_json(body))
            if transfer is not None:
                transfer.warm.write(temporary, transfer.weights)

    @classmethod
    def read(cls, folder: Path) -> StudyHeader:
        """Read and verify the header of a study.

        Raises
        ------
        ConfigError
            If the folder does not exist or is something else.
        IntegrityError
            If the header is truncated or altered.
        FormatVersionError
            If it is of a newer format.
        """
        path = folder / HEADER
        if not path.is_file():
            reason = f"is no study: it has no {HEADER}" if folder.exists() else "does not exist"
            raise ConfigError(f"{folder} {reason}", hint="give the folder of a study", code="not_found")
        try:
            raw = path.read_bytes()
            body = json.loads(raw)
            digest = body.pop("digest")
            if hashlib.sha256(canonical_json(body)).hexdigest() != digest:
                raise IntegrityError(f"{path} does not match its own digest", hint="restore it, or search again")
            if body["format_version"] > FORMAT_VERSION:
                raise FormatVersionError(
                    f"{path}: format version {body['format_version']} is newer than {FORMAT_VERSION}",
                    hint="install a newer gnas-serve, or search again with this one",
                )
            if not _has_types(body):
                raise IntegrityError(f"{path} holds a value of the wrong type", hint="restore it, or search again")
            return cls(
                fingerprint=body["data"]["fingerprint"],
                policy=body["data"]["policy"],
                config=DatasetConfig.from_json(body["data"]["config"]),
                space=replace(_space_of(json.dumps(body["space"])), source=str(path)),
                strategy=body["strategy"],
                seed=body["seed"],
                objectives=Objectives.of(_listed(body["objective"])),
                warm_start=body.get("warm_start", ""),
                digest=digest,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError) as error:
            raise IntegrityError(f"{path} is unreadable: {error}", hint="restore it, or search again") from error

    def require_space(self, space: SearchSpace, folder: Path) -> None:
        """Refuse to go on in another space, naming the first gene that differs.

        Raises
        ------
        ConfigError
            If ``space`` is not the study's.
        """
        ours, theirs = self.space.to_json(), space.to_json()
        flat_ours, flat_theirs = _flat(ours), _flat(theirs)
        for name in sorted(set(flat_ours) | set(flat_theirs)):
            had, given = flat_ours.get(name, "nothing"), flat_theirs.get(name, "nothing")
            if had != given:
                self._refuse(folder, name, had, given)

    def require_seed(self, seed: int, folder: Path) -> None:
        """Refuse to go on with another seed.

        Raises
        ------
        ConfigError
            If ``seed`` is not the study's.
        """
        if seed != self.seed:
            self._refuse(folder, "seed", self.seed, seed)

    def require_objectives(self, objectives: Objectives, folder: Path) -> None:
        """Refuse to go on with other objectives.

        Raises
        ------
        ConfigError
            If they are not the study's.
        """
        if objectives != self.objectives:
            self._refuse(folder, "objective", ", ".join(self.objectives.names), ", ".join(objectives.names))

    def require_config(self, given: dict[str, Any], folder: Path) -> None:
        """Refuse to read the data differently.

        Parameters
        ----------
        given
            Dataset settings by field name; None where not given.
        folder
            Of the study, for the message.

        Raises
        ------
        ConfigError
            If one of them is not the study's.
        """
        ours = self.config.to_json()
        for name, value in given.items():
            if value is not None and ours[name] != value:
                self._refuse(folder, name, ours[name], value)

    def require_source(self, source: WarmSource, folder: Path) -> None:
        """Refuse to go on as if from another study than it was started from.

        Raises
        ------
        ConfigError
            If ``source`` is not that one.
        IntegrityError
            If what is known of it is missing or altered.
        """
        had = WarmStart.read(folder, self.warm_start)
        if had.source != source.fingerprint:
            ours = f"{had.study} {had.source[:12]}" if had.source else None
            self._refuse(folder, "warm_start", ours, f"{source.study} {source.fingerprint[:12]}")

    @staticmethod
    def _refuse(folder: Path, what: str, had: object, given: object) -> None:
        raise ConfigError(
            f"{folder} was made with {what} = {had!r}, not {given!r}",
            hint="leave the flag out to go on with the study, or choose another --out",
            code="study_differs",
        )


def _flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name every gene, fixed value and list of starts of a space by its path, e.g. ``filter.genes.rank``."""
    named: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict) and not prefix.endswith(("genes.", "fixed.")):
            named |= _flat(value, f"{prefix}{name}.")
        else:
            named[f"{prefix}{name}"] = value
    return named


def _listed(objective: object) -> list[Any]:
    return objective if isinstance(objective, list) else [objective]


@lru_cache(maxsize=4)
def _space_of(content: str) -> SearchSpace:
    """Read a space once: the points of its starts take a tenth of a second, and a run reads its header often."""
    return SearchSpace.from_json(json.loads(content))


def _has_types(body: dict[str, Any]) -> bool:
    texts = (
        body["data"]["fingerprint"],
        body["data"]["policy"],
        body["strategy"],
        body.get("warm_start", ""),
        *_listed(body["objective"]),
    )
    config, defaults = body["data"]["config"], DatasetConfig().to_json()
    settings = (
        isinstance(config[name], (str, type(None)))
        if name == "target_event"
        else isinstance(config[name], (int, float, type(None)))
        if name == "min_rating"
        else type(config[name]) is type(default)
        for name, default in defaults.items()
    )
    numbers = all(type(body[name]) is int for name in ("format_version", "seed"))
    return all(isinstance(text, str) for text in texts) and numbers and all(settings)
