"""Training finds structure, stops when it should, and repeats itself exactly."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from communities import NUM_ITEMS, NUM_USERS, SMALL, make_communities

from gnas_search.architecture import COMBINATIONS, EDGES, INITS, SCORERS, ArchitectureSpec
from gnas_search.checkpoint import Checkpoint
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import Validation, validation_of
from gnas_search.layer_spec import OPERATOR_NAMES, LayerSpec
from gnas_search.selection import fit_selected
from gnas_search.train import train_checkpoint
from gnas_search.trainer import Trainer
from gnas_serve.errors import NoViableTrialError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_communities()


@pytest.fixture(scope="module")
def validation(dataset: Dataset) -> Validation:
    return validation_of(dataset)


@pytest.mark.parametrize("operator", OPERATOR_NAMES)
@pytest.mark.parametrize("loss", ["bpr", "sampled_softmax"])
def test_every_operator_learns_the_communities(
    operator: str, loss: str, dataset: Dataset, validation: Validation
) -> None:
    scorer = "cosine" if loss == "sampled_softmax" else "dot"
    spec = replace(
        SMALL,
        layers=(operator,),
        loss=loss,
        scorer=scorer,
        init="random",
        epochs=25,
        learning_rate=0.03,
        include_input=True,
    )
    trainer = Trainer(spec, dataset.selection, seed=0)
    before = validation.score(*trainer.vectors()).mean()[1]
    assert trainer.advance(25) == 25
    after = validation.score(*trainer.vectors()).mean()[1]
    assert after > max(0.24, 2 * before)  # chance is 0.11; knowing the communities and nothing else 0.30 to 0.38


RICH = LayerSpec((("gcn", 0), ("gatv2", 0), ("skip", 1)), "elu", "layer", 0.2, residual=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "bce", "scorer": "dot"},
        {"loss": "bpr", "scorer": "mlp", "negatives": "hard"},
        {"loss": "bpr", "scorer": "bilinear", "negatives": "popularity"},
        {"loss": "in_batch"},
        {"loss": "sampled_softmax", "negatives": "popularity"},
        {"loss": "alignment_uniformity", "uniformity_weight": 0.2},
        {"layers": (RICH, "lightgcn"), "heads": 2, "combination": "attention"},
        {"layers": (LayerSpec((("gcn", 0),), "tanh", "batch"),), "combination": "max"},
        {"edge_dropout": 0.3},
        {"contrast_weight": 0.2},
        {"adversarial_weight": 1.0, "adversarial_radius": 0.3},
    ],
    ids=str,
)
def test_every_loss_and_regulariser_learns_the_communities(
    changes: dict[str, Any], dataset: Dataset, validation: Validation
) -> None:
    spec = replace(SMALL, **{"init": "random", "epochs": 25, "learning_rate": 0.03, "include_input": True, **changes})
    trainer = Trainer(spec, dataset.selection, seed=0)
    assert trainer.advance(25) == 25
    assert validation.score(*trainer.vectors()).mean()[1] > 0.24  # as above


def test_what_is_random_in_training_repeats_exactly(dataset: Dataset) -> None:
    spec = replace(SMALL, layers=(RICH, "lightgcn"), edge_dropout=0.3, contrast_weight=0.2, epochs=2)

    def trained(spec: ArchitectureSpec) -> np.ndarray[Any, Any]:
        trainer = Trainer(spec, dataset.selection, seed=0)
        trainer.advance(2)
        return trainer.vectors()[0]

    first = trained(spec)
    np.testing.assert_array_equal(first, trained(spec))
    unregularised = [
        replace(spec, edge_dropout=0.0),
        replace(spec, contrast_weight=0.0),
        replace(spec, layers=(replace(RICH, dropout=0.0), "lightgcn")),
        replace(spec, adversarial_weight=0.5),
        replace(spec, contrast_noise=0.3),
    ]
    for other in unregularised:
        assert not np.array_equal(first, trained(other))


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("include_input", [False, True])
@pytest.mark.parametrize("layers", [(), ("gcn", "lightgcn")])
def test_shapes_and_scales_of_the_vectors(
    combination: str, include_input: bool, layers: tuple[str, ...], dataset: Dataset
) -> None:
    parts = len(layers) + include_input if layers and combination == "concat" else 1
    for scorer in SCORERS:
        spec = replace(SMALL, combination=combination, include_input=include_input, layers=layers, scorer=scorer)
        users, items = Trainer(spec, dataset.selection, seed=0).vectors()
        assert spec.width == 8 * parts
        assert users.shape == (NUM_USERS, 8 * parts)
        assert items.shape == (NUM_ITEMS, 8 * parts)
        assert users.dtype == items.dtype == np.float32
        if scorer == "cosine":
            np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1.0, rtol=1e-5)


def test_an_item_without_edges_has_finite_vectors(dataset: Dataset) -> None:
    spec = replace(SMALL, edges="target")
    trainer = Trainer(spec, dataset.selection, seed=0)
    trainer.advance(2)
    users, items = trainer.vectors()
    assert not items[7].any()
    assert np.isfinite(users).all()
    assert np.isfinite(items).all()


def test_edges_of_other_events_carry_messages(dataset: Dataset) -> None:
    vectors = [Trainer(replace(SMALL, edges=edges), dataset.selection, seed=0).vectors()[1] for edges in EDGES]
    assert not np.allclose(vectors[0], vectors[1])


def test_svd_init_starts_far_above_random(dataset: Dataset, validation: Validation) -> None:
    start = {
        init: validation.score(*Trainer(replace(SMALL, init=init), dataset.selection, seed=0).vectors()).mean()[1]
        for init in INITS
    }
    assert start["svd"] > start["random"] + 0.05


@pytest.mark.parametrize("layers", [("lightgcn", "lightgcn"), ("gat",), ("sage_max",)])
def test_equal_seeds_repeat_exactly_and_others_do_not(layers: tuple[str, ...], dataset: Dataset) -> None:
    spec = replace(SMALL, layers=layers, epochs=2)

    def fitted(seed: int) -> np.ndarray:
        trainer = Trainer(spec, dataset.selection, seed=seed)
        trainer.advance(2)
        return trainer.vectors()[1]

    first = fitted(1)
    np.testing.assert_array_equal(first, fitted(1))
    assert not np.array_equal(first, fitted(2))


def test_specs_of_one_key_are_one_model(dataset: Dataset) -> None:
    specs = [replace(SMALL, scorer="dot", temperature=temperature, epochs=1) for temperature in (0.2, 0.9)]
    assert specs[0].key() == specs[1].key()
    trainers = [Trainer(spec, dataset.selection, seed=0) for spec in specs]
    for trainer in trainers:
        trainer.advance(1)
    np.testing.assert_array_equal(trainers[0].vectors()[0], trainers[1].vectors()[0])


def test_advancing_in_steps_is_advancing_at_once(dataset: Dataset) -> None:
    whole, stepped = (Trainer(SMALL, dataset.selection, seed=0) for _ in range(2))
    assert whole.advance(3) == 3
    assert [stepped.advance(1) for _ in range(3)] == [1, 1, 1]
    np.testing.assert_array_equal(whole.vectors()[0], stepped.vectors()[0])
    assert whole.loss == stepped.loss
    assert whole.advance(10) == 1  # spec.epochs is the end of the schedule
    assert whole.epoch == 4


def test_a_deadline_ends_training_before_the_next_batch(dataset: Dataset) -> None:
    seen: list[int] = []
    trainer = Trainer(SMALL, dataset.selection, seed=0)
    assert trainer.advance(4, deadline=time.monotonic() - 1, on_batch=lambda: seen.append(1)) == 0
    assert trainer.epoch == 0
    assert not seen
    trainer.advance(1, deadline=time.monotonic() + 60, on_batch=lambda: seen.append(1))
    assert len(seen) == 4  # 120 users in batches of 32


def test_weight_decay_shrinks_the_embeddings(dataset: Dataset) -> None:
    norms = []
    for decay in (0.0, 5.0):
        spec = replace(SMALL, layers=(), scorer="dot", weight_decay=decay)
        trainer = Trainer(spec, dataset.selection, seed=0)
        trainer.advance(4)
        norms.append(np.linalg.norm(trainer.vectors()[0]))
    assert norms[1] < 0.8 * norms[0]


def test_weight_decay_is_of_the_embeddings_alone(dataset: Dataset) -> None:
    spec = replace(SMALL, layers=("gcn",), weight_decay=5.0)
    groups = Trainer(spec, dataset.selection, seed=0)._optimizer.param_groups
    assert [(len(group["params"]) > 0, group["weight_decay"]) for group in groups] == [(True, 5.0), (True, 0.0)]
    assert groups[0]["params"][0].shape == (NUM_USERS + NUM_ITEMS, 8)


def test_the_learning_rate_warms_up_and_follows_a_cosine(dataset: Dataset) -> None:
    spec = replace(SMALL, batch_size=15, epochs=10, learning_rate=0.02)  # 8 batches an epoch
    trainer = Trainer(spec, dataset.selection, seed=0)
    rates: list[float] = []
    trainer.advance(10, on_batch=lambda: rates.append(trainer._optimizer.param_groups[0]["lr"]))
    progress = np.arange(1, len(rates) + 1) / 8
    cosine = 0.05 + 0.95 * (1 + np.cos(np.pi * progress / 10)) / 2
    np.testing.assert_allclose(rates, 0.02 * np.minimum(progress / 0.5, 1.0) * cosine, rtol=1e-6)
    assert rates[0] < 0.3 * max(rates)
    assert rates[-1] == pytest.approx(0.05 * 0.02)


@pytest.mark.parametrize(
    ("layers", "edges", "known"),
    [((), "all", False), (("lightgcn",), "target", False), (("lightgcn",), "all", True)],
)
def test_a_user_whom_no_edge_reaches_is_unknown(
    layers: tuple[str, ...], edges: str, known: bool, dataset: Dataset, validation: Validation
) -> None:
    """Users 0 and 3 lose their purchases; user 0 keeps what he viewed."""
    positives, every = dataset.selection.positives.tolil(), dataset.selection.edges.tolil()
    positives[[0, 3]] = every[3] = 0.0
    graph = InteractionGraph(positives.tocsr(), every.tocsr())
    spec = replace(SMALL, layers=layers, edges=edges, include_input=True, init="random", epochs=1)
    fit = fit_selected(spec, graph, validation, seed=0).fit
    assert fit.knows(graph.positives)[[0, 3]].tolist() == [known, False]
    assert not fit.user_vectors[3].any()
    assert fit.knows(graph.positives).sum() >= NUM_USERS - 2


def test_divergence_is_said(dataset: Dataset) -> None:
    spec = replace(SMALL, scorer="dot", loss="bpr", learning_rate=1e30, layers=("gcn", "gcn"))
    with pytest.raises(NoViableTrialError, match="diverged in epoch") as caught:
        Trainer(spec, dataset.selection, seed=0).advance(4)
    assert caught.value.code == "diverged"


def test_selection_keeps_the_best_epoch_and_stops_by_patience(dataset: Dataset, validation: Validation) -> None:
    spec = replace(SMALL, epochs=60, patience=2, learning_rate=0.1)
    told: list[EpochResult] = []
    fit = fit_selected(spec, dataset.selection, validation, seed=0, on_epoch=told.append)
    assert fit.stopped == "patience"
    assert tuple(told) == fit.history
    assert fit.best_epoch == len(fit.history) - 2
    best = max(fit.history, key=lambda result: result.ndcg)
    assert best.epoch == fit.best_epoch
    assert fit.metrics.mean()[1] == best.ndcg
    vectors = fit.fit.user_vectors, fit.fit.item_vectors
    np.testing.assert_array_equal(validation.score(*vectors).ndcg, fit.metrics.ndcg)
    assert fit.fit.epochs == fit.best_epoch
    (branch,) = fit.fit.branches
    assert (branch.facts.name, branch.facts.kind, branch.facts.unit_length) == (spec.key(), "gnn", True)
    assert all(0 < result.train_s <= result.seconds for result in fit.history)
    assert fit.num_parameters == (NUM_USERS + NUM_ITEMS) * 8


def test_selection_ends_with_the_epochs_or_the_deadline(dataset: Dataset, validation: Validation) -> None:
    spec = replace(SMALL, epochs=2, patience=10)
    assert fit_selected(spec, dataset.selection, validation, seed=0).stopped == "epochs"
    late = fit_selected(spec, dataset.selection, validation, seed=0, deadline=time.monotonic() - 1)
    assert (late.stopped, late.best_epoch, late.history) == ("deadline", 0, ())


def test_a_limit_ends_training_after_the_first_epoch_at_the_earliest(dataset: Dataset, validation: Validation) -> None:
    spec = replace(SMALL, epochs=3, patience=10)
    slow = fit_selected(spec, dataset.selection, validation, seed=0, limit_s=0.0)
    assert (slow.stopped, slow.best_epoch, len(slow.history)) == ("deadline", 1, 1)
    whole = fit_selected(spec, dataset.selection, validation, seed=0, limit_s=60.0)
    assert (whole.stopped, len(whole.history)) == ("epochs", 3)
    both = fit_selected(spec, dataset.selection, validation, seed=0, limit_s=0.0, deadline=time.monotonic() - 1)
    assert (both.stopped, both.best_epoch) == ("deadline", 0)


def test_a_checkpoint_holds_both_fits_and_survives_the_disk(dataset: Dataset, tmp_path: Path) -> None:
    spec = replace(SMALL, epochs=3)
    checkpoint = train_checkpoint(dataset, spec, seed=0)
    assert checkpoint.name == spec.key()
    assert 1 <= checkpoint.selection.epochs == checkpoint.final.epochs <= 3
    expected = Trainer(spec, dataset.final, seed=0)
    expected.advance(checkpoint.final.epochs)
    np.testing.assert_array_equal(checkpoint.final.item_vectors, expected.vectors()[1])
    assert not np.array_equal(checkpoint.selection.item_vectors, checkpoint.final.item_vectors)
    checkpoint.save(tmp_path / "checkpoint")
    again = Checkpoint.load(tmp_path / "checkpoint")
    np.testing.assert_array_equal(again.final.user_vectors, checkpoint.final.user_vectors)
    assert again.metrics == checkpoint.metrics
    assert ArchitectureSpec.from_json(again.spec) == spec
