"""What `export --dry-run` says: every step, from real parts of the export, and nothing is made."""

from dataclasses import replace

import pytest
from export_runs import PROFILE, run, without_vectors_for_taste
from planted_checkpoint import blended_checkpoint, planted_checkpoint

from gnas_export.forecast import forecast_export
from gnas_export.pipeline import STEPS
from gnas_export.ranker.plan import RankerPlan

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
    assert all(step.seconds > 0 and step.peak_bytes > 50 << 20 for step in learned.steps)
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
