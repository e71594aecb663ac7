"""The learned ranker's forms, from training to what ships: distilled, pruned, in fewer bits, or as it was trained."""

import json
from dataclasses import replace

import numpy as np
import pytest
from export_runs import PROFILE, TEACHER, after, files, run, without_vectors_for_taste
from planted_checkpoint import planted_checkpoint

from gnas_export.decisions import Decisions
from gnas_export.pipeline import AGAIN
from gnas_export.ranker.variants import NUMERIC, planned, with_parents
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ConfigError

NARROWING = replace(PROFILE, ranker=replace(PROFILE.ranker, distil="auto", prune="auto", precision="int8"))
NETWORKS = [variant.name for variant in planned(NARROWING.ranker)]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """An artifact with the learned ranker, which is better here, in int8."""
    out = tmp_path_factory.mktemp("learned") / "artifact"
    return run(without_vectors_for_taste(), out, NARROWING)


def test_int8_is_what_a_profile_can_insist_on(learned):
    assert learned.manifest.ranker.precision == "int8"
    assert learned.report["facts"]["int8_nodes"][learned.report["decisions"]["form"]["choice"]] == 1
    assert np.load(learned.path / LAYOUT.ranker_items).dtype == np.uint8
    assert np.load(learned.path / LAYOUT.item_vectors).dtype == np.int8


def test_every_form_is_measured_and_one_is_chosen(learned):
    forms, chosen = learned.report["facts"]["forms"], learned.report["decisions"]["form"]["choice"]
    assert set(forms) == {f"{name}/{numeric}" for name in NETWORKS for numeric in NUMERIC}
    for facts in forms.values():
        assert set(facts["latency_us"]) == {"60", "100", "300", "1000"}
        assert facts["change"]["low"] <= facts["change"]["value"] <= facts["change"]["high"]
        assert facts["teacher_rank_correlation"] <= 1.0 + 1e-9
    exact = forms[f"{TEACHER}/fp32"]
    assert (exact["change"]["value"], exact["teacher_overlap@20"]) == (0.0, 1.0)
    quality = learned.report["facts"]["quality"]
    # What is served gives what was measured on its candidates.
    assert forms[chosen]["ndcg@20"] == pytest.approx(quality["shipped"]["ndcg@20"], rel=1e-9)
    sizes = {name: forms[f"{name}/fp32"]["size_bytes"] for name in NETWORKS}
    assert all(sizes[variant.name] < sizes[variant.parent] for variant in planned(NARROWING.ranker)[1:])


def test_a_form_that_is_better_than_its_teacher_is_luck(tmp_path, monkeypatch):
    def spoil(draft):
        found = draft.form_metrics[f"{TEACHER}/fp32"]
        draft.form_metrics[f"{TEACHER}/fp32"] = replace(found, ndcg=np.zeros_like(found.ndcg))

    after(monkeypatch, "choose_form", spoil)
    made = run(without_vectors_for_taste(), tmp_path / "a")
    assert made.manifest.ranker.kind == "retrieval"
    assert "that of its teacher is not better" in made.report["decisions"]["ranker"]["reason"]


def test_a_form_with_which_the_whole_path_would_lose_too_much_is_passed_over(tmp_path, monkeypatch):
    """A form may lose a little of the teacher, and the path a little to vectors and index: together too much."""
    kept = {"teacher": 0.93, "narrower": 0.95}  # of the uncompressed path, and of the teacher

    def plant(draft):
        exact = draft.form_metrics[f"{TEACHER}/fp32"]
        draft.measured["uncompressed"] = replace(exact, ndcg=exact.ndcg / kept["teacher"])
        for name, form in draft.forms.items():
            share = 1.0 if form.network == TEACHER else kept["narrower"]
            draft.form_metrics[name] = replace(exact, ndcg=exact.ndcg * share)

    after(monkeypatch, "weigh_forms", plant)
    free = replace(NARROWING, ranker=replace(NARROWING.ranker, precision="auto"))
    profile = replace(free, gates=replace(free.gates, form_loss=0.1, quality_loss=0.1))
    begun = []
    made = run(without_vectors_for_taste(), tmp_path / "a", profile, ranker="always", on_step=begun.append)
    assert made.report["decisions"]["form"]["choice"].startswith(f"{TEACHER}/")
    for name, facts in made.report["facts"]["forms"].items():
        assert ("quality" in facts["breaches"]) == (not name.startswith(f"{TEACHER}/"))
        assert "form_quality" not in facts["breaches"]
    assert AGAIN not in begun, "it was not found out by the gate at the end"


