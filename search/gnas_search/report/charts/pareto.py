"""Pareto fronts: what a model is worth against what else is asked of it, or what it costs."""

from __future__ import annotations

from collections.abc import Collection

from gnas_search.report.axes import Axis
from gnas_search.report.charts.plot import WIDTH, Plot, legend, mark, path, shown, svg, text
from gnas_search.report.markup import Markup, joined
from gnas_search.report.models import KIND_NAMES, Model, Yardstick
from gnas_search.report.scale import Scale, figure
from gnas_search.study.front import undominated

_HEIGHT = 340.0
_WIDEST = 20.0
"""Costs further apart than so many times are drawn on a logarithmic axis."""


def pareto(models: tuple[Model, ...], axis: Axis, several: Collection[str] | None = None) -> Markup | None:
    """Draw every model that has a place on an axis, and the front; None where fewer than two have, or all have 0.

    Parameters
    ----------
    models
        Of a study, at least one.
    axis
        What their values are held against.
    several
        Names of the models on the front of the whole study, where more than these two are weighed: they are drawn
        strong, in place of those on the line.
    """
    places = [(model, axis.of(model)) for model in models]
    known = [(model, found) for model, found in places if found is not None]
    if len(known) < 2 or not any(found for _, found in known):
        return None
    by = models[0].yardstick
    x = _scale([found for _, found in known], axis)
    y = Scale.over([model.value for model, _ in known], _HEIGHT - 60, 22.0)
    plot = Plot(x, y, f"{axis.label}{' (logarithmic)' if x.log else ''}", by.name)
    front = _front(known, axis, by)
    corners = [(x(known[place][1]), y(known[place][0].value)) for place in front]
    beyond = (x.end if axis.sign < 0 else x.start, corners[-1][1])
    parts = [plot.axes(), path([*corners, beyond], "front", "Pareto front", steps=True)]
    for place, (model, found) in enumerate(known):
        said = f"{model.said}: {by.name} {model.value:.4f}, {axis.title} {figure(found)} {axis.unit}".rstrip()
        is_strong = place in front if several is None else model.name in several
        title = f"{said}\n{model.summary}"
        parts.append(mark(model.kind, x(found), y(model.value), title, "" if is_strong else "behind"))
    parts += _names(sorted(zip(corners, (known[place][0] for place in front), strict=True), key=_from_the_left), x.end)
    kinds = [kind for kind in KIND_NAMES if any(model.kind == kind for model, _ in known)]
    entries = [(mark(kind, 0, 0), KIND_NAMES[kind]) for kind in kinds]
    entries.append((path([(-8, 0), (8, 0)], "front"), "Pareto front"))
    label = f"{by.name} against {axis.title}; on the front: " + ", ".join(known[place][0].said for place in front)
    caption = _caption(len(known), axis, by, is_one_of_several=several is not None)
    return shown(caption, svg(WIDTH, _HEIGHT, label, joined(parts)), key=legend(entries))


def _scale(found: list[float], axis: Axis) -> Scale:
    above = [one for one in found if one > 0]
    return Scale.over(found, 66.0, WIDTH - 24, log=axis.sign < 0 and max(above) > _WIDEST * min(above))


def _front(known: list[tuple[Model, float]], axis: Axis, by: Yardstick) -> list[int]:
    """Choose the places that no other dominates, from the best by the axis to the best by value."""
    points = [(by.sign * model.value, axis.sign * found) for model, found in known]
    chosen = undominated(points, [0.0, axis.tie])
    return sorted((int(place) for place in chosen.nonzero()[0]), key=lambda one: (-points[one][1], points[one][0]))


def _caption(count: int, axis: Axis, by: Yardstick, *, is_one_of_several: bool) -> str:
    across = "left" if axis.sign < 0 else "right"
    along = "above" if by.sign > 0 else "below"
    tied = ""
    if axis.tie:
        what = "sizes" if axis.unit == "bytes" else "times"
        tied = f", {what} within {100 * axis.tie:.0f} % of each other being equal"
    found = f"No model {across} of and {along} the line was found{tied}."
    said = f"{by.name} against {axis.title}, {count} models. {found} "
    if is_one_of_several:
        return f"{said}The line is of these two alone; in full colour stands what is on the front of all objectives."
    return f"{said}Those on it, in full colour, are the best of the two."


def _from_the_left(named: tuple[tuple[float, float], Model]) -> tuple[float, float]:
    return named[0]


def _names(named: list[tuple[tuple[float, float], Model]], right: float) -> list[Markup]:
    """Name models, from left to right, above their marks, where there is room."""
    labels: list[Markup] = []
    taken = float("-inf")
    for (x, y), model in named:
        name = f"trial {model.trial}" if model.trial is not None else model.name
        width = 6.6 * len(name)
        start = min(x - 4, right - width)
        if start < taken:
            continue
        taken = start + width + 8
        labels.append(text(start, y - 10, name, "note halo"))
    return labels
