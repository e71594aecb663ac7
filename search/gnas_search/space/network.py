"""NetworkSpace: the graph networks that a study may try, given to samplers as one fixed vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from optuna.distributions import FloatDistribution

from gnas_search.architecture import MAX_LAYERS, ArchitectureSpec
from gnas_search.data.dataset import Dataset
from gnas_search.space.genes import Gene, Value, any_value, at, check_sections, choices, contains, read_genes, written
from gnas_serve.errors import ConfigError

NUM_LAYERS = "num_layers"
OPERATOR = "operator"
LAYER_GENES = tuple(f"layer.{position}" for position in range(MAX_LAYERS))
_FIELDS = tuple(f.name for f in fields(ArchitectureSpec) if f.name != "layers")
GENE_NAMES = (NUM_LAYERS, OPERATOR, *_FIELDS)


@dataclass(frozen=True)
class NetworkSpace:
    """The graph networks that a study may try.

    The space is conditional in meaning (a third operator matters only where there are three layers, a temperature
    only for cosine scores), but every point is written as the same vector of genes: a model-based sampler that met
    different genes in different trials would fall back to sampling each gene alone. :meth:`to_spec` canonicalises,
    so inactive genes have no effect.

    Attributes
    ----------
    genes
        Gene name to its distribution; ``operator`` stands once in a file and here once per layer
        (``layer.0`` to ``layer.2``).
    fixed
        Values that every architecture of the space shares, by gene name.
    starts
        Architectures to try first, known to be good; they lie inside the space.
    """

    genes: Mapping[str, Gene]
    fixed: Mapping[str, Value]
    starts: tuple[ArchitectureSpec, ...]
    source: str = field(default="space", compare=False)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], *, source: str = "space") -> NetworkSpace:
        """Read the content of a space file.

        Parameters
        ----------
        raw
            ``genes``, ``fixed`` and ``start``, as in ``search/spaces/*.toml``.
        source
            What messages call it: the file.

        Raises
        ------
        ConfigError
            Naming the source and the key that is wrong.
        """
        starts = check_sections(raw, source)
        read, fixed = read_genes(raw, source, GENE_NAMES, _checked)
        genes: dict[str, Gene] = {}
        for name, gene in read.items():
            genes |= dict.fromkeys(LAYER_GENES, gene) if name == OPERATOR else {name: gene}
        for name in (NUM_LAYERS, OPERATOR):
            if name not in read and name not in fixed:
                raise ConfigError(f"{source}: {name} is absent", hint="add it under [genes] or [fixed]")
        space = cls(genes, fixed, (), source)
        return replace(space, starts=tuple(space._read_start(start) for start in starts))

    def _read_start(self, raw: Mapping[str, Any]) -> ArchitectureSpec:
        settled = {name: value for name, value in self.fixed.items() if name in _FIELDS}
        try:
            start = ArchitectureSpec.from_json({**settled, **raw})
            self.encode(start)
        except ConfigError as error:
            raise at(f"{self.source}: start", error) from error
        return start

    def to_json(self) -> dict[str, Any]:
        """Give the content of a space file that reads as this space."""
        genes = {(OPERATOR if name in LAYER_GENES else name): written(gene) for name, gene in self.genes.items()}
        return {"genes": genes, "fixed": dict(self.fixed), "start": [start.to_json() for start in self.starts]}

    def to_spec(self, values: Mapping[str, Value]) -> ArchitectureSpec:
        """Read one point of the space.

        Parameters
        ----------
        values
            A value for every gene.

        Returns
        -------
        ArchitectureSpec
            Canonical: genes without effect are at fixed values.
        """
        point: dict[str, Any] = {**self.fixed, **{name: values[name] for name in self.genes}}
        every_layer = point.pop(OPERATOR, None)
        operators = [point.pop(name, every_layer) for name in LAYER_GENES]
        layers = tuple(operators[: point.pop(NUM_LAYERS)])
        return ArchitectureSpec.from_json({"layers": layers, **point}).canonical()

    def encode(self, spec: ArchitectureSpec) -> dict[str, Value]:
        """Give the point that reads as ``spec``; genes without effect on it get any value.

        Raises
        ------
        ConfigError
            If no point of the space does.
        """
        point: dict[str, Value] = {name: getattr(spec, name) for name in _FIELDS}
        point[NUM_LAYERS] = len(spec.layers)
        point |= dict(zip(LAYER_GENES, spec.layers, strict=False))
        values: dict[str, Value] = {}
        for name, gene in self.genes.items():
            value = point.get(name)
            values[name] = value if value is not None and contains(gene, value) else any_value(gene)
        read, wanted = self.to_spec(values).to_json(), spec.canonical().to_json()
        for name, value in wanted.items():
            if read[name] != value:
                raise ConfigError(f"{name}: {value!r} is outside the space", hint="choose a value of its genes")
        return values

    def restrict(self, dataset: Dataset) -> NetworkSpace:
        """Drop what cannot differ on this data: where no event but the target brings edges, ``edges`` is ``target``."""
        graph = dataset.selection
        if graph.edges.nnz != graph.positives.nnz:
            return self
        genes = {name: gene for name, gene in self.genes.items() if name != "edges"}
        starts = tuple(replace(start, edges="target") for start in self.starts)
        return replace(self, genes=genes, fixed={**self.fixed, "edges": "target"}, starts=starts)

    def size(self) -> int:
        """Count the distinct architectures; a continuous gene counts once (see :attr:`is_finite`)."""
        bodies = 0
        inputs = self._count("include_input")
        combinations = self._choices("combination")
        combined = sum(1 if name == "last" else inputs for name in combinations)
        for num_layers in self._choices(NUM_LAYERS):
            operators = math.prod(self._count(name) for name in LAYER_GENES[: int(num_layers)])
            bodies += operators * combined * self._count("edges") if num_layers else 1
        scorers = sum(1 if name == "dot" else self._count("temperature") for name in self._choices("scorer"))
        negatives = self._count("num_negatives")
        losses = sum(negatives if name == "sampled_softmax" else 1 for name in self._choices("loss"))
        counted = {"combination", "include_input", "edges", "scorer", "temperature", "loss", "num_negatives"}
        return bodies * scorers * losses * math.prod(self._count(name) for name in _FIELDS if name not in counted)

    @property
    def is_finite(self) -> bool:
        """Whether every gene is discrete, so that a study can run out of architectures."""
        return not any(isinstance(gene, FloatDistribution) for gene in self.genes.values())

    def _choices(self, name: str) -> tuple[Any, ...]:
        return choices(self.genes.get(name), self.fixed.get(name, getattr(ArchitectureSpec(), name, None)))

    def _count(self, name: str) -> int:
        return len(self._choices(name))


def _checked(where: str, name: str, value: object) -> Any:
    """Give a gene's value in the type of its field, or refuse it."""
    if name == NUM_LAYERS:
        if type(value) is not int or not 0 <= value <= MAX_LAYERS:
            raise ConfigError(f"{where}: {value!r} is no number of layers", hint=f"use 0 to {MAX_LAYERS}")
        return value
    try:
        if name == OPERATOR:
            return ArchitectureSpec.from_json({"layers": [value]}).layers[0]
        return getattr(ArchitectureSpec.from_json({name: value}), name)
    except ConfigError as error:
        raise at(where, error) from error
