"""What `export --dry-run` says: every step, from real parts of the export, and nothing is made."""

from dataclasses import replace

import pytest
from export_runs import PROFILE, run, without_vectors_for_taste
from planted_checkpoint import blended_checkpoint, planted_checkpoint

from gnas_export.decisions import Decisions
from gnas_export.draft import Draft
from gnas_export.forecast import forecast_export
from gnas_export.forecast.ranker_costs import RankerCosts
from gnas_export.forecast.retrieval_costs import FEW, RetrievalCosts
from gnas_export.pipeline import STEPS
from gnas_export.ranker.fitting import EPOCHS, timetable
from gnas_export.ranker.lessons import INNER_SHARE
from gnas_export.ranker.plan import RankerPlan
from gnas_export.ranker.prune import EPOCHS as TUNING_EPOCHS
from gnas_export.ranker.variants import NUMERIC, planned

NAMES = tuple(step.__name__ for step in STEPS)
WITH_STUDENTS = replace(PROFILE, ranker=RankerPlan(hidden=(32, 16), students=((16, 8),)))


def forecast(checkpoint, profile=PROFILE, ranker="auto"):
    return forecast_export(checkpoint, profile, ranker=ranker, steps=NAMES)


def by_name(found):
    return {step.name: step for step in found.steps}


@pytest.fixture(scope="module")
def learned():
    return forecast(without_vectors_for_taste(), WITH_STUDENTS)


def test_every_step_takes_some_time_and_memory(learned):
    assert [step.name for step in learned.steps] == [*NAMES, "package"]
    # Neither users nor items have attributes.
    assert {step.name for step in learned.steps if step.seconds == 0} == {"choose_segments", "choose_content"}
    assert all(step.peak_bytes > 50 << 20 for step in learned.steps)
    assert learned.seconds == pytest.approx(sum(step.seconds for step in learned.steps))
    assert learned.peak_bytes == max(step.peak_bytes for step in learned.steps)


def test_the_artifact_is_about_as_large_as_said(learned, tmp_path):
    made = run(without_vectors_for_taste(), tmp_path / "a", WITH_STUDENTS, "always")
    files = made.report["artifact"]["files"]
    assert learned.artifact_bytes == pytest.approx(made.report["facts"]["artifact_bytes"]["size_bytes"], rel=0.25)
    assert files["items.vectors.npy"] < learned.artifact_bytes


def test_what_will_not_be_done_takes_nothing():
    found = by_name(forecast(planted_checkpoint(), ranker="never"))
    untouched = ("train_ranker", "narrow_ranker", "draw_forms", "weigh_forms", "choose_form", "choose_ranker")
    assert [found[name].seconds for name in untouched] == [0.0] * 6
    assert found["judge"].seconds > 0


def test_without_judges_nothing_is_judged():
    found = by_name(forecast(planted_checkpoint(valid_per_user=0)))
    assert (found["judge"].seconds, found["choose_fold_in"].seconds) == (0.0, 0.0)


def test_more_networks_take_longer(learned):
    alone = by_name(forecast(without_vectors_for_taste()))
    assert alone["narrow_ranker"].seconds == 0.0
    assert by_name(learned)["narrow_ranker"].seconds > 0.0


def test_of_links_and_a_projection_it_speaks_too():
    found = forecast(blended_checkpoint(num_items=300, filter_dim=40, gnn_dim=8, links=6), ranker="never")
    assert by_name(found)["compress_neighbours"].seconds > 0


def test_the_checkpoint_stays_as_it_is():
    checkpoint = planted_checkpoint()
    before = checkpoint.final.user_vectors.copy()
    forecast(checkpoint)
    assert (checkpoint.final.user_vectors == before).all()


@pytest.fixture
def a_second_each(monkeypatch):
    """Let everything that is timed of a ranker take one second, so that a forecast counts what it multiplies by."""
    monkeypatch.setattr("gnas_export.forecast.ranker_costs.seconds_of", lambda *_, **__: 1.0)


def weighed_by_few(profile=WITH_STUDENTS):
    checkpoint = without_vectors_for_taste()
    return RetrievalCosts.of(Draft(checkpoint, profile, "auto", 0, Decisions(profile, "auto")))


@pytest.mark.usefixtures("a_second_each")
def test_every_epoch_batch_and_list_of_a_ranker_is_counted():
    retrieval = weighed_by_few()
    found = RankerCosts.of(retrieval)
    inner = round(INNER_SHARE * found.lists)
    timed = round(64 / (1 - INNER_SHARE)) + 1
    timed_inner = round(INNER_SHARE * timed)
    # What the lists that were timed share of a second, each of all lists takes.
    alone, passes = {}, {}
    for variant in planned(WITH_STUDENTS.ranker):
        tuned = TUNING_EPOCHS if variant.is_pruned else EPOCHS
        _, batches, epochs = timetable(found.lists - inner, tuned)
        assert epochs * batches > 100
        alone[variant.name] = epochs * batches + (epochs + 1) * inner / timed_inner
        passes[variant.name] = 2 if variant.is_pruned else 1
    teacher, *others = alone
    thought = found.lists / timed
    expected = sum(alone[name] + passes[name] * thought for name in others)
    assert found.seconds["narrow_ranker"] == pytest.approx(expected)
    # Beside it lists are really retrieved, in less than a few seconds.
    assert found.seconds["train_ranker"] == pytest.approx(alone[teacher] + thought, abs=3.0)
    forms, judges = len(NUMERIC) * len(alone), len(retrieval.jury.users)
    assert found.seconds["weigh_forms"] == pytest.approx(judges * 2 * forms / timed + forms, abs=3.0)


def test_every_user_of_retrieval_is_counted():
    found = weighed_by_few()
    judges = len(found.jury.users)
    each = replace(found, answer_s=1.0, list_s=1.0, probes=FEW + 100)
    tried = len(found.draft.facts["tables"]["recall"])
    further = each.seconds("compress_tables") - found.readings["compress_tables"].seconds
    assert further == pytest.approx(100 * (1 + tried) + judges * tried)
    assert judges > 30
    assert each.seconds("choose_users") == found.readings["choose_users"].seconds
