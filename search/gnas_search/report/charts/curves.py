"""Learning curves: what the networks were worth after every epoch."""

from __future__ import annotations

from gnas_search.report.charts.plot import WIDTH, Plot, mark, path, shown, svg, text
from gnas_search.report.markup import Markup, joined
from gnas_search.report.models import Model
from gnas_search.report.scale import Scale

_HEIGHT = 340.0
_NAMED = 5
"""So many of the best are drawn strong and have their trial's number beside them."""
_APART = 13.0


def learning_curves(networks: list[Model]) -> Markup | None:
    """Draw a curve per network, the best ones strong; None where no network was trained for an epoch."""
    trained = [one for one in networks if one.measured.history]
    if not trained:
        return None
    epochs = [epoch["epoch"] for one in trained for epoch in one.measured.history]
    found = [value for one in trained for value in _values(one)]
    metric = trained[0].yardstick.name
    y = Scale.over(found, _HEIGHT - 60, 14.0)
    x = Scale.over([1.0, *epochs], 66.0, WIDTH - 80, margin=0.02)
    plot = Plot(x, y, "epoch", metric)
    parts: list[Markup] = [plot.axes(whole_x=True)]
    parts += [_curve(model, plot, "curve") for model in reversed(trained[_NAMED:])]
    named = trained[:_NAMED]
    for place, model in reversed(list(enumerate(named))):
        parts.append(_curve(model, plot, f"curve named c{place}"))
        for epoch, value in zip(model.measured.history, _values(model), strict=True):
            if epoch["epoch"] == model.measured.best_epoch:
                parts.append(mark("gnn", x(epoch["epoch"]), y(value), None, f"c{place}"))
    parts += _labels(named, plot)
    caption = (
        f"Validation {metric} after every epoch of {len(trained)} {'network' if len(trained) == 1 else 'networks'}"
        + (f"; the best {len(named)} are named by their trial." if len(trained) > len(named) else ", named by trial.")
        + " The dot is the epoch whose model is kept."
    )
    best = (max if trained[0].yardstick.sign > 0 else min)(found)
    label = f"learning curves of {len(trained)} networks; the best reaches {best:.4f}"
    return shown(caption, svg(WIDTH, _HEIGHT, label, joined(parts)))


def _curve(model: Model, plot: Plot, class_: str) -> Markup:
    epochs = zip(model.measured.history, _values(model), strict=True)
    points = [(plot.x(one["epoch"]), plot.y(value)) for one, value in epochs]
    if len(points) == 1:  # a line of one point is not to be seen
        points.append((points[0][0] + 4, points[0][1]))
    return path(points, class_, f"trial {model.trial}: {model.summary}")


def _values(model: Model) -> list[float]:
    """Give what the model was worth after each epoch, as its metric has it."""
    return [model.yardstick.sign * worth for worth in model.measured.worths]


def _labels(named: list[Model], plot: Plot) -> list[Markup]:
    """Name the curves at their ends, one below the other where they end together."""
    ends = [(plot.y(_values(one)[-1]), place, one) for place, one in enumerate(named)]
    labels, last = [], float("-inf")
    for height, place, model in sorted(ends, key=lambda end: end[:2]):
        at = max(height + 4, last + _APART)
        last = at
        labels.append(text(plot.x.end + 6, at, f"trial {model.trial}", f"note c{place}"))
    return labels
