"""A path through a supernet is the network of its spec; choices are those whose weights can be shared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from supernet_world import EVERYTHING, graph_and_validation, recommender_of, scrambled, small, space_of

from gnas_search.architecture import COMBINATIONS
from gnas_search.layer_spec import OPERATOR_NAMES, LayerSpec
from gnas_search.space import SearchSpace
from gnas_search.supernet.choices import Choices, mixed_choices, path_choices
from gnas_search.supernet.network import SharedNetwork
from gnas_serve.errors import ConfigError

GRAPH, _ = graph_and_validation()
SPACE = small()
CHOSEN = torch.tensor([5, 0, 31, 17])


@pytest.fixture(scope="module")
def made() -> tuple[Choices, SharedNetwork]:
    return scrambled(SPACE, GRAPH)


@pytest.mark.parametrize("operator", OPERATOR_NAMES)
def test_a_path_is_the_network_of_its_spec(operator: str, made: tuple[Choices, SharedNetwork]) -> None:
    """Under every combination: the same vectors, and the same gradients of what is shared."""
    choices, network = made
    for number, combination in enumerate(COMBINATIONS):
        scorer = "cosine" if combination == "concat" else ("bilinear", "cosine", "dot", "mlp")[number % 4]
        path = choices.path(
            {
                "num_layers": 2 + number % 2,
                "layer.0": operator,
                "layer.1": "gcn" if number % 3 else operator,
                "layer.2": operator,
                "layer.0.num_nodes": 1 + (number == 4),
                "layer.0.node.2": "lightgcn",
                "layer.0.source.2": 1,
                "combination": combination,
                "include_input": number % 2 == 0,
                "scorer": scorer,
            }
        )
        assert choices.covers(path.spec)
        assert SPACE.to_spec(path.point) == path.spec.canonical()
        alone = recommender_of(path, network, GRAPH)
        network.choose(path.spec)
        for users, expected in ((None, alone(None)), (CHOSEN, alone(CHOSEN))):
            for part, wanted in zip(network(users), expected, strict=True):
                torch.testing.assert_close(part, wanted, rtol=1e-6, atol=1e-7)
        network.zero_grad()
        for model in (network, alone):
            users, items = model(CHOSEN)
            (users @ items.T).square().sum().backward()
        torch.testing.assert_close(network.embeddings.grad, alone.embeddings.grad, rtol=1e-5, atol=1e-6)
        shared = network.operators[f"0-1-{operator}"]
        for name, weight in alone.layers[0].operators[0].named_parameters():
            torch.testing.assert_close(shared.get_parameter(name).grad, weight.grad, rtol=1e-5, atol=1e-6)


def test_a_path_without_layers(made: tuple[Choices, SharedNetwork]) -> None:
    choices, network = made
    path = choices.path({"num_layers": 0, "combination": "sum", "include_input": False, "scorer": "mlp"})
    network.choose(path.spec)
    alone = recommender_of(path, network, GRAPH)
    for part, wanted in zip(network(), alone(), strict=True):
        torch.testing.assert_close(part, wanted)


def test_random_paths_too(made: tuple[Choices, SharedNetwork]) -> None:
    choices, network = made
    rng = np.random.default_rng(0)
    path = choices.draw(rng)
    for _ in range(30):
        alone = recommender_of(path, network, GRAPH)
        network.choose(path.spec)
        for part, wanted in zip(network(), alone(), strict=True):
            torch.testing.assert_close(part, wanted, rtol=1e-6, atol=1e-7)
        path = choices.mutate(rng, path) or choices.draw(rng)


def test_only_weights_on_the_path_get_a_gradient(made: tuple[Choices, SharedNetwork]) -> None:
    choices, network = made
    path = choices.path({"num_layers": 1, "layer.0": "gcn", "combination": "last", "scorer": "bilinear"})
    network.choose(path.spec)
    network.zero_grad()
    users, items = network(CHOSEN)
    (users @ items.T).sum().backward()
    reached = {id(weight) for weight in network.parameters() if weight.grad is not None}
    wanted = (network.embeddings, network.operators["0-1-gcn"].weight, network.heads["bilinear"].weight)
    assert reached == {id(weight) for weight in wanted}


class TestChoices:
    def test_all_but_what_shares_no_weights_is_chosen(self) -> None:
        found = path_choices(SPACE)
        assert set(SPACE.genes) - set(found.values) == {"embedding_dim", "learning_rate"}
        assert found.setting["learning_rate"] == 0.03
        assert (found.depth, found.nodes(0), found.operators(2, 2)) == (3, 2, OPERATOR_NAMES)

    def test_a_concatenation_is_covered_under_scorers_without_weights(self) -> None:
        found = path_choices(SPACE)
        rng = np.random.default_rng(0)
        drawn = [found.draw(rng).spec for _ in range(300)]
        wide = {spec.scorer for spec in drawn if spec.width > 8}
        assert wide == {"cosine", "dot"}
        assert {spec.scorer for spec in drawn} == {"bilinear", "cosine", "dot", "mlp"}

    def test_a_mutation_changes_one_choice(self) -> None:
        found = path_choices(SPACE)
        rng = np.random.default_rng(0)
        for _ in range(50):
            path = found.draw(rng)
            other = found.mutate(rng, path)
            if other is not None:
                assert sum(path.point[name] != other.point[name] for name in path.point) == 1

    def test_what_is_mixed_has_one_width_and_one_scale(self) -> None:
        found = mixed_choices(SPACE)
        assert set(found.values) == {
            "num_layers",
            "layer.0",
            "layer.1",
            "layer.2",
            "combination",
            "include_input",
        }
        assert "concat" not in found.values["combination"]
        assert found.layer(1, "gat") == LayerSpec.of("gat")

    def test_operators_that_are_fixed(self) -> None:
        content = {
            "genes": {"num_layers": [1, 2], "combination": ["last", "mean"]},
            "fixed": {"operator": "gcn", "embedding_dim": 8, "init": "random"},
            "start": [{"layers": ["gcn"]}],
        }
        choices, network = scrambled(space_of(content), GRAPH)
        assert choices.operators(1, 1) == ("gcn",)
        path = choices.path({"num_layers": 2, "combination": "mean"})
        network.choose(path.spec)
        torch.testing.assert_close(network(), recommender_of(path, network, GRAPH)())

    def test_without_a_start_every_gene_is_in_its_middle(self) -> None:
        setting = path_choices(replace(SPACE, starts=())).setting
        assert setting["learning_rate"] == pytest.approx(0.03)
        assert (setting["embedding_dim"], setting["scorer"]) == (8, "bilinear")

    @pytest.mark.parametrize(
        ("said", "temperature", "uniformity_weight"),
        [({"temperature": 0.25, "uniformity_weight": 0.5}, 0.25, 0.5), ({}, 0.1, 1.0)],
    )
    @pytest.mark.parametrize("is_canonical", [False, True])
    def test_what_has_no_effect_on_the_start_is_as_it_says_or_as_ever(
        self, said: dict[str, float], temperature: float, uniformity_weight: float, is_canonical: bool
    ) -> None:
        """A temperature is nothing to the start's dot products, and something to the cosines that are listed."""
        genes = {
            "temperature": {"low": 0.05, "high": 0.5, "log": True},
            "uniformity_weight": [0.5, 1.0, 2.0],
            "num_negatives": [64, 256],
            "heads": [1, 2],
            "half_life": [0.0, 0.3],
            "scorer": ["cosine", "dot"],
        }
        fixed = {name: value for name, value in EVERYTHING["fixed"].items() if name not in ("temperature", "heads")}
        content = {**EVERYTHING, "genes": {**EVERYTHING["genes"], **genes}, "fixed": fixed}
        start = {"layers": [], "embedding_dim": 8, "scorer": "dot", "learning_rate": 0.03, "num_negatives": 256}
        space = space_of({**content, "start": [{**start, "graph": {"half_life": 0.3}, **said}]})
        if is_canonical:  # as one that comes from another study, which says nothing of what has no effect
            space = replace(space, starts=(space.starts[0].canonical(),))
            temperature, uniformity_weight = 0.1, 1.0
        for choices_of in (path_choices, mixed_choices):
            found = choices_of(space)
            assert space.to_spec(found.setting) == space.starts[0].canonical()
            path = found.path({"scorer": "cosine", "num_layers": 2, "layer.0": "gat", "layer.1": "gcn"})
            assert (path.spec.temperature, path.spec.uniformity_weight) == (temperature, uniformity_weight)
            assert (path.spec.heads, path.spec.num_negatives) == (1, 64 if is_canonical else 256)
            assert path.spec.graph.half_life == (0.0 if is_canonical else 0.3)

    def test_layers_that_the_start_does_not_have_are_as_its_last_one(self) -> None:
        genes = {**EVERYTHING["genes"], "activation": ["elu", "none", "relu"], "dropout": {"low": 0.0, "high": 0.4}}
        layers = [{"operator": "gcn", "activation": "elu"}, {"operator": "gcn", "activation": "relu", "dropout": 0.2}]
        space = space_of({**EVERYTHING, "genes": genes, "start": [{**EVERYTHING["start"][0], "layers": layers}]})
        setting = path_choices(space).setting
        assert [setting[f"layer.{layer}.activation"] for layer in range(3)] == ["elu", "relu", "relu"]
        assert [setting[f"layer.{layer}.dropout"] for layer in range(3)] == [0.0, 0.2, 0.2]
        assert space.to_spec(setting) == space.starts[0].canonical()

    def test_a_start_is_the_setting_of_the_ready_spaces(self) -> None:
        for name in ("quick", "standard", "full"):
            space = SearchSpace.load(name).families["gnn"]
            found = path_choices(space)
            assert space.to_spec(found.setting) == space.starts[0].canonical()

    def test_a_space_that_leaves_nothing_to_choose(self) -> None:
        content = {
            "genes": {"learning_rate": {"low": 0.01, "high": 0.1}},
            "fixed": {"num_layers": 1, "operator": "gcn"},
            "start": [{"layers": ["gcn"], "learning_rate": 0.03}],
        }
        for choices_of in (path_choices, mixed_choices):
            with pytest.raises(ConfigError, match="leaves nothing to choose that shares weights") as caught:
                choices_of(space_of(content))
            assert caught.value.code == "nothing_shared"

    def test_a_concatenation_alone_cannot_be_mixed(self) -> None:
        for combination in ({"genes": {"combination": ["concat"]}}, {"fixed": {"combination": "concat"}}):
            content = {
                "genes": {"num_layers": [1, 2], "operator": ["gcn", "gat"]},
                "start": [{"layers": ["gcn", "gat"]}],
            }
            content["genes"] |= combination.get("genes", {})
            space = space_of({**content, "fixed": combination.get("fixed", {}), "start": [_wide()]})
            with pytest.raises(ConfigError, match="concat alone cannot be mixed"):
                mixed_choices(space)
            assert path_choices(space).draw(np.random.default_rng(0)).spec.combination == "concat"

    def test_without_layers_there_is_nothing_to_mix(self) -> None:
        content = {
            "genes": {"operator": ["gcn", "gat"], "combination": ["last", "mean"], "num_layers": [0]},
            "start": [{"layers": []}],
        }
        with pytest.raises(ConfigError, match="without layers") as caught:
            mixed_choices(space_of(content))
        assert caught.value.code == "nothing_shared"

    def test_constraints_that_leave_nothing(self) -> None:
        with pytest.raises(ConfigError, match="the constraints leave hardly any") as caught:
            path_choices(SPACE).draw(np.random.default_rng(0), lambda _: False)
        assert caught.value.code == "nothing_shared"


def _wide() -> dict[str, object]:
    return {"layers": ["gcn", "gat"], "combination": "concat", "scorer": "cosine"}
