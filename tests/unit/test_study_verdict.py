"""The verdict: a network must be clear of the noise and beat the margin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from gnas_search.evaluate import Interval
from gnas_search.study.records import Baseline, Measurement, Trial
from gnas_search.study.verdict import MARGIN_NDCG, decide
from gnas_serve.errors import NoViableTrialError

NOTHING = Interval(0.0, 0.0, 0.0)
MEASURED = Measurement(NOTHING, NOTHING, 0.0, 0)
SIMPLE = Baseline("svd", True, MEASURED)
NETWORK = Trial(3, "complete", None, "gnn-0", MEASURED, "tpe", None, "")
BASE = np.random.default_rng(0).random(2000)


def gained(mean: float, noise: float = 0.02) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = BASE + mean + noise * np.random.default_rng(1).standard_normal(len(BASE))
    return values


@pytest.mark.parametrize(
    ("ndcg", "kind", "words"),
    [
        (gained(0.05), "gnn", "ship the graph network"),
        (gained(MARGIN_NDCG / 2), "baseline", "below the margin"),
        (gained(0.02, noise=2.0), "baseline", "within the noise"),
        (gained(-0.05), "baseline", "within the noise"),
    ],
)
def test_who_wins(ndcg: npt.NDArray[np.float64], kind: str, words: str) -> None:
    verdict = decide((NETWORK, ndcg), (SIMPLE, BASE), seed=0)
    assert verdict.kind == kind
    assert verdict.name == ("gnn-0" if kind == "gnn" else "svd")
    assert words in verdict.reason
    assert verdict.gain is not None
    assert verdict.gain.low < verdict.gain.value < verdict.gain.high
    assert verdict.margin == MARGIN_NDCG


@pytest.mark.parametrize(
    ("epochs_done", "said"), [(1, "cut after 1 of 12 epochs"), (6, "stopped after 6 of 12 epochs")]
)
def test_a_network_that_the_budget_stopped_is_said_to_be(epochs_done: int, said: str) -> None:
    history = tuple({"epoch": float(epoch)} for epoch in range(epochs_done))
    stopped = replace(MEASURED, epochs=12, stopped="deadline", history=history)
    for ndcg, simple in ((gained(0.05), BASE), (gained(-0.05), BASE), (gained(0.05), np.zeros(len(BASE)))):
        verdict = decide((replace(NETWORK, measured=stopped), ndcg), (SIMPLE, simple), seed=0)
        assert f"({said}: a longer budget may do better)" in verdict.reason
        assert "epochs" not in decide((NETWORK, ndcg), (SIMPLE, simple), seed=0).reason


def test_one_side_absent_or_useless() -> None:
    nothing = np.zeros(10)
    assert decide(None, (SIMPLE, BASE), seed=0).name == "svd"
    assert decide((NETWORK, nothing), (SIMPLE, BASE), seed=0).name == "svd"
    assert decide((NETWORK, BASE), None, seed=0).name == "gnn-0"
    assert decide((NETWORK, BASE), (SIMPLE, nothing), seed=0).kind == "gnn"


def test_nothing_usable_at_all() -> None:
    with pytest.raises(NoViableTrialError):
        decide((NETWORK, np.zeros(10)), (SIMPLE, np.zeros(10)), seed=0)


KNN = Baseline("item-knn", False, MEASURED)


def test_a_better_model_that_cannot_be_served_is_named() -> None:
    for ndcg, name in ((gained(0.05), "gnn-0"), (gained(-0.05), "svd")):
        verdict = decide((NETWORK, ndcg), (SIMPLE, BASE), unservable=(KNN, gained(0.08)), seed=0)
        assert verdict.name == name
        better = verdict.better
        assert better is not None
        assert better.name == "item-knn"
        assert better.gain.value == pytest.approx(0.03 if name == "gnn-0" else 0.08, abs=0.002)
        assert better.gain.low < better.gain.value < better.gain.high
        said = f"item-knn is better still by {better.gain.value:+.4f} ndcg@20"
        assert said in verdict.reason
        assert verdict.reason.endswith("but cannot be served in this version")
        assert verdict.to_json()["better"] == {
            "name": "item-knn",
            "gain": {"value": better.gain.value, "low": better.gain.low, "high": better.gain.high},
        }
    for alone in ((None, (SIMPLE, BASE)), ((NETWORK, BASE), None)):
        assert decide(*alone, unservable=(KNN, gained(0.08)), seed=0).better is not None


def test_a_worse_model_that_cannot_be_served_is_not() -> None:
    verdict = decide((NETWORK, gained(0.05)), (SIMPLE, BASE), unservable=(KNN, gained(0.02)), seed=0)
    assert verdict.better is None
    assert "item-knn" not in verdict.reason
    assert verdict.to_json()["better"] is None
