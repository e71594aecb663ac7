"""A blend: its branches with their weights, their sum, and its compression."""

from __future__ import annotations

from gnas_search.report.charts.plot import svg, text
from gnas_search.report.drawing.boxes import Box
from gnas_search.report.markup import Markup, element, joined, number
from gnas_search.report.models import KIND_NAMES
from gnas_search.specs import BlendSpec, Share, kind_of

_BRANCH_WIDTH, _SUM_X, _WIDTH = 360.0, 560.0, 640.0
_THICKEST = 14.0
_LONGEST = 52


def draw_blend(spec: BlendSpec) -> Markup:
    """Draw a blend; an arrow is as thick as its branch weighs, of scores brought to one spread."""
    heaviest = max(share.weight for share in spec.shares) or 1.0
    parts, top, boxes = [], 8.0, []
    for share in spec.shares:
        box = _branch(share, top)
        boxes.append(box)
        parts.append(box.draw())
        top = box.bottom + 18
    middle = (8 + top - 18) / 2
    for share, box in zip(spec.shares, boxes, strict=True):
        height = box.y + box.height / 2
        start, bend = box.x + box.width, (box.x + box.width + _SUM_X) / 2
        curve = (
            f"M{number(start)} {number(height)}C{number(bend)} {number(height)} {number(bend)} {number(middle)} "
            f"{number(_SUM_X - 20)} {number(middle)}"
        )
        width = max(1.0, _THICKEST * share.weight / heaviest)
        parts.append(element("path", d=curve, class_=f"ribbon k-{_colour(share)}", stroke_width=width))
        parts.append(text(start + 8, height - 9, f"{share.weight:.2f}", "label strong halo"))
    parts.append(element("circle", cx=_SUM_X, cy=middle, r=20.0, class_="box output"))
    parts.append(text(_SUM_X, middle + 6, "Σ", "sign middle"))
    if spec.dims is not None:
        parts.append(text(_SUM_X, middle + 42, f"as {spec.dims} dims", "label middle"))
    said = " + ".join(f"{share.weight:.2f} × {share.spec.key()}" for share in spec.shares)
    return svg(_WIDTH, max(top - 8, middle + 56), f"blend: {said}", joined(parts), class_="drawing")


def _branch(share: Share, top: float) -> Box:
    kind = kind_of(share.spec)
    heading = KIND_NAMES.get(kind, kind)
    said = share.spec.summary()
    lines = (share.spec.key(), said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…")
    return Box(20, top, _BRANCH_WIDTH, heading, lines if kind != "popularity" else (said,), "layer")


def _colour(share: Share) -> str:
    kind = kind_of(share.spec)
    return kind if kind in KIND_NAMES else "baseline"
