"""Marks of the ranker's forms: a colour for each network, a shape for each kind of numbers, an area for the bytes."""

from __future__ import annotations

import math
from typing import Any

from gnas_export.ranker.variants import NUMERIC
from gnas_search.report.charts.plot import titled
from gnas_search.report.markup import Markup, element, number

COLOURS = 8
_LEAST, _MOST = 4.0, 13.0


def networks_of(forms: dict[str, dict[str, Any]]) -> list[str]:
    """List the networks, the one that was trained first before all."""
    names = {form["network"] for form in forms.values()}
    return sorted(names, key=lambda name: (not name.startswith("teacher"), "pruned" in name, name))


def radius(size_bytes: int, largest: int) -> float:
    """Give half the width of a mark: areas are as bytes, but none is too small to be seen."""
    return max(_LEAST, _MOST * math.sqrt(size_bytes / largest))


def form_mark(
    numeric: str, place: int, x: float, y: float, half: float, title: str | None = None, class_: str = ""
) -> Markup:
    """Draw the mark of a form.

    Parameters
    ----------
    numeric
        Of :data:`gnas_export.ranker.variants.NUMERIC`: its shape.
    place
        Of its network: its colour.
    x, y, half
        Its middle, and half its width.
    title
        What is shown when it is pointed at, and read aloud.
    class_
        ``hollow`` for what is not good enough.
    """
    said = number
    shapes = {
        "fp32": f"M{said(-half)} 0a{said(half)} {said(half)} 0 1 0 {said(2 * half)} 0"
        f"a{said(half)} {said(half)} 0 1 0 {said(-2 * half)} 0z",
        "fp32+u8": f"M{said(-half)} {said(-half)}h{said(2 * half)}v{said(2 * half)}h{said(-2 * half)}z",
        "fp16": f"M0 {said(-half * 1.2)}L{said(half * 1.1)} {said(half * 0.8)}H{said(-half * 1.1)}z",
        "int8": f"M0 {said(-half * 1.3)}L{said(half * 1.3)} 0L0 {said(half * 1.3)}L{said(-half * 1.3)} 0z",
        "int8-dynamic": f"M0 {said(half * 1.2)}L{said(half * 1.1)} {said(-half * 0.8)}H{said(-half * 1.1)}z",
    }
    classes = f"form n{place % COLOURS} {class_}".strip()
    moved = f"translate({number(x)} {number(y)})"
    return element("path", titled(title), d=shapes[numeric], transform=moved, class_=classes)


def numeric_of(forms: dict[str, dict[str, Any]]) -> list[str]:
    """List the kinds of numbers that occur, from many bits to few."""
    found = {form["numeric"] for form in forms.values()}
    return [name for name in NUMERIC if name in found]
