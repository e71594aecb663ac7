import numpy as np
import pytest
from planted_checkpoint import planted_checkpoint

from gnas_export import shipped
from gnas_export.candidates import CandidateList
from gnas_export.decisions import Form
from gnas_export.scoring import chosen_form, divided

FORMS = [Form("fp32", 90, 100.0), Form("fp32+u8", 40, 90.0), Form("int8", 30, 30.0)]
SLOW_INT8 = [*FORMS[:2], Form("int8", 30, 95.0)]


@pytest.mark.parametrize(
    ("forms", "alike", "wanted", "expected"),
    [
        (FORMS, {"fp32", "fp32+u8", "int8"}, "auto", "int8"),
        (SLOW_INT8, {"fp32", "fp32+u8", "int8"}, "auto", "fp32+u8"),  # int8 that is not faster is for nothing
        (FORMS, {"fp32", "fp32+u8"}, "auto", "fp32+u8"),
        (FORMS, {"fp32", "fp32+u8", "int8"}, "fp32", "fp32+u8"),
        (FORMS, set(), "int8", "int8"),  # the profile insists; the gate judges
        (FORMS, set(), "auto", "fp32"),  # none ranks alike: the plainest, and the gate judges
        (FORMS, {"int8"}, "auto", "int8"),
        (SLOW_INT8, {"int8"}, "auto", "int8"),
        (FORMS, {"int8"}, "fp32", "fp32"),
    ],
)
def test_the_form_that_is_chosen(forms, alike, wanted, expected):
    assert chosen_form(forms, alike, wanted) == expected


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
