"""History: what every trial found, in the order in which they were drawn."""

from __future__ import annotations

from gnas_search.report.charts.plot import WIDTH, Plot, legend, line, mark, path, shown, svg, text
from gnas_search.report.markup import Markup, joined
from gnas_search.report.models import KIND_NAMES, Yardstick
from gnas_search.report.scale import Scale
from gnas_search.study import Baseline, Trial
from gnas_search.study.phases import HYPERPARAMETERS
from gnas_search.study.records import MEASURED_STATES

_HEIGHT = 340.0
_EARLY = {"cut", "stopped"}
_UNMEASURED = ("failed", "interrupted", "running")


def history(trials: tuple[Trial, ...], baselines: tuple[Baseline, ...], by: Yardstick) -> Markup:
    """Draw the value of every trial, the best so far, and the best simple model.

    Parameters
    ----------
    trials
        Of the study, at least one.
    baselines
        The best first.
    by
        What they are chosen by.
    """
    values = {one.number: value for one in trials if (value := _value(one, by)) is not None}
    simple = [by.value(one.measured) for one in baselines[:1]]
    y = Scale.over([*values.values(), *simple], _HEIGHT - 60, 14.0, margin=0.09)
    x = Scale.over([float(trial.number) for trial in trials], 66.0, WIDTH - 76, margin=0.02)
    plot = Plot(x, y, "trial", by.name)
    parts: list[Markup] = [plot.axes(whole_x=True)]
    if simple:
        parts.append(line(x.start, y(simple[0]), x.end, y(simple[0]), "reference"))
        parts.append(text(x.end + 6, y(simple[0]) + 4, baselines[0].name, "note"))
    tuned = [trial.number for trial in trials if trial.phase == HYPERPARAMETERS]
    if tuned:
        since = x(float(min(tuned)))
        parts.append(line(since, y.end, since, y.start, "reference"))
        parts.append(text(since - 6, y.end + 8, "second phase: the best networks are tuned", "note end halo"))
    parts.append(path(_best_so_far(trials, plot, by), "best", "best trial so far", steps=True))
    for trial in trials:
        parts += _marked(trial, plot, by)
    kinds = [kind for kind in KIND_NAMES if any(trial.kind == kind for trial in trials)]
    entries = [(mark(kind, 0, 0), KIND_NAMES[kind]) for kind in kinds]
    entries.append((path([(-8, 0), (8, 0)], "best"), "best trial so far"))
    if simple:
        entries.append((line(-8, 0, 8, 0, "reference"), f"best baseline: {baselines[0].name}"))
    states = {trial.state for trial in trials}
    if states & _EARLY:
        entries.append((mark("gnn", 0, 0, class_="hollow"), "stopped at a rung, or cut by time"))
    infeasible = any(trial.state == "infeasible" and trial.measured is not None for trial in trials)
    if "failed" in states or infeasible:
        entries.append((_cross(0, 0, None), "failed or infeasible" if infeasible else "failed"))
    if states & {"interrupted", "running"}:
        entries.append((line(0, -6, 0, 6, "unmeasured"), "running or interrupted"))
    count = len(values)
    label = f"{by.name} of {count} measured trials in order" + (
        f", from {min(values.values()):.4f} to {max(values.values()):.4f}" if values else ""
    )
    caption = (
        f"Each mark is a trial: {by.name} over validation users. Trials that repeat an earlier model are left out"
        + ("; along the bottom stand those without a measurement." if infeasible or states & set(_UNMEASURED) else ".")
    )
    return shown(caption, svg(WIDTH, _HEIGHT, label, joined(parts)), key=legend(entries))


def _value(trial: Trial, by: Yardstick) -> float | None:
    """Give what a trial has found; None where nothing was measured, or nothing that counts."""
    return by.value(trial.measured) if trial.measured is not None and trial.state in MEASURED_STATES else None


def _best_so_far(trials: tuple[Trial, ...], plot: Plot, by: Yardstick) -> list[tuple[float, float]]:
    points, best = [], float("-inf")
    for trial in trials:
        value = _value(trial, by)
        if value is not None and by.sign * value > best:
            best = by.sign * value
            points.append((plot.x(trial.number), plot.y(value)))
    return [*points, (plot.x(trials[-1].number), points[-1][1])] if points else []


def _marked(trial: Trial, plot: Plot, by: Yardstick) -> list[Markup]:
    place = plot.x(trial.number)
    value = _value(trial, by)
    if value is not None:
        summary = trial.spec.summary() if trial.spec is not None else ""
        tuned = ", tuned" if trial.phase == HYPERPARAMETERS else ""
        title = f"trial {trial.number}, {trial.state}{tuned}: {by.name} {value:.4f}\n{trial.key}: {summary}"
        return [mark(trial.kind, place, plot.y(value), title, "hollow" if trial.state in _EARLY else "")]
    bottom = plot.y.start - 8
    if trial.state == "failed":
        return [_cross(place, bottom, f"trial {trial.number} failed: {trial.reason}")]
    if trial.state == "infeasible" and trial.measured is not None:
        return [_cross(place, bottom, f"trial {trial.number} is infeasible: {trial.reason}")]
    if trial.state in ("interrupted", "running"):
        return [line(place, bottom - 5, place, bottom + 5, "unmeasured")]
    return []


def _cross(x: float, y: float, title: str | None) -> Markup:
    return mark("baseline", x, y, title, "failed")
