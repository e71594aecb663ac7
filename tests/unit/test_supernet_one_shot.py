"""One-shot search finds the operator that is better, is repeatable, and heeds what it is told."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from communities import make_communities
from scipy.stats import kendalltau
from supernet_world import EVERYTHING, graph_and_validation, small, space_of

from gnas_search.evaluate import validation_of
from gnas_search.footprint import network_bytes
from gnas_search.memory_check import TOO_LARGE
from gnas_search.selection import fit_selected
from gnas_search.supernet import SUPERNETS, Step, Survey, course, requirement
from gnas_search.supernet import ranking as supernet_ranking
from gnas_search.supernet.choices import mixed_choices, path_choices
from gnas_search.supernet.course import Course
from gnas_search.supernet.darts import train_mixture
from gnas_search.supernet.one_shot import loss_spec, one_shot, train_paths
from gnas_search.supernet.ranking import ranking
from gnas_search.supernet.requirement import mixed_bytes, path_bytes
from gnas_serve.errors import ConfigError, NoViableTrialError

COMMUNITIES = {
    "genes": {
        "num_layers": [2],
        "operator": ["lightgcn", "skip"],
        "combination": ["last", "max", "mean"],
        "include_input": [False, True],
    },
    "fixed": {
        "init": "random",
        "embedding_dim": 8,
        "batch_size": 64,
        "loss": "softmax",
        "epochs": 4,
        "temperature": 0.2,
    },
    "start": [{"layers": ["lightgcn", "lightgcn"]}],
}
GRAPH, VALIDATION = graph_and_validation()
SPACE = small(num_nodes=None)


def survey(**changes: object) -> Survey:
    return replace(Survey(SPACE, GRAPH, VALIDATION, 0), **changes)


def communities(seed: int) -> Survey:
    dataset = make_communities()
    space = space_of(COMMUNITIES).restrict(dataset)
    return Survey(space, dataset.selection, validation_of(dataset), seed)


def test_the_better_operator_is_listed_first_more_often_than_chance() -> None:
    """Few steps from random embeddings: smoothing finds the three communities, and what skips it does not."""
    found: list[str] = []
    for seed in range(2):
        asked = communities(seed)
        answer = one_shot(asked)
        assert answer.ranked >= len(answer.listed) >= 8
        for one in answer.listed[:3]:
            found += asked.space.as_written(one.point).operators
    assert found.count("lightgcn") / len(found) > 0.75  # chance is a half


def test_shared_weights_rank_networks_as_their_own_trainings_do() -> None:
    asked = communities(0)
    choices = path_choices(asked.space)
    network, _ = train_paths(choices, asked)
    found = ranking(network, choices, asked)
    worth = [fit_selected(one.path.spec, asked.graph, asked.validation, seed=0).metrics.mean()[1] for one in found]
    assert kendalltau([one.worth for one in found], worth).statistic > 0.3


def test_equal_seeds_give_equal_lists() -> None:
    first, again, other = (one_shot(communities(seed)) for seed in (5, 5, 6))
    assert first == again
    assert first.listed != other.listed


def test_what_is_known_or_not_allowed_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supernet_ranking, "RANKED", 40)
    space = SPACE
    first = one_shot(survey())
    assert first.ranked == 40
    assert len(first.listed) == 12
    assert [one.worth for one in first.listed] == sorted((one.worth for one in first.listed), reverse=True)
    known = {space.to_spec(one.point).key() for one in first.listed}

    def allowed(spec: object) -> bool:
        return "gat" not in spec.operators  # type: ignore[attr-defined]

    seen: list[object] = []
    choices = path_choices(space)
    network, _ = train_paths(choices, survey(allowed=lambda spec: seen.append(spec) or allowed(spec)))
    assert len(seen) > 100  # what is out is not trained either
    for one in ranking(network, choices, survey(known=known, allowed=allowed)):
        assert one.key not in known
        assert "gat" not in one.path.spec.operators


def test_every_operator_learns_about_as_much_as_alone() -> None:
    spec = path_choices(SPACE).any_path.spec
    assert Course.of(spec, GRAPH, None, print, times=30).epochs == 60
    assert Course.of(spec, GRAPH, None, print).epochs == 50  # a hundred batches at least


@pytest.mark.parametrize(
    ("operators", "times"), [(["lightgcn"], 1), (["lightgcn", "skip"], 2), (["gcn", "lightgcn", "skip"], 3)]
)
def test_paths_are_trained_for_the_epochs_of_the_setting_times_the_operators_of_a_layer(
    operators: list[str], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "LEAST_BATCHES", 1)
    space, heard = small(operator=operators, num_layers=[1, 2], num_nodes=None), []
    asked = survey(space=space, heard=heard.append)
    _, done = train_paths(path_choices(space), asked)
    assert (done.epochs, done.done) == (2 * times, 2 * times)
    assert {step.total for step in heard} == {2 * times}
    _, _, mixed = train_mixture(mixed_choices(space), survey(space=space))
    assert mixed.epochs == 2  # every choice learns from every batch


def test_without_layers_paths_are_trained_as_long_as_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "LEAST_BATCHES", 1)
    fixed = {**EVERYTHING["fixed"], "num_layers": 0, "operator": "gcn", "embedding_dim": 8}
    space = space_of({"genes": {"scorer": ["cosine", "dot"]}, "fixed": fixed})
    _, done = train_paths(path_choices(space), survey(space=space))
    assert done.epochs == 2


def test_it_ends_in_time() -> None:
    heard = []
    began = time.monotonic()
    answer = one_shot(survey(training_ends=began, ends=began, heard=heard.append))
    assert (answer.epochs, answer.listed) == (0, ())
    assert [step.done for step in heard] == [0]
    now = time.monotonic()
    early = Course(10, 100, now + 10.0, print)
    early.trained(50, 1.0)
    assert early.share == pytest.approx(0.05, abs=0.02)
    assert early.share_after(150) == pytest.approx(0.2)
    late = Course(10, 100, now - 1.0, lambda _: None)
    assert (late.share, late.is_over, list(late.each())) == (1.0, True, [])


def test_a_training_that_diverges_says_so() -> None:
    diverging = Course(10, 100, None, lambda _: None)
    epochs = diverging.each()
    next(epochs)
    diverging.trained(100, float("nan"))
    with pytest.raises(NoViableTrialError, match="the supernet diverged in epoch 1") as caught:
        next(epochs)
    assert caught.value.code == "diverged"


def test_losses_see_the_settings_of_the_canonical_network() -> None:
    choices = path_choices(SPACE)
    rng = np.random.default_rng(0)
    for _ in range(40):
        spec = choices.draw(rng).spec
        ours, wanted = loss_spec(spec), spec.canonical()
        for name in ("loss", "negatives", "num_negatives", "scorer", "temperature", "uniformity_weight"):
            assert getattr(ours, name) == getattr(wanted, name)


@pytest.mark.parametrize("name", sorted(SUPERNETS))
def test_whatever_else_a_network_is_trained_with_its_supernet_is_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "LEAST_BATCHES", 1)
    monkeypatch.setattr(supernet_ranking, "RANKED", 3)
    disturbed = {"contrast_weight": 0.1, "edge_dropout": 0.2, "adversarial_weight": 0.5, "dropout": 0.1, "epochs": 1}
    content = {**EVERYTHING, "fixed": {**EVERYTHING["fixed"], **disturbed}}
    content["genes"] = {**content["genes"], "operator": ["gcn", "lightgcn"], "num_layers": [1, 2]}
    space = space_of(content)
    plain = space_of({**content, "fixed": {**content["fixed"], "contrast_weight": 0.0}})
    losses: list[list[float]] = []
    for one in (space, plain):
        heard: list[Step] = []
        answer = SUPERNETS[name](survey(space=one, heard=heard.append))
        losses.append([step.value for step in heard if step.stage == "epoch" and step.done])
        assert answer.listed
        assert all(one.to_spec(found.point).edge_dropout == 0.2 for found in answer.listed)
    assert losses[0][0] > losses[1][0] + 0.05  # what the contrast adds


class TestMemory:
    def test_no_path_takes_more_than_is_counted(self) -> None:
        choices = path_choices(small())
        rng = np.random.default_rng(0)
        counted = path_bytes(choices, GRAPH)
        assert all(network_bytes(choices.draw(rng).spec, GRAPH) <= counted for _ in range(60))

    def test_a_mixture_takes_more_than_any_of_its_paths(self) -> None:
        few, many = (
            mixed_choices(small(operator=names, num_nodes=None))
            for names in (["gcn", "lightgcn"], ["gat", "gcn", "gin", "lightgcn"])
        )
        assert mixed_bytes(few, GRAPH) > path_bytes(few, GRAPH)
        assert mixed_bytes(many, GRAPH) > mixed_bytes(few, GRAPH)

    @pytest.mark.parametrize("name", sorted(SUPERNETS))
    def test_a_supernet_that_does_not_fit_is_refused(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requirement, "available_bytes", lambda _: 1 << 20)
        with pytest.raises(ConfigError, match=r"the supernet needs about 0\.\d GiB of memory; 0\.0 GiB are") as caught:
            SUPERNETS[name](survey())
        assert caught.value.code == TOO_LARGE
