"""The parts of a report: markup that escapes, scales and their ticks, what mattered."""

from __future__ import annotations

import math
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bootstrap import Interval
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.closed_form.graph_filter import RESPONSES
from gnas_search.graph_spec import GraphSpec
from gnas_search.layer_spec import OPERATOR_NAMES, LayerSpec
from gnas_search.report.charts.parallel import MOST_AXES, parallel
from gnas_search.report.drawing import draw
from gnas_search.report.findings import settings
from gnas_search.report.importance import LEAST_MODELS, importances
from gnas_search.report.markup import element
from gnas_search.report.models import Model, Yardstick
from gnas_search.report.scale import Scale, duration, figure
from gnas_search.specs import BlendSpec, ModelSpec, Share
from gnas_search.study import Measurement
from gnas_search.study.traits import ABSENT, traits


class Words(HTMLParser):
    """The texts of a fragment."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.feed(fragment)

    def handle_data(self, data: str) -> None:
        self.said.append(data)


class TestMarkup:
    @given(st.text())
    def test_any_text_comes_back_as_it_was_and_opens_nothing(self, text: str) -> None:
        made = element("p", text, title=text)
        inner = made.removeprefix("<p ").removesuffix("</p>")
        assert "<" not in inner
        assert made.count('"') == 2
        kept = "".join("�" if c not in "\t\n\r" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0) else c for c in text)
        if "\r" not in kept:
            assert "".join(Words(made).said) == kept

    def test_half_a_pair_can_be_written(self) -> None:
        assert element("p", "a\udc80").encode() == b"<p>a\xef\xbf\xbd</p>"

    def test_attributes(self) -> None:
        made = element("line", x1=1.0, y1=2.345, class_="a", data_x=None, hidden=True, open=False)
        assert made == '<line x1="1" y1="2.35" class="a" hidden></line>'


class TestScale:
    @given(
        st.lists(st.floats(-1e6, 1e6), max_size=20),
        st.integers(2, 9),
    )
    def test_values_lie_between_the_ends_and_ticks_within(self, values: list[float], wanted: int) -> None:
        scale = Scale.over(values, 300.0, 10.0)
        assert all(10.0 - 1e-6 <= scale(value) <= 300.0 + 1e-6 for value in values)
        ticks = scale.ticks(wanted)
        assert 1 <= len(ticks) <= 2 * wanted + 2
        slack = 1e-6 * max(abs(scale.low), abs(scale.high))
        assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)

    @given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20))
    def test_a_logarithmic_one_too(self, values: list[float]) -> None:
        scale = Scale.over(values, 0.0, 100.0, log=True)
        assert all(-1e-6 <= scale(value) <= 100.0 + 1e-6 for value in values)
        assert 1 <= len(scale.ticks(6)) <= 15
        middle = math.sqrt(scale.low * scale.high)
        assert scale(middle) == pytest.approx(50.0)

    def test_zeros_have_room_beside_a_logarithmic_one(self) -> None:
        scale = Scale.over([0.0, 10.0, 1000.0], 100.0, 300.0, log=True)
        assert 100.0 < scale(0.0) < scale(10.0) < scale(100.0) < scale(1000.0) < 300.0
        assert scale.ticks()[:2] == [0.0, 10.0]

    def test_figures(self) -> None:
        assert [figure(one) for one in (0, 0.08751, 12.54, 1429, 1.5e6, 2e-7)] == [
            "0",
            "0.0875",
            "12.5",
            "1429",
            "1.5 M",
            "2.0e-07",
        ]
        assert [figure(one) for one in (999.6, 9_999.4, 9_999.6, 999_400, 999_600, -999_600, 999_600_000, 1e9)] == [
            *("1000", "9999", "10 k", "999 k", "1 M", "-1 M", "1 G", "1 G")
        ]
        assert [duration(one) for one in (9.94, 9.96, 119.4, 119.6, 7199.4, 7199.6)] == [
            *("9.9 s", "10 s", "119 s", "2 min 0 s", "119 min 59 s", "2 h 0 min")
        ]
        assert [duration(one) for one in (0.44, 84, 200, 7500)] == ["0.4 s", "84 s", "3 min 20 s", "2 h 5 min"]


class TestImportance:
    def test_a_planted_setting_is_found_and_noise_is_not(self) -> None:
        rng = np.random.default_rng(3)
        found = [
            {"planted": str(rng.integers(3)), "idle": str(rng.integers(3)), "rate": float(rng.random()), "same": 1}
            for _ in range(90)
        ]
        values = [float(one["planted"]) + 0.3 * rng.standard_normal() for one in found]
        ranked = importances(found, values, seed=0)
        assert [one.name for one in ranked if one.is_clear] == ["planted"]
        assert ranked[0].share > 0.8
        assert {one.name for one in ranked} == {"planted", "idle", "rate"}  # what is the same everywhere is none

    def test_it_is_epsilon_squared(self) -> None:
        """Against the definition: 1 - (within / (n - k)) / (total / (n - 1))."""
        rng = np.random.default_rng(0)
        names = [str(one) for one in rng.integers(4, size=40)]
        values = rng.standard_normal(40) + np.array([int(name) for name in names])
        groups = [values[[name == one for name in names]] for one in set(names)]
        within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (40 - 4)
        wanted = 1 - within / values.var(ddof=1)
        assert importances([{"a": name} for name in names], list(values), seed=0)[0].share == pytest.approx(wanted)

    def test_a_curve_of_a_number_counts_too(self) -> None:
        rng = np.random.default_rng(1)
        rates = rng.random(60)
        ranked = importances([{"rate": float(one)} for one in rates], list(-((rates - 0.5) ** 2)), seed=0)
        assert ranked[0].is_clear

    def test_chance_is_seldom_called_clear(self) -> None:
        rng = np.random.default_rng(5)
        clear = 0
        for _ in range(60):
            found = [{f"s{place}": int(rng.integers(4)) for place in range(6)} for _ in range(24)]
            clear += any(one.is_clear for one in importances(found, list(rng.standard_normal(24)), seed=0))
        assert clear <= 8  # 3 of 60 expected; more than 8 once in two hundred

    def test_names_that_occur_once_explain_nothing(self) -> None:
        rng = np.random.default_rng(2)
        found = [{"name": str(place)} for place in range(12)]
        assert importances(found, list(rng.random(12)), seed=0) == ()

    def test_too_few_models_say_nothing(self) -> None:
        few = LEAST_MODELS - 1
        assert (
            importances([{"a": place % 2} for place in range(few)], [0.1 * place for place in range(few)], seed=0) == ()
        )
        assert importances([{"a": place % 2} for place in range(20)], [0.5] * 20, seed=0) == ()


def test_how_many_were_stopped_early_is_said_of_what_mattered() -> None:
    """They count: those that fell behind are the worst of a study, and without them little is left to explain."""
    where = Interval(0.1, 0.1, 0.1)

    def network(layers: int, stopped: str, epochs: int) -> Model:
        history = tuple({"ndcg": 0.1, "epoch": epoch} for epoch in range(epochs))
        worth = Interval(0.1 * layers, 0.1, 0.4)
        measured = Measurement(worth, where, 1.0, 10, epochs=12, stopped=stopped, history=history)
        return Model("n", "gnn", None, ArchitectureSpec(layers=("gcn",) * layers), "", measured)

    whole = [network(1 + place % 3, "patience", 9) for place in range(LEAST_MODELS)]
    early = [network(1, "rung", 3), network(2, "rung", 6), network(1, "deadline", 5)]
    cut = network(3, "deadline", 1)
    said = " ".join(str(part) for part in settings((*whole, *early, cut), 0))
    assert f"3 of the {LEAST_MODELS + 3} networks were stopped early" in said
    assert f"Over {LEAST_MODELS + 3} networks" in said
    assert "stopped early" not in " ".join(str(part) for part in settings(tuple(whole), 0))


class TestParallel:
    def test_one_line_per_model_over_what_varies(self) -> None:
        found = [{"a": place % 2, "b": 0.1 * place, "c": "x"} for place in range(8)]
        drawn = parallel(found, [0.01 * place for place in range(8)], ["a", "b", "c"], Yardstick())
        assert drawn is not None
        assert drawn.count('class="model ') == 8
        assert ">c<" not in drawn

    def test_more_settings_than_have_room(self) -> None:
        found = [{f"s{place}": model + place for place in range(MOST_AXES + 3)} for model in range(4)]
        drawn = parallel(found, [0.1, 0.2, 0.3, 0.4], list(found[0]), Yardstick())
        assert drawn is not None
        assert "3 settings more vary" in drawn

    def test_nothing_to_compare(self) -> None:
        assert parallel([{"a": 1}], [0.5], ["a"], Yardstick()) is None
        assert parallel([{"a": 1}, {"a": 1}], [0.5, 0.6], ["a"], Yardstick()) is None


MODELS: dict[str, ModelSpec] = {
    "mlp": ArchitectureSpec(layers=(), scorer="mlp"),
    "cells": ArchitectureSpec(
        layers=(
            LayerSpec((("gcn", 0), ("gat", 1), ("gin", 1)), residual=True, dropout=0.1, normalisation="layer"),
            "skip",
        ),
        include_input=True,
        combination="attention",
        weight_decay=0.01,
        loss="alignment_uniformity",
    ),
    "two-hop": TwoHopSpec(),
    "popularity": PopularitySpec(),
    "blend": BlendSpec((Share(FilterSpec(), 0.5), Share(PopularitySpec(), 0.25)), dims=64),
    **{response: FilterSpec(response=response, strength=2.0) for response in RESPONSES},
    **{name: ArchitectureSpec(layers=(name, name), combination="concat") for name in OPERATOR_NAMES},
}


class TestDrawing:
    @pytest.mark.parametrize("name", sorted(MODELS))
    def test_every_model_is_drawn_in_words_as_well(self, name: str) -> None:
        spec = MODELS[name]
        drawn = draw(spec)
        assert drawn.startswith("<svg")
        assert "nan" not in drawn
        label = drawn.partition('aria-label="')[2].partition('"')[0]
        assert len(label) > 10

    def test_a_network_has_what_its_spec_says(self) -> None:
        said = " ".join(Words(draw(MODELS["cells"])).said)
        for words in ("gcn", "gat", "gin", "mean", "combination: attention", "score: cosine", "alignment_uniformity"):
            assert words in said
        assert "the embeddings and 2 layers" in said
        assert "weight decay 0.01" in said
        assert "+ its input" in said

    def test_a_blend_has_its_weights(self) -> None:
        said = Words(draw(MODELS["blend"])).said
        assert {"0.50", "0.25", "as 64 dims"} <= set(said)


class TestTraits:
    def test_equal_models_have_equal_traits(self) -> None:
        one, other = (
            ArchitectureSpec(layers=("gcn",), combination="mean"),
            ArchitectureSpec(layers=("gcn",), combination="sum"),
        )
        assert one.key() == other.key()
        assert traits(one) == traits(other)

    def test_networks_of_different_depth_have_the_same_names(self) -> None:
        shallow, deep = (
            traits(ArchitectureSpec(layers=()), depth=2),
            traits(ArchitectureSpec(layers=("gcn", "gat")), depth=2),
        )
        assert set(shallow) == set(deep)
        assert (shallow["layer 1"], deep["layer 2"], deep["num_layers"]) == (ABSENT, "gat", 2)

    def test_closed_forms_have_their_fields(self) -> None:
        assert traits(FilterSpec(response="ridge"))["response"] == "ridge"
        assert traits(PopularitySpec()) == {}


def test_networks_have_the_same_settings_whatever_their_graph() -> None:
    plain = ArchitectureSpec()
    built = replace(plain, edges="all", features=True, graph=GraphSpec((("view", 0.5),), half_life=0.3, max_degree=20))
    assert set(traits(plain)) == set(traits(built))
    assert traits(plain)["event_weight"] == "1"
    assert (traits(built)["event_weight"], traits(built)["half_life"]) == ("view 0.5", 0.3)
    assert all(isinstance(value, (str, int, float, bool)) for value in traits(built).values())


def test_values_that_are_equal_as_far_as_can_be_told_have_a_scale() -> None:
    scale = Scale.over([0.3, 0.3 + 1e-16], 0.0, 100.0)
    assert scale(0.3) == pytest.approx(50.0, abs=1.0)
