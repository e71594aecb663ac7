"""A plan is of the very search that would run: its study, its slots and its objectives count."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_study import ToySlot, go, interrupt, keys, make_dataset, toy_meter

from gnas_search.fit import Fit
from gnas_search.slots.threads import share_of, threads_of_a_slot
from gnas_search.space import SearchSpace
from gnas_search.specs import FAMILIES, GNN
from gnas_search.strategies.shortlist import Listed, Shortlist
from gnas_search.study import Limits, Objectives, Study
from gnas_search.study.journal import open_journal
from gnas_search.study.limits import MOST_RESERVED
from gnas_search.study.plan import plan
from gnas_search.study.rehearsal import Cast, Part, Rehearsal, Stage, rehearse
from gnas_search.study.supernet_phase import share_s
from gnas_search.study.turns import ROUND, TIME_SHARES
from gnas_search.supernet import SUPERNETS, requirement
from gnas_serve.errors import ConfigError

ONE_NETWORK = {"genes": {"embedding_dim": [8, 16]}, "fixed": {"num_layers": 1, "operator": "gcn"}}
FILTERS = {"filter": {"genes": {"rank": [4, 8, 16]}, "fixed": {"response": "ideal"}}}


def planned(study: Study | None = None, limits: Limits | None = None, **told: Any) -> dict[str, Any]:
    told.setdefault("strategy", "random")
    given = limits or Limits.of(12, None)
    return plan(make_dataset(), SearchSpace.load("quick"), seed=0, limits=given, study=study, **told)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """Plan a new study of twelve trials."""
    return planned()


class TestStudies:
    def test_trials_of_earlier_runs_count_and_their_models_are_not_forecast(
        self, whole: dict[str, Any], tmp_path: Path
    ) -> None:
        """What is left is what the whole plan has less what the study has."""
        study = go(tmp_path / "study", trials=8, strategy="random")
        rest = planned(study)
        tried = {family: [trial.kind for trial in study.trials].count(family) for family in FAMILIES}
        assert rest["trials"] == {family: whole["trials"][family] - count for family, count in tried.items()}
        assert {family: facts["tried"] for family, facts in rest["families"].items()} == tried
        starts = [start["key"] for facts in rest["families"].values() for start in facts["starts"]]
        assert set(starts) == {s["key"] for facts in whole["families"].values() for s in facts["starts"]} - {
            *keys(study)
        }
        assert sum(planned(study, Limits.of(8, None))["trials"].values()) == 0

    def test_what_was_interrupted_is_tried_first(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "study", trials=4, slots=ToySlot({2: interrupt}), strategy="random")
        study = Study.load(tmp_path / "study")
        lost = [trial.kind for trial in study.trials if trial.state == "interrupted"]
        found = planned(study, Limits.of(3, None))
        assert found["interrupted"] == 1
        assert {family for family, count in found["trials"].items() if count} == set(lost)

    @pytest.mark.parametrize("at", [0, 2, 3])
    def test_an_interrupted_start_is_played_once(
        self, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It waits for its second try, and is none of the starts that are left: so the search has it, too."""
        whole = go(tmp_path / "whole", trials=6, strategy="random")
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "study", trials=6, slots=ToySlot({at: interrupt}), strategy="random")
        played: list[Any] = []

        def heard(casts: Any, stage: Any, retries: Any) -> Rehearsal:
            played.append((casts, retries))
            return rehearse(casts, stage, retries)

        monkeypatch.setattr("gnas_search.study.plan.rehearse", heard)
        found = planned(Study.load(tmp_path / "study"), Limits.of(6, None))
        ((casts, retries),) = played
        starts = {family: [start["key"] for start in facts["starts"]] for family, facts in found["families"].items()}
        lost = whole.trials[at]
        assert [family for family, _ in retries] == [lost.kind]
        assert lost.key not in starts[lost.kind]
        assert {family: len(cast.starts) for family, cast in casts.items()} == {
            family: len(keys) for family, keys in starts.items()
        }
        assert sum(found["trials"].values()) == 6 - at
        tried_next = go(tmp_path / "study", trials=6, strategy="random").trials[at + 1 :]
        for family, left in starts.items():
            again = [trial.key for trial in tried_next if trial.kind == family and trial.key != lost.key]
            assert again[: len(left)] == left[: len(again)]

    def test_time_that_families_had_decides_whose_turn_it_is(self, tmp_path: Path) -> None:
        """The toy's networks took the least: by their share they are owed all until they are even."""
        study = go(tmp_path / "study", trials=3, strategy="random")
        assert {trial.kind for trial in study.trials} <= {"filter", "two-hop", GNN}
        found = planned(study, Limits.of(4, 3600.0))
        spent = dict.fromkeys(FAMILIES, 0.0)
        for trial in study.trials:
            spent[trial.kind] += trial.measured.seconds if trial.measured else 0.0
        first = min(FAMILIES, key=lambda family: spent[family] / TIME_SHARES[family])
        assert found["trials"] == {family: int(family == first) for family in found["trials"]}

    def test_a_shortlist_that_is_there_takes_no_time(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=2, strategy="random")
        limits = Limits.of(None, 60.0)
        before = planned(study, limits, strategy="one-shot")
        assert before["supernet"]
        Shortlist((Listed({}, 0.2),), "", 8, 4, 0.0).write(open_journal(study.folder, create=False), "one-shot")
        after = planned(Study.load(study.folder), limits, strategy="one-shot")
        assert not after["supernet"]
        gained = after["seconds"][GNN] - before["seconds"][GNN]
        assert gained > 0.9 * share_s(60.0 * (1 - MOST_RESERVED), FAMILIES)

    def test_a_supernet_that_the_search_would_not_train_takes_no_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There is no trial left for its list, no memory, nothing that shares weights, or no network."""
        limits = Limits.of(None, 60.0)
        plain = planned(limits=limits)
        with monkeypatch.context() as patched:
            patched.setattr(requirement, "available_bytes", lambda _: 1 << 20)
            for strategy in SUPERNETS:
                found = planned(limits=limits, strategy=strategy)
                assert not found["supernet"]
                lost = plain["seconds"][GNN] - found["seconds"][GNN]
                assert lost < 0.5 * share_s(60.0 * (1 - MOST_RESERVED), FAMILIES)
        for space in (ONE_NETWORK, FILTERS):
            told = {"strategy": "one-shot", "seed": 0, "limits": limits}
            assert not plan(make_dataset(), SearchSpace.from_json(space), **told)["supernet"]
        study = go(tmp_path / "study", trials=1, strategy="random")
        for number, is_trained in ((1, False), (7, False), (8, True)):
            assert planned(study, Limits.of(number, 60.0), strategy="one-shot")["supernet"] == is_trained
            assert planned(study, Limits.of(number, None), strategy="darts")["supernet"] == is_trained


class TestObjectives:
    def test_one_that_the_data_cannot_tell_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="needs attributes of the items"):
            planned(objectives=Objectives.of(["diversity@20"]))

    def test_the_export_of_each_model_is_timed_once_and_counted(self, whole: dict[str, Any]) -> None:
        seen: list[Fit] = []

        def meter(fit: Fit) -> Mapping[str, float]:
            seen.append(fit)
            time.sleep(0.05)
            return toy_meter(fit)

        found = planned(objectives=Objectives.of(["ndcg@20", "latency_us"]), meter=meter)
        assert len(seen) == 1
        assert seen[0].item_vectors.shape[0] == 40
        assert found["costs_s"] >= 0.05
        assert found["wall_s"] >= sum(found["trials"].values()) * 0.05
        assert sum(found["seconds"].values()) == pytest.approx(found["wall_s"])
        assert whole["costs_s"] == 0.0


class TestSlots:
    def test_a_slot_is_timed_on_its_share_of_the_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = torch.get_num_threads()
        monkeypatch.setattr("gnas_search.slots.threads.os.sched_getaffinity", lambda _: set(range(4)))
        assert [share_of(slots) for slots in (1, 2, 3, 9)] == [4, 2, 1, 1]
        with threads_of_a_slot(4):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == before

    def test_trials_run_side_by_side(self, whole: dict[str, Any]) -> None:
        found = planned(slots=2)
        assert (found["slots"], found["together"]["trials"]) == (2, 2)
        assert found["trials"] == whole["trials"]
        assert found["wall_s"] < 0.95 * sum(found["seconds"].values())


FOUR = {GNN: Cast([], Part(10.0, 100, 1.0), None)}


class TestRehearsal:
    def test_as_many_at_a_time_as_there_are_slots_and_memory_holds(self) -> None:
        for slots, available, most, wall_s in ((1, None, 1, 40), (2, None, 2, 20), (4, 330, 3, 20), (4, 50, 1, 40)):
            stage = Stage(4, None, slots=slots, available_bytes=available, process_bytes=10)
            found = rehearse(FOUR, stage)
            assert (found.trials[GNN], found.most_together, found.wall_s) == (4, most, wall_s)
            assert found.most_bytes == most * (100 + 10 * (slots > 1))

    def test_exports_come_one_after_another(self) -> None:
        found = rehearse(FOUR, Stage(4, None, slots=4, costs_s=5.0))
        assert found.wall_s == 10.0 + 4 * 5.0

    def test_rounds_go_on_where_earlier_runs_stopped(self) -> None:
        casts = {family: Cast([], Part(1.0), None) for family in FAMILIES}
        for drawn in range(len(ROUND)):
            found = rehearse(casts, Stage(1, None, drawn=drawn))
            assert list(found.trials) == [ROUND[drawn]]

    def test_a_network_is_cut_by_the_time_and_a_closed_form_is_not_begun(self) -> None:
        found = rehearse(FOUR, Stage(None, 25.0, spent_s={}))
        assert (found.trials[GNN], found.wall_s) == (3, 25.0)
        assert rehearse(FOUR, Stage(None, 20.5, spent_s={})).trials[GNN] == 2  # not even an epoch of the third
        assert rehearse(FOUR, Stage(None, 25.0, 4.0, spent_s={})).seconds == {GNN: 25.0}  # six of 4 s, one of 1 s
        filters = {"filter": Cast([], Part(10.0), None)}
        assert rehearse(filters, Stage(None, 25.0, spent_s={})).wall_s == 20.0

    def test_what_memory_refuses_takes_a_trial_and_no_time(self) -> None:
        casts = {GNN: Cast([Part(10.0, is_refused=True)], Part(10.0, first_s=1.0), None)}
        assert rehearse(casts, Stage(3, None)).wall_s == 20.0
        assert rehearse({GNN: Cast([], None, None)}, Stage(None, 60.0, spent_s={})).trials == {}

    def test_long_searches_go_on_in_proportion(self) -> None:
        found = rehearse(FOUR, Stage(10**9, None))
        assert found.trials[GNN] == 10**9
        assert found.wall_s == pytest.approx(10**10)
        casts = {GNN: Cast([], Part(1.0, first_s=0.5), 30_000)}
        assert rehearse(casts, Stage(10**9, None)).trials[GNN] == 30_000
