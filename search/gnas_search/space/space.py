"""SearchSpace: which models of which families a study may try, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gnas_search.data.dataset import Dataset
from gnas_search.space.closed_form import ClosedFormSpace
from gnas_search.space.genes import Gene, Value, at
from gnas_search.space.network import NetworkSpace
from gnas_search.specs import FAMILIES, GNN, BranchSpec
from gnas_serve.errors import ConfigError, unknown_name


class FamilySpace(Protocol):
    """The part of a space that one family of models is drawn from."""

    @property
    def genes(self) -> Mapping[str, Gene]:
        """Gene name to its distribution: one fixed vector for every point."""

    @property
    def starts(self) -> tuple[Any, ...]:
        """Specs to try first."""

    @property
    def is_finite(self) -> bool:
        """Whether every gene is discrete, so that a study can run out of points."""

    def to_spec(self, values: Mapping[str, Value]) -> Any:
        """Read one point."""

    def encode(self, spec: Any) -> dict[str, Value]:
        """Give the point that reads as a spec."""

    def restrict(self, dataset: Dataset) -> Any:
        """Drop what cannot differ on a dataset."""

    def size(self) -> int:
        """Count the points, a continuous gene once."""

    def to_json(self) -> dict[str, Any]:
        """Give its section of a space file."""


@dataclass(frozen=True)
class SearchSpace:
    """The models that a study may try, by family.

    Each family has genes of its own and is sampled as one: a sampler that met the genes of all of them in one vector
    would spend its trials on learning which of them are idle.

    Attributes
    ----------
    families
        Family name (of :data:`gnas_search.specs.FAMILIES`) to its space; at least one.
    """

    families: Mapping[str, FamilySpace]
    source: str = field(default="space", compare=False)

    @classmethod
    def load(cls, name_or_path: str | Path) -> SearchSpace:
        """Read a ready space by name (``"quick"``, ``"standard"``) or any TOML file by path.

        Raises
        ------
        ConfigError
            If the name is unknown, the file is absent or no TOML, or a gene, operator or value in it is wrong.
        """
        text = str(name_or_path)
        path = Path(name_or_path)
        if path.suffix != ".toml" and path.name == text:
            ready = {found.stem: found for found in _ready_folder().glob("*.toml")}
            if text not in ready:
                raise unknown_name("space", text, ready)
            path = ready[text]
        if not path.is_file():
            raise ConfigError(f"{path}: no such space file", hint="give a ready space's name or a TOML file")
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{path}: not TOML: {error}", hint="mend the file") from error
        return cls.from_json(raw, source=str(path))

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], *, source: str = "space") -> SearchSpace:
        """Read the content of a space file.

        Parameters
        ----------
        raw
            ``genes``, ``fixed`` and ``start`` of the networks, as in ``search/spaces/*.toml``; the same of each
            closed-form family under its name. A family that is absent is not searched.
        source
            What messages call it: the file.

        Raises
        ------
        ConfigError
            Naming the source and the key that is wrong.
        """
        sections = ("fixed", "genes", "start", *(family for family in FAMILIES if family != GNN))
        for section in raw:
            if section not in sections:
                raise at(source, unknown_name("section", section, sections))
        families: dict[str, FamilySpace] = {}
        closed = [family for family in FAMILIES if family != GNN and family in raw]
        for family in closed:
            if not isinstance(raw[family], Mapping):
                raise ConfigError(f"{source}: {family} is no table", hint=f"write [{family}.genes]")
            families[family] = ClosedFormSpace.from_json(family, raw[family], source=f"{source}: {family}")
        networks = {section: value for section, value in raw.items() if section not in closed}
        if networks or not families:
            families[GNN] = NetworkSpace.from_json(networks, source=source)
        return cls(families, source)

    def to_json(self) -> dict[str, Any]:
        """Give the content of a space file that reads as this space."""
        content = {family: space.to_json() for family, space in self.families.items() if family != GNN}
        return content | (self.families[GNN].to_json() if GNN in self.families else {})

    def restrict(self, dataset: Dataset) -> SearchSpace:
        """Drop what cannot differ on this data."""
        return SearchSpace({name: space.restrict(dataset) for name, space in self.families.items()}, self.source)

    def read(self, family: str, values: Mapping[str, Value]) -> BranchSpec:
        """Read one point of a family, with a value for every gene."""
        spec: BranchSpec = self.families[family].to_spec(values)
        return spec

    def size(self) -> int:
        """Count the points of all families; a continuous gene counts once."""
        return sum(space.size() for space in self.families.values())


def _ready_folder() -> Path:
    """Find the ready spaces: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "spaces"
    return installed if installed.is_dir() else package.parent / "spaces"
