"""The inline slot: real training of one job after another."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
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


def test_a_deadline_that_has_passed_leaves_nothing_known(slot: InlineSlot) -> None:
    slot.start(Job(SPEC, seed=0, deadline=time.monotonic()))
    slot.advance(lambda _: None)
    assert (slot.result().best_epoch, slot.result().stopped) == (0, "deadline")


def test_misuse_is_a_programmer_mistake(slot: InlineSlot) -> None:
    with pytest.raises(ValueError, match="no job"):
        slot.advance(lambda _: None)
    slot.start(Job(SPEC, seed=0, deadline=None))
    with pytest.raises(ValueError, match="not ended"):
        slot.result()
