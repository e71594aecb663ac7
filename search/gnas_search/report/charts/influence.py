"""Influence: bars of what mattered among the settings of a family."""

from __future__ import annotations

from gnas_search.report.charts.plot import WIDTH, line, shown, svg, text
from gnas_search.report.importance import Importance
from gnas_search.report.markup import Markup, element, joined
from gnas_search.report.scale import Scale

_ROW = 24.0
_LEFT, _RIGHT = 190.0, 150.0
SHOWN = 12


def influence(found: tuple[Importance, ...], family: str, models: int, metric: str) -> Markup:
    """Draw a bar per setting, at least one, the largest first.

    Parameters
    ----------
    found
        From :func:`gnas_search.report.importance.importances`.
    family
        Its name in the plural.
    models
        How many they rest on.
    metric
        What they are chosen by.
    """
    rows = found[:SHOWN]
    bottom = 8 + _ROW * len(rows)
    x = Scale(0.0, 1.0, _LEFT, WIDTH - _RIGHT)
    parts: list[Markup] = []
    for tick in range(0, 101, 20):
        parts.append(line(x(tick / 100), 8, x(tick / 100), bottom, "grid"))
        parts.append(text(x(tick / 100), bottom + 18, f"{tick} %", "tick middle"))
    parts.append(text((x.start + x.end) / 2, bottom + 38, f"share of the variance of {metric} (ε²)", "title middle"))
    for place, row in enumerate(rows):
        top = 8 + _ROW * place
        width = max(1.5, x(row.share) - x.start)
        bar = element(
            "rect", x=x.start, y=top + 5, width=width, height=_ROW - 10, class_="bar" if row.is_clear else "bar faint"
        )
        said = f"{row.share:.0%}" if row.is_clear else f"{row.share:.0%}, may be chance"
        parts.append(text(x.start - 10, top + _ROW / 2 + 4, row.name, "label end"))
        parts.append(bar)
        parts.append(text(x.start + width + 8, top + _ROW / 2 + 4, said, "label" if row.is_clear else "note"))
    more = len(found) - len(rows)
    caption = (
        f"Over {models} {family}: how much of the differences in {metric} goes with a setting alone. Pale bars are no "
        "larger than shuffled values reach by chance." + (f" {more} more settings have less." if more else "")
    )
    label = f"what mattered among {family}: " + ", ".join(f"{row.name} {row.share:.0%}" for row in rows)
    return shown(caption, svg(WIDTH, bottom + 48, label, joined(parts)))
