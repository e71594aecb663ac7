"""The families of closed forms by kind, and reading their specs."""

from __future__ import annotations

from typing import Any

from gnas_search.closed_form.graph_filter import FilterSpec
from gnas_search.closed_form.popularity import PopularitySpec
from gnas_search.closed_form.spec import ClosedFormSpec
from gnas_search.closed_form.two_hop import TwoHopSpec
from gnas_serve.errors import unknown_name

CLOSED_FORMS: dict[str, type[ClosedFormSpec]] = {
    "filter": FilterSpec,
    "popularity": PopularitySpec,
    "two-hop": TwoHopSpec,
}
"""By kind, which is the kind of the branch and the ``kind`` of a spec's JSON form."""


def closed_form_from_json(raw: dict[str, Any]) -> ClosedFormSpec:
    """Read a spec of any family by its ``kind``.

    Raises
    ------
    ConfigError
        If the kind is unknown, or as :meth:`ClosedFormSpec.from_json`.
    """
    kind = raw.get("kind")
    if kind not in CLOSED_FORMS:
        raise unknown_name("kind of model", str(kind), CLOSED_FORMS)
    return CLOSED_FORMS[kind].from_json(raw)
