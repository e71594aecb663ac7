"""A teacher that reads histories: the ranker that ships learns from it, and it is measured without ever shipping."""

import json
from dataclasses import replace
from importlib.resources import files as resources

import numpy as np
import onnx
import pytest
from export_runs import PROFILE, TEACHER, files, run, without_vectors_for_taste
from jsonschema import Draft202012Validator
from planted_checkpoint import planted_checkpoint

from gnas_export.decisions import Decisions
from gnas_export.ranker.variants import attention_name
from gnas_export.report.page import render
from gnas_serve.artifact.layout import LAYOUT

PLAN = replace(PROFILE.ranker, students=((16, 8),), distil="auto", teacher="attention")
ATTENTIVE = replace(PROFILE, ranker=PLAN)
# What is asked of the teacher alone needs no student.
ALONE = replace(PROFILE, ranker=replace(PLAN, distil="never"))
NAME = attention_name(PLAN)


def with_teacher(teacher):
    return replace(ATTENTIVE, ranker=replace(PLAN, teacher=teacher))


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return run(without_vectors_for_taste(), tmp_path_factory.mktemp("learned") / "a", ATTENTIVE, "always")


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """The same without such a teacher."""
    return run(without_vectors_for_taste(), tmp_path_factory.mktemp("labels") / "a", with_teacher("mlp"), "always")


def test_what_ships_is_of_the_kind_that_always_ships(learned):
    assert learned.manifest.ranker.kind == "mlp"
    graph = onnx.load_model_from_string((learned.path / LAYOUT.ranker).read_bytes()).graph
    assert {one.name for one in graph.input} == {"cross", "user", "item"}
    assert not any(name.startswith("attention") for name in learned.report["facts"]["forms"])


def test_the_teacher_is_measured_and_stated(learned):
    facts = learned.report["facts"]
    attention = facts["attention"]
    assert (attention["network"], attention["followed"]) == (NAME, True)
    assert set(facts["ranker_training"]) == {NAME, TEACHER, "distilled-16x8"}
    assert facts["ranker_training"][NAME]["best_epoch"] > 0
    # The vectors do not know what everybody likes; the item's attributes tell it this teacher as they tell the others.
    assert attention["ndcg@20"] == facts["quality"]["attention"]["ndcg@20"]
    assert attention["ndcg@20"] > facts["quality"]["exact_retrieval"]["ndcg@20_high"]
    first = facts["forms"][f"{TEACHER}/fp32"]["ndcg@20"]
    assert attention["retained"]["value"] == pytest.approx(attention["ndcg@20"] / first)
    report = json.loads((learned.path / "report.json").read_text())
    schema = json.loads((resources("gnas_export") / "report" / "report.schema.json").read_text(encoding="utf-8"))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(report)] == []
    assert f"{NAME}, cannot ship, followed" in render(report)


def test_those_that_ship_really_learn_from_it(learned, labels):
    assert "attention" not in labels.report["facts"]
    assert "attention" not in labels.report["facts"]["quality"]
    for network in (TEACHER, "distilled-16x8"):
        one, other = (made.report["facts"]["ranker_training"][network]["inner"] for made in (learned, labels))
        assert one != other


def test_equal_exports_are_equal_byte_for_byte(learned, tmp_path):
    decisions = Decisions.read(learned.path / LAYOUT.decisions, profile=ATTENTIVE, ranker="always")
    again = run(without_vectors_for_taste(), tmp_path / "b", ATTENTIVE, "always", decisions=decisions)
    assert files(again.path) == files(learned.path)


def test_auto_follows_only_what_is_better(labels, tmp_path):
    """Where attributes tell all that vectors do not, nothing is gained from histories: all is as without."""
    auto = run(without_vectors_for_taste(), tmp_path / "a", with_teacher("auto"), "always")
    assert auto.report["facts"]["attention"]["followed"] is False
    training = [made.report["facts"]["ranker_training"][TEACHER] for made in (auto, labels)]
    assert training[0] == training[1]
    quality = [made.report["facts"]["forms"][f"{TEACHER}/fp32"]["ndcg@20"] for made in (auto, labels)]
    assert quality[0] == quality[1]


def test_without_judges_it_is_trained_and_not_measured(tmp_path):
    made = run(without_vectors_for_taste(num_users=50), tmp_path / "a", ALONE, "always")
    facts = made.report["facts"]
    assert "remark" in facts["users"]
    assert NAME in facts["ranker_training"]
    assert "attention" not in facts


def test_users_without_a_history_do_no_harm(tmp_path):
    checkpoint = planted_checkpoint()
    bare = checkpoint.train.tolil()
    bare[:40] = 0
    checkpoint = replace(checkpoint, train=bare.tocsr().astype(np.float32))
    made = run(checkpoint, tmp_path / "a", ALONE, "always")
    assert np.isfinite(made.report["facts"]["attention"]["ndcg@20"])
