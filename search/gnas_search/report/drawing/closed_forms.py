"""Closed forms: graph filters with the response they have, two-hop models, popularity."""

from __future__ import annotations

import itertools

import numpy as np

from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.closed_form.graph_filter import RESPONSES
from gnas_search.report.charts.plot import line, path, svg, text
from gnas_search.report.drawing.boxes import Box, down
from gnas_search.report.markup import Markup, joined

_X, _WIDTH = 46.0, 420.0
_GAP = 30.0
_PAGE = 640.0
_CURVE_WIDTH, _CURVE_HEIGHT = 300.0, 64.0
_POINTS = 60

_EVENTS = {"all": "every event", "target": "the target event"}


def draw_filter(spec: FilterSpec) -> Markup:
    """Draw a graph filter, and how much it lets through of each eigenvector."""
    strength = f", strength {spec.strength:.3g}" if RESPONSES[spec.response].uses_strength else ""
    boxes = [
        Box(_X, 8, _WIDTH, "history of a user", (f"items of {_EVENTS[spec.edges]}",), "input"),
        Box(
            _X,
            0,
            _WIDTH,
            "weighed",
            (f"users divided by degree^{spec.user_power:.3g}, items by degree^{spec.item_power:.3g}",),
        ),
        Box(_X, 0, _WIDTH, f"{spec.rank} leading eigenvectors", ("of the item-item operator",), "layer"),
        Box(_X, 0, _WIDTH, f"response: {spec.response}{strength}", (), "operator", _CURVE_HEIGHT + 40),
        Box(_X, 0, _WIDTH, "score of every item", (), "output"),
    ]
    boxes = _stacked(boxes)
    drawn = [_boxes(boxes), _response(spec, boxes[3])]
    return svg(_PAGE, boxes[-1].bottom + 10, f"graph filter: {spec.summary()}", joined(drawn), class_="drawing")


def _response(spec: FilterSpec, box: Box) -> Markup:
    """Draw the gains over eigenvalues that fall evenly from the largest to none."""
    eigenvalues = np.linspace(1.0, 1.0 / _POINTS, _POINTS)
    gains = RESPONSES[spec.response].gains(eigenvalues, spec.strength, float(eigenvalues.mean()))
    gains = gains / max(float(gains.max()), 1e-300)
    left, bottom = box.x + 62, box.inside + 8 + _CURVE_HEIGHT
    points = [
        (left + _CURVE_WIDTH * place / (_POINTS - 1), bottom - (_CURVE_HEIGHT - 4) * float(gain))
        for place, gain in enumerate(gains)
    ]
    return joined(
        line(left, bottom, left + _CURVE_WIDTH, bottom, "axis"),
        path(points, "best", "how much of each eigenvector passes"),
        text(left, bottom + 18, "tastes of many", "note"),
        text(left + _CURVE_WIDTH, bottom + 18, "tastes of few", "note end"),
        text(left - 8, bottom - _CURVE_HEIGHT + 12, "passes", "note end"),
    )


def draw_two_hop(spec: TwoHopSpec) -> Markup:
    """Draw a two-hop model: from items to users who have them, and on to what else these have."""
    boxes = _stacked(
        [
            Box(_X, 8, _WIDTH, "items of a history", (f"each divided by degree^{spec.source_power:.3g}",), "input"),
            Box(
                _X,
                0,
                _WIDTH,
                "users who have them too",
                (f"by {_EVENTS[spec.edges]}; divided by degree^{spec.user_power:.3g}",),
                "layer",
            ),
            Box(_X, 0, _WIDTH, "what else they have", (f"divided by degree^{spec.target_power:.3g}",), "layer"),
            Box(
                _X,
                0,
                _WIDTH,
                f"the {spec.neighbours} strongest links",
                (f"of each {spec.kept_per} are kept",),
                "operator",
            ),
            Box(_X, 0, _WIDTH, "score of every item reached", ("popularity orders the others",), "output"),
        ]
    )
    return svg(_PAGE, boxes[-1].bottom + 10, f"two-hop model: {spec.summary()}", _boxes(boxes), class_="drawing")


def draw_popularity() -> Markup:
    """Draw popularity."""
    boxes = _stacked(
        [
            Box(_X, 8, _WIDTH, "interactions of each item", ("the same for every user",), "input"),
            Box(_X, 0, _WIDTH, "score of every item", ("log(1 + interactions)",), "output"),
        ]
    )
    return svg(_PAGE, boxes[-1].bottom + 10, "popularity: log(1 + interactions)", _boxes(boxes), class_="drawing")


def _stacked(boxes: list[Box]) -> list[Box]:
    """Put each box under the one before."""
    placed: list[Box] = []
    for box in boxes:
        y = placed[-1].bottom + _GAP if placed else box.y
        placed.append(Box(box.x, y, box.width, box.heading, box.lines, box.class_, box.room))
    return placed


def _boxes(boxes: list[Box]) -> Markup:
    arrows = [down(above, below) for above, below in itertools.pairwise(boxes)]
    return joined((box.draw() for box in boxes), arrows)
