"""The inline slot: real training of one job after another."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, PopularitySpec, Spectra, TwoHopSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.slots import InlineSlot, Job
from gnas_search.train import EpochResult, fit_selected

SPEC = ArchitectureSpec(layers=("lightgcn",), embedding_dim=8, epochs=3, batch_size=16, num_negatives=8)


@pytest.fixture
def slot() -> InlineSlot:
    return InlineSlot(*world())


def world() -> tuple[InteractionGraph, Validation]:
    rng = np.random.default_rng(0)
    dense = rng.random((40, 30)) < 0.3
    held_out = dense & (rng.random(dense.shape) < 0.3)
    train = sp.csr_matrix((dense & ~held_out).astype(np.float32))
    valid = sp.csr_matrix(held_out.astype(np.float32))
    return InteractionGraph(train, train), Validation(train, valid, max_users=None, seed=0)


def test_gives_what_training_gives(slot: InlineSlot) -> None:
    told: list[EpochResult] = []
    slot.start(Job(SPEC, seed=3, deadline=None))
    assert slot.advance(told.append) is False
    outcome = slot.result()
    fit = fit_selected(SPEC, *world(), seed=3)
    np.testing.assert_array_equal(outcome.users.ndcg, fit.metrics.ndcg)
    assert (outcome.best_epoch, outcome.num_parameters) == (fit.best_epoch, fit.num_parameters)
    assert outcome.history == tuple(told)
    assert outcome.seconds > 0
    assert outcome.peak_bytes > 1 << 20
    np.testing.assert_array_equal(outcome.fit.user_vectors, fit.fit.user_vectors)
    np.testing.assert_array_equal(slot.fit(Job(SPEC, 3, None)).item_vectors, fit.fit.item_vectors)
    assert not outcome.is_empty


@pytest.mark.parametrize("spec", [FilterSpec(rank=6), TwoHopSpec(neighbours=5), PopularitySpec()])
def test_closed_forms_are_jobs_too(slot: InlineSlot, spec: FilterSpec | TwoHopSpec | PopularitySpec) -> None:
    graph, validation = world()
    told: list[EpochResult] = []
    slot.start(Job(spec, seed=3, deadline=time.monotonic()))  # seconds at most: no deadline cuts them
    assert slot.advance(told.append) is False
    outcome = slot.result()
    expected = validation.score_with(outcome.fit.score_rows(graph.positives))
    np.testing.assert_array_equal(outcome.users.ndcg, expected.ndcg)
    assert (outcome.best_epoch, outcome.history, outcome.stopped, told) == (0, (), "", [])
    assert (outcome.num_parameters, outcome.is_empty) == (0, False)
    rows = np.arange(graph.num_users)
    again = slot.fit(Job(spec, 3, None)).score_rows(graph.positives)(rows)
    np.testing.assert_array_equal(again, outcome.fit.score_rows(graph.positives)(rows))


def test_filters_share_their_decompositions(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    decompose = Spectra._decompose

    def counting(self: Spectra, user: float, item: float, edges: str, rank: int) -> Any:
        made.append(rank)
        return decompose(self, user, item, edges, rank)

    monkeypatch.setattr(Spectra, "_decompose", counting)
    slot = InlineSlot(*world())
    for spec in (FilterSpec(rank=3), FilterSpec(rank=12), FilterSpec(response="heat", rank=6, strength=2.0)):
        slot.start(Job(spec, seed=0, deadline=None))
        slot.advance(lambda _: None)
    assert made == [512]
    slot.start(Job(FilterSpec(rank=3), seed=1, deadline=None))  # of another seed
    slot.advance(lambda _: None)
    assert made == [512, 512]


def test_a_deadline_that_has_passed_leaves_nothing_known(slot: InlineSlot) -> None:
    slot.start(Job(SPEC, seed=0, deadline=time.monotonic()))
    slot.advance(lambda _: None)
    assert (slot.result().best_epoch, slot.result().stopped) == (0, "deadline")
    assert slot.result().is_empty


def test_misuse_is_a_programmer_mistake(slot: InlineSlot) -> None:
    with pytest.raises(ValueError, match="no job"):
        slot.advance(lambda _: None)
    slot.start(Job(SPEC, seed=0, deadline=None))
    with pytest.raises(ValueError, match="not ended"):
        slot.result()
