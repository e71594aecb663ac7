"""Plot: a frame with axes, marks and a legend, as every chart of the report has them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gnas_search.report.markup import Markup, element, joined, number
from gnas_search.report.scale import Scale, figure

WIDTH = 760.0
_HALF = 5.0


@dataclass(frozen=True)
class Plot:
    """Two axes and the room between them.

    Attributes
    ----------
    x, y
        Scales; the one of y ends at the top.
    x_title, y_title
        What they measure, with the unit.
    """

    x: Scale
    y: Scale
    x_title: str
    y_title: str

    def axes(self, *, whole_x: bool = False) -> Markup:
        """Draw grid, ticks and titles.

        Parameters
        ----------
        whole_x
            Whether only whole numbers are ticks of x.
        """
        (left, right), (bottom, top) = (self.x.start, self.x.end), (self.y.start, self.y.end)
        parts = []
        for value in self.y.ticks(5):
            place = self.y(value)
            parts.append(line(left, place, right, place, "grid"))
            parts.append(text(left - 8, place + 4, figure(value), "tick end"))
        for value in self.x.ticks(7):
            if whole_x and value % 1:
                continue
            place = self.x(value)
            parts.append(line(place, bottom, place, bottom + 5, "axis"))
            parts.append(text(place, bottom + 19, figure(value), "tick middle"))
        parts.append(line(left, bottom, right, bottom, "axis"))
        parts.append(text((left + right) / 2, bottom + 38, self.x_title, "title middle"))
        middle = (bottom + top) / 2
        turned = f"rotate(-90 14 {number(middle)})"
        parts.append(element("text", self.y_title, class_="title middle", x=14.0, y=middle, transform=turned))
        return joined(parts)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Draw a line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(x: float, y: float, said: str, class_: str) -> Markup:
    """Write a text; ``middle`` or ``end`` among the classes say what of it is at x."""
    return element("text", said, x=x, y=y, class_=class_)


def path(
    points: Iterable[tuple[float, float]], class_: str, title: str | None = None, *, steps: bool = False
) -> Markup:
    """Draw a line through points, each with its own height where there are ``steps``."""
    said, last = [], math.nan
    for place, (x, y) in enumerate(points):
        if steps and place:
            said.append(f"L{number(x)} {number(last)}")
        said.append(f"{'L' if place else 'M'}{number(x)} {number(y)}")
        last = y
    return element("path", titled(title), d="".join(said), class_=class_)


def mark(kind: str, x: float, y: float, title: str | None = None, class_: str = "") -> Markup:
    """Draw the mark of a kind of model: each has a shape of its own beside its colour.

    Parameters
    ----------
    kind
        Of the model.
    x, y
        Its place.
    title
        What is shown when it is pointed at, and read aloud.
    class_
        ``hollow`` for what was not measured to its end.
    """
    half = _HALF
    shapes = {
        "filter": f"M{-half} {-half}h{2 * half}v{2 * half}h{-2 * half}z",
        "two-hop": f"M0 {-half * 1.2}L{half * 1.1} {half * 0.8}H{-half * 1.1}z",
        "blend": f"M0 {-half * 1.3}L{half * 1.3} 0L0 {half * 1.3}L{-half * 1.3} 0z",
        "baseline": f"M{-half} {-half}L{half} {half}M{-half} {half}L{half} {-half}",
        "gnn": f"M{-half} 0a{half} {half} 0 1 0 {2 * half} 0a{half} {half} 0 1 0 {-2 * half} 0z",
    }
    moved = f"translate({number(x)} {number(y)})"
    classes = f"mark k-{kind} {class_}".strip()
    return element("path", titled(title), d=shapes[kind], transform=moved, class_=classes)


def titled(title: str | None) -> Markup | None:
    """Give the title of a shape."""
    return None if title is None else element("title", title)


def svg(width: float, height: float, label: str, *children: object, class_: str = "chart") -> Markup:
    """Make a drawing that says in words what is in it."""
    return element(
        "svg",
        *children,
        class_=class_,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=label,
    )


def legend(entries: Iterable[tuple[Markup, str]]) -> Markup:
    """List what marks stand for; beside the drawing, so that it wraps."""
    swatches = (
        element(
            "li",
            element("svg", drawn, viewBox="-9 -9 18 18", class_="swatch", aria_hidden="true"),
            element("span", said),
        )
        for drawn, said in entries
    )
    return element("ul", swatches, class_="legend")


def shown(caption: str, drawing: Markup, *, key: Markup | None = None) -> Markup:
    """Put a drawing, which scrolls where the window is narrow, over its caption."""
    scroller = element("div", drawing, class_="scroll", tabindex="0", role="group", aria_label="chart")
    return element("figure", key, scroller, element("figcaption", caption))
