"""The verdict: from simple to rich, each step clear of the noise and above the margin."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from toy_study import ToySlot, go, small_space

from gnas_search.epoch import EpochResult
from gnas_search.slots import Result
from gnas_search.study.verdict import MARGIN, RICHNESS, Representative, decide
from gnas_serve.errors import NoViableTrialError

BASE = 0.1 + 0.4 * np.random.default_rng(0).random(2000)
LEAST = MARGIN * BASE.mean()


def gained(mean: float, noise: float = 0.02) -> npt.NDArray[np.float64]:
    """Give the base with a known mean gain, told apart from it by users who differ at random."""
    spread = noise * np.random.default_rng(1).standard_normal(len(BASE))
    values: npt.NDArray[np.float64] = BASE + mean + spread - spread.mean()
    return values


def of(kind: str, ndcg: npt.NDArray[np.float64], remark: str = "") -> Representative:
    return Representative({"baseline": "svd"}.get(kind, f"{kind}-0"), kind, ndcg, remark, is_usable=bool(ndcg.any()))


SIMPLE = of("baseline", BASE)


@pytest.mark.parametrize("kind", RICHNESS[1:])
@pytest.mark.parametrize(
    ("ndcg", "wins", "words"),
    [
        (gained(0.05), True, "ship the {kind} {kind}-0: +0.0500 ndcg@20 ["),
        (gained(LEAST * 1.02, noise=0.001), True, "ship the {kind}"),
        (gained(LEAST * 0.98, noise=0.001), False, "{kind}-0, gains +0.0029, below the margin of 1%"),
        (gained(LEAST * 1.5, noise=0.5), False, "{kind}-0, gains +0.0045, within the noise"),
        (gained(-0.05), False, "nothing richer is clearly better"),
    ],
)
def test_a_richer_model_against_the_baseline(ndcg: npt.NDArray[np.float64], wins: bool, words: str, kind: str) -> None:
    verdict = decide([SIMPLE, of(kind, ndcg)], seed=0)
    assert (verdict.kind, verdict.name) == ((kind, f"{kind}-0") if wins else ("baseline", "svd"))
    assert words.format(kind=kind) in verdict.reason
    assert verdict.margin == MARGIN
    assert (verdict.gain is not None) == wins
    if verdict.gain is not None:
        assert 0 < verdict.gain.low < verdict.gain.value < verdict.gain.high


def test_the_margin_is_relative() -> None:
    """A gain of .002 is much where ndcg is .1, and nothing where it is .9."""
    low, high = np.full(100, 0.1), np.full(100, 0.9)
    assert decide([of("baseline", low), of("gnn", low + 0.002)], seed=0).kind == "gnn"
    assert decide([of("baseline", high), of("gnn", high + 0.002)], seed=0).kind == "baseline"


def test_each_step_is_measured_against_the_model_held_so_far() -> None:
    """The network beats the baseline clearly, but not the filter; the blend beats both."""
    steps = [SIMPLE, of("filter", gained(0.03)), of("gnn", gained(0.0305))]
    verdict = decide(steps, seed=0)
    assert verdict.kind == "filter"
    assert "the best gnn, gnn-0, gains +0.0005, below the margin" in verdict.reason
    assert "against svd" in verdict.reason
    assert verdict.gain is not None
    assert verdict.gain.value == pytest.approx(0.03)
    assert decide([*steps, of("blend", gained(0.05))], seed=0).kind == "blend"
    assert "gnn-0" not in decide([*steps, of("blend", gained(0.05))], seed=0).reason


def test_both_gains_are_told_where_the_decision_was_against_another_than_the_baseline() -> None:
    steps = [SIMPLE, of("two-hop", gained(0.03)), of("filter", gained(0.0)), of("gnn", gained(0.05))]
    reason = decide(steps, seed=0).reason
    assert reason.startswith("ship the gnn gnn-0: +0.0500 ndcg@20 [")
    assert "] against svd; +0.0200 [" in reason
    assert reason.endswith("] against two-hop-0")
    assert "\n" not in reason
    assert "against svd" in decide(steps[:2], seed=0).reason
    assert decide(steps[:2], seed=0).reason.count("against") == 1


def test_the_order_given_is_of_no_matter() -> None:
    models = [SIMPLE, of("two-hop", gained(0.02)), of("filter", gained(0.03)), of("blend", gained(0.05))]
    assert decide(models, seed=0) == decide(models[::-1], seed=0)
    assert sorted(RICHNESS) == sorted({"baseline", "two-hop", "filter", "gnn", "blend"})


def test_an_interval_of_four_fifths_decides() -> None:
    """A gain that its 95 % interval does not clear but its 80 % interval does is taken, and shown with the latter."""
    noise = 0.02 * np.random.default_rng(2).standard_normal(len(BASE))
    error = 0.02 / np.sqrt(len(BASE))
    low = np.full(len(BASE), 0.02)  # so that the margin is far below
    verdict = decide([of("baseline", low), of("gnn", low + noise - noise.mean() + 1.6 * error)], seed=0)
    assert verdict.kind == "gnn"
    assert verdict.gain is not None
    assert verdict.gain.low < 0
    shown = re.search(r"\[\+(0\.\d+), \+0", verdict.reason)
    assert shown is not None
    assert float(shown[1]) > 0
    assert decide([of("baseline", low), of("gnn", low + noise - noise.mean() + 1.0 * error)], seed=0).kind == "baseline"


def test_where_no_simple_model_finds_anything_it_is_said() -> None:
    nothing = of("baseline", np.zeros(len(BASE)))
    alone = decide([nothing, of("gnn", BASE)], seed=0)
    assert (alone.name, alone.gain) == ("gnn-0", None)
    assert alone.reason == "ship gnn-0: no simple model finds any held-out item"
    two = decide([nothing, of("filter", BASE), of("gnn", gained(-0.05))], seed=0)
    assert two.reason == "ship filter-0: no simple model finds any held-out item, nothing richer is clearly better"
    assert decide([of("gnn", BASE)], seed=0).reason == "ship gnn-0"


@pytest.mark.parametrize("gain", [0.05, 0.001])
def test_a_model_that_the_budget_stopped_is_said_to_be(gain: float) -> None:
    verdict = decide([SIMPLE, of("gnn", gained(gain), "cut after 1 of 12 epochs")], seed=0)
    assert "(cut after 1 of 12 epochs)" in verdict.reason


@pytest.mark.parametrize(("done", "said"), [(1, "cut after 1 of 12 epochs"), (6, "stopped after 6 of 12 epochs")])
def test_a_study_says_that_time_stopped_a_network(tmp_path: Path, done: int, said: str) -> None:
    class Slow(ToySlot):
        def result(self) -> Result:
            history = tuple(EpochResult(epoch, 0.5, 0.1, 0.01) for epoch in range(1, done + 1))
            return replace(super().result(), best_epoch=done, history=history, stopped="deadline")

    study = go(tmp_path / "study", trials=1, slots=Slow(level=1.2), space=small_space())
    assert f"({said}: a longer budget may do better)" in study.verdict.reason


def test_one_side_absent_or_useless() -> None:
    nothing = np.zeros(len(BASE))
    alone = decide([SIMPLE], seed=0)
    assert (alone.name, alone.reason, alone.gain) == ("svd", "ship svd", None)
    assert decide([SIMPLE, of("gnn", nothing)], seed=0).name == "svd"
    assert decide([of("gnn", BASE)], seed=0).name == "gnn-0"
    assert decide([of("gnn", BASE), of("baseline", nothing)], seed=0).kind == "gnn"


def test_what_the_gain_is_over_is_named() -> None:
    nothing = of("baseline", np.zeros(len(BASE)))
    steps = [of("filter", gained(0.03)), of("gnn", gained(0.05))]
    assert decide([SIMPLE, *steps], seed=0).against == "svd"
    assert decide([nothing, *steps], seed=0).against == decide(steps, seed=0).against == "filter-0"
    assert decide([SIMPLE], seed=0).against == decide([nothing, steps[0]], seed=0).against == ""


def test_nothing_usable_at_all() -> None:
    for models in ([], [of("baseline", np.zeros(10)), of("gnn", np.zeros(10))]):
        with pytest.raises(NoViableTrialError, match="no model of the study is usable"):
            decide(models, seed=0)


def test_its_json_form_is_plain() -> None:
    raw = decide([SIMPLE, of("gnn", gained(0.05))], seed=0).to_json()
    assert raw["gain"].keys() == {"value", "low", "high"}
    assert (raw["name"], raw["kind"], raw["margin"]) == ("gnn-0", "gnn", MARGIN)
