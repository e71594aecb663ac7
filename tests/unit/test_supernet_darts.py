"""The mixture of all choices: what it computes, its gradients, and the networks that it points to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from supernet_world import graph_and_validation, recommender_of, small

from gnas_search.layer_spec import OPERATOR_NAMES
from gnas_search.supernet import SUPERNETS, course
from gnas_search.supernet.choices import mixed_choices
from gnas_search.supernet.darts import discretised, held_out_loss, likeliest, train_mixture
from gnas_search.supernet.mixture import MixedNetwork, Mixture
from gnas_search.supernet.survey import Survey

GRAPH, VALIDATION = graph_and_validation()
SPACE = small(combination=["attention", "last", "max", "mean", "sum"], num_nodes=None, num_layers=[0, 1, 2])
CPU = torch.device("cpu")


def make(seed: int = 0) -> tuple[MixedNetwork, Mixture]:
    """Make a mixture whose weights and shares are some or other."""
    choices = mixed_choices(SPACE)
    network, mixture = MixedNetwork(choices, GRAPH, seed=seed), Mixture(choices, CPU)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in (*network.parameters(), *mixture.free):
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.5)
    network.mix(mixture)
    return network, mixture


def decide(mixture: Mixture, **places: int) -> None:
    """Give one choice of each gene all of the share."""
    with torch.no_grad():
        for name, logits in mixture.logits.items():
            logits.fill_(-200.0)
            logits[places.get(name.replace(".", "_"), 0)] = 0.0


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_mixture_of_one_choice_each_is_the_network_of_these_choices(depth: int) -> None:
    network, mixture = make()
    for number, operator in enumerate(OPERATOR_NAMES):
        chosen = {"num_layers": depth, "layer.0": operator, "layer.1": OPERATOR_NAMES[-1 - number]}
        chosen |= {"combination": ("attention", "last", "max", "mean", "sum")[number % 5]}
        chosen |= {"include_input": number % 2 == 1}
        options = {name: mixture.choices.options(name) for name in mixture.logits}
        decide(mixture, **{name.replace(".", "_"): options[name].index(value) for name, value in chosen.items()})
        path = mixture.choices.path(chosen)
        alone = recommender_of(path, network, GRAPH)
        for part, wanted in zip(network(), alone(), strict=True):
            torch.testing.assert_close(part, wanted, rtol=1e-5, atol=1e-6)
        assert next(likeliest(mixture)).point == path.point


def test_what_is_mixed_is_weighed_by_the_softmax() -> None:
    """One layer of two operators, and nothing else to choose."""
    space = small(
        num_layers=[1, 2], operator=["lightgcn", "skip"], num_nodes=None, combination=["last"], include_input=[False],
        scorer=["dot"],
    )  # fmt: skip
    choices = mixed_choices(space)
    network, mixture = MixedNetwork(choices, GRAPH, seed=0), Mixture(choices, CPU)
    network.mix(mixture)
    with torch.no_grad():
        mixture.logits["num_layers"].copy_(torch.tensor([0.0, -200.0]))
        mixture.logits["layer.0"].copy_(torch.tensor([1.0, -1.0]))
    passed = network.adjacency.propagation.multiply(network.embeddings.detach())
    share = 1.0 / (1.0 + math.exp(-2.0))
    users, items = network()
    wanted = share * passed + (1.0 - share) * network.embeddings
    torch.testing.assert_close(torch.cat([users, items]), wanted)


@pytest.mark.parametrize("combination", [["last"], ["last", "concat"]])
def test_a_choice_that_nothing_else_leaves_an_effect_is_no_obstacle(
    combination: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the last layer alone is scored, nobody asks whether the input is combined."""
    monkeypatch.setattr(course, "LEAST_BATCHES", 4)
    genes = {"num_nodes": None, "num_layers": [1, 2], "operator": ["gcn", "lightgcn"], "scorer": ["cosine"]}
    space = small(combination=combination, include_input=[False, True], **genes)
    assert SUPERNETS["darts"](Survey(space, GRAPH, VALIDATION, 0)).listed


