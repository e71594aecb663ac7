"""The published schema holds for every report that an export writes, and for no other."""

import copy
import json
from dataclasses import replace
from importlib.resources import files

import pytest
from export_runs import LIMITS, PROFILE, run, without_vectors_for_taste
from jsonschema import Draft202012Validator
from planted_checkpoint import blended_checkpoint, planted_checkpoint, single_fit
from segment_tables import telling_users

from gnas_export.report.contents import SCHEMA
from gnas_serve.cli.app import main
from gnas_serve.errors import ExportError, QualityGateError

NARROWING = replace(PROFILE, ranker=replace(PROFILE.ranker, distil="auto", prune="auto"))


@pytest.fixture(scope="module")
def validator():
    schema = json.loads((files("gnas_export") / "report" / "report.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults(validator, report):
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(report)]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The report of an artifact with a learned ranker, narrower ones tried, and with features of users."""
    out = tmp_path_factory.mktemp("learned") / "a"
    return read(run(telling_users(without_vectors_for_taste()), out, NARROWING).path / "report.json")


def test_it_is_printed_by_a_command(validator, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["schema", "report"])
    assert ended.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == validator.schema
    assert printed["properties"]["schema"] == {"const": SCHEMA}


def test_an_unknown_schema_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["schema", "reports"])
    assert ended.value.code == 2
    assert "did you mean 'report'" in capsys.readouterr().err


def test_a_learned_ranker(validator, learned):
    assert learned["schema"] == SCHEMA
    assert learned["decisions"]["ranker"]["choice"] == "mlp"
    assert learned["decisions"]["segments"]["choice"] == "segments"
    assert learned["facts"]["segments"]["features"] == {"camp": 8, "mood": 6, "member": 2, "rare": 0}
    assert learned["metrics"]["segment_ndcg@20"] == learned["facts"]["quality"]["segments"]["ndcg@20"]
    assert faults(validator, learned) == []


def test_without_a_learned_ranker(validator, tmp_path):
    latency = replace(PROFILE, gates=replace(LIMITS, max_p99_us=1e9, max_artifact_bytes=10**9))
    run(planted_checkpoint(), tmp_path / "a", latency, "never", report_path=tmp_path / "r.json")
    report = read(tmp_path / "r.json")
    assert "latency" in report["facts"]
    assert faults(validator, report) == []


def test_too_few_labels(validator, tmp_path):
    made = run(planted_checkpoint(valid_per_user=0), tmp_path / "a")
    assert "remark" in made.report["facts"]["users"]
    assert faults(validator, read(made.path / "report.json")) == []


def test_a_blend(validator, tmp_path):
    made = run(blended_checkpoint(), tmp_path / "a", replace(PROFILE, neighbours=50), ranker="never")
    assert "neighbours" in made.report["facts"]
    assert faults(validator, read(made.path / "report.json")) == []


def test_an_index_of_lists(validator, tmp_path):
    profile = replace(PROFILE, index="ivf", gates=replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=1.0))
    made = run(planted_checkpoint(), tmp_path / "a", profile, ranker="never")
    assert made.report["facts"]["index"]["kind"] == "ivf"
    assert faults(validator, read(made.path / "report.json")) == []


def test_a_gate_that_fails(validator, tmp_path):
    limits = replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=0.0)
    blunt = replace(PROFILE, index="ivf", candidates=20, gates=limits)
    with pytest.raises(QualityGateError):
        run(planted_checkpoint(), tmp_path / "a", blunt, ranker="never")
    report = read(tmp_path / "a.report.json")
    assert not report["passed"]
    assert faults(validator, report) == []


def test_a_failure_before_anything_was_measured(validator, tmp_path):
    checkpoint = planted_checkpoint()
    broken = single_fit(
        checkpoint.final.branches[0].user_vectors * float("nan"), checkpoint.final.branches[0].item_vectors
    )
    with pytest.raises(ExportError):
        run(replace(checkpoint, final=broken), tmp_path / "a")
    report = read(tmp_path / "a.report.json")
    assert (report["facts"], report["gates"]) == ({}, [])
    assert faults(validator, report) == []


def objects(value, path=()):
    """Find every object of a report, with the way to it."""
    if isinstance(value, dict):
        yield path
        for key, child in value.items():
            yield from objects(child, (*path, key))
    elif isinstance(value, list):
        for place, child in enumerate(value[:1]):
            yield from objects(child, (*path, place))


# Their keys are names: of forms, paths, tried forms, files, tools, features, numbers of candidates.
OPEN = {"forms", "quality", "ranker_training", "int8_nodes", "recall", "ndcg_change_low", "files", "tools"}
OPEN |= {"latency_us", "times_faster", "features"}
# Not all of them are always there: the steps make them one by one.
GROWING = {"facts", "decisions", "metrics"}


def at(value, path):
    """Follow a way into a report."""
    for key in path:
        value = value[key]
    return value


def refuses(validator, report, path):
    """Tell whether a report is at fault; what the schema says of one object is looked at before the whole, for time."""
    rules, depth = validator.schema, 0
    for key in path:
        if "$ref" in rules:
            rules = validator.schema["$defs"][rules["$ref"].removeprefix("#/$defs/")]
        below = rules.get("items") if isinstance(key, int) else rules.get("properties", {}).get(key)
        if not isinstance(below, dict):
            break
        rules, depth = below, depth + 1
    return not (validator.evolve(schema=rules).is_valid(at(report, path[:depth])) and validator.is_valid(report))


def test_a_field_too_many_or_too_few_is_a_fault(validator, learned):
    closed = [path for path in objects(learned) if not path or path[-1] not in OPEN]
    assert len(closed) > 50
    for path in closed:
        changed = copy.deepcopy(learned)
        place = at(changed, path)
        place["something_else"] = 1
        assert refuses(validator, changed, path), f"{path} takes anything"
        del place["something_else"]
        if path and path[-1] in GROWING:
            continue
        for name in list(place):
            kept = place.pop(name)
            assert refuses(validator, changed, path) or (path, name) in OPTIONAL, f"{path} is whole without {name}"
            place[name] = kept
    assert faults(validator, learned) == []


OPTIONAL = {
    (("facts", "index"), "latency_us"),
    (("facts", "index"), "size_bytes"),
    (("facts", "savings"), "retained"),
    (("facts", "segments"), "against_popularity"),
    (("facts", "ranker_against_retrieval"), "shipped"),
}


@pytest.mark.parametrize("missing", ["users", "tables", "branches", "index", "savings", "forms", "ranker_training"])
def test_what_ships_has_these_facts(validator, learned, missing):
    changed = copy.deepcopy(learned)
    del changed["facts"][missing]
    assert faults(validator, changed)


def test_a_verdict_and_what_ended_it_agree(validator, learned):
    error = {"code": "quality_gate", "message": "gate quality", "hint": ""}
    assert faults(validator, {**learned, "passed": False})
    assert faults(validator, {**learned, "error": error})
    assert faults(validator, {**learned, "passed": False, "error": error})  # of what failed no artifact is made
    assert faults(validator, {**learned, "passed": False, "error": error, "artifact": {}}) == []
    assert faults(validator, {**learned, "schema": "gnas-serve/export-report/2"})
