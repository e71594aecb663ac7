"""What a network begins with where it goes on from another one: by name and shape, embeddings by row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from communities import SMALL, make_communities

from gnas_search.architecture import ArchitectureSpec
from gnas_search.evaluate import validation_of
from gnas_search.initial_weights import EMBEDDINGS, InitialWeights, _turned
from gnas_search.model import GraphRecommender
from gnas_search.selection import fit_selected, selecting
from gnas_search.train import train_checkpoint
from gnas_search.trainer import Trainer
from gnas_serve.errors import IntegrityError

GCN = replace(SMALL, layers=("gcn", "gcn"), combination="attention", scorer="bilinear", init="random")
GRAPH = make_communities().selection


def trained(spec: ArchitectureSpec, *, seed: int = 0, epochs: int = 2) -> Trainer:
    trainer = Trainer(spec, GRAPH, seed=seed, device="cpu")
    trainer.advance(epochs)
    return trainer


def initial_of(trainer: Trainer, rows: np.ndarray | None = None) -> InitialWeights:
    weights = trainer.weights()
    embeddings = weights.pop(EMBEDDINGS)
    rows = np.arange(len(embeddings)) if rows is None else rows
    return InitialWeights(weights, rows, embeddings[rows])


def model_of(spec: ArchitectureSpec, *, seed: int = 1) -> GraphRecommender:
    return GraphRecommender(spec.canonical(), GRAPH, seed=seed)


def values(model: GraphRecommender) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy().copy() for name, parameter in model.named_parameters()}


class TestWriting:
    def test_all_of_the_same_network_is_carried(self) -> None:
        trainer = trained(GCN)
        model = model_of(GCN)
        written = initial_of(trainer).write_into(model)
        expected = trainer.weights()
        assert set(written) == set(expected)
        for name, found in values(model).items():
            np.testing.assert_array_equal(found, expected[name], err_msg=name)

    def test_layers_that_one_of_them_lacks_stay_as_they_are(self) -> None:
        deeper = replace(GCN, layers=("gcn", "gcn", "gcn"), scorer="cosine")
        model = model_of(deeper)
        before = values(model)
        written = initial_of(trained(GCN)).write_into(model)
        after = values(model)
        changed = {name for name, found in after.items() if not np.array_equal(found, before[name])}
        assert changed == set(written)
        assert not any(name.startswith(("layers.2", "head")) for name in written)
        assert {name for name in after if name.startswith(("layers.0", "layers.1", "combination"))} <= set(written)

    def test_another_width_fits_nothing(self) -> None:
        model = model_of(replace(GCN, embedding_dim=16))
        before = values(model)
        assert initial_of(trained(GCN)).write_into(model) == ()
        for name, found in values(model).items():
            np.testing.assert_array_equal(found, before[name])

    def test_rows_that_are_not_known_stay_as_chance_drew_them(self) -> None:
        model = model_of(GCN)
        before = values(model)[EMBEDDINGS]
        rows = np.arange(0, len(before), 2)
        initial = initial_of(trained(GCN), rows)
        initial.write_into(model)
        after = values(model)[EMBEDDINGS]
        np.testing.assert_array_equal(after[rows], initial.embeddings)
        others = np.setdiff1d(np.arange(len(before)), rows)
        np.testing.assert_array_equal(after[others], before[others])

    def test_those_of_an_svd_are_turned_to_where_the_others_lie(self) -> None:
        model = model_of(SMALL)
        drawn = values(model)[EMBEDDINGS]
        turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))
        moved = (3.0 * drawn @ turn).astype(np.float32)  # the very same geometry on other axes
        rows = np.arange(0, len(drawn), 2)
        InitialWeights({}, rows, moved[rows]).write_into(model)
        np.testing.assert_allclose(values(model)[EMBEDDINGS], moved, atol=1e-5)

    def test_no_other_turn_brings_them_closer(self) -> None:
        rng = np.random.default_rng(1)
        drawn, known = (rng.standard_normal((30, 4)).astype(np.float32) for _ in range(2))
        rows = np.arange(20)
        best = np.square(_turned(drawn, rows, known[rows])[rows] - known[rows]).sum()
        for _ in range(50):
            turn, _ = np.linalg.qr(rng.standard_normal((4, 4)))
            assert np.square(rng.uniform(0.1, 2.0) * drawn[rows] @ turn - known[rows]).sum() >= best
        np.testing.assert_array_equal(_turned(0.0 * drawn, rows, known[rows]), 0.0 * drawn)

    def test_a_row_beyond_the_network(self) -> None:
        model = model_of(GCN)
        beyond = InitialWeights({}, np.array([len(model.embeddings)]), np.zeros((1, 8), np.float32))
        with pytest.raises(ValueError, match="of a network of 210 users and items"):
            beyond.write_into(model)


class TestTraining:
    def test_it_goes_on_and_is_reproducible(self) -> None:
        dataset = make_communities()
        validation = validation_of(dataset)
        cold = fit_selected(SMALL, dataset.selection, validation, seed=0)
        initial = initial_of(trained(SMALL, epochs=4))
        warm, again = (fit_selected(SMALL, dataset.selection, validation, seed=0, initial=initial) for _ in range(2))
        assert warm.history[0].loss < cold.history[0].loss
        np.testing.assert_array_equal(warm.metrics.ndcg, again.metrics.ndcg)
        np.testing.assert_array_equal(warm.fit.user_vectors, again.fit.user_vectors)

    def test_keeping_weights_changes_nothing_and_they_are_of_the_best_epoch(self) -> None:
        dataset = make_communities()
        validation = validation_of(dataset)
        plain = fit_selected(SMALL, dataset.selection, validation, seed=0)
        steps = selecting(SMALL, dataset.selection, validation, seed=0, keep_weights=True)
        next(steps)
        for _ in range(SMALL.epochs - 1):
            steps.send(True)
        with pytest.raises(StopIteration) as ended:
            steps.send(True)
        kept = ended.value.value
        np.testing.assert_array_equal(plain.fit.user_vectors, kept.fit.user_vectors)
        assert plain.weights is None
        best = InitialWeights({}, np.arange(210), kept.weights[EMBEDDINGS])
        vectors = Trainer(SMALL, dataset.selection, seed=5, initial=best).vectors()
        np.testing.assert_array_equal(vectors[1], kept.fit.item_vectors)

    def test_both_fits_of_a_checkpoint_begin_with_it(self) -> None:
        dataset = make_communities()
        initial = initial_of(trained(SMALL, epochs=4))
        checkpoint = train_checkpoint(dataset, SMALL, seed=0, initial={SMALL.key(): initial, "gnn-other": initial})
        selected = fit_selected(SMALL, dataset.selection, validation_of(dataset), seed=0, initial=initial)
        np.testing.assert_array_equal(checkpoint.selection.item_vectors, selected.fit.item_vectors)
        final = Trainer(SMALL, dataset.final, seed=0, initial=initial)
        final.advance(selected.best_epoch)
        np.testing.assert_array_equal(checkpoint.final.item_vectors, final.vectors()[1])


class TestFile:
    def test_it_comes_back(self, tmp_path: Path) -> None:
        initial = initial_of(trained(GCN), np.arange(0, 210, 3))
        (tmp_path / "a").write_bytes(initial.to_bytes())
        found = InitialWeights.load(tmp_path / "a")
        np.testing.assert_array_equal(found.rows, initial.rows)
        np.testing.assert_array_equal(found.embeddings, initial.embeddings)
        assert set(found.weights) == set(initial.weights)
        for name, array in found.weights.items():
            np.testing.assert_array_equal(array, initial.weights[name])

    def test_what_is_no_such_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        with pytest.raises(IntegrityError, match=r"a\.safetensors is missing"):
            InitialWeights.load(path)
        whole = InitialWeights({"w": np.ones((2, 2), np.float32)}, np.array([0, 3]), np.ones((2, 2), np.float32))
        broken = {
            "Error": whole.to_bytes()[:-3],
            "do not ascend": replace(whole, rows=np.array([3, 0])).to_bytes(),
            "has shape": replace(whole, rows=np.array([3])).to_bytes(),
            "w holds a value that is no finite number": replace(
                whole, weights={"w": np.full((2, 2), np.nan, np.float32)}
            ).to_bytes(),
            "w holds int64": replace(whole, weights={"w": np.ones(2, np.int64)}).to_bytes(),  # type: ignore[dict-item]
        }
        for said, content in broken.items():
            path.write_bytes(content)
            with pytest.raises(IntegrityError, match=r"a\.safetensors is damaged") as caught:
                InitialWeights.load(path)
            assert said in str(caught.value) or said == "Error"
            assert "search anew" in caught.value.hint
