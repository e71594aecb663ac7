"""NetworkSpace: the graph networks that a study may try, given to samplers as one fixed vector."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

from optuna.distributions import FloatDistribution

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bodies import Setting
from gnas_search.data.dataset import Dataset
from gnas_search.layer_spec import ATTENTION_OPERATORS, NORMALISING_OPERATORS
from gnas_search.space import counting, graphs, layers
from gnas_search.space.encoder import ADVERSARIAL, CONTRAST, FIELDS, INDEPENDENT, NUM_LAYERS, Encoder, listed
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
from gnas_search.space.network_genes import GENE_NAMES, checked
from gnas_serve.errors import ConfigError

_NONE = (0.0, 0.0)


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
        Gene name to its distribution; those of layers stand once in a file and here once per layer: the operator as
        ``layer.0``, ``layer.1`` and so on, others as ``layer.0.dropout``, and of cells with more than one node each
        further node's operator and what it reads as ``layer.0.node.2`` and ``layer.0.source.2``. On data with several
        events beside the target ``event_weight`` stands here once per event, as ``event_weight.view``.
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
        own = (graphs.of_event(event) for part in ("genes", "fixed") for event in graphs.events_of(raw.get(part, {})))
        read, fixed = read_genes(raw, source, (*GENE_NAMES, *own), checked)
        for name in (NUM_LAYERS, layers.OPERATOR):
            if name not in read and name not in fixed:
                raise ConfigError(f"{source}: {name} is absent", hint="add it under [genes] or [fixed]")
        nodes = max(choices(read.get(layers.NUM_NODES), fixed.get(layers.NUM_NODES, 1)))
        depth = max(1, *choices(read.get(NUM_LAYERS), fixed.get(NUM_LAYERS)))
        genes: dict[str, Gene] = {}
        for name, gene in read.items():
            genes |= layers.per_layer(name, gene, depth, nodes) if name in layers.NAMES else {name: gene}
        genes |= layers.sources(depth, nodes)
        space = cls(genes, fixed, (), source)
        space._check_heads()
        return replace(space, starts=tuple(space._read_start(start) for start in starts))

    def _check_heads(self) -> None:
        operators = choices(self.genes.get("layer.0"), self.fixed.get(layers.OPERATOR))
        if not set(operators) & set(ATTENTION_OPERATORS):
            return
        for heads in self._choices("heads"):
            for dim in self._choices("embedding_dim"):
                if dim % heads:
                    raise ConfigError(
                        f"{self.source}: {heads} heads do not divide embedding_dim {dim}",
                        hint="list only dims that every number of heads divides",
                    )

    def _read_start(self, raw: Mapping[str, Any]) -> ArchitectureSpec:
        usual = ArchitectureSpec()
        # What a start does not say is as ever, where the space has that.
        settled: dict[str, Any] = {
            name: nearest(gene, getattr(usual, name)) for name, gene in self.genes.items() if name in FIELDS
        }
        settled |= {name: value for name, value in self.fixed.items() if name in FIELDS}
        try:
            written = raw["layers"] if "layers" in raw else self._usual_layers()
            if isinstance(written, (list, tuple)):
                raw = {**raw, "layers": [layers.read_start(layer, self.fixed).to_json() for layer in written]}
            near = graphs.nearest_default(self.genes)
            try:  # the usual graph first: where a gene has no effect, its default is as good as what is near
                return self._start({**settled, **raw}, self.fixed)
            except ConfigError:
                return self._start({**settled, **raw}, {**near, **self.fixed})
        except ConfigError as error:
            raise at(f"{self.source}: start", error) from error

    def _start(self, raw: Mapping[str, Any], usual: Mapping[str, Any]) -> ArchitectureSpec:
        """Read a start whose graph is as ``usual`` says, but for what it says itself."""
        graph = raw.get("graph", {})
        if isinstance(graph, Mapping):
            graph = {**graphs.decode(usual).to_json(), **graph}
        start = ArchitectureSpec.from_json({**raw, "graph": graph})
        self.encode(start)
        return start

    def _usual_layers(self) -> tuple[Any, ...]:
        """Give the layers of a start that does not say any: the usual ones, or as near as there are."""
        usual = self._encoder.point(ArchitectureSpec())
        near = {name: nearest(gene, usual.get(name)) for name, gene in self.genes.items()}
        return tuple(layer if isinstance(layer, str) else layer.to_json() for layer in self.as_written(near).layers)

    def to_json(self) -> dict[str, Any]:
        """Give the content of a space file that reads as this space."""
        names = {name: layers.file_name(name) if name.startswith("layer.") else name for name in self.genes}
        genes = {names[name]: written(gene) for name, gene in self.genes.items() if names[name] is not None}
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
        return self.as_written(values).canonical()

    def as_written(self, values: Mapping[str, Value]) -> ArchitectureSpec:
        """Read one point, layer by layer as its genes say, which may be another form of the same model."""
        point: dict[str, Any] = {**self.fixed, **{name: values[name] for name in self.genes}}
        count = point.pop(NUM_LAYERS)
        read = tuple(layers.decode(point, layer) for layer in range(count))
        said = {name: point[name] for name in FIELDS if name in point}
        return ArchitectureSpec(layers=read, graph=graphs.decode(point), **said)

    def encode(self, spec: ArchitectureSpec) -> dict[str, Value]:
        """Give a point that reads as ``spec`` or its equal; genes without effect on it get any value.

        Raises
        ------
        ConfigError
            If no point of the space does.
        """
        spec = spec.canonical()
        point = self._encoder.point(spec)
        values: dict[str, Value] = {}
        for name, gene in self.genes.items():
            value = point.get(name)
            values[name] = value if value is not None and contains(gene, value) else any_value(gene)
        read, wanted = self.to_spec(values).to_json(), spec.to_json()
        for name in {**wanted, **read}:  # what is as by default may be unsaid in either
            value = wanted.get(name)
            if read.get(name) != value:
                said = repr(value) if name in wanted else "unsaid"
                raise ConfigError(f"{name}: {said} is outside the space", hint="choose a value of its genes")
        return values

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.genes, self.fixed)

    def restrict(self, dataset: Dataset) -> NetworkSpace:
        """Drop what cannot differ on this data, and give each event beside the target a weight of its own.

        Where no event but the target brings edges, ``edges`` is ``target``; without timestamps there is no half-life,
        without features no choice of them.
        """
        graph = dataset.selection
        idle = graphs.idle_on(graph)
        genes = {name: gene for name, gene in self.genes.items() if name not in idle}
        changed = {name: value for name, value in idle.items() if name in self.genes or name in self.fixed}
        own = graphs.events_of({**self.genes, **self.fixed})
        genes, fixed = (graphs.per_event(part, graph, own) for part in (genes, {**self.fixed, **changed}))
        fixed |= graphs.unnamed({**genes, **fixed}, graph)
        starts = tuple(graphs.on_data(start, idle, genes, fixed) for start in self.starts)
        return replace(self, genes=genes, fixed=fixed, starts=starts)

    def size(self) -> int:
        """Count the distinct architectures; a continuous gene counts once (see :attr:`is_finite`)."""
        return self._size

    @cached_property
    def _size(self) -> int:
        losses: Counter[Setting] = Counter()
        for scorer, loss in product(self._choices("scorer"), self._choices("loss")):
            losses[ArchitectureSpec(scorer=scorer, loss=loss).setting] += self._losses(scorer, loss)
        total = sum(self._bodies(setting) * count for setting, count in losses.items())
        pairs = product(self._choices("epochs"), self._choices("patience"))
        lengths = {(epochs, min(epochs, patience)) for epochs, patience in pairs}
        return (
            total
            * len(lengths)
            * len(self._weights(*ADVERSARIAL))
            * math.prod(self._count(name) for name in INDEPENDENT)
        )

    def _bodies(self, setting: Setting) -> int:
        """Count the layers, their combinations, starts and graphs, with what has an effect on layers alone."""
        numbers, combinations, inputs = (self._choices(name) for name in (NUM_LAYERS, "combination", "include_input"))
        shapes = counting.Shapes(numbers, combinations, inputs)
        weights = self._weights(*CONTRAST)
        noisy = [counting.count_noisy(shapes, letters.size, setting) for letters in self._alphabets]
        total, without_layers = self._with_operators(noisy) * len(weights - {_NONE}), 0 in numbers
        if _NONE in weights:
            merged = [counting.count_polynomials(shapes, letters.polynomials, setting) for letters in self._alphabets]
            plain = [counting.count_plain(shapes, letters, setting) for letters in self._alphabets]
            total += self._with_operators([one + other for one, (other, _) in zip(plain, merged, strict=True)])
            without_layers |= merged[0][1]
        events, starts = graphs.events_of({**self.genes, **self.fixed}), self._choices("init")
        total *= self._count("edge_dropout") * graphs.count(self._choices, events, layers=True) * len(starts)
        if not without_layers:
            return total
        spectra = graphs.count(self._choices, events, layers=False)
        return total + sum(spectra if start == "svd" else 1 for start in starts)

    @cached_property
    def _alphabets(self) -> tuple[counting.Alphabet, ...]:
        """All layers, those without attention, those that weigh nothing by degrees, and those that do neither."""
        kinds: tuple[tuple[str, ...], ...] = ((), ATTENTION_OPERATORS, NORMALISING_OPERATORS)
        without = (*kinds, ATTENTION_OPERATORS + NORMALISING_OPERATORS)
        return tuple(layers.alphabet(self._encoder.cells, self.genes, self.fixed, kind) for kind in without)

    def _with_operators(self, counts: Sequence[int]) -> int:
        """Count heads and the weights of edges where there are operators for them, of bodies of :attr:`_alphabets`."""
        every, one, other, neither = counts
        heads, weights = self._count("heads"), self._count("edge_weights")
        mixed = every - one - other + neither
        return mixed * heads * weights + (other - neither) * heads + (one - neither) * weights + neither

    def _losses(self, scorer: str, loss: str) -> int:
        """Count what belongs to a loss, under one scorer."""
        found: dict[ArchitectureSpec, int] = {}
        for negatives in self._choices("negatives"):
            one = ArchitectureSpec(loss=loss, negatives=negatives, scorer=scorer)
            varied = {
                "temperature": replace(one, temperature=0.5),
                "num_negatives": replace(one, num_negatives=2),
                "uniformity_weight": replace(one, uniformity_weight=0.5),
            }
            active = [name for name, other in varied.items() if other.canonical() != one.canonical()]
            found[one.canonical()] = math.prod(self._count(name) for name in active)
        return sum(found.values())

    def _weights(self, weight: str, setting: str) -> set[tuple[float, float]]:
        """List what a weight and its setting make, a weight of 0 being one whatever the setting."""
        # A range has no 0, and counts once whatever its values.
        ranges = [isinstance(self.genes.get(name), FloatDistribution) for name in (weight, setting)]
        weights = (1.0,) if ranges[0] else self._choices(weight)
        settings = (1.0,) if ranges[1] else self._choices(setting)
        return {(one, other) if one and other else _NONE for one in weights for other in settings}

    @property
    def is_finite(self) -> bool:
        """Whether every gene is discrete, so that a study can run out of architectures."""
        return not any(isinstance(gene, FloatDistribution) for gene in self.genes.values())

    def _choices(self, name: str) -> tuple[Any, ...]:
        return listed(self.genes, self.fixed, name)

    def _count(self, name: str) -> int:
        return len(self._choices(name))
