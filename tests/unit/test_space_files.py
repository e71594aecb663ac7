"""Space files: read as the same space, and checked by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_spaces import TINY

from gnas_search.space import NetworkSpace, SearchSpace
from gnas_search.specs import GNN
from gnas_serve.errors import ConfigError


def test_a_file_is_read_as_the_same_space(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[genes]\nnum_layers = [1, 2]\n[fixed]\noperator = "gcn"\n[[start]]\nlayers = ["gcn"]\n')
    space = SearchSpace.load(path).families[GNN]
    assert isinstance(space, NetworkSpace)
    assert space.to_spec({"num_layers": 2}).layers == ("gcn", "gcn")
    assert space.size() == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"genes": {"num_layers": [1], "operater": ["gcn"]}}, r"mine: genes: unknown gene 'operater'.*'operator'"),
        ({"genes": {"num_layers": [1], "operator": ["lightgnc"]}}, r"mine: genes.operator: .*'lightgnc'.*'lightgcn'"),
        ({"genes": {"num_layers": {"low": 0, "high": 9}}}, r"genes.num_layers: 9 is no number of layers"),
        ({"genes": {"learning_rate": {"low": 1.0, "high": 0.5}}}, r"genes.learning_rate: .* is no range"),
        ({"genes": {"learning_rate": {"low": 0.1, "hihg": 0.5}}}, r"genes.learning_rate: unknown range key 'hihg'"),
        ({"genes": {"learning_rate": {"low": 0.1}}}, r"genes.learning_rate: learning_rate: None"),
        ({"genes": {"scorer": {"low": 1, "high": 2}}}, r"genes.scorer: scorer: 1 is not a str"),
        ({"genes": {"include_input": {"low": False, "high": True}}}, r"genes.include_input: a range of no numbers"),
        ({"genes": {"scorer": ["dot", "dot"]}}, r"genes.scorer: .* repeated"),
        ({"genes": {"scorer": []}}, r"genes.scorer: .* no or repeated"),
        ({"genes": {"scorer": "dot"}}, r"genes.scorer: 'dot' is neither"),
        ({"genes": {}}, r"mine: no genes"),
        ({"genes": {"num_layers": [1]}}, r"mine: operator is absent"),
        ({"genes": [1]}, r"mine: genes is no table"),
        ({"gene": {}}, r"mine: unknown section 'gene'"),
        ({"fixed": {"scorer": "dot"}}, r"mine: scorer is both a gene and fixed"),
        ({"fixed": {"half_life": 0.001}}, r"fixed.half_life: half_life: 0.001 is not within"),
        ({"fixed": {"event_weight.view": 11}}, r"fixed.event_weight.view: event_weight: 11.0 is not within 0..10"),
        ({"fixed": {"event_weight": {"view": 0.1}}}, r"fixed.event_weight: event_weight: .* is not one value"),
        ({"start": [{"graph": {"halflife": 1}}]}, r"mine: start: unknown field of a graph 'halflife'.*'half_life'"),
        (
            {"start": [{**TINY["start"][0], "graph": {"half_life": 0.5}}]},
            r"mine: start: graph: \{'half_life': 0.5\} is outside the space",
        ),
        ({"fixed": {"epochs": 0}}, r"fixed.epochs: epochs: 0 is below 1"),
        (
            {"genes": {**TINY["genes"], "learning_rate": {"low": 0.003, "high": float("inf")}}},
            r"genes.learning_rate: learning_rate: inf is no finite number above 0",
        ),
        (
            {"genes": {**TINY["genes"], "weight_decay": {"low": float("nan"), "high": 1.0}}},
            r"genes.weight_decay: weight_decay: nan is negative or not finite",
        ),
        (
            {"genes": {"num_layers": [1], "operator": ["gcn"]}, "fixed": {"temperature": float("nan")}},
            r"fixed.temperature: temperature: nan is no finite number above 0",
        ),
        (
            {"genes": {"num_layers": [1], "operator": ["gcn"], "dropout": [0.1, 2]}},
            r"genes.dropout: dropout: 2.0 is not",
        ),
        ({"genes": {"num_layers": [1], "operator": ["gcn"], "num_nodes": [4]}}, r"num_nodes: 4 is no number of nodes"),
        (
            {"genes": {"num_layers": [1], "operator": ["gat"], "heads": [1, 3]}},
            r"mine: 3 heads do not divide embedding_dim 8",
        ),
        ({"start": [{"layers": ["gat"]}]}, r"mine: start: layers: \['gat'\] is outside the space"),
        ({"fixed": {"dropout": 10**400}}, r"mine: fixed.dropout: dropout: a number of 401 digits"),
        (
            {"genes": {"num_layers": [1], "operator": ["gcn"], "batch_size": {"low": 1, "high": 10**10}}},
            r"mine: genes.batch_size: more than 100,000 whole numbers",
        ),
        ({"start": [{"leyers": ["gcn"]}]}, r"mine: start: unknown spec field 'leyers'"),
        ({"fliter": {}}, r"mine: unknown section 'fliter'.*did you mean 'filter'"),
        ({"filter": []}, r"mine: filter is no table"),
        ({"filter": {}}, r"mine: filter: no genes"),
        ({"filter": {"genes": {"rnak": [4]}}}, r"mine: filter: genes: unknown gene 'rnak'.*'rank'"),
        ({"filter": {"genes": {"rank": [0]}}}, r"mine: filter: genes.rank: rank: 0 is not within"),
        ({"filter": {"genes": {"rank": [4]}, "starts": []}}, r"mine: filter: unknown section 'starts'"),
        ({"filter": {"genes": {"rank": [4]}, "fixed": {"rank": 4}}}, r"mine: filter: rank is both a gene and fixed"),
        ({"filter": {"genes": {"rank": [4]}, "start": [{"rank": 5}]}}, r"mine: filter: start: rank: 5 is outside"),
        ({"filter": {"genes": {"strength": [10**400]}}}, r"mine: filter: genes.strength: strength: a number of 401"),
        ({"two-hop": {"genes": {"rank": [4]}}}, r"mine: two-hop: genes: unknown gene 'rank'"),
        (
            {"two-hop": {"genes": {"neighbours": {"low": 9, "high": 3}}}},
            r"mine: two-hop: genes.neighbours: .* no range",
        ),
        ({"popularity": {}}, r"mine: unknown section 'popularity'"),
    ],
)
def test_a_wrong_file_is_refused_by_key(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        SearchSpace.from_json({**TINY, **changes}, source="mine")


def test_unknown_and_absent_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown space 'standrad' .*'standard'"):
        SearchSpace.load("standrad")
    with pytest.raises(ConfigError, match="no such space file"):
        SearchSpace.load(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    for text in ("[genes", f"epochs = {'9' * 5000}"):
        broken.write_text(text)
        with pytest.raises(ConfigError, match=r"broken.toml: not TOML"):
            SearchSpace.load(broken)
