"""Specs of all kinds: read from JSON by their kind, equal models have equal keys, what is wrong is named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.specs import FAMILIES, BlendSpec, ModelSpec, Share, kind_of, read_spec
from gnas_serve.errors import ConfigError

NETWORK = ArchitectureSpec(layers=("gcn",), scorer="dot", temperature=0.7, loss="softmax")
FILTER = FilterSpec(response="ideal", rank=32, strength=4.0)
BLEND = BlendSpec((Share(NETWORK, 0.5, 2.0), Share(FILTER, 1.5, 0.25, 0.75), Share(PopularitySpec(), 0.1)), dims=64)
MODELS: list[ModelSpec] = [NETWORK, FILTER, TwoHopSpec(neighbours=7), PopularitySpec(), BLEND]


@pytest.mark.parametrize("spec", MODELS, ids=kind_of)
def test_every_kind_survives_its_json_form(spec: ModelSpec) -> None:
    again = read_spec(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.key() == spec.key() == spec.canonical().key()
    assert spec.key().startswith(kind_of(spec))
    assert spec.summary()
    assert spec.canonical().canonical() == spec.canonical()


def test_kinds() -> None:
    assert [kind_of(spec) for spec in MODELS] == ["gnn", "filter", "two-hop", "popularity", "blend"]
    assert set(FAMILIES) < set(map(kind_of, MODELS))
    assert read_spec({}) == ArchitectureSpec()  # without a kind it is a network
    assert read_spec({"kind": "gnn", "layers": []}).to_json()["layers"] == []


def test_a_blend_of_equal_models_has_one_key() -> None:
    assert BLEND.canonical() != BLEND
    idle = replace(BLEND, shares=(replace(BLEND.shares[0], spec=replace(NETWORK, temperature=0.1)), *BLEND.shares[1:]))
    assert idle != BLEND
    assert idle.key() == BLEND.key()
    for other in (
        replace(BLEND, dims=None),
        replace(BLEND, dims=65),
        replace(BLEND, shares=BLEND.shares[:2]),
        replace(BLEND, shares=(replace(BLEND.shares[0], weight=0.6), *BLEND.shares[1:])),
        replace(BLEND, shares=(replace(BLEND.shares[0], spread=2.1), *BLEND.shares[1:])),
        replace(BLEND, shares=(replace(BLEND.shares[0], history_power=0.1), *BLEND.shares[1:])),
    ):
        assert other.key() != BLEND.key()
    assert "as 64 dims" in BLEND.summary()
    assert "as" not in replace(BLEND, dims=None).summary().split()


def blend(**changes: Any) -> dict[str, Any]:
    return {"kind": "blend", "shares": [{"spec": {"kind": "filter"}, "weight": 0.5}], **changes}


def share(**changes: Any) -> dict[str, Any]:
    return blend(shares=[{"spec": {"kind": "filter"}, "weight": 0.5, **changes}])


def test_what_a_share_leaves_out_has_its_default() -> None:
    read = read_spec(blend(shares=[{"spec": {"kind": "filter"}}]))
    assert read == BlendSpec((Share(FilterSpec(), 1.0, 1.0, 0.0),))
    assert read_spec(share(weight=2)) == BlendSpec((Share(FilterSpec(), 2.0),))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"kind": "fliter"}, r"unknown kind of model 'fliter'.*did you mean 'filter'"),
        ({"kind": ["filter"]}, r"unknown kind of model"),
        ({"kind": {}}, r"unknown kind of model"),
        ({"kind": None}, r"unknown kind of model 'None'"),
        ({"kind": "filter", "layers": []}, r"unknown spec field 'layers'"),
        ({"kind": "filter", "rank": 0}, r"rank: 0 is not within 1\.\.4096"),
        ({"kind": "filter", "rank": "8"}, r"rank: '8' is not a int"),
        ({"kind": "two-hop", "source_power": 3}, r"source_power: 3\.0 is not within -1\.\.1"),
        ({"kind": "two-hop", "kept_per": "items"}, r"unknown kept_per 'items'"),
        ({"kind": "popularity", "rank": 3}, r"unknown spec field 'rank'"),
        ({"kind": "gnn", "rank": 3}, r"unknown spec field 'rank'"),
        ({"kind": "filter", "strength": 10**400}, r"strength: a number of 401 digits"),
        *(
            ({name: value}, rf"{name}: {value} is no finite number above 0")
            for name in ("learning_rate", "temperature")
            for value in (float("inf"), float("nan"), 0.0)
        ),
        *(({"weight_decay": value}, rf"weight_decay: {value} is neg") for value in (float("inf"), float("nan"), -1.0)),
        ({"learning_rate": 10**400}, r"learning_rate: a number of 401 digits"),
        (share(weight=10**400), r"a number of the spec is too large"),
        (blend(dim=3), r"unknown spec field 'dim'.*'dims'"),
        (blend(dims=0), r"dims: 0 is below 1"),
        (blend(dims=True), r"dims: True is no number of dims"),
        (blend(dims="64"), r"dims: '64' is no number of dims"),
        (blend(shares={}), r"shares: no list of objects"),
        (blend(shares=[1]), r"shares: no list of objects"),
        (blend(shares=[]), r"blend of \[\]"),
        ({"kind": "blend"}, r"shares: no list of objects"),
        (share(wieght=1), r"unknown field of a blend's branch 'wieght'.*'weight'"),
        (share(weight=-1), r"weight -1\.0"),
        (share(weight="1"), r"weight: '1' is no number"),
        (share(weight=float("nan")), r"weight nan"),
        (share(weight=float("inf")), r"weight inf"),
        (share(spread=0), r"spread 0\.0"),
        (share(spread=True), r"spread: True is no number"),
        (share(weight=999999, spread=1e-300), r"spread 1e-300"),
        (share(weight=1e-30, spread=9e11), r"weight 1e-30, spread 900000000000\.0"),
        (share(weight=1e-25), r"weight 1e-25"),
        (share(weight=1e-320), r"weight 1e-320"),
        (share(weight=1e5, spread=1e-8), r"weight 100000\.0, spread 1e-08"),
        (share(weight=2e6), r"weight 2000000\.0"),
        (share(spread=float("nan")), r"spread nan"),
        (share(spread=2e12), r"spread 2000000000000\.0"),
        (share(spread=9e-13), r"spread 9e-13"),
        (share(history_power=3), r"history_power 3\.0"),
        (share(spec={"kind": "filter", "rank": 0}), r"rank: 0 is not within"),
        (share(spec="filter"), r"spec: no object in a blend's branch"),
        (share(spec=blend()), r"a blend within a blend"),
        (
            blend(shares=[{"spec": {"kind": "filter"}}, {"spec": {"kind": "filter", "rank": 3}}]),
            r"blend of \['filter', 'f",
        ),
        (blend(shares=[{"spec": {"kind": "two-hop"}}]), r"blend of two hops alone"),
    ],
)
def test_what_is_wrong_is_named(raw: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        read_spec(raw)
    assert caught.value.hint


@pytest.mark.parametrize(("weight", "spread"), [(0.0, 1e-12), (0.0, 9e11), (1e-20, 1.0), (9e5, 1e-4), (1.0, 1.1e-12)])
def test_shares_whose_numbers_stay_finite(weight: float, spread: float) -> None:
    found = Share(FilterSpec(), weight, spread)
    factor = np.float32(found.weight / found.spread)
    assert np.isfinite(factor)
    assert factor == 0 or np.isfinite(np.float32(1.0) / factor)


def test_two_hops_alone_may_be_compressed() -> None:
    two_hop = Share(TwoHopSpec(), 1.0)
    assert read_spec(BlendSpec((two_hop,), 16).to_json()) == BlendSpec((two_hop,), 16)
