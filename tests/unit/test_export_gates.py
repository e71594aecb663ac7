import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import spearmanr

import gnas_export
from gnas_export.gates import HINTS, at_least, at_most, raise_first_breach, skipped
from gnas_export.judging.quality import Jury, no_loss, not_below_popularity, unjudged
from gnas_export.limits import GateLimits
from gnas_export.ranker.parity import mean_overlap, mean_rank_correlation, relative_difference
from gnas_search.division import LEAST_JUDGES, divided_users
from gnas_search.evaluate import UserMetrics
from gnas_serve.errors import ParityError, QualityGateError


def _jury(count=200):
    return Jury(np.arange(count), sp.csr_matrix((count, 5), dtype=np.float32), 0)


def _metrics(ndcg):
    return UserMetrics(np.asarray(ndcg), np.asarray(ndcg))


def test_the_first_breach_ends_it_with_its_own_exit_code():
    fine = at_least("a", 1.0, 0.5, "")
    with pytest.raises(ParityError, match="gate b: 2 against a limit of 1") as caught:
        raise_first_breach([fine, at_most("b", 2.0, 1.0, ""), at_least("c", 0.0, 1.0, "")])
    assert caught.value.exit_code == 5
    with pytest.raises(QualityGateError) as caught:
        raise_first_breach([at_least("c", 0.0, 1.0, "")])
    assert caught.value.exit_code == 6
    raise_first_breach([fine, skipped("d", 1.0, "nobody to ask")])


def test_every_gate_says_what_to_do_about_a_breach():
    """The names are those of the table in the README, and of every gate that the package makes."""
    root = Path(gnas_export.__file__).parent
    table = (root.parent / "README.md").read_text().partition("\n## Gates\n")[2].partition("\n\nSteps ")[0]
    described = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert set(HINTS) == described
    makes = r'(?:at_least|at_most|skipped|Gate|_Limits)\(\s*"(\w+)"|^(?:GATE|PARITY) = "(\w+)"'
    made = {
        name
        for source in root.rglob("*.py")
        for found in re.findall(makes, source.read_text(), re.MULTILINE)
        for name in found
        if name
    }
    assert len(made) > 12
    assert made <= described
    for name in HINTS:
        with pytest.raises(QualityGateError) as caught:
            raise_first_breach([at_least(name, 0.0, 1.0, "")])
        assert caught.value.hint == HINTS[name]


@pytest.mark.parametrize("name", ["baseline", "fold_in", "popularity", "row_parity"])
def test_no_more_exactness_is_advised_where_it_does_not_help(name):
    assert "uncompressed" not in HINTS[name]


def test_what_is_no_number_fails_and_is_null_in_json():
    for gate in (at_least("a", float("nan"), 0.0, ""), at_most("a", float("inf"), 1.0, "")):
        assert not gate.passed
        assert gate.to_json()["value"] is None
        with pytest.raises((ParityError, QualityGateError)):
            raise_first_breach([gate])


def test_the_quality_gate_passes_equal_paths_and_fails_a_loss():
    ndcg = np.random.default_rng(0).random(200)
    assert no_loss(_jury(), _metrics(ndcg), _metrics(ndcg), 0.0, "itself").passed
    assert not no_loss(_jury(), _metrics(ndcg * 0.97), _metrics(ndcg), 0.01, "more").passed
    assert no_loss(_jury(), _metrics(ndcg * 0.97), _metrics(ndcg), 0.05, "more").passed


def test_the_quality_gate_wants_certainty():
    # Equal on average, but so unsure that a loss beyond the limit cannot be excluded.
    rng = np.random.default_rng(0)
    a, b = rng.random(40), rng.random(40)
    b += a.mean() - b.mean()
    assert not no_loss(_jury(40), _metrics(a), _metrics(b), 0.01, "noise").passed


