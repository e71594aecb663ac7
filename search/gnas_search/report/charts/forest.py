"""Forest plot: means with their confidence intervals, a model a row."""

from __future__ import annotations

from dataclasses import dataclass

from gnas_search.bootstrap import Interval
from gnas_search.report.charts.plot import WIDTH, line, mark, shown, svg, text
from gnas_search.report.markup import Markup, element, joined
from gnas_search.report.scale import Scale, figure

_ROW = 30.0
_LEFT, _RIGHT = 190.0, 212.0


@dataclass(frozen=True)
class Row:
    """A row of a forest plot.

    Attributes
    ----------
    label, kind
        Of the model.
    interval
        What is drawn.
    is_chosen
        Whether it is the verdict.
    """

    label: str
    kind: str
    interval: Interval
    is_chosen: bool = False


def forest(rows: list[Row], title: str, caption: str, *, zero: bool = False) -> Markup:
    """Draw intervals, at least one.

    Parameters
    ----------
    rows
        From top to bottom.
    title
        Of the axis.
    caption
        Under it.
    zero
        Whether the values are differences: 0 is then within the scale and has a line.
    """
    ends = [end for row in rows for end in (row.interval.low, row.interval.high)]
    x = Scale.over([*ends, 0.0] if zero else ends, _LEFT, WIDTH - _RIGHT)
    bottom = 10 + _ROW * len(rows)
    parts: list[Markup] = []
    for value in x.ticks(5):
        parts.append(line(x(value), 10, x(value), bottom, "grid"))
        parts.append(text(x(value), bottom + 18, figure(value), "tick middle"))
    if zero:
        parts.append(line(x(0.0), 10, x(0.0), bottom, "reference"))
    parts.append(line(x.start, bottom, x.end, bottom, "axis"))
    parts.append(text((x.start + x.end) / 2, bottom + 38, title, "title middle"))
    sign = "+" if zero else ""
    for place, row in enumerate(rows):
        middle = 10 + _ROW * (place + 0.5)
        found = row.interval
        said = f"{found.value:{sign}.4f} [{found.low:{sign}.4f}, {found.high:{sign}.4f}]"
        strong = " strong" if row.is_chosen else ""
        drawn = joined(
            text(_LEFT - 14, middle + 4, row.label, f"label end{strong}"),
            line(x(found.low), middle, x(found.high), middle, f"whisker k-{row.kind}"),
            line(x(found.low), middle - 5, x(found.low), middle + 5, f"whisker k-{row.kind}"),
            line(x(found.high), middle - 5, x(found.high), middle + 5, f"whisker k-{row.kind}"),
            mark(row.kind, x(found.value), middle, f"{row.label}: {said}"),
            text(WIDTH - _RIGHT + 14, middle + 4, said, f"label{strong}"),
        )
        parts.append(element("g", drawn))
    label = f"{title}: " + "; ".join(f"{row.label} {row.interval.value:.4f}" for row in rows)
    return shown(caption, svg(WIDTH, bottom + 48, label, joined(parts)))
