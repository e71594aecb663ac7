"""Stages: whatever has its turn between them, an answer is the same, and its stages' times are its own."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tiny_artifact import write_tiny_artifact

from gnas_serve.errors import RequestError
from gnas_serve.runtime.query import Answer, Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.stages import STAGES, StageClock, Staged, found_by

QUERIES = (
    Query(1001),
    Query(1002, k=40),
    Query(None, history=(2001, 2004), k=5),
    Query(None, k=3),
    Query(1003, candidates=(2001, 2002, 2003)),
    Query(1004, diversity=0.5),
    Query(1005, exploration=0.5, seed=3),
    Query(1006, explain=True, k=2),
)


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    return Recommender.load(write_tiny_artifact(tmp_path_factory.mktemp("stages") / "artifact"))


def interleaved(staged: list[Staged[Answer]], seed: int) -> list[Answer]:
    """Let questions have their stages in a random order."""
    rng, found = np.random.default_rng(seed), dict[int, Answer]()
    going = list(range(len(staged)))
    while going:
        chosen = int(rng.choice(going))
        try:
            assert next(staged[chosen]) in STAGES
        except StopIteration as end:
            found[chosen] = end.value
            going.remove(chosen)
    return [found[place] for place in range(len(staged))]


@pytest.mark.parametrize("seed", range(10))
def test_in_whatever_order_stages_are_taken_the_answers_are_the_same(recommender: Recommender, seed: int) -> None:
    answers = interleaved([recommender.recommend_staged(query) for query in QUERIES], seed)
    assert answers == [recommender.recommend(query) for query in QUERIES]


def test_given_items_too(recommender: Recommender) -> None:
    queries = [replace(query, candidates=(2001, 2007, 2012)) for query in QUERIES]
    answers = interleaved([recommender.rank_staged(query) for query in queries], 0)
    assert answers == [recommender.rank(query) for query in queries]


def test_nothing_is_looked_at_before_the_first_stage(recommender: Recommender) -> None:
    staged = recommender.recommend_staged(Query(1001, k=0))
    with pytest.raises(RequestError, match="k: 0"):
        next(staged)


def test_a_clock_notes_the_stages_that_a_question_passes(recommender: Recommender) -> None:
    clock = StageClock()
    answer = found_by(clock.timed(recommender.recommend_staged(replace(QUERIES[5], explain=True, k=5))))
    assert answer == recommender.recommend(replace(QUERIES[5], explain=True, k=5))
    assert [stage for stage, _, _ in clock.spans()] == ["represent", "retrieve", "rank", "rerank", "explain"]


def test_the_time_of_others_is_not_in_it(recommender: Recommender) -> None:
    clock = StageClock()
    staged = clock.timed(recommender.recommend_staged(Query(1001)))
    for _ in range(3):
        next(staged)
        time.sleep(0.2)
    with pytest.raises(StopIteration):
        next(staged)
    spans = list(clock.spans())
    assert [stage for stage, _, _ in spans] == ["represent", "retrieve", "rank"]
    assert all(ended - began < 0.1 for _, began, ended in spans)
    assert all(later[1] - before[2] >= 0.2 for before, later in pairwise(spans))
