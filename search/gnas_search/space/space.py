"""SearchSpace: which models of which families a study may try, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.space.closed_form import ClosedFormSpace
from gnas_search.space.constraints import UNCONSTRAINED, Constraints
from gnas_search.space.feasible import Count, count_feasible, feasible_share
from gnas_search.space.genes import Gene, Value, at
from gnas_search.space.network import NetworkSpace
from gnas_search.specs import FAMILIES, GNN, BranchSpec
from gnas_serve.errors import ConfigError, unknown_name

_RULES = ("constraints", "forbid", "force")


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
        """Count the distinct models, a continuous gene once."""

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
    constraints
        What of it is out.
    graph
        What its models would be fitted to, once it is restricted to data: what they would take depends on it.
    """

    families: Mapping[str, FamilySpace]
    source: str = field(default="space", compare=False)
    constraints: Constraints = UNCONSTRAINED
    graph: InteractionGraph | None = field(default=None, compare=False, repr=False)

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
        except (ValueError, RecursionError) as error:  # also of other bytes than UTF-8, or of endless numbers
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
        sections = (*_RULES, "fixed", "genes", "start", *(family for family in FAMILIES if family != GNN))
        for section in raw:
            if section not in sections:
                raise at(source, unknown_name("section", section, sections))
        families: dict[str, FamilySpace] = {}
        closed = [family for family in FAMILIES if family != GNN and family in raw]
        for family in closed:
            if not isinstance(raw[family], Mapping):
                raise ConfigError(f"{source}: {family} is no table", hint=f"write [{family}.genes]")
            families[family] = ClosedFormSpace.from_json(family, raw[family], source=f"{source}: {family}")
        networks = {section: value for section, value in raw.items() if section not in (*closed, *_RULES)}
        if networks or not families:
            families[GNN] = NetworkSpace.from_json(networks, source=source)
        space = cls(families, source, Constraints.from_json(raw, source=source))
        space.check_starts()
        return space

    def to_json(self) -> dict[str, Any]:
        """Give the content of a space file that reads as this space."""
        content = {family: space.to_json() for family, space in self.families.items() if family != GNN}
        content |= self.families[GNN].to_json() if GNN in self.families else {}
        return content | self.constraints.to_json()

    def restrict(self, dataset: Dataset) -> SearchSpace:
        """Drop what cannot differ on this data, and hold its models against the limits on what they take.

        Raises
        ------
        ConfigError
            If a start is above a limit, or nothing in a family seems to be below.
        """
        families = {name: space.restrict(dataset) for name, space in self.families.items()}
        space = replace(self, families=families, graph=dataset.selection)
        space.check_starts()
        return space

    def why_not(self, spec: BranchSpec) -> str:
        """Say which constraint keeps a model from being tried; empty where none. Limits need a graph."""
        broken = self.constraints.broken_rule(spec)
        limited = self.constraints.max_parameters is not None or self.constraints.max_artifact_bytes is not None
        if broken or self.graph is None or not limited:
            return broken
        from gnas_search.space.costs import artifact_bytes, num_parameters  # torch, a second of who reads a space

        return self.constraints.too_large(num_parameters(spec, self.graph), artifact_bytes(spec, self.graph))

    def check_starts(self) -> None:
        """Refuse a space of which a start is out, or all that it has.

        Raises
        ------
        ConfigError
            Naming the family and the constraint.
        """
        if self.constraints.are_none:
            return
        for family, space in self.families.items():
            for start in space.starts:
                reason = self.why_not(start)
                if not reason:
                    continue
                if feasible_share(self, family)[0] == 0:
                    raise ConfigError(
                        f"{self.source}: no {family} model of the space meets the constraints: of its start, {reason}",
                        hint="loosen a constraint, widen the genes, or leave the family out",
                        code="infeasible",
                    )
                raise ConfigError(
                    f"{self.source}: a start of the {family} models breaks a constraint: {reason}",
                    hint=f"change the start ({start.summary()}) or the constraint",
                    code="infeasible",
                )

    def count(self, family: str) -> Count:
        """Count the models of a family that the constraints leave."""
        return count_feasible(self, family)

    def read(self, family: str, values: Mapping[str, Value]) -> BranchSpec:
        """Read one point of a family, with a value for every gene."""
        spec: BranchSpec = self.families[family].to_spec(values)
        return spec

    def size(self) -> int:
        """Count the models of all families that the constraints leave, as :func:`count_feasible` does."""
        return sum(self.count(family).models for family in self.families)


def _ready_folder() -> Path:
    """Find the ready spaces: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "spaces"
    return installed if installed.is_dir() else package.parent / "spaces"
