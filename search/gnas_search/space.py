"""SearchSpace: which architectures a study may try, read from TOML and given to samplers as one fixed vector."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gnas_search.architecture import MAX_LAYERS, ArchitectureSpec
from gnas_search.data.dataset import Dataset
from gnas_serve.errors import ConfigError, unknown_name

Value = str | int | float | bool
Gene = CategoricalDistribution | IntDistribution | FloatDistribution
NUM_LAYERS = "num_layers"
OPERATOR = "operator"
LAYER_GENES = tuple(f"layer.{position}" for position in range(MAX_LAYERS))
_FIELDS = tuple(f.name for f in fields(ArchitectureSpec) if f.name != "layers")
GENE_NAMES = (NUM_LAYERS, OPERATOR, *_FIELDS)
_SECTIONS = ("fixed", "genes", "start")
_RANGE_KEYS = ("high", "log", "low")


@dataclass(frozen=True)
class SearchSpace:
    """The architectures that a study may try.

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
            ``genes``, ``fixed`` and ``start``, as in ``search/spaces/*.toml``.
        source
            What messages call it: the file.

        Raises
        ------
        ConfigError
            Naming the source and the key that is wrong.
        """
        starts = _check_sections(raw, source)
        written_genes, fixed = dict(raw.get("genes", {})), dict(raw.get("fixed", {}))
        for section, names in (("genes", written_genes), ("fixed", fixed)):
            for name in names:
                if name not in GENE_NAMES:
                    raise _at(f"{source}: {section}", unknown_name("gene", name, GENE_NAMES))
        both = sorted(set(written_genes) & set(fixed))
        if both:
            raise ConfigError(f"{source}: {both[0]} is both a gene and fixed", hint="keep one of the two")
        if not written_genes:
            raise ConfigError(f"{source}: no genes", hint="name at least one under [genes]")
        fixed = {name: _checked(f"{source}: fixed.{name}", name, value) for name, value in fixed.items()}
        genes: dict[str, Gene] = {}
        for name, written in written_genes.items():
            gene = _gene(f"{source}: genes.{name}", name, written)
            genes |= dict.fromkeys(LAYER_GENES, gene) if name == OPERATOR else {name: gene}
        for name in (NUM_LAYERS, OPERATOR):
            if name not in written_genes and name not in fixed:
                raise ConfigError(f"{source}: {name} is absent", hint="add it under [genes] or [fixed]")
        space = cls(genes, fixed, (), source)
        return replace(space, starts=tuple(space._read_start(start) for start in starts))

    def _read_start(self, raw: Mapping[str, Any]) -> ArchitectureSpec:
        settled = {name: value for name, value in self.fixed.items() if name in _FIELDS}
        try:
            start = ArchitectureSpec.from_json({**settled, **raw})
            self.encode(start)
        except ConfigError as error:
            raise _at(f"{self.source}: start", error) from error
        return start

    def to_json(self) -> dict[str, Any]:
        """Give the content of a space file that reads as this space."""
        genes = {(OPERATOR if name in LAYER_GENES else name): _written(gene) for name, gene in self.genes.items()}
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
        written: dict[str, Value] = {name: getattr(spec, name) for name in _FIELDS}
        written[NUM_LAYERS] = len(spec.layers)
        written |= dict(zip(LAYER_GENES, spec.layers, strict=False))
        values: dict[str, Value] = {}
        for name, gene in self.genes.items():
            value = written.get(name)
            values[name] = value if value is not None and _contains(gene, value) else _any_value(gene)
        read, wanted = self.to_spec(values).to_json(), spec.canonical().to_json()
        for name, value in wanted.items():
            if read[name] != value:
                raise ConfigError(f"{name}: {value!r} is outside the space", hint="choose a value of its genes")
        return values

    def restrict(self, dataset: Dataset) -> SearchSpace:
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
        losses = sum(1 if name == "bpr" else self._count("num_negatives") for name in self._choices("loss"))
        counted = {"combination", "include_input", "edges", "scorer", "temperature", "loss", "num_negatives"}
        return bodies * scorers * losses * math.prod(self._count(name) for name in _FIELDS if name not in counted)

    @property
    def is_finite(self) -> bool:
        """Whether every gene is discrete, so that a study can run out of architectures."""
        return not any(isinstance(gene, FloatDistribution) for gene in self.genes.values())

    def _choices(self, name: str) -> tuple[Any, ...]:
        gene = self.genes.get(name)
        if isinstance(gene, CategoricalDistribution):
            return gene.choices
        if isinstance(gene, IntDistribution):
            return tuple(range(gene.low, gene.high + 1))
        return (self.fixed.get(name, getattr(ArchitectureSpec(), name, None)),)

    def _count(self, name: str) -> int:
        return len(self._choices(name))


def _ready_folder() -> Path:
    """Find the ready spaces: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "spaces"
    return installed if installed.is_dir() else package.parent / "spaces"


def _check_sections(raw: Mapping[str, Any], source: str) -> list[Mapping[str, Any]]:
    """Refuse a space file of another shape; give its starts."""
    for section in raw:
        if section not in _SECTIONS:
            raise _at(source, unknown_name("section", section, _SECTIONS))
    for section in ("fixed", "genes"):
        if not isinstance(raw.get(section, {}), Mapping):
            raise ConfigError(f"{source}: {section} is no table", hint=f"write [{section}]")
    starts = raw.get("start", [{}])
    if not isinstance(starts, list) or not starts or not all(isinstance(start, Mapping) for start in starts):
        raise ConfigError(f"{source}: start is no list of tables", hint="write [[start]], once or more")
    return starts


def _at(where: str, error: ConfigError) -> ConfigError:
    return ConfigError(f"{where}: {error.message}", hint=error.hint, code=error.code)


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
        raise _at(where, error) from error


def _gene(where: str, name: str, written: object) -> Gene:
    if isinstance(written, list):
        choices = [_checked(where, name, value) for value in written]
        if not choices or len(set(choices)) != len(choices):
            raise ConfigError(f"{where}: {written!r} has no or repeated choices", hint="list each choice once")
        return CategoricalDistribution(choices)
    if not isinstance(written, Mapping):
        raise ConfigError(
            f"{where}: {written!r} is neither a list of choices nor a range",
            hint="write [a, b] or { low = a, high = b, log = true }, or move a single value to [fixed]",
        )
    for key in written:
        if key not in _RANGE_KEYS:
            raise _at(where, unknown_name("range key", key, _RANGE_KEYS))
    low, high = (_checked(where, name, written.get(end)) for end in ("low", "high"))
    log = written.get("log", False)
    if isinstance(low, (bool, str)):
        raise ConfigError(f"{where}: a range of no numbers", hint="list the choices instead")
    if not isinstance(log, bool) or not low < high or (log and low <= 0):
        raise ConfigError(f"{where}: {dict(written)!r} is no range", hint="low must be below high, and above 0 for log")
    return IntDistribution(low, high, log=log) if isinstance(low, int) else FloatDistribution(low, high, log=log)


def _written(gene: Gene) -> list[Any] | dict[str, Any]:
    if isinstance(gene, CategoricalDistribution):
        return list(gene.choices)
    return {"low": gene.low, "high": gene.high, "log": gene.log}


def _contains(gene: Gene, value: Value) -> bool:
    if isinstance(gene, CategoricalDistribution):
        return value in gene.choices
    return not isinstance(value, (bool, str)) and gene.low <= value <= gene.high


def _any_value(gene: Gene) -> Any:
    return gene.choices[0] if isinstance(gene, CategoricalDistribution) else gene.low
