"""What a model is called in words: two that differ are never told alike."""

from __future__ import annotations

from dataclasses import replace

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec
from gnas_search.study.descriptions import descriptions

NET = ArchitectureSpec(layers=("lightgcn",), embedding_dim=32)


def test_a_summary_of_its_own_is_enough() -> None:
    specs = [NET, replace(NET, embedding_dim=64), FilterSpec(response="ideal", rank=4)]
    assert descriptions(specs) == [spec.summary() for spec in specs]


def test_models_that_read_alike_are_told_apart_by_what_differs() -> None:
    specs = [NET, replace(NET, learning_rate=0.05), replace(NET, embedding_dim=64)]
    assert specs[0].summary() == specs[1].summary()
    one, other, third = descriptions(specs)
    assert one == f"{NET.summary()} | learning_rate={NET.learning_rate:.3g}"
    assert other == f"{NET.summary()} | learning_rate=0.05"
    assert third == specs[2].summary()
