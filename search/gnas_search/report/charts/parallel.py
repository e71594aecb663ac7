"""Parallel coordinates: every model of a family as a line through its settings to what it is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnas_search.report.charts.plot import WIDTH, line, path, shown, svg
from gnas_search.report.markup import Markup, element, joined, number
from gnas_search.report.models import Yardstick
from gnas_search.report.scale import Scale, figure
from gnas_search.study.traits import Trait

_TOP, _BOTTOM = 96.0, 356.0
_LEFT, _RIGHT = 34.0, WIDTH - 74
MOST_AXES = 9
"""Of settings; more cannot be told apart."""
_LONGEST = 12
_MOST_NAMES = 9
_OTHER = "others"
_DENSE = 60
"""More lines than that are drawn thinner."""
_WIDEST = 20.0
_CLASSES = 5
"""Lines are coloured by fifths of the models, the best in the strongest colour."""


@dataclass(frozen=True)
class _Axis:
    name: str
    places: tuple[float, ...]
    labels: tuple[tuple[float, str], ...]


def parallel(
    traits: Sequence[dict[str, Trait]], values: Sequence[float], first: Sequence[str], by: Yardstick
) -> Markup | None:
    """Draw one line per model.

    Parameters
    ----------
    traits
        Of each model; the same names for all.
    values
        What each is worth.
    first
        Settings in the order in which they are drawn; those that do not vary are left out, and those beyond
        :data:`MOST_AXES`.
    by
        What the values are of.

    Returns
    -------
    Markup or None
        None where fewer than two models differ in anything.
    """
    varying = [name for name in first if len({one[name] for one in traits}) > 1]
    if len(traits) < 2 or not varying:
        return None
    axes = [_axis(name, [one[name] for one in traits]) for name in varying[:MOST_AXES]]
    scale = Scale.over(values, _BOTTOM, _TOP, margin=0.0)
    ticks = tuple((scale(value), figure(value)) for value in scale.ticks(5))
    axes.append(_Axis(by.name, tuple(scale(value) for value in values), ticks))
    places = np.linspace(_LEFT, _RIGHT, len(axes))
    ranks = np.argsort(np.argsort(by.sign * np.asarray(values), kind="stable"), kind="stable")
    parts, dense = [], " dense" if len(values) > _DENSE else ""
    for model in np.argsort(ranks):  # the best on top
        points = [(float(x), axis.places[model]) for x, axis in zip(places, axes, strict=True)]
        said = ", ".join(f"{name} {_written(traits[model][name])}" for name in varying)
        fifth = int(ranks[model] * _CLASSES // len(values))
        parts.append(path(points, f"model q{fifth}{dense}", f"{by.name} {values[model]:.4f}: {said}"))
    for x, axis in zip(places, axes, strict=True):
        parts += _drawn(axis, float(x))
    more = len(varying) - MOST_AXES
    caption = (
        f"{len(traits)} models, a line each, from their settings to {by.name} on the right; the best fifth in the "
        "strongest colour. Point at a line to read it."
        + (f" {more} settings more vary: the {MOST_AXES} that matter most are shown." if more > 0 else "")
    )
    label = f"parallel coordinates of {len(traits)} models over {', '.join(axis.name for axis in axes)}"
    return shown(caption, svg(WIDTH, _BOTTOM + 16, label, joined(parts)))


def _axis(name: str, values: list[Trait]) -> _Axis:
    distinct = set(values)
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) and len(distinct) > 6:
        log = min(numbers) > 0 and max(numbers) > _WIDEST * min(numbers)
        scale = Scale.over(numbers, _BOTTOM, _TOP, log=log, margin=0.0)
        labels = tuple((scale(value), figure(value)) for value in scale.ticks(4))
        return _Axis(name, tuple(scale(value) for value in numbers), labels)
    named: list[Trait] = [_shortened(value, values) for value in values]
    ordered = sorted(set(named), key=lambda value: (value == _OTHER, isinstance(value, str), value))
    heights = np.linspace(_BOTTOM, _TOP, len(ordered)) if len(ordered) > 1 else [(_BOTTOM + _TOP) / 2]
    place = {value: float(height) for value, height in zip(ordered, heights, strict=True)}
    labels = tuple((place[value], _written(value)) for value in ordered)
    return _Axis(name, tuple(place[value] for value in named), labels)


def _shortened(value: Trait, values: list[Trait]) -> Trait:
    """Give a value itself where it is among the most frequent, which alone have room for a name."""
    frequent = sorted(Counter(values).items(), key=lambda pair: (-pair[1], str(pair[0])))
    if len(frequent) <= _MOST_NAMES or value in [one for one, _ in frequent[: _MOST_NAMES - 1]]:
        return value
    return _OTHER


def _drawn(axis: _Axis, x: float) -> list[Markup]:
    parts = [line(x, _TOP, x, _BOTTOM, "axis")]
    turned = f"rotate(-28 {number(x)} {number(_TOP - 14)})"
    parts.append(element("text", axis.name, x=x - 2, y=_TOP - 14, transform=turned, class_="label"))
    for height, said in axis.labels:
        short = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
        title = element("title", said) if short != said else None
        parts.append(line(x - 3, height, x + 3, height, "axis"))
        parts.append(element("text", title, short, x=x + 6, y=height + 4, class_="tick halo"))
    return parts


def _written(value: Trait) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else figure(float(value))
