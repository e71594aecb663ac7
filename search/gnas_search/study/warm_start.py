"""WarmStart: which study another one was started from, and what it took over; written once, with the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gnas_search.initial_weights import InitialWeights
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN, BlendSpec, BranchSpec, ModelSpec, kind_of
from gnas_search.study.records import branch_spec
from gnas_search.study.trained_on import TrainedOn
from gnas_serve.artifact.store import canonical_json
from gnas_serve.errors import ConfigError, IntegrityError

WARM_START = "warm_start.json"
_FOLDER = "warm_start"
_HINT = "copy the study again, or search anew into another folder"


@dataclass(frozen=True)
class WarmModel:
    """A model that was taken over.

    Attributes
    ----------
    spec
        As it applies to the data of the study that took it.
    origin
        Its key in the other study.
    file, digest
        Name of the file of its weights, and the SHA-256 of it; empty where it starts cold.
    users, items
        How many of them have an embedding there.
    """

    spec: BranchSpec
    origin: str
    file: str = ""
    digest: str = ""
    users: int = 0
    items: int = 0

    @cached_property
    def key(self) -> str:
        """Of the spec."""
        return self.spec.key()

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {**{one.name: getattr(self, one.name) for one in fields(self)}, "spec": self.spec.to_json()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> WarmModel:
        """Read the JSON form."""
        return cls(**{**raw, "spec": branch_spec(raw["spec"])})


@dataclass(frozen=True)
class WarmStart:
    """Which study another one was started from, and what it took over.

    Attributes
    ----------
    study, source, data
        Name of its folder, and fingerprints of it and its data, as :class:`~gnas_search.study.warm_source.WarmSource`
        has them; empty of a study that was started from none.
    models
        What was taken over, best first within each family.
    remarks
        What was not, a line each.
    learned
        Names of the files of all data that the weights have learned from, and the SHA-256 of each; empty without
        weights, and of a study that an earlier version made.
    folder
        Of the study that took it.
    """

    study: str = ""
    source: str = ""
    data: str = ""
    models: tuple[WarmModel, ...] = ()
    remarks: tuple[str, ...] = ()
    learned: tuple[tuple[str, str], ...] = ()
    folder: Path = field(default=Path(), compare=False)

    def write(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Write it and its files, by name, into a study's folder that is being made."""
        (folder / WARM_START).write_bytes(self._content)
        if files:
            (folder / _FOLDER).mkdir()
        for name, content in files.items():
            (folder / _FOLDER / name).write_bytes(content)

    @property
    def digest(self) -> str:
        """Of what :meth:`write` writes: the header of the study has it; empty where there is nothing to write."""
        return hashlib.sha256(self._content).hexdigest() if self.source else ""

    @property
    def _content(self) -> bytes:
        return canonical_json(
            {
                "study": self.study,
                "source": self.source,
                "data": self.data,
                "models": [model.to_json() for model in self.models],
                "remarks": list(self.remarks),
                **({"learned": [list(one) for one in self.learned]} if self.learned else {}),
            }
        )

    @classmethod
    def read(cls, folder: Path, digest: str) -> WarmStart:
        """Read it from a study's folder.

        Parameters
        ----------
        folder
            Of the study.
        digest
            As its header has it.

        Raises
        ------
        IntegrityError
            If it is missing or altered.
        """
        if not digest:
            return COLD
        path = folder / WARM_START
        if not path.is_file():
            raise IntegrityError(f"{path} is missing", hint=_HINT)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise IntegrityError(f"{path} is not what the study was begun with", hint=_HINT)
        try:
            raw = json.loads(content)
            models = tuple(WarmModel.from_json(model) for model in raw.pop("models"))
            learned = tuple((str(file), str(digest)) for file, digest in raw.pop("learned", ()))
            return cls(
                **{**raw, "models": models, "remarks": tuple(raw["remarks"]), "learned": learned, "folder": folder}
            )
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise IntegrityError(f"{path} is unreadable: {error}", hint=_HINT) from error

    def extended(self, space: SearchSpace) -> SearchSpace:
        """Let the models be tried right after the starts of a space, those that are among these left out."""
        families = dict(space.families)
        for family, own in space.families.items():
            starts = {start.key(): start for start in own.starts}
            taken = [model.spec for model in self.models if kind_of(model.spec) == family and model.key not in starts]
            if taken:
                families[family] = replace(own, starts=(*own.starts, *taken))  # type: ignore[type-var]  # a dataclass
        return replace(space, families=families)

    def remark(self, key: str) -> str:
        """Say of a model, for tables, that it was taken over; empty where it was not."""
        model = self._by_key.get(key)
        if model is None:
            return ""
        is_cold = kind_of(model.spec) == GNN and not model.digest  # a closed form has no weights
        return "warm start, cold weights" if is_cold else "warm start"

    def begins_trained(self, key: str) -> bool:
        """Tell whether a model does not begin with what chance draws."""
        return key in self._by_key and bool(self._by_key[key].digest)

    def initial_file(self, spec: BranchSpec) -> Path | None:
        """Give the file of what a model begins with; None for what its seed draws."""
        key = spec.key()
        return self._path(key) if self.begins_trained(key) else None

    def initial(self, spec: ModelSpec) -> dict[str, InitialWeights]:
        """Read what the networks of a model begin with, by key.

        Raises
        ------
        IntegrityError
            If a file is missing, damaged or another one. Names it.
        """
        parts = [share.spec for share in spec.shares] if isinstance(spec, BlendSpec) else [spec]
        models = [self._by_key[part.key()] for part in parts if self.begins_trained(part.key())]
        self._verify((model.file, model.digest) for model in models)
        return {model.key: InitialWeights.load(self._path(model.key)) for model in models}

    def earlier(self) -> tuple[TrainedOn, ...]:
        """Read all data that the weights had learned from before they were taken over.

        Raises
        ------
        IntegrityError
            As :meth:`initial`.
        """
        self._verify(self.learned)
        return tuple(TrainedOn.load(self.folder / _FOLDER / file) for file, _ in self.learned)

    def verify(self) -> None:
        """Make sure that all weights, and what they had learned from, are what they were.

        Raises
        ------
        IntegrityError
            As :meth:`initial`.
        """
        self._verify([*((model.file, model.digest) for model in self.models if model.digest), *self.learned])

    def _verify(self, files: Iterable[tuple[str, str]]) -> None:
        for file, digest in files:
            path = self.folder / _FOLDER / file
            try:
                found = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise IntegrityError(f"{path} is missing or unreadable: {error}", hint=_HINT) from error
            if found != digest:
                raise IntegrityError(f"{path} is damaged: it is not what the study was begun with", hint=_HINT)

    def _path(self, key: str) -> Path:
        return self.folder / _FOLDER / self._by_key[key].file

    @cached_property
    def _by_key(self) -> dict[str, WarmModel]:
        return {model.key: model for model in self.models}


COLD = WarmStart()
"""That of a study which was started from no other."""
