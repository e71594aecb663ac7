"""Which networks a profile wants to be tried, and what they are called."""

from dataclasses import replace

import pytest

from gnas_export.ranker.plan import RankerPlan
from gnas_export.ranker.variants import NUMERIC, is_form, planned, wanted, with_parents

PLAN = RankerPlan(hidden=(64, 32), students=((32, 16), (64, 32), (128, 8), (16, 8)))


def _names(found):
    return [variant.name for variant in found]


def test_students_are_narrower_and_everything_is_pruned():
    assert _names(planned(PLAN)) == [
        "teacher-64x32",
        "distilled-32x16",
        "distilled-16x8",
        "teacher-64x32-pruned-32x16",
        "distilled-32x16-pruned-16x8",
        "distilled-16x8-pruned-8x4",
    ]
    assert all(is_form(f"{name}/{numeric}") for name in _names(planned(PLAN)) for numeric in NUMERIC)


@pytest.mark.parametrize(
    ("insisted", "expected"),
    [
        ({"distil": "never", "prune": "never"}, ["teacher-64x32"]),
        ({"distil": "never"}, ["teacher-64x32", "teacher-64x32-pruned-32x16"]),
        ({"distil": "always", "prune": "never"}, ["distilled-32x16", "distilled-16x8"]),
        ({"distil": "always", "prune": "always"}, ["distilled-32x16-pruned-16x8", "distilled-16x8-pruned-8x4"]),
    ],
)
def test_what_a_profile_insists_on(insisted, expected):
    assert _names(wanted(replace(PLAN, **insisted))) == expected


def test_a_network_comes_after_all_that_it_is_made_of():
    assert _names(with_parents({"distilled-16x8-pruned-8x4"}, PLAN)) == [
        "teacher-64x32",
        "distilled-16x8",
        "distilled-16x8-pruned-8x4",
    ]


def test_a_network_that_is_as_narrow_as_can_be_is_not_pruned():
    assert _names(planned(RankerPlan(hidden=(4, 3)))) == ["teacher-4x3"]
    assert _names(planned(RankerPlan(hidden=(6, 4), students=()))) == ["teacher-6x4", "teacher-6x4-pruned-4x4"]


@pytest.mark.parametrize(
    "text", ["fp32", "teacher-64x32", "teacher-64x32/fp64", "x/fp32", "teacher-64/fp32", "/fp32", ""]
)
def test_another_text_is_no_form(text):
    assert not is_form(text)
