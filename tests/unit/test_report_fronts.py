"""The Pareto fronts that a report draws: those of the study, by its own rule."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from toy_study import ToySlot, go

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bootstrap import Interval
from gnas_search.fit import Fit
from gnas_search.report import render
from gnas_search.report.axes import COSTS, Axis, axes_of
from gnas_search.report.charts import pareto
from gnas_search.report.models import Model, Yardstick
from gnas_search.slots import Result
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN
from gnas_search.study import Measurement, Objectives
from gnas_search.study.front import front


class ShownSlot(ToySlot):
    """Gives each model values of its catalogue, the more items the worse it is by ndcg."""

    def result(self) -> Result:
        found = super().result()
        place = len(self.jobs)
        ndcg = float(found.users.ndcg.mean())
        values = {"coverage@20": round(1.0 - ndcg, 2), "gini@20": 0.1 * (place % 4), "novelty@20": 3.0 + place % 3}
        return replace(found, users=replace(found.users, values=values))


def charts(page: str) -> dict[str, str]:
    """Give each drawn front by the title of its axis."""
    section = page.partition('id="costs"')[2].partition("</section>")[0]
    figures = section.split("<figure>")[1:]
    return {re.search(r"against (.*?), \d+ models", one)[1]: one for one in figures}  # type: ignore[index]


def strong(chart: str) -> set[str]:
    """Give the names of the models that are not drawn as behind."""
    found = re.findall(r'<path ([^>]*class="mark k-[^"]*"[^>]*)><title>(.*?)</title>', chart, re.DOTALL)
    return {title.partition(":")[0].partition(" (trial")[0] for facts, title in found if " behind" not in facts}


def model(ndcg: float, **values: float) -> Model:
    """Give a network of a name of its own, with ten parameters."""
    measured = Measurement(Interval(ndcg, ndcg, ndcg), Interval(0.1, 0.1, 0.1), 1.0, 10, values=values)
    return Model(f"m{ndcg}-{list(values.values())}", GNN, None, ArchitectureSpec(), "a network", measured)


class TestOfAStudy:
    def test_two_objectives(self, tmp_path: Path) -> None:
        objectives = Objectives.of(["ndcg@20", "coverage@20"])
        study = go(tmp_path / "study", trials=5, slots=ShownSlot(), objectives=objectives)
        drawn = charts(render(study))
        assert next(iter(drawn)) == "coverage@20"
        assert len(front(study)) > 1
        assert strong(drawn["coverage@20"]) == set(front(study))
        assert "No model right of and above the line" in drawn["coverage@20"]
        assert "time of training" in drawn

    def test_of_three_the_front_of_all_is_in_full_colour(self, tmp_path: Path) -> None:
        objectives = Objectives.of(["ndcg@20", "gini@20", "novelty@20"])
        study = go(tmp_path / "study", trials=5, slots=ShownSlot(), objectives=objectives)
        drawn = charts(render(study))
        assert list(drawn)[:2] == ["gini@20", "novelty@20"]
        for name in ("gini@20", "novelty@20"):
            assert strong(drawn[name]) == set(front(study))
            assert "on the front of all objectives" in drawn[name]
        assert "No model left of and above the line" in drawn["gini@20"]
        assert "on the front of all objectives" not in drawn["time of training"]

    def test_a_blend_that_breaks_a_constraint_is_on_none_and_not_compared(self, tmp_path: Path) -> None:
        def slow_blends(fit: Fit) -> dict[str, float]:
            kinds = {branch.facts.kind for branch in fit.branches} - {"popularity"}
            return {"artifact_bytes": 1.0, "latency_us": 500.0 if len(kinds) > 1 else 50.0}

        space = {**SearchSpace.load("quick").to_json(), "constraints": {"max_latency_us": 100.0}}
        study = go(tmp_path / "study", trials=4, space=SearchSpace.from_json(space), meter=slow_blends)
        assert [bool(one.infeasible) for one in study.blends] == [True, False]
        out, kept = (one.key for one in study.blends)
        page = render(study)
        for title, drawn in charts(page).items():
            assert f"<title>{out}" not in drawn
            assert f"<title>{kept}" in drawn, title
        comparison = page.partition('id="comparison"')[2].partition("</section>")[0]
        assert out not in comparison
        assert kept in comparison


class TestDrawing:
    def test_the_objectives_come_first(self) -> None:
        names = [axis.name for axis in axes_of(Objectives.of(["ndcg@20", "latency_us", "gini@20"]))]
        assert names == ["latency_us", "gini@20", "seconds", "parameters", "scan_us", "artifact_bytes"]
        assert [axis.name for axis in axes_of(Objectives())] == [cost.name for cost in COSTS]

    def test_times_that_differ_little_are_equal(self) -> None:
        """The second is no quicker than the better first, the third is; equals within a tie stand side by side."""
        points = [(0.18, 100.0), (0.17, 85.0), (0.16, 79.0), (0.18, 119.0), (0.18, 126.0)]
        models = tuple(model(ndcg, latency_us=time) for ndcg, time in points)
        drawn = pareto(models, axes_of(Objectives.of(["ndcg@20", "latency_us"]))[0])
        assert drawn is not None
        assert strong(drawn) == {models[place].name for place in (0, 2, 3)}
        assert "times within 20 % of each other being equal" in drawn

    def test_what_costs_nothing_has_a_place(self) -> None:
        axis = next(cost for cost in COSTS if cost.name == "parameters")
        free = replace(model(0.15), measured=replace(model(0.15).measured, parameters=0))
        dear = replace(model(0.2), measured=replace(model(0.2).measured, parameters=10_000))
        drawn = pareto((free, model(0.1), model(0.17), dear), axis)
        assert drawn is not None
        assert strong(drawn) == {free.name, model(0.17).name, dear.name}
        assert "(logarithmic)" in drawn
        assert ">0</text>" in drawn
        assert pareto((free, free), axis) is None

    @settings(max_examples=60)
    @given(
        st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=12),
        st.sampled_from([-1, 1]),
        st.sampled_from([-1, 1]),
    )
    def test_the_front_is_what_no_other_beats(self, pairs: list[tuple[int, int]], sign: int, by_sign: int) -> None:
        by = Yardstick("ndcg@20", by_sign)
        models = tuple(replace(model(by_sign * one, x=float(two)), yardstick=by) for one, two in pairs)
        drawn = pareto(models, Axis("x", "x", "", lambda model: model.measured.values["x"], sign))
        if not any(two for _, two in pairs):
            assert drawn is None
            return
        assert drawn is not None
        turned = {(by_sign * one, sign * two) for one, two in pairs}
        beaten = {(a, b) for a, b in turned if any(c >= a and d >= b and (c, d) != (a, b) for c, d in turned)}
        assert drawn.count(" behind") == sum((by_sign * one, sign * two) in beaten for one, two in pairs)
