"""ClosedFormSpace: the graph filters or two-hop models that a study may try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any

from optuna.distributions import FloatDistribution

from gnas_search.closed_form import CLOSED_FORMS, ClosedFormSpec
from gnas_search.data.dataset import Dataset
from gnas_search.space.genes import (
    Gene,
    Value,
    any_value,
    at,
    check_sections,
    choices,
    contains,
    nearest,
    read_genes,
    written,
)
from gnas_serve.errors import ConfigError


@dataclass(frozen=True)
class ClosedFormSpace:
    """The models of one closed-form family; each field of its spec may be a gene.

    Attributes
    ----------
    kind
        ``"filter"`` or ``"two-hop"``.
    genes
        ``"<kind>.<field>"`` to its distribution: in one study with others, a gene has a name of its own.
    fixed
        Values that all share; what is neither here nor a gene has its default.
    starts
        What to try first; inside the space.
    """

    kind: str
    genes: Mapping[str, Gene]
    fixed: Mapping[str, Value]
    starts: tuple[ClosedFormSpec, ...]
    source: str = field(default="space", compare=False)

    @classmethod
    def from_json(cls, kind: str, raw: Mapping[str, Any], *, source: str = "space") -> ClosedFormSpace:
        """Read a family's section of a space file: ``genes``, ``fixed`` and ``start``.

        Raises
        ------
        ConfigError
            Naming the source and the key that is wrong.
        """
        starts = check_sections(raw, source)
        names = tuple(f.name for f in fields(CLOSED_FORMS[kind]))

        def checked(where: str, name: str, value: object) -> Any:
            try:
                return getattr(CLOSED_FORMS[kind].from_json({name: value}), name)
            except ConfigError as error:
                raise at(where, error) from error

        genes, fixed = read_genes(raw, source, names, checked)
        space = cls(kind, {f"{kind}.{name}": gene for name, gene in genes.items()}, fixed, (), source)
        return replace(space, starts=tuple(space._read_start(start) for start in starts))

    def _read_start(self, raw: Mapping[str, Any]) -> ClosedFormSpec:
        try:
            usual = self._read({})
            # What a start does not say is as ever, where the space has that.
            near = {
                self._field(name): nearest(gene, getattr(usual, self._field(name))) for name, gene in self.genes.items()
            }
            start: ClosedFormSpec = self._read({**near, **self.fixed, **raw})
            self.encode(start)
        except ConfigError as error:
            raise at(f"{self.source}: start", error) from error
        return start

    def _field(self, gene: str) -> str:
        return gene.removeprefix(f"{self.kind}.")

    def _read(self, raw: dict[str, Any]) -> ClosedFormSpec:
        return CLOSED_FORMS[self.kind].from_json(raw)

    def to_json(self) -> dict[str, Any]:
        """Give the content of a section that reads as this space."""
        genes = {self._field(name): written(gene) for name, gene in self.genes.items()}
        return {"genes": genes, "fixed": dict(self.fixed), "start": [start.to_json() for start in self.starts]}

    def to_spec(self, values: Mapping[str, Value]) -> ClosedFormSpec:
        """Read one point of the space, with a value for every gene; canonical."""
        point = {**self.fixed, **{self._field(name): values[name] for name in self.genes}}
        spec: ClosedFormSpec = self._read(point).canonical()
        return spec

    def encode(self, spec: ClosedFormSpec) -> dict[str, Value]:
        """Give the point that reads as ``spec``; genes without effect on it get any value.

        Raises
        ------
        ConfigError
            If no point of the space does.
        """
        values: dict[str, Value] = {}
        for name, gene in self.genes.items():
            value = getattr(spec, self._field(name))
            values[name] = value if contains(gene, value) else any_value(gene)
        read, wanted = self.to_spec(values).to_json(), spec.canonical().to_json()
        for name, value in wanted.items():
            if read[name] != value:
                raise ConfigError(f"{name}: {value!r} is outside the space", hint="choose a value of its genes")
        return values

    def restrict(self, dataset: Dataset) -> ClosedFormSpace:
        """Drop what cannot differ on this data: ``edges`` where no event but the target brings any."""
        graph = dataset.selection
        if graph.edges.nnz != graph.positives.nnz:
            return self
        genes = {name: gene for name, gene in self.genes.items() if self._field(name) != "edges"}
        starts = tuple(self._read({**start.to_json(), "edges": "target"}) for start in self.starts)
        return replace(self, genes=genes, fixed={**self.fixed, "edges": "target"}, starts=starts)

    def size(self) -> int:
        """Count the distinct models; a continuous gene counts once (see :attr:`is_finite`)."""
        values = {name: choices(gene, None) for name, gene in self.genes.items()}
        usual = {name: any_value(gene) for name, gene in self.genes.items()}
        words = [name for name in values if isinstance(usual[name], str)]
        found: dict[ClosedFormSpec, int] = {}
        for chosen in product(*(values[name] for name in words)):  # which numbers have an effect is for words to say
            point = {**usual, **dict(zip(words, chosen, strict=True))}
            numbers = [name for name in values if name not in words and self._has_effect(name, point)]
            found[self.to_spec(point)] = math.prod(len(values[name]) for name in numbers)
        return sum(found.values())

    def _has_effect(self, name: str, point: Mapping[str, Value]) -> bool:
        """Tell whether a gene of several values makes several models of a point."""
        some = choices(self.genes[name], None)[:2]
        return len(some) > 1 and len({self.to_spec({**point, name: value}) for value in some}) > 1

    @property
    def is_finite(self) -> bool:
        """Whether every gene is discrete."""
        return not any(isinstance(gene, FloatDistribution) for gene in self.genes.values())
