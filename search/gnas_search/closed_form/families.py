"""The families of closed forms by kind: reading their specs and fitting them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gnas_search.closed_form.graph_filter import FilterSpec, fit_filter
from gnas_search.closed_form.popularity import PopularitySpec, fit_popularity
from gnas_search.closed_form.spec import ClosedFormSpec
from gnas_search.closed_form.spectra import Spectra
from gnas_search.closed_form.two_hop import TwoHopSpec, fit_two_hop
from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit import Branch
from gnas_serve.errors import unknown_name


@dataclass(frozen=True)
class Family:
    """One kind of closed form.

    Attributes
    ----------
    spec
        Its settings.
    fit
        ``(spec, spectra, history_power) -> Branch``.
    """

    spec: type[ClosedFormSpec]
    fit: Callable[[Any, Spectra, float], Branch]


CLOSED_FORMS: dict[str, Family] = {
    "filter": Family(FilterSpec, fit_filter),
    "popularity": Family(PopularitySpec, fit_popularity),
    "two-hop": Family(TwoHopSpec, fit_two_hop),
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
    return CLOSED_FORMS[kind].spec.from_json(raw)


def fit_closed_form(
    spec: ClosedFormSpec,
    graph: InteractionGraph,
    *,
    seed: int,
    spectra: Spectra | None = None,
    history_power: float = 0.5,
) -> Branch:
    """Fit a closed form.

    Parameters
    ----------
    spec
        Of a family in :data:`CLOSED_FORMS`.
    graph
        What to fit.
    seed
        Of randomised decompositions.
    spectra
        Of the same graph and seed, to share decompositions with other fits.
    history_power
        User vectors and two-hop scores are divided by ``n ** history_power``, n being the items of the history.

    Raises
    ------
    ValueError
        If the spectra are of another graph or seed.
    """
    if spectra is None:
        spectra = Spectra(graph, seed)
    elif spectra.graph is not graph or spectra.seed != seed:
        raise ValueError("the spectra are of another graph or seed")
    return CLOSED_FORMS[spec.KIND].fit(spec, spectra, history_power)
