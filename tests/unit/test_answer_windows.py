"""Coverage and drift over windows of answers, against what is plainly counted."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.runtime.query import Answer, Query
from gnas_serve.service import coverage
from gnas_serve.service.answer_metrics import AnswerMetrics
from gnas_serve.service.coverage import Coverage
from gnas_serve.service.drift import LEAST, Drift, is_comparable


class TestCoverage:
    @pytest.mark.parametrize("far", [2**31, 37])
    def test_it_is_what_the_latest_answers_showed(self, monkeypatch: pytest.MonkeyPatch, far: int) -> None:
        monkeypatch.setattr(coverage, "_FAR", far)  # numbers begin anew there
        rng = np.random.default_rng(0)
        latest: deque[set[int]] = deque(maxlen=5)
        found = Coverage(50, window=5)
        assert found.ratio() == 0.0
        for count in range(1, 200):
            rows = rng.choice(50, rng.integers(0, 6), replace=False)
            latest.append(set(rows.tolist()))
            found.add(rows)
            if count % 3 == 0:
                assert found.ratio() == len(set().union(*latest)) / 50


class TestCoverageGauge:
    def test_it_goes_on_where_the_numbers_of_answers_begin_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coverage, "_FAR", 12_000)
        registry = CollectorRegistry()
        metrics = AnswerMetrics(registry)
        metrics.follow("v1", 400, None)
        shown: list[float] = []
        for count in range(40_000):
            row = count % 4 if count < 20_000 else count % 400
            metrics.recommended(Query(1), Answer([row], [1.0], "user", rows=np.array([row])))
            if count in {19_999, 39_999}:
                shown.append(registry.get_sample_value("gnas_serve_catalogue_coverage_ratio") or 0.0)
        assert shown == [0.01, 1.0]


class TestDrift:
    @pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.0, 0.05), (0.5, 0.1, 0.5), (2.0, 1.0, 20.0)])
    def test_the_farther_the_scores_the_higher(self, shift: float, low: float, high: float) -> None:
        rng = np.random.default_rng(1)
        drift = Drift(ScoreFacts.of(rng.standard_normal(2000)))
        for score in (rng.standard_normal(3000) + shift).tolist():
            drift.add(score)
        assert low <= drift.index() < high

    def test_by_hand(self) -> None:
        facts = ScoreFacts(999, 0.0, 1.0, (0.0,), (0.5, 0.5))
        drift = Drift(facts)
        for place in range(999):
            drift.add(-1.0 if place % 3 == 0 else 0.0)  # an edge is of the bin above
        then, now = 0.5, (333 + 0.5) / 1000
        expected = (now - then) * math.log(now / then) + (then - now) * math.log((1 - now) / then)
        assert drift.index() == pytest.approx(expected, rel=1e-9)

    def test_few_answers_say_nothing(self) -> None:
        drift = Drift(ScoreFacts.of(np.arange(100.0)))
        for _ in range(LEAST - 1):
            drift.add(1.0)
        assert math.isnan(drift.index())
        drift.add(1.0)
        assert drift.index() > 1

    def test_what_left_the_window_counts_no_more(self) -> None:
        rng = np.random.default_rng(2)
        facts = ScoreFacts.of(rng.standard_normal(2000))
        moved, fresh = Drift(facts, window=600), Drift(facts, window=600)
        for _ in range(700):
            moved.add(9.0)
        for score in rng.standard_normal(600).tolist():
            moved.add(score)
            fresh.add(score)
        assert moved.index() == fresh.index() < 0.1

    def test_scores_that_are_all_equal(self) -> None:
        drift = Drift(ScoreFacts.of(np.full(200, 3.5)))
        for _ in range(LEAST):
            drift.add(3.5)
        assert drift.index() < 0.01
        for _ in range(LEAST):
            drift.add(3.4)
        assert drift.index() > 0.5

    @pytest.mark.parametrize(
        "change",
        [
            {"candidates": (1,)},
            {"filter": "a == 1"},
            {"exclude_items": (1,)},
            {"history": (1,)},
            {"exclude_seen": False},
            {"diversity": 0.1},
            {"exploration": 0.1},
        ],
    )
    def test_what_asks_for_more_than_items_is_not_compared(self, change: dict[str, object]) -> None:
        answer = Answer([1], [0.5], "user")
        assert is_comparable(Query(1), answer)
        assert not is_comparable(replace(Query(1), **change), answer)  # type: ignore[arg-type]

    def test_nor_what_is_answered_otherwise(self) -> None:
        assert not is_comparable(Query(1), Answer([1], [0.5], "fold_in"))
        assert not is_comparable(Query(1), Answer([], [], "user"))
        assert not is_comparable(Query(1), Answer([1], [0.5], "user", sources=("content",)))


class TestScoreFacts:
    def test_deciles_and_shares(self) -> None:
        facts = ScoreFacts.of(np.arange(1000.0))
        assert facts.edges == tuple(100.0 * place - 1 for place in range(1, 10))
        assert facts.shares == pytest.approx([0.1] * 10, abs=0.002)
        assert (facts.users, facts.mean, facts.std) == (1000, 499.5, 288.675)
        assert ScoreFacts.from_json(facts.to_json()) == facts

    def test_equal_scores_share_a_bin(self) -> None:
        facts = ScoreFacts.of(np.array([1.0] * 60 + [2.0] * 40, dtype=np.float32))
        assert facts.edges == (1.0, 2.0)
        assert facts.shares == (0.0, 0.6, 0.4)

    @pytest.mark.parametrize(
        "change",
        [
            {"users": 0},
            {"users": True},
            {"mean": float("nan")},
            {"edges": [2.0, 1.0]},
            {"edges": [1.0, 1.0]},
            {"shares": [0.5, 0.5]},
            {"shares": [0.5, 0.5, 0.5]},
            {"shares": [-0.5, 0.5, 1.0]},
        ],
    )
    def test_what_no_export_writes_is_refused(self, change: dict[str, object]) -> None:
        whole = {"users": 9, "mean": 0.0, "std": 1.0, "edges": [0.0, 1.0], "shares": [0.2, 0.3, 0.5]}
        assert ScoreFacts.from_json(whole).users == 9
        with pytest.raises(ValueError, match="scores"):
            ScoreFacts.from_json(whole | change)
