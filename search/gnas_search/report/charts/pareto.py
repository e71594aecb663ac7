"""Pareto fronts: what a model is worth against what it costs."""

from __future__ import annotations

from gnas_search.report.charts.plot import WIDTH, Plot, legend, mark, path, shown, svg, text
from gnas_search.report.markup import Markup, joined
from gnas_search.report.models import KIND_NAMES, Cost, Model, pareto_front
from gnas_search.report.scale import Scale, figure

_HEIGHT = 340.0
_WIDEST = 20.0
"""Costs further apart than so many times are drawn on a logarithmic axis."""


def pareto(models: tuple[Model, ...], cost: Cost) -> Markup | None:
    """Draw every model that has a cost, and the front; None where fewer than two have."""
    costs = [(model, cost.of(model)) for model in models]
    known = [(model, paid) for model, paid in costs if paid is not None and paid > 0]
    if len(known) < 2:
        return None
    paid = [one for _, one in known]
    x = Scale.over(paid, 66.0, WIDTH - 24, log=max(paid) > _WIDEST * min(paid))
    by = models[0].yardstick
    y = Scale.over([model.value for model, _ in known], _HEIGHT - 60, 22.0)
    title = f"{cost.title}{f', {cost.unit}' if cost.unit else ''}{' (logarithmic)' if x.log else ''}"
    plot = Plot(x, y, title, by.name)
    front = pareto_front([(by.sign * model.value, one) for model, one in known])
    corners = [(x(known[place][1]), y(known[place][0].value)) for place in front]
    parts = [plot.axes(), path([*corners, (x.end, corners[-1][1])], "front", "Pareto front", steps=True)]
    for place, (model, one) in enumerate(known):
        said = f"{model.said}: {by.name} {model.value:.4f}, {figure(one)} {cost.unit}\n{model.summary}"
        where = x(one), y(model.value)
        parts.append(mark(model.kind, *where, said, "" if place in front else "behind"))
    parts += _names([known[place][0] for place in front], corners, x.end)
    kinds = [kind for kind in KIND_NAMES if any(model.kind == kind for model, _ in known)]
    entries = [(mark(kind, 0, 0), KIND_NAMES[kind]) for kind in kinds]
    entries.append((path([(-8, 0), (8, 0)], "front"), "Pareto front"))
    side = "above" if by.sign > 0 else "below"
    caption = (
        f"{by.name} against {cost.title}, {len(known)} models. No model left of and {side} the line was found: those "
        "on it are the best for what they cost."
    )
    label = f"{by.name} against {cost.title}; on the front: " + ", ".join(known[place][0].said for place in front)
    return shown(caption, svg(WIDTH, _HEIGHT, label, joined(parts)), key=legend(entries))


def _names(models: list[Model], corners: list[tuple[float, float]], right: float) -> list[Markup]:
    """Name the models on the front, above their marks, where there is room."""
    labels: list[Markup] = []
    taken = float("-inf")
    for model, (x, y) in zip(models, corners, strict=True):
        name = f"trial {model.trial}" if model.trial is not None else model.name
        width = 6.6 * len(name)
        start = min(x - 4, right - width)
        if start < taken:
            continue
        taken = start + width + 8
        labels.append(text(start, y - 10, name, "note halo"))
    return labels
