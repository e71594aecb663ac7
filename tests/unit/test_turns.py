"""Which family of models is drawn from next: by rounds, or by the time that each has had."""

from __future__ import annotations

from collections import Counter

import pytest

from gnas_search.specs import FAMILIES
from gnas_search.study.turns import ROUND, TIME_SHARES, Turns, by_rounds

ALL = ("filter", "two-hop", "gnn")


class TestRounds:
    def turns(self, searched: tuple[str, ...], *left: str, count: int = 8) -> list[str]:
        turns = Turns(searched)
        return [turns.next(drawn, left or searched) for drawn in range(count)]

    def test_half_of_a_round_is_networks(self) -> None:
        assert self.turns(ALL) == ["filter", "two-hop", "gnn", "gnn"] * 2

    def test_a_family_that_is_not_searched_has_no_turn(self) -> None:
        assert self.turns(("gnn",)) == ["gnn"] * 8
        assert self.turns(("filter", "gnn"), count=6) == ["filter", "gnn", "gnn"] * 2
        assert self.turns(("filter", "two-hop"), count=4) == ["filter", "two-hop"] * 2

    def test_an_exhausted_family_leaves_its_turn_to_the_next(self) -> None:
        assert self.turns(ALL, "filter", "gnn", count=4) == ["filter", "gnn", "gnn", "gnn"]
        assert self.turns(ALL, "two-hop", "gnn", count=4) == ["two-hop", "two-hop", "gnn", "gnn"]
        assert self.turns(ALL, "gnn") == ["gnn"] * 8

    def test_how_many_draws_a_family_gets_is_known_before(self) -> None:
        for drawn, count in ((0, 7), (3, 5), (2, 0)):
            turns = self.turns(ALL, count=drawn + count)[drawn:]
            assert by_rounds(ALL, drawn, count) == Counter(turns)


class TestTime:
    def play(self, seconds: dict[str, float], count: int, spent_s: dict[str, float] | None = None) -> list[str]:
        """Draw, each turn taking as long as its family takes."""
        now = 0.0
        turns = Turns(seconds, spent_s or {}, clock=lambda: now)
        drawn = []
        for number in range(count):
            drawn.append(turns.next(number, tuple(seconds)))
            turns.begin(number, drawn[-1])
            now += seconds[drawn[-1]]
            turns.end(number)
        return drawn

    def test_every_family_begins_and_a_long_turn_is_made_up_for(self) -> None:
        drawn = self.play({"filter": 3.0, "two-hop": 1.0, "gnn": 60.0}, 45)
        assert drawn[:3] == ["filter", "two-hop", "gnn"]
        second = drawn.index("gnn", 3)
        assert 8 <= drawn[:second].count("filter") <= 11  # 30 s
        assert 28 <= drawn[:second].count("two-hop") <= 31

    def test_the_time_is_shared_as_stated(self) -> None:
        seconds = {"filter": 0.7, "two-hop": 0.1, "gnn": 2.3}
        drawn = self.play(seconds, 2000)
        spent = {family: drawn.count(family) * seconds[family] for family in seconds}
        for family, share in TIME_SHARES.items():
            assert spent[family] / sum(spent.values()) == pytest.approx(share, abs=0.02)

    def test_what_earlier_runs_spent_counts(self) -> None:
        seconds = dict.fromkeys(ALL, 1.0)
        assert set(self.play(seconds, 10, {"gnn": 100.0})) == {"filter", "two-hop"}
        assert self.play(seconds, 10, {"filter": 50.0, "two-hop": 50.0}) == ["gnn"] * 10

    def test_what_is_under_way_counts_from_its_beginning(self) -> None:
        now = 0.0
        turns = Turns(ALL, {}, clock=lambda: now)
        turns.begin(0, "gnn")
        turns.begin(1, "filter")
        now = 1.0
        assert turns.next(2, ALL) == "two-hop"
        turns.begin(2, "two-hop")
        now = 2.0
        assert turns.next(3, ALL) == "two-hop"  # 1 s of its quarter; the filter had 2 s of its, the network of its half
        turns.end(1)
        now = 4.0
        assert turns.next(3, ALL) == "filter"  # still 2 s
        turns.end(2)
        turns.end(0)
        now = 100.0
        assert turns.next(3, ALL) == "filter"
        assert turns.next(3, ("two-hop", "gnn")) == "gnn"

    def test_an_exhausted_family_leaves_its_time_to_the_others(self) -> None:
        turns = Turns(ALL, {"gnn": 5.0, "filter": 9.0})
        assert turns.next(0, ("filter", "gnn")) == "gnn"


def test_every_family_has_turns_and_time() -> None:
    assert set(ROUND) == set(TIME_SHARES) == set(FAMILIES)
    assert sum(TIME_SHARES.values()) == 1.0
