"""Boxes and arrows: what the drawings of models are made of."""

from __future__ import annotations

from dataclasses import dataclass

from gnas_search.report.charts.plot import text
from gnas_search.report.markup import Markup, element, joined, number

_LINE = 17.0
_PAD = 10.0
_HEAD = 6.0


@dataclass(frozen=True)
class Box:
    """A box with a heading and lines of text.

    Attributes
    ----------
    x, y, width
        Its upper left corner, and how wide it is.
    heading
        In bold.
    lines
        Below.
    class_
        ``input``, ``layer``, ``operator``, ``output`` or ``plain``: how it is filled.
    room
        Height that is left free below the lines, for what is drawn there.
    """

    x: float
    y: float
    width: float
    heading: str
    lines: tuple[str, ...] = ()
    class_: str = "plain"
    room: float = 0.0

    @property
    def height(self) -> float:
        """Of the whole box."""
        return 2 * _PAD + _LINE * (1 + len(self.lines)) - 4 + self.room

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.y + self.height

    @property
    def inside(self) -> float:
        """Where the room below its lines begins."""
        return self.y + _PAD + _LINE * (1 + len(self.lines))

    @property
    def middle(self) -> float:
        """Of its width."""
        return self.x + self.width / 2

    def draw(self) -> Markup:
        """Draw it."""
        parts = [
            element(
                "rect", x=self.x, y=self.y, width=self.width, height=self.height, rx=7.0, class_=f"box {self.class_}"
            ),
            text(self.x + 12, self.y + _PAD + 12, self.heading, "label strong"),
        ]
        parts += [
            text(self.x + 12, self.y + _PAD + 12 + _LINE * (place + 1), said, "label")
            for place, said in enumerate(self.lines)
        ]
        return joined(parts)


def arrow(points: list[tuple[float, float]], class_: str = "") -> Markup:
    """Draw a line through points with a head at its end; its last part is horizontal or vertical."""
    (x0, y0), (x1, y1) = points[-2:]
    if x0 == x1:
        back = -_HEAD if y1 > y0 else _HEAD
        head = f"M{number(x1 - 4)} {number(y1 + back)}L{number(x1)} {number(y1)}L{number(x1 + 4)} {number(y1 + back)}"
    else:
        back = -_HEAD if x1 > x0 else _HEAD
        head = f"M{number(x1 + back)} {number(y1 - 4)}L{number(x1)} {number(y1)}L{number(x1 + back)} {number(y1 + 4)}"
    drawn = "".join(f"{'L' if place else 'M'}{number(x)} {number(y)}" for place, (x, y) in enumerate(points))
    return element("path", d=drawn + head, class_=f"arrow {class_}".strip())


def down(above: Box, below: Box) -> Markup:
    """Draw an arrow from a box to the one under it."""
    return arrow([(above.middle, above.bottom), (above.middle, below.y)])
