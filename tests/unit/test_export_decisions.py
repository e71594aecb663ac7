import json

import pytest

from gnas_export.decisions import Decisions, Form, quickest
from gnas_export.limits import GateLimits
from gnas_export.profile import ExportProfile
from gnas_export.steps.indexing import NOT_QUICK_ENOUGH, QUICK_ENOUGH, worth_it
from gnas_serve.errors import ConfigError

BALANCED = ExportProfile("balanced")


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        ([("small", 10, 100.0), ("big", 90, 95.0)], "small"),  # a tie: the smaller
        ([("small", 10, 100.0), ("big", 90, 85.0)], "small"),  # faster, but not by 20 %
        ([("small", 10, 100.0), ("big", 90, 79.0)], "big"),
        ([("small", 10, 100.0), ("middle", 50, 75.0), ("big", 90, 70.0)], "middle"),  # smallest near the fastest
        ([("only", 10, 100.0)], "only"),
    ],
)
def test_tie_rules(forms, expected):
    assert quickest([Form(*form) for form in forms]).name == expected
    assert quickest([Form(*form) for form in reversed(forms)]).name == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"ivf": 100.0 / 1.49}, "flat"),
        ({"ivf": 100.0 / 1.51}, "ivf"),
        ({"ivf": 100.0 / 1.51, "ivf-pq": 100.0 / 1.49}, "ivf"),
        ({"ivf": 100.0 / 1.49, "ivf-pq": 100.0 / 1.51}, "ivf-pq"),
        ({"ivf": 40.0, "ivf-pq": 41.0}, "ivf-pq"),  # a tie: the smaller
        ({"ivf": 120.0, "ivf-pq": 100.0}, "flat"),
    ],
)
def test_an_index_has_to_be_half_as_quick_again_as_flat_search(times, expected):
    sizes = {"ivf": 300, "ivf-pq": 100}
    name, reason = worth_it([Form(name, sizes[name], time) for name, time in times.items()], 100.0)
    assert name == expected
    assert reason == (NOT_QUICK_ENOUGH if expected == "flat" else QUICK_ENOUGH)


def test_decisions_are_repeated_word_for_word(tmp_path):
    first = Decisions(BALANCED, "auto")
    first.take("index", "flat", "few items")
    first.take("form", "distilled-32x16/int8", "size and time")
    first.write(tmp_path / "a.json")
    second = Decisions.read(tmp_path / "a.json", profile=BALANCED, ranker="auto")
    assert second.given("index").choice == "flat"
    assert second.given("tables") is None
    second.write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format_version": 1}', "\x00", '{"format_version": 1, "profile": 1}']
)
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(ConfigError, match="no decisions file"):
        Decisions.read(tmp_path / "d.json", profile=BALANCED, ranker="auto")


def test_unknown_choices_and_other_settings_are_refused(tmp_path):
    path = tmp_path / "d.json"
    with pytest.raises(ConfigError, match="no such decisions file"):
        Decisions.read(path, profile=BALANCED, ranker="auto")
    made = Decisions(BALANCED, "auto")
    made.take("index", "flat", "")
    made.write(path)
    with pytest.raises(ConfigError, match="profile 'balanced'"):
        Decisions.read(path, profile=ExportProfile("fast"), ranker="auto")
    with pytest.raises(ConfigError, match="ranker 'auto'"):
        Decisions.read(path, profile=BALANCED, ranker="always")
    raw = json.loads(path.read_text())
    for name, choice in (("index", "hnsw"), ("form", "int8"), ("size", "small")):
        edited = {**raw, "decisions": {name: {"choice": choice, "reason": ""}}}
        path.write_text(json.dumps(edited))
        with pytest.raises(ConfigError, match=r"does not know|no decisions file"):
            Decisions.read(path, profile=BALANCED, ranker="auto")
    path.write_text(json.dumps({**raw, "format_version": 1}))
    with pytest.raises(ConfigError, match="does not know"):
        Decisions.read(path, profile=BALANCED, ranker="auto")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (float("nan"), "is no text but nan"),
        (None, "is no text but None"),
        (["a"], "is no text"),
        ({}, "is no text"),
        (7, "is no text but 7"),
        ("\ud800", r"holds '\\ud800', half of a character"),
        ("one\ntwo", "is more than one line"),
        ("one\r", "is more than one line"),
        ("one\u2028two", "is more than one line"),
        ("x" * 2_001, "has 2,001 characters, more than 2,000"),
    ],
)
def test_a_reason_is_a_line_of_text(tmp_path, reason, said):
    path = tmp_path / "d.json"
    made = Decisions(BALANCED, "auto")
    made.take("index", "flat", "x" * 2_000)
    made.take("tables", "int8", "")
    made.write(path)
    Decisions.read(path, profile=BALANCED, ranker="auto")
    raw = json.loads(path.read_text())
    raw["decisions"]["tables"]["reason"] = reason
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=rf"d\.json: decisions\.tables\.reason {said}") as refused:
        Decisions.read(path, profile=BALANCED, ranker="auto")
    assert refused.value.exit_code == 2


def test_an_edited_profile_is_noticed_and_a_latency_objective_is_no_edit(tmp_path):
    path = tmp_path / "d.json"
    Decisions(BALANCED, "auto").write(path)
    for edited in (ExportProfile("balanced", candidates=299), ExportProfile("balanced", gates=GateLimits(parity=1e-3))):
        with pytest.raises(ConfigError, match="edited since"):
            Decisions.read(path, profile=edited, ranker="auto")
    Decisions.read(
        path, profile=ExportProfile("balanced", gates=GateLimits(max_p99_us=500.0, max_artifact_bytes=9)), ranker="auto"
    )


def test_a_dropped_decision_is_not_written():
    decisions = Decisions(BALANCED, "auto")
    decisions.take("form", "int8", "")
    decisions.drop("form")
    assert decisions.to_json()["decisions"] == {}
