from dataclasses import replace

import numpy as np
import pytest
from planted_checkpoint import planted_checkpoint

from gnas_export.decisions import Form
from gnas_export.ranker.candidates import CandidateList
from gnas_export.ranker.plan import RankerPlan
from gnas_export.retrieval import shipped
from gnas_export.steps.forms import chosen_form, divided

TEACHER, STUDENT, CUT = "teacher-64x32", "distilled-32x16", "teacher-64x32-pruned-32x16"
PLAN = RankerPlan(hidden=(64, 32), students=((32, 16),))
FORMS = [
    Form(f"{TEACHER}/fp32", 90, 100.0),
    Form(f"{TEACHER}/fp32+u8", 40, 90.0),
    Form(f"{TEACHER}/fp16", 50, 100.0),
    Form(f"{TEACHER}/int8", 30, 60.0),
    Form(f"{CUT}/fp32", 45, 50.0),
    Form(f"{STUDENT}/fp32", 44, 50.0),
    Form(f"{STUDENT}/int8", 10, 20.0),
    Form(f"{STUDENT}-pruned-16x8/fp32", 20, 30.0),
]
ALL = {form.name for form in FORMS}
SLOW_INT8 = [*FORMS[:3], Form(f"{TEACHER}/int8", 30, 95.0)]


@pytest.mark.parametrize(
    ("forms", "passing", "insisted", "expected"),
    [
        (FORMS, ALL, {}, f"{STUDENT}/int8"),
        (FORMS, ALL - {f"{STUDENT}/int8"}, {}, f"{STUDENT}-pruned-16x8/fp32"),
        (SLOW_INT8, ALL, {}, f"{TEACHER}/fp32+u8"),  # int8 that is not faster is for nothing
        (FORMS[:4], ALL - {f"{TEACHER}/int8"}, {}, f"{TEACHER}/fp32+u8"),
        (FORMS, ALL, {"precision": "fp16"}, f"{TEACHER}/fp16"),
        (FORMS, ALL, {"distil": "never", "prune": "never"}, f"{TEACHER}/int8"),
        (FORMS, ALL, {"distil": "never"}, f"{CUT}/fp32"),
        (FORMS, ALL, {"prune": "always"}, f"{STUDENT}-pruned-16x8/fp32"),
        (FORMS, ALL, {"distil": "never", "prune": "always"}, f"{CUT}/fp32"),
        # None passes: of what is insisted on the one that departs least from the teacher; the gates judge it.
        (FORMS, set(), {}, f"{TEACHER}/fp32"),
        (FORMS, set(), {"precision": "int8"}, f"{TEACHER}/int8"),
        (FORMS, set(), {"distil": "always"}, f"{STUDENT}/fp32"),
        (FORMS, {f"{TEACHER}/int8"}, {}, f"{TEACHER}/int8"),
        (FORMS, {f"{TEACHER}/int8"}, {"precision": "fp32"}, f"{TEACHER}/fp32"),
    ],
)
def test_the_form_that_is_chosen(forms, passing, insisted, expected):
    assert chosen_form(forms, passing, replace(PLAN, **insisted)) == expected


@pytest.mark.parametrize(("count", "calibrating"), [(1000, 64), (320, 64), (100, 20), (2, 1)])
def test_calibration_and_measurement_share_no_list(count, calibrating):
    one = np.zeros((1, 1), np.float32)
    lists = [CandidateList(row, np.zeros(1, np.int64), one[0], one, one[0]) for row in range(count)]
    calibration, measured = divided(lists)
    assert len(calibration) == calibrating
    assert [c.user_row for c in [*calibration, *measured]] == list(range(count))


def test_a_single_list_has_to_do_both():
    one = np.zeros((1, 1), np.float32)
    alone = [CandidateList(0, np.zeros(1, np.int64), one[0], one, one[0])]
    assert divided(alone) == (alone, alone)


def test_any_part_of_the_probes_is_a_sample(monkeypatch):
    """The first users are often the oldest: a slice of the probes must not be a slice of the user table."""
    monkeypatch.setattr(shipped, "PROBE_USERS", 200)
    probes = shipped.probe_users(planted_checkpoint(num_users=400), seed=0)
    assert len(set(probes.tolist())) == len(probes) == 200
    assert 100 < probes[:50].mean() < 300
    assert (probes[:50] > 200).any()
    assert np.array_equal(probes, shipped.probe_users(planted_checkpoint(num_users=400), seed=0))
