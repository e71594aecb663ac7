"""Closed forms: models that are computed from the interactions at once. Here their specs; ``fitting`` fits them."""

from __future__ import annotations

from gnas_search.closed_form.families import CLOSED_FORMS, closed_form_from_json
from gnas_search.closed_form.graph_filter import FilterSpec
from gnas_search.closed_form.popularity import PopularitySpec
from gnas_search.closed_form.spec import ClosedFormSpec
from gnas_search.closed_form.two_hop import TwoHopSpec

__all__ = [
    "CLOSED_FORMS",
    "ClosedFormSpec",
    "FilterSpec",
    "PopularitySpec",
    "TwoHopSpec",
    "closed_form_from_json",
]
