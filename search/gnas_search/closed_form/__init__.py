"""Closed forms: models that are computed from the interactions at once, each a spec and its fit."""

from __future__ import annotations

from gnas_search.closed_form.families import CLOSED_FORMS, closed_form_from_json, fit_closed_form
from gnas_search.closed_form.graph_filter import FilterSpec
from gnas_search.closed_form.popularity import PopularitySpec, with_prior
from gnas_search.closed_form.spec import ClosedFormSpec
from gnas_search.closed_form.spectra import Spectra
from gnas_search.closed_form.two_hop import TwoHopSpec

__all__ = [
    "CLOSED_FORMS",
    "ClosedFormSpec",
    "FilterSpec",
    "PopularitySpec",
    "Spectra",
    "TwoHopSpec",
    "closed_form_from_json",
    "fit_closed_form",
    "with_prior",
]