def test_the_form_of_a_ranker_that_does_not_ship_leaves_no_trace(monkeypatch, tmp_path):
    """Its form was timed, and what was measured of it depends on the form."""
    plain = run(planted_checkpoint(with_features=False), tmp_path / "plain")
    monkeypatch.setattr("gnas_export.steps.forms.quickest", lambda forms: max(forms, key=lambda form: form.size_bytes))
    again = run(planted_checkpoint(with_features=False), tmp_path / "a")
    assert files(again.path) == files(plain.path)


@pytest.mark.usefixtures("short_course")
def test_of_networks_that_nobody_can_judge_the_teacher_ships(tmp_path):
    """Fewer than thirty users judge: what a narrower network costs is not known."""
    profile = replace(NARROWING, ranker=replace(NARROWING.ranker, precision="auto"))
    made = run(without_vectors_for_taste(num_users=50), tmp_path / "a", profile, ranker="always")
    assert made.report["facts"]["users"]["gate"] == 25
    assert made.report["decisions"]["form"]["choice"].startswith(f"{TEACHER}/")
    forms = made.report["facts"]["forms"]
    assert {form["network"] for form in forms.values()} == set(NETWORKS)
    assert all(("form_quality" in form["breaches"]) == (form["network"] != TEACHER) for form in forms.values())


def test_a_student_that_was_asked_for_ships(tmp_path):
    profile = replace(PROFILE, ranker=replace(PROFILE.ranker, distil="always", precision="fp32"))
    profile = replace(profile, gates=replace(profile.gates, form_loss=0.2, quality_loss=0.2))
    made = run(without_vectors_for_taste(), tmp_path / "a", profile, ranker="always")
    assert made.report["decisions"]["form"]["choice"].startswith("distilled-16x16/fp32")
    assert made.manifest.ranker.hidden == (16, 16)
    assert np.load(made.path / LAYOUT.ranker_items).shape[1] == 16
    assert "form_quality" in {gate["name"] for gate in made.manifest.gates}
    decisions = Decisions.read(made.path / LAYOUT.decisions, profile=profile, ranker="always")
    again = run(without_vectors_for_taste(), tmp_path / "b", profile, ranker="always", decisions=decisions)
    assert files(again.path) == files(made.path)


def test_a_repeated_decision_makes_what_it_needs_alone(learned, tmp_path):
    decisions = Decisions.read(learned.path / LAYOUT.decisions, profile=NARROWING, ranker="auto")
    made = run(without_vectors_for_taste(), tmp_path / "a", NARROWING, decisions=decisions)
    network = learned.report["decisions"]["form"]["choice"].partition("/")[0]
    assert set(made.report["facts"]["ranker_training"]) == {
        one.name for one in with_parents({network}, NARROWING.ranker)
    }


def test_a_decision_for_a_network_that_the_profile_lacks_is_refused(learned, tmp_path):
    raw = json.loads((learned.path / LAYOUT.decisions).read_text())
    raw["decisions"]["form"]["choice"] = "distilled-31x17/int8"
    (tmp_path / "d.json").write_text(json.dumps(raw))
    decisions = Decisions.read(tmp_path / "d.json", profile=NARROWING, ranker="auto")
    with pytest.raises(ConfigError, match="distilled-31x17"):
        run(without_vectors_for_taste(), tmp_path / "a", NARROWING, decisions=decisions)


def test_of_a_ranker_that_learned_nothing_the_smallest_ships_and_ranks_alike(tmp_path, monkeypatch):
    """It was asked for, and is the retriever's order in whatever network."""
    monkeypatch.setattr("gnas_export.ranker.fitting._kept_epoch", lambda _: 0)
    monkeypatch.setattr("gnas_export.ranker.fitting._FEW_STEPS", 0)  # as few epochs as of much data: none is kept
    made = run(planted_checkpoint(with_features=False), tmp_path / "a", NARROWING, ranker="always")
    facts = made.report["facts"]
    training = facts["ranker_training"]
    assert {one["best_epoch"] for one in training.values()} == {0}
    assert set(training) == {one.name for one in planned(NARROWING.ranker)}
    ndcg = {name: form["ndcg@20"] for name, form in facts["forms"].items() if name.endswith("/fp32")}
    assert len(set(ndcg.values())) == 1
    chosen = made.report["decisions"]["form"]["choice"]
    assert facts["forms"][chosen]["size_bytes"] < facts["forms"][f"{next(iter(training))}/fp32"]["size_bytes"] / 3
    decisions = Decisions.read(made.path / LAYOUT.decisions, profile=NARROWING, ranker="always")
    again = run(planted_checkpoint(with_features=False), tmp_path / "b", NARROWING, "always", decisions=decisions)
    assert files(again.path) == files(made.path)
