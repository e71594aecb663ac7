"""Drawings of models: what happens from a user's history to a score, a file per kind of model."""

from __future__ import annotations

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.report.drawing.blend import draw_blend
from gnas_search.report.drawing.closed_forms import draw_filter, draw_popularity, draw_two_hop
from gnas_search.report.drawing.network import draw_network
from gnas_search.report.markup import Markup
from gnas_search.specs import BlendSpec, ModelSpec

__all__ = ["draw"]


def draw(spec: ModelSpec) -> Markup:
    """Draw a model of any kind."""
    canonical = spec.canonical()
    if isinstance(canonical, ArchitectureSpec):
        return draw_network(canonical)
    if isinstance(canonical, BlendSpec):
        return draw_blend(canonical)
    if isinstance(canonical, FilterSpec):
        return draw_filter(canonical)
    return draw_two_hop(canonical) if isinstance(canonical, TwoHopSpec) else draw_popularity()
