"""What an export measures, it measures once, and every gate and fact speaks of the same measurement."""

import numpy as np
import pytest
from export_runs import PROFILE, run, without_vectors_for_taste
from planted_checkpoint import planted_checkpoint

from gnas_export.judging.quality import Jury
from gnas_export.judging.simple_models import measured_baselines
from gnas_export.retrieval.reference import popular_answers
from gnas_export.retrieval.shipped import item_counts, seen_items
from gnas_export.steps import forms, judgement
from gnas_search.baselines import BASELINES
from gnas_search.division import divided_users


def counting(monkeypatch, module, name):
    """Count the calls of a function of a module, which does what it did."""
    calls, original = [], getattr(module, name)

    def counted(*arguments, **options):
        calls.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, counted)
    return calls


@pytest.mark.parametrize("ranker", ["never", "always"])
def test_popularity_is_measured_once(monkeypatch, tmp_path, ranker):
    made = counting(monkeypatch, judgement, "popular_answers")
    fitted = counting(monkeypatch, judgement, "measured_baselines")
    report = run(without_vectors_for_taste(), tmp_path / "a", ranker=ranker).report
    assert len(made) == 1
    assert set(fitted[0][2]) == {"popularity"}
    assert {name for name in report["facts"]["quality"] if "popularity" in name} == {"popularity"}


def test_it_is_what_the_fitted_model_of_popularity_gives():
    checkpoint = planted_checkpoint()
    gate = divided_users(checkpoint).gate
    jury = Jury(gate, checkpoint.valid[gate], 0)
    fitted = measured_baselines(checkpoint, jury)
    seen = seen_items(checkpoint.train)
    served = jury.judge(popular_answers(item_counts(seen, len(checkpoint.items)), seen, gate, 20))
    np.testing.assert_allclose(fitted["popularity"].ndcg, served.ndcg)
    assert measured_baselines(checkpoint, jury, {"popularity": served})["popularity"] is served
    assert list(measured_baselines(checkpoint, jury, {"popularity": served})) == list(BASELINES)


def test_the_change_of_a_form_is_bootstrapped_once(monkeypatch, tmp_path):
    drawn = counting(monkeypatch, forms, "relative_change")
    report = run(without_vectors_for_taste(), tmp_path / "a", PROFILE, ranker="always").report
    assert len(drawn) == len(report["facts"]["forms"])
    for gate in report["ranker_gates"]:
        if gate["name"] == "form_quality":
            chosen = report["facts"]["forms"][report["decisions"]["form"]["choice"]]
            assert gate["value"] == chosen["change"]["low"]
