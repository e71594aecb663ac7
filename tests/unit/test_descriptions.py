"""What a model is called in words: two that differ are never told alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from toy_study import ToySlot, go

from gnas_search.architecture import ArchitectureSpec
from gnas_search.baselines import BASELINES
from gnas_search.closed_form import FilterSpec
from gnas_search.graph_spec import GraphSpec
from gnas_search.report import render
from gnas_search.space import SearchSpace
from gnas_search.study import Study, leaderboard
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


def test_one_setting_more_is_named_where_four_are_not_enough() -> None:
    """The first and the third differ in their epochs alone, the fifth setting in which any differ."""
    first = replace(NET, learning_rate=0.05, temperature=0.2, num_negatives=8)
    specs = [first, replace(first, batch_size=64), replace(first, epochs=3), replace(NET, batch_size=9), NET]
    assert len({spec.summary() for spec in specs}) == 1
    told = [line.removeprefix(f"{NET.summary()} | ").split(", ") for line in descriptions(specs)]
    assert [len(settings) for settings in told] == [5, 4, 5, 4, 4]
    assert [told[place][-1] for place in (0, 2)] == ["epochs=12", "epochs=3"]
    assert told[1] == ["learning_rate=0.05", "temperature=0.2", "num_negatives=8", "batch_size=64"]


def test_the_one_setting_more_is_the_one_that_tells_most_apart() -> None:
    """Epochs would leave two of the three alike, and each would have six."""
    other = replace(NET, learning_rate=0.05, temperature=0.2, num_negatives=8, batch_size=64)
    alike = [NET, replace(NET, epochs=7, patience=1), replace(NET, epochs=7, patience=2)]
    told = [line.removeprefix(f"{NET.summary()} | ").split(", ") for line in descriptions([other, *alike])]
    assert [len(settings) for settings in told] == [4, 5, 5, 5]
    assert [settings[-1] for settings in told[1:]] == [f"patience={NET.patience}", "patience=1", "patience=2"]


def test_what_has_no_effect_is_no_difference() -> None:
    """The temperature of dot products."""
    dot = replace(NET, scorer="dot")
    lines = descriptions([replace(dot, temperature=0.3), replace(dot, learning_rate=0.05)])
    assert [line.removeprefix(dot.summary()) for line in lines] == [
        f" | learning_rate={NET.learning_rate:.3g}",
        " | learning_rate=0.05",
    ]


def test_a_setting_that_a_model_does_not_have_is_not_named() -> None:
    """A graph in which every event weighs 1 is none of its own; a weight of nearly 1 reads like it."""
    whole, nearly = (
        replace(NET, edges="all", graph=GraphSpec(event_weight=(("view", weight),))) for weight in (1.0, 1.0000001)
    )
    assert whole.summary() == nearly.summary()
    lines = descriptions([replace(whole, learning_rate=0.05), nearly])
    assert [line.removeprefix(f"{whole.summary()} | ") for line in lines] == [
        "learning_rate=0.05",
        f"learning_rate={NET.learning_rate:.3g}, graph={{'event_weight': {{'view': 1.0000001}}}}",
    ]


def test_numbers_that_read_alike_are_written_out_and_no_others() -> None:
    specs = [replace(NET, learning_rate=rate) for rate in (0.0100012, 0.0100013, 0.02)]
    assert [line.partition(" | learning_rate=")[2] for line in descriptions(specs)] == [
        "0.0100012",
        "0.0100013",
        "0.02",
    ]
    nearly = [replace(NET, learning_rate=0.03), replace(NET, learning_rate=0.030000000000000002)]
    told = descriptions([*nearly, replace(NET, learning_rate=0.03, epochs=3)])
    assert [line.removeprefix(f"{NET.summary()} | ") for line in told] == [
        "epochs=12, learning_rate=0.03",
        "epochs=12, learning_rate=0.030000000000000002",
        "epochs=3",
    ]
    specs = [FilterSpec(user_power=power) for power in (0.5, 0.501)]
    assert [line.partition(" | user_power=")[2] for line in descriptions(specs)] == ["0.5", "0.501"]


@given(
    st.lists(
        st.tuples(
            *(st.sampled_from([0.01, 0.0100001, 0.010000000000000002, 0.3]) for _ in range(2)),
            *(st.integers(2, 4) for _ in range(3)),
            st.integers(1, 2),
        ),
        min_size=2,
        max_size=12,
        unique=True,
    )
)
def test_no_two_models_are_told_alike(settings: list[tuple[float, float, int, int, int, int]]) -> None:
    names = ("learning_rate", "temperature", "num_negatives", "batch_size", "epochs", "patience")
    lines = descriptions([replace(NET, **dict(zip(names, one, strict=True))) for one in settings])
    assert len(set(lines)) == len(lines)


def test_every_table_tells_models_apart(tmp_path: Path) -> None:
    """A filter reads like the baseline SVD, and networks differ in what no summary has, also those that failed."""
    svd = BASELINES["svd"]
    assert isinstance(svd, FilterSpec)

    def fail() -> None:
        raise ValueError("no")

    rates = [0.01, 0.02, 0.03, 0.04]
    networks = [{"layers": ["gcn"], "embedding_dim": 8, "learning_rate": rate} for rate in rates]
    gene = {"genes": {"learning_rate": rates}, "fixed": {"num_layers": 1, "operator": "gcn", "embedding_dim": 8}}
    space = SearchSpace.from_json({**gene, "start": networks})
    study = go(tmp_path / "study", trials=4, space=space, slots=ToySlot({0: fail, 1: fail}), strategy="grid")
    near = replace(svd, user_power=0.5001)
    (trial, measured), *_ = study.ranking
    study.ranking = (*study.ranking, (replace(trial, number=9, key=near.key(), spec=near), measured))
    study.baselines = tuple(replace(one, spec=svd) if one.name == "svd" else one for one in study.baselines)
    rows = leaderboard(study)["rows"]
    lines = [row["model"] for row in rows]
    assert len(set(lines)) == len(lines)
    assert {row["name"]: row["model"] for row in rows}["svd"].endswith(" | user_power=0.5")
    failures = render(study).partition('id="failures"')[2].partition("</section>")[0]
    assert all(f"learning_rate={trial.spec.learning_rate:.3g}<" in failures for trial in _failed(study))
    best = render(study).partition('id="costs"')[2].partition("</section>")[0]
    assert f"learning_rate={study.ranking[0][0].spec.learning_rate:.3g}<" in best  # type: ignore[union-attr]


def _failed(study: Study) -> list[Any]:
    return [trial for trial in study.trials if trial.state == "failed"]
