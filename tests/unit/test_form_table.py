"""The table of ranker forms, as a terminal of a hundred columns shows it."""

import pytest

from gnas_serve.cli.form_table import form_lines, saving_line

COUNTS = ("100", "300", "1000")


def form(network, numeric, **changes):
    return {
        "network": network,
        "numeric": numeric,
        "breaches": [],
        "size_bytes": 12_345_678,
        "times_smaller": 123.4,
        "teacher_overlap@20": 0.934,
        "teacher_rank_correlation": 0.9987,
        "latency_us": {**dict.fromkeys(COUNTS, 1_234.6), "60": 1.0},
        "times_faster": {**dict.fromkeys(COUNTS, 10.26), "60": 1.0},
        "retained": {"value": 1.0123, "low": 0.9811, "high": 1.0349},
        **changes,
    }


def report(forms, chosen=None, **facts):
    named = {f"{one['network']}/{one['numeric']}": one for one in forms}
    decisions = {} if chosen is None else {"form": {"choice": chosen}}
    return {"facts": {"forms": named, **facts}, "decisions": decisions, "candidates": 300}


def said(lines):
    return [line.plain for line in lines]


def test_forms_stand_under_their_network_in_a_hundred_columns():
    networks = ("teacher-128x64", "distilled-32x16-pruned-16x8")
    forms = [form(network, numeric) for network in networks for numeric in ("fp32", "int8-dynamic")]
    lines = said(form_lines(report(forms, "teacher-128x64/int8-dynamic")))
    assert [line for line in lines if line in networks] == list(networks)
    assert max(map(len, lines)) <= 100
    (chosen,) = (line for line in lines if line.startswith(" * "))
    assert chosen.split() == [
        *("*", "int8-dynamic", "12,345,678", "123x"),
        *("1,235", "10.3x") * 3,
        *("101.2", "(98.1..103.5)", "0.999", "0.93"),
    ]
    assert lines[-1] == "* chosen"


def test_what_was_not_measured_is_a_hyphen():
    bare = form("teacher-128x64", "fp32")
    for name in ("latency_us", "times_faster", "retained"):
        del bare[name]
    (line,) = (line for line in said(form_lines(report([bare]))) if "fp32" in line)
    assert line.split() == ["fp32", "12,345,678", "123x", "-", "-", "-", "-", "0.999", "0.93"]


def test_a_teacher_that_cannot_ship_stands_in_the_column_of_the_forms():
    facts = {"network": "attention-128x64", "followed": True, "retained": {"value": 1.05, "low": 1.011, "high": 1.1}}
    exact = form("teacher-128x64", "fp32")
    lines = said(form_lines(report([exact], attention=facts)))
    assert lines[-2:] == ["attention-128x64", lines[-1]]
    assert " ".join(lines[-1].split()) == "cannot ship; the others follow it 105.0 (101.1..110.0)"
    (kept,) = (line for line in lines if "fp32" in line)
    assert lines[-1].index(")") == kept.index(")")
    assert "nobody follows it" in said(form_lines(report([exact], attention=facts | {"followed": False})))[-1]


def test_a_form_that_is_not_good_enough_is_marked():
    lines = said(form_lines(report([form("teacher-128x64", "int8", breaches=["rank_overlap"])])))
    assert lines[-3].startswith(" ! int8")
    assert lines[-2:] == ["   breaches rank_overlap", "! breaches a gate"]


def test_where_retrieval_ships_the_form_that_was_weighed_is_marked():
    forms = [form("teacher-128x64", numeric) for numeric in ("fp32", "int8")]
    lines = said(form_lines(report(forms, weighed_form="teacher-128x64/int8")))
    assert [line.split()[:2] for line in lines if line.startswith(" o ")] == [["o", "int8"]]
    assert lines[-1] == "o weighed against retrieval, which ships"


@pytest.mark.parametrize("measured", [False, True])
def test_the_whole_artifact_has_a_line(measured):
    savings = {
        "tables": {"size_bytes": 1000, "fp32_bytes": 4000},
        "index": {"size_bytes": 500, "fp32_bytes": 0},
        "scorer": {"size_bytes": 10, "fp32_bytes": 530},
        "whole": {"size_bytes": 1510, "fp32_bytes": 4530, "times_smaller": 3.0},
    }
    if measured:
        one = {"value": 0.998, "low": 0.99, "high": 1.001}
        savings["retained"] = {"recall@20": one, "ndcg@20": {**one, "value": 0.997}}
    (line,) = said(saving_line(report([], savings=savings, artifact_bytes={"size_bytes": 2510})))
    assert line.startswith("artifact bytes: 2,510, of the model's files and its decisions\nvectors, index and scorer: ")
    assert "1,510 bytes, 3.0 times fewer than 4,530 in fp32" in line
    assert "tables 1,000 of 4,000, index 500 of 0, scorer 10 of 530" in line
    kept = "ndcg@20 kept: 99.7 (99.0..100.1) %, recall@20 kept: 99.8 (99.0..100.1) %, of the path"
    assert (kept in line) == measured
    assert max(map(len, line.splitlines())) <= 100


def test_an_index_can_outweigh_what_is_saved():
    part = {"size_bytes": 2, "fp32_bytes": 1}
    savings = {**dict.fromkeys(("tables", "index", "scorer"), part), "whole": {**part, "times_smaller": 0.5}}
    assert "2 bytes, 2.0 times more than 1 in fp32" in said(saving_line(report([], savings=savings)))[0]


def test_nothing_is_said_of_nothing():
    assert form_lines(report([])) == []
    assert saving_line(report([])) == []


def test_the_profiles_number_of_candidates_is_shown():
    """It is what the choice was made by."""
    times = {"100": 50.0, "150": 70.0, "300": 110.0, "1000": 300.0}
    timed = form("one", "fp32", latency_us=times, times_faster=dict.fromkeys(times, 1.0))
    header, first = said(form_lines(report([timed]) | {"candidates": 150}))[1:4:2]
    assert [word for word in header.split() if word.startswith("C=")] == ["C=150", "C=300", "C=1000"]
    assert " 70 " in first
    assert " 50 " not in first