def test_the_popularity_gate():
    rng = np.random.default_rng(0)
    popularity = rng.random(200) * 0.2
    assert not not_below_popularity(_jury(), _metrics(popularity * 0.5), _metrics(popularity)).passed
    same = not_below_popularity(_jury(), _metrics(popularity), _metrics(popularity))
    assert same.passed
    assert same.remark.startswith("passes unless significantly worse")
    assert not_below_popularity(_jury(), _metrics(popularity + 0.1), _metrics(popularity)).passed


def test_worse_on_average_is_not_significantly_worse():
    """Of a noisy pair the mean is clearly below, and the interval reaches above: the gate passes."""
    rng = np.random.default_rng(0)
    popularity = rng.random(40)
    found = popularity + rng.standard_normal(40)
    found += popularity.mean() - 0.1 - found.mean()
    gate = not_below_popularity(_jury(40), _metrics(found), _metrics(popularity))
    assert gate.change.value == pytest.approx(-0.1)
    assert gate.change.low < 0 < gate.change.high == gate.value
    assert gate.passed


def test_too_few_gate_users_are_said():
    assert not _jury(LEAST_JUDGES).too_small
    reason = _jury(LEAST_JUDGES - 1).too_small
    assert str(LEAST_JUDGES - 1) in reason
    gates = unjudged(reason, GateLimits())
    assert all(gate.passed and gate.value is None and reason in gate.remark for gate in gates)


def test_a_score_near_zero_alone_in_its_list_is_held_against_those_of_usual_lists():
    rng = np.random.default_rng(0)
    expected = [rng.standard_normal(count).astype(np.float32) for count in (300, 300, 100, 1)]
    expected[-1][:] = 1e-4
    found = [scores + np.float32(3e-7) for scores in expected]
    assert relative_difference(found, expected) < 1e-6
    assert relative_difference([scores * np.float32(1.05) for scores in expected], expected) > 0.04


def test_relative_difference():
    a = np.array([1.0, -4.0], np.float32)
    assert relative_difference([a], [a]) == 0
    assert relative_difference([a + np.float32(0.04)], [a]) == pytest.approx(0.01, rel=1e-3)
    assert relative_difference([a[:1]], [a]) == float("inf")
    assert relative_difference([np.array([1.0, np.nan], np.float32)], [a]) == float("inf")


def test_mean_overlap():
    scores = np.arange(10, dtype=np.float32)
    assert mean_overlap([scores], [scores], k=4) == 1.0
    assert mean_overlap([-scores], [scores], k=4) == 0.0
    assert mean_overlap([-scores], [scores], k=20) == 1.0


def test_mean_rank_correlation_is_spearmans_of_lists_of_any_length_and_with_ties():
    rng = np.random.default_rng(0)
    lists = [[rng.integers(0, 9, size).astype(np.float32) for size in (30, 7, 30, 12, 7, 2)] for _ in range(2)]
    lists[0][-1][:] = lists[1][-1][:] = [1, 3]
    expected = np.mean([spearmanr(a, b).statistic for a, b in zip(*lists, strict=True)])
    assert mean_rank_correlation(*lists) == pytest.approx(expected, abs=1e-12)
    alike, single = np.ones(5, np.float32), np.ones(1, np.float32)
    assert mean_rank_correlation([alike, single], [np.arange(5, dtype=np.float32), single]) == 0.5
    assert mean_rank_correlation([], []) == 1.0


@pytest.mark.parametrize(("users", "gate"), [(1, 1), (9, 5), (9_000, 4_500), (12_000, 5_000)])
def test_half_of_the_validation_users_judge_but_no_more_than_5000(users: int, gate: int):
    valid = sp.vstack([sp.csr_matrix((3, 4)), sp.csr_matrix(np.ones((users, 4)))]).tocsr()
    checkpoint = SimpleNamespace(valid=valid, config=SimpleNamespace(split_seed=0))
    divided = divided_users(checkpoint)
    assert len(divided.gate) == gate
    assert sorted([*divided.gate, *divided.fitting]) == list(range(3, users + 3))