def test_gradients_of_the_shares_agree_with_finite_differences() -> None:
    network, mixture = make()

    def loss() -> torch.Tensor:
        return held_out_loss(network, VALIDATION, np.random.default_rng(0), 0.7)

    gradients = torch.autograd.grad(loss(), mixture.free)
    step = 0.02
    with torch.no_grad():
        for logits, gradient in zip(mixture.free, gradients, strict=True):
            for place in range(len(logits)):
                before = float(logits[place])
                around = []
                for moved in (before + step, before - step):
                    logits[place] = moved
                    around.append(float(loss()))
                logits[place] = before
                slope = (around[0] - around[1]) / (2 * step)
                assert float(gradient[place]) == pytest.approx(slope, rel=0.02, abs=2e-4)
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0.01


def test_the_held_out_loss_is_the_cross_entropy_of_what_is_ranked() -> None:
    network, _ = make()
    network.choose(mixed_choices(SPACE).path({"num_layers": 0}).spec)
    users, items = (part.detach().numpy().astype(np.float64) for part in network())
    found = []
    for row, masked, relevant in zip(
        VALIDATION.users, VALIDATION.masked.toarray(), VALIDATION.relevant.toarray(), strict=True
    ):
        scores = np.where(masked > 0, -np.inf, items @ users[row] / 0.7)
        logs = scores - np.log(np.exp(scores).sum())
        found.append(-logs[relevant > 0].mean())
    loss = held_out_loss(network, VALIDATION, np.random.default_rng(0), 0.7)
    assert network.spec.scorer == "cosine"
    assert float(loss.detach()) == pytest.approx(float(np.mean(found)), rel=1e-4)


class TestLikeliest:
    def test_next_best_follow_the_best_in_the_order_of_their_costs(self) -> None:
        _, mixture = make(3)
        costs = mixture.costs()
        found, keys = [], set()
        for number, path in enumerate(likeliest(mixture)):
            depth = path.point["num_layers"]
            active = [name for name in costs if not name.startswith("layer.") or int(name.split(".")[1]) < depth]
            found.append(sum(costs[name][path.point[name]] for name in active))
            keys.add(tuple(path.point[name] for name in costs))
            if number == 400:
                break
        assert found == pytest.approx(sorted(found), abs=1e-9)
        assert found[0] == 0.0
        assert len(keys) == 401

    def test_every_point_is_reached_once(self) -> None:
        space = small(
            num_layers=[0, 1, 2], operator=["gcn", "gin"], num_nodes=None, combination=["last", "max"],
            include_input=[False],
        )  # fmt: skip
        mixture = Mixture(mixed_choices(space), CPU)
        with torch.no_grad():
            for number, logits in enumerate(mixture.free):
                logits.copy_(torch.linspace(0.0, 1.0 + number, len(logits)))
        specs = [path.spec for path in likeliest(mixture)]
        assert {spec.layers for spec in specs} == {mixture.choices.path({
            "num_layers": count, "layer.0": first, "layer.1": second,
        }).spec.layers for count in (0, 1, 2) for first in ("gcn", "gin") for second in ("gcn", "gin")}  # fmt: skip
        assert len(specs) == len({(spec.layers, spec.combination) for spec in specs}) == 14


def test_a_trained_mixture_has_decided_and_its_networks_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "LEAST_BATCHES", 40)
    heard = []
    survey = Survey(SPACE, GRAPH, VALIDATION, 0, heard=heard.append)
    network, mixture, trained = train_mixture(mixed_choices(SPACE), survey)
    assert trained.done == trained.epochs == 20  # forty batches, two of them per epoch
    assert [step.done for step in heard] == list(range(21))
    assert all(float(logits.detach().abs().max()) > 0.1 for logits in mixture.free)
    found = discretised(network, mixture, survey)
    assert len(found) == len({one.key for one in found}) == 12
    assert found[0].path.spec == next(likeliest(mixture)).spec
    again = discretised(network, mixture, Survey(SPACE, GRAPH, VALIDATION, 0, known={found[0].key}))
    assert [one.key for one in again[:-1]] == [one.key for one in found[1:]]
