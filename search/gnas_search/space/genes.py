"""Genes: what may vary in a space, as its file says it and as samplers want it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gnas_serve.errors import ConfigError, unknown_name

Value = str | int | float | bool
Gene = CategoricalDistribution | IntDistribution | FloatDistribution
Check = Callable[[str, str, object], Any]
"""Gives a gene's value in the type of its field, or refuses it: ``check(where, name, value)``."""

MOST_VALUES = 100_000
"""Of a range of whole numbers: sizes are counted by listing them."""
_SECTIONS = ("fixed", "genes", "start")
_RANGE_KEYS = ("high", "log", "low")


def at(where: str, error: ConfigError) -> ConfigError:
    """Say where in a file an error is."""
    return ConfigError(f"{where}: {error.message}", hint=error.hint, code=error.code)


def check_sections(raw: Mapping[str, Any], source: str) -> list[Mapping[str, Any]]:
    """Refuse a space of another shape; give its starts.

    Raises
    ------
    ConfigError
        Naming the section.
    """
    for section in raw:
        if section not in _SECTIONS:
            raise at(source, unknown_name("section", section, _SECTIONS))
    for section in ("fixed", "genes"):
        if not isinstance(raw.get(section, {}), Mapping):
            raise ConfigError(f"{source}: {section} is no table", hint=f"write [{section}]")
    starts = raw.get("start", [{}])
    if not isinstance(starts, list) or not starts or not all(isinstance(start, Mapping) for start in starts):
        raise ConfigError(f"{source}: start is no list of tables", hint="write [[start]], once or more")
    return starts


def read_genes(
    raw: Mapping[str, Any], source: str, names: tuple[str, ...], check: Check
) -> tuple[dict[str, Gene], dict[str, Value]]:
    """Read the genes and the fixed values of a space.

    Parameters
    ----------
    raw
        Its file's content.
    source
        What messages call it.
    names
        Of all genes that there are.
    check
        Of a value.

    Raises
    ------
    ConfigError
        If a gene is unknown, both a gene and fixed, or has a wrong value, or there are no genes.
    """
    written, fixed = dict(raw.get("genes", {})), dict(raw.get("fixed", {}))
    for section, chosen in (("genes", written), ("fixed", fixed)):
        for name in chosen:
            if name not in names:
                raise at(f"{source}: {section}", unknown_name("gene", name, names))
    both = sorted(set(written) & set(fixed))
    if both:
        raise ConfigError(f"{source}: {both[0]} is both a gene and fixed", hint="keep one of the two")
    if not written:
        raise ConfigError(f"{source}: no genes", hint="name at least one under [genes]")
    settled = {name: check(f"{source}: fixed.{name}", name, value) for name, value in fixed.items()}
    return {name: _gene(f"{source}: genes.{name}", name, value, check) for name, value in written.items()}, settled


def _gene(where: str, name: str, written: object, check: Check) -> Gene:
    if isinstance(written, list):
        choices = [check(where, name, value) for value in written]
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
            raise at(where, unknown_name("range key", key, _RANGE_KEYS))
    low, high = (check(where, name, written.get(end)) for end in ("low", "high"))
    log = written.get("log", False)
    if isinstance(low, (bool, str)):
        raise ConfigError(f"{where}: a range of no numbers", hint="list the choices instead")
    if not isinstance(log, bool) or not low < high or (log and low <= 0):
        raise ConfigError(f"{where}: {dict(written)!r} is no range", hint="low must be below high, and above 0 for log")
    if not isinstance(low, int):
        return FloatDistribution(low, high, log=log)
    if high - low >= MOST_VALUES:
        raise ConfigError(f"{where}: more than {MOST_VALUES:,} whole numbers", hint="narrow the range, or list choices")
    return IntDistribution(low, high, log=log)


def written(gene: Gene) -> list[Any] | dict[str, Any]:
    """Give a gene as a space file has it."""
    if isinstance(gene, CategoricalDistribution):
        return list(gene.choices)
    return {"low": gene.low, "high": gene.high, "log": gene.log}


def contains(gene: Gene, value: Value) -> bool:
    """Tell whether a gene may have a value."""
    if isinstance(gene, CategoricalDistribution):
        return value in gene.choices
    return isinstance(value, (int, float)) and not isinstance(value, bool) and gene.low <= value <= gene.high


def any_value(gene: Gene) -> Any:
    """Give one of its values."""
    return gene.choices[0] if isinstance(gene, CategoricalDistribution) else gene.low


def nearest(gene: Gene, value: Any) -> Any:
    """Give a value where a gene may have it; else the nearest end of its range, or its first choice."""
    if contains(gene, value):
        return value
    if isinstance(gene, CategoricalDistribution) or isinstance(value, (bool, str)) or value is None:
        return any_value(gene)
    return gene.low if value < gene.low else gene.high


def choices(gene: Gene | None, otherwise: object) -> tuple[Any, ...]:
    """List the values of a gene; a continuous or absent one counts as one value."""
    if isinstance(gene, CategoricalDistribution):
        return tuple(gene.choices)
    if isinstance(gene, IntDistribution):
        return tuple(range(gene.low, gene.high + 1))
    return (otherwise,)
