"""The best networks are trained from further seeds, and the best on average is the study's network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_study import Ledger, ToySlot, go, interrupt, make_dataset

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bootstrap import interval
from gnas_search.evaluate import UserMetrics
from gnas_search.report import render
from gnas_search.selection import Stopped
from gnas_search.slots import Result
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN, BlendSpec
from gnas_search.study import Limits, Study, leaderboard, pick, status
from gnas_search.study.beginning import begin
from gnas_search.study.driver import run
from gnas_search.study.finalists import DECIDED, SHARE, Finalist, Plan, decided, seconds_of
from gnas_search.study.front import front
from gnas_search.study.journal import open_journal
from gnas_search.study.metrics import metrics_path
from gnas_search.study.reserve import Reserve
from gnas_search.study.standings import standings
from gnas_serve.errors import IntegrityError

DIMS = [8, 12, 16, 20, 24]
SPACE: dict[str, Any] = {
    "genes": {"num_layers": [1, 2], "operator": ["gcn", "lightgcn"], "embedding_dim": DIMS},
    "start": [{"layers": ["lightgcn"], "embedding_dim": 8}],
}
NETWORKS = 30
"""All of the space: a fifth of them is three finalists from two further seeds each."""


class Moody(ToySlot):
    """The best two networks from seed 0 are worth less from any other; all others a little more."""

    unlucky = 24

    def result(self) -> Result:
        found, job = super().result(), self.jobs[-1]
        if getattr(job.spec, "layers", None) is None or job.seed == 0:
            return found
        mood = -0.05 if job.spec.embedding_dim == self.unlucky else 0.001 * job.seed  # type: ignore[union-attr]
        users = replace(found.users, ndcg=found.users.ndcg + mood, recall=found.users.recall + mood)
        return replace(found, users=users)


def space(*families: str) -> SearchSpace:
    raw = {**SPACE, **{name: SearchSpace.load("quick").to_json()[name] for name in families}}
    return SearchSpace.from_json(raw)


def search(folder: Path, trials: int = NETWORKS, slot: ToySlot | None = None, watcher: Ledger | None = None) -> Study:
    begun = {} if folder.exists() else {"space": space()}
    return go(folder, trials=trials, slots=slot or Moody(), watcher=watcher, strategy="grid", **begun)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Search the whole space once, for tests that only look."""
    return search(tmp_path_factory.mktemp("finalists") / "study")


def again(slot: ToySlot) -> list[tuple[int, int]]:
    """Give width and seed of what was trained from further seeds."""
    return [(job.spec.embedding_dim, job.seed) for job in slot.jobs if job.seed]  # type: ignore[union-attr]


def test_the_best_on_average_speaks_for_the_networks(tmp_path: Path) -> None:
    slot, watcher = Moody(), Ledger()
    study = search(tmp_path / "study", slot=slot, watcher=watcher)
    assert len(study.trials) >= NETWORKS
    first = [trial for trial, _ in study.ranking][:3]
    assert [trial.spec.embedding_dim for trial in first] == [24, 24, 20]  # type: ignore[union-attr]
    assert again(slot) == [(24, 1), (24, 1), (20, 1), (24, 2), (24, 2), (20, 2)]  # a seed for all, then the next
    best, *others = study.finalists
    assert best.seeds == (0, 1, 2)
    assert best.trial == first[2] == study.best_of(GNN)
    own = best.measured[0].quality.value
    assert best.qualities == pytest.approx((own, own + 0.001, own + 0.002))
    assert best.mean == pytest.approx(own + 0.001)
    assert all(other.mean < best.mean < other.qualities[0] for other in others)
    assert study.verdict.name == best.trial.key
    assert "its mean over 3 seeds" in study.verdict.reason
    assert pick(study, "best-gnn") == best.trial.spec
    assert watcher.chosen == [(3, 6)]
    assert [(key, seed) for key, seed, _ in watcher.repeats] == [
        (trial.key, seed) for seed in (1, 2) for trial in first
    ]
    assert watcher.decided == [[(one.trial.key, one.mean) for one in study.finalists]]


def test_the_verdict_is_by_the_mean_of_every_user(found: Study) -> None:
    best = found.finalists[0]
    values = np.mean([found.per_user(name).quality for name in best.names], axis=0)
    np.testing.assert_allclose(found.values_per_user(best.trial.key), values)
    simple = found.per_user(found.baselines[0].name).quality
    assert found.verdict.gain is not None
    assert found.verdict.gain.value == pytest.approx(float((values - simple).mean()))


def test_the_leaderboard_and_the_report_tell_the_seeds(found: Study) -> None:
    board = leaderboard(found)
    rows = {row["name"]: row for row in board["rows"]}
    best = found.finalists[0]
    assert rows[best.trial.key]["seeds"] == pytest.approx(list(best.qualities))
    low, high = min(best.qualities), max(best.qualities)
    assert f"3 seeds {best.mean:.4f} ({low:.4f}-{high:.4f})" in rows[best.trial.key]["remark"]
    assert sum(bool(row["seeds"]) for row in board["rows"]) == 3
    assert status(found)["seconds"] == pytest.approx(0.1 * (NETWORKS + 6) + _other_s(found), abs=0.01)
    page = render(found)
    assert "from the seeds 0, 1, 2" in page
    assert all(f"{one.trial.key} (trial {one.trial.number})" in page for one in found.finalists)
    assert "finalists, from further seeds" in page


def test_whatever_is_said_of_a_finalist_is_its_mean_over_the_seeds(found: Study) -> None:
    best, *others = found.finalists
    values = found.values_per_user(best.trial.key)
    spread = interval(values, found.header.seed)
    told = f"{best.mean:.4f} [{spread.low:.4f}, {spread.high:.4f}]"
    recall = np.mean([one.recall.value for one in best.measured])
    page = render(found)
    forest = page.partition('id="comparison"')[2].partition("</figure>")[0]
    assert f"{best.trial.key}: {told}" in forest
    assert f"<dt>ndcg@20 of the verdict</dt><dd>{best.mean:.4f}</dd>" in page
    assert f"<dt>its recall@20</dt><dd>{recall:.4f}</dd>" in page
    costs = page.partition('id="costs"')[2].partition("</section>")[0]
    assert f"{best.trial.key} (trial {best.trial.number}): ndcg@20 {best.mean:.4f}" in costs
    board = leaderboard(found)
    rows = {row["name"]: row for row in board["rows"]}
    for one in (best, *others):
        row = rows[one.trial.key]
        assert row["ndcg@20"] == row["values"]["ndcg@20"] == one.mean
        assert row["recall@20"] == pytest.approx(np.mean([each.recall.value for each in one.measured]))
    assert rows[best.trial.key]["intervals"]["ndcg@20"] == pytest.approx([spread.low, spread.high])
    trials = [row["ndcg@20"] for row in board["rows"] if row["trial"] is not None]
    assert trials == sorted(trials, reverse=True)
    assert board["front"] == [max(board["rows"], key=lambda row: row["ndcg@20"])["name"]]
    most = max(board["rows"], key=lambda row: row["ndcg@20"])
    assert status(found)["best"] == {"name": most["name"], "value": most["ndcg@20"]}


def test_intervals_over_seeds_are_drawn_by_the_seed_of_the_study(tmp_path: Path) -> None:
    study = go(tmp_path / "study", trials=10, space=space(), strategy="grid", seed=5)
    one = study.finalists[0]
    measured = next(measured for trial, measured in standings(study) if trial == one.trial)
    values = study.values_per_user(one.trial.key)
    own, other = interval(values, 5), interval(values, 0)
    assert (measured.ndcg.low, measured.ndcg.high) == pytest.approx((own.low, own.high), abs=1e-12)
    assert (own.low, own.high) != pytest.approx((other.low, other.high), abs=1e-12)


def test_what_is_of_one_seed_says_so(found: Study) -> None:
    page = render(found)
    for section in ("history", "learning"):
        drawn = page.partition(f'id="{section}"')[2].partition("</section>")[0]
        assert "finalists too, from the study" in drawn


def test_other_objectives_are_averaged_too_and_costs_are_those_of_the_first(found: Study) -> None:
    best = found.finalists[0]
    values = [{"coverage@20": 0.1 * (place + 1)} for place in range(3)]
    values[0]["latency_us"] = 7.0
    users = [found.per_user(name) for name in best.names]
    judged = [replace(one, judged=-one.ndcg) for one in users]
    turned = [replace(one.ndcg, value=-one.ndcg.value, low=-one.ndcg.high, high=-one.ndcg.low) for one in best.measured]
    measured = tuple(
        replace(one, values=facts, judged=less) for one, facts, less in zip(best.measured, values, turned, strict=True)
    )
    mean = replace(best, measured=measured).over_seeds(judged, seed=0)
    assert mean.values == pytest.approx({"coverage@20": 0.2, "latency_us": 7.0})
    assert mean.judged is not None
    assert mean.judged.value == -mean.ndcg.value  # of the journal: those of the users are in single precision
    assert mean.judged.low < mean.judged.value < mean.judged.high
    assert (mean.seconds, mean.history, mean.stopped) == (measured[0].seconds, measured[0].history, "epochs")


def _other_s(study: Study) -> float:
    return sum(one.measured.seconds for one in (*study.baselines, *study.blends))


def test_the_blend_holds_the_best_on_average_and_does_not_train_it_again(tmp_path: Path) -> None:
    slot = Moody()
    study = go(tmp_path / "study", trials=4 * NETWORKS, slots=slot, space=space("filter"), strategy="grid")
    assert study.finalists[0].trial.spec.embedding_dim == 20  # type: ignore[union-attr]
    parts = [share.spec for share in _blend(study).shares]
    assert study.finalists[0].trial.spec in parts
    assert not [key for key in slot.fitted if key.startswith(GNN)]


def _blend(study: Study) -> BlendSpec:
    assert study.blends, study.blend_failure
    return study.blends[0].spec


@pytest.mark.parametrize("broken_off", [NETWORKS, NETWORKS + 1, NETWORKS + 4])
def test_what_was_trained_is_kept_when_the_run_is_stopped(tmp_path: Path, broken_off: int) -> None:
    whole = search(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "study", slot=Moody({broken_off: interrupt}))
    stopped = Study.load(tmp_path / "study")
    assert len(stopped.repeats) == broken_off - NETWORKS
    assert stopped.finalists == ()  # nothing is decided yet
    slot = Moody()
    study = search(tmp_path / "study", slot=slot)
    assert len(slot.jobs) == 6 - (broken_off - NETWORKS)
    assert study.finalists == whole.finalists
    assert study.verdict == whole.verdict
    slot = Moody()
    assert search(tmp_path / "study", slot=slot).finalists == whole.finalists
    assert slot.jobs == []  # everything is known


def test_a_seed_counts_where_every_finalist_was_trained_from_it(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("no")

    watcher = Ledger()
    study = search(tmp_path / "study", slot=Moody({NETWORKS + 4: fail}), watcher=watcher)
    assert {one.seeds for one in study.finalists} == {(0, 1)}
    assert watcher.failures == [f"{study.ranking[1][0].key} from seed 2: ValueError: no"]
    assert {one.seeds for one in search(tmp_path / "study").finalists} == {(0, 1, 2)}  # the next run tries again
    watcher = Ledger()
    nothing = search(tmp_path / "other", slot=Moody({NETWORKS + 1: fail, NETWORKS + 4: fail}), watcher=watcher)
    assert nothing.finalists == ()
    assert watcher.undecided == [(0, 6)]  # of which two failed: none was late
    assert nothing.best_of(GNN) == nothing.ranking[0][0]


def test_a_better_network_found_later_is_not_held_back_by_an_old_decision(found: Study) -> None:
    attributes = open_journal(found.folder, create=False).user_attrs
    assert decided(attributes, found.ranking, found.repeats) == found.finalists
    best, second, third, fourth, *_ = found.ranking
    assert decided(attributes, [second, third, fourth], found.repeats) == ()
    luckier = replace(fourth[1], ndcg=replace(fourth[1].ndcg, value=0.99))
    assert decided(attributes, [(fourth[0], luckier), best, second, third], found.repeats) == ()
    stopped = replace(luckier, stopped="deadline")  # what it would be worth from other seeds is not known
    assert decided(attributes, [(fourth[0], stopped), best, second, third], found.repeats) == ()


@pytest.mark.parametrize(("trials", "repeats"), [(9, 0), (10, 2), (15, 3), (20, 4), (29, 4), (30, 6)])
def test_a_fifth_of_the_networks_may_be_trained_again(tmp_path: Path, trials: int, repeats: int) -> None:
    class Alike(ToySlot):
        """Finds every network equally good: all are finalists."""

        def result(self) -> Result:
            found = super().result()
            flat = np.full_like(found.users.ndcg, 0.5)
            return replace(found, users=replace(found.users, ndcg=flat, recall=flat))

    slot = Alike()
    study = search(tmp_path / "study", trials=trials, slot=slot)
    assert len(again(slot)) == repeats
    assert len(again(slot)) <= SHARE * trials
    assert bool(study.finalists) == bool(repeats)


def test_where_time_ends_a_search_the_plan_goes_by_seconds(found: Study) -> None:
    ranking = found.ranking
    slow = [
        (trial, replace(measured, seconds=8.0 if place < 3 else 1.0)) for place, (trial, measured) in enumerate(ranking)
    ]
    by_count, by_time = Plan.of(slow, 0, by_time=False), Plan.of(slow, 0, by_time=True)
    assert by_count is not None
    assert (len(by_count.finalists), by_count.seeds, seconds_of(by_count.missing(()))) == (3, (1, 2), 48.0)
    assert by_time is None  # of 51 seconds a fifth: less than twice 8
    slow = [
        (trial, replace(measured, seconds=2.0 if place < 3 else 1.0)) for place, (trial, measured) in enumerate(ranking)
    ]
    by_time = Plan.of(slow, 7, by_time=True)
    assert by_time is not None
    assert (len(by_time.finalists), by_time.seeds, seconds_of(by_time.missing(()))) == (3, (8,), 6.0)


def test_nothing_is_decided_beside_a_best_that_time_stopped(found: Study) -> None:
    ranking = found.ranking
    (trial, measured), *others = ranking
    assert Plan.of([(trial, replace(measured, stopped="deadline")), *others], 0, by_time=False) is None
    rung = [(trial, measured), *((one, replace(other, stopped="rung")) for one, other in others)]
    assert Plan.of(rung, 0, by_time=False) is None  # no other was trained to the end
    assert Plan.of([], 0, by_time=False) is None


class TestWithABudget:
    class Timed(Moody):
        """Does not mind that there is a deadline, but from a seed on."""

        late_from = 9

        def result(self) -> Result:
            found = super().result()
            done = self.jobs[-1].seed < self.late_from
            return replace(found, best_epoch=1, stopped="epochs" if done else "deadline")

    def run(self, folder: Path, slot: ToySlot, budget_s: float = 600.0, watcher: Ledger | None = None) -> Study:
        begin(folder, make_dataset(), space=space(), strategy="grid", seed=None)
        limits = Limits.of(NETWORKS, budget_s)
        return run(folder, make_dataset(), watcher or Ledger(), limits=limits, slots=slot)

    def test_trainings_end_before_the_blend_is_due(self, tmp_path: Path) -> None:
        slot = self.Timed()
        study = self.run(tmp_path / "study", slot)
        assert len(again(slot)) == 6
        assert {one.seeds for one in study.finalists} == {(0, 1, 2)}
        deadlines = {job.deadline for job in slot.jobs if job.seed}
        assert all(deadline is not None for deadline in deadlines)
        assert all(job.limit_s is None for job in slot.jobs if job.seed)

    def test_what_time_cut_says_nothing(self, tmp_path: Path) -> None:
        class Late(self.Timed):  # type: ignore[name-defined]
            late_from = 2

        watcher = Ledger()
        study = self.run(tmp_path / "study", Late(), watcher=watcher)
        assert {one.seeds for one in study.finalists} == {(0, 1)}
        assert len(study.repeats) == 3
        assert watcher.undecided == []  # two seeds decide

    def test_where_time_leaves_one_seed_it_is_said(self, tmp_path: Path) -> None:
        class Late(self.Timed):  # type: ignore[name-defined]
            def result(self) -> Result:
                """Let the second finalist come to its end alone."""
                trained = len(again(self))
                return replace(super().result(), stopped="epochs" if trained in (0, 2) else "deadline")

        watcher = Ledger()
        study = self.run(tmp_path / "study", Late(), watcher=watcher)
        assert (study.finalists, len(study.repeats), watcher.decided) == ((), 1, [])
        assert watcher.undecided == [(5, 6)]
        assert study.best_of(GNN) == study.ranking[0][0]
        assert "was chosen by one seed" in render(study)

    def test_none_is_begun_that_cannot_end_in_time(self, tmp_path: Path) -> None:
        class Slow(self.Timed):  # type: ignore[name-defined]
            def result(self) -> Result:
                return replace(super().result(), seconds=1000.0)

        slot, watcher = Slow(), Ledger()
        assert self.run(tmp_path / "study", slot, watcher=watcher).finalists == ()
        assert again(slot) == []
        assert watcher.undecided == [(6, 6)]

    def test_the_trials_leave_time_for_them(self, tmp_path: Path) -> None:
        study = self.run(tmp_path / "study", self.Timed())
        assert Reserve(study, 60).finalists_s == 0.0  # all were trained
        study.repeats = {name: one for name, one in study.repeats.items() if name.endswith("seed-1")}
        assert Reserve(study, 60).finalists_s == pytest.approx(0.3)
        study.repeats = {}
        assert Reserve(study, 60).finalists_s == pytest.approx(0.6)
        assert Reserve(study, 60, slots=2).finalists_s == pytest.approx(0.3)


def test_those_that_a_rung_stopped_drive_no_finalist_out_of_what_is_kept(tmp_path: Path) -> None:
    """The fourth best is the second finalist, and the best on average: the blend has its vectors."""
    worth = {64: 0.170, 56: 0.1695, 48: 0.169, 40: 0.168}

    class Stopping(ToySlot):
        def result(self) -> Result:
            job, found = self.jobs[-1], super().result()
            if not isinstance(job.spec, ArchitectureSpec):
                return found
            width = job.spec.embedding_dim
            first = 0.15 if width == 64 and job.seed else worth.get(width, 0.1)
            ndcg = np.full(self.users, first if job.spec.learning_rate == 0.01 else 0.1)
            stopped: Stopped = "rung" if width in (56, 48) else "epochs"
            return replace(found, users=UserMetrics(ndcg, ndcg), stopped=stopped)

    genes = {"embedding_dim": [8, 16, 24, 32, 40, 48, 56, 64], "learning_rate": [0.01, 0.02, 0.03]}
    starts = [{"layers": ["gcn"], "embedding_dim": width, "learning_rate": 0.01} for width in worth]
    fixed = {"num_layers": 1, "operator": "gcn"}
    slot = Stopping()
    space = SearchSpace.from_json({"genes": genes, "fixed": fixed, "start": starts})
    study = go(tmp_path / "study", trials=16, space=space, slots=slot, strategy="random")
    widths = [one.trial.spec.embedding_dim for one in study.finalists if isinstance(one.trial.spec, ArchitectureSpec)]
    assert widths == [40, 64]
    assert [key for key in slot.fitted if key.startswith("gnn")] == []
    assert {one.trial.key for one in study.finalists} <= {path.stem for path in (tmp_path / "study/models").iterdir()}


def test_one_that_is_damaged_is_named(tmp_path: Path) -> None:
    study = search(tmp_path / "study")
    name = study.finalists[0].names[1]
    path = metrics_path(tmp_path / "study", name)
    np.save(path, np.load(path) * 0.9)
    with pytest.raises(IntegrityError, match=name):
        _ = Study.load(tmp_path / "study").verdict
    path.unlink()
    with pytest.raises(IntegrityError, match=name):
        _ = Study.load(tmp_path / "study").verdict
    # What is asked first of a damaged study is of the journal alone.
    best = max(one.mean for one in study.finalists)
    assert status(Study.load(tmp_path / "study"))["best"]["value"] == pytest.approx(best)
    assert front(Study.load(tmp_path / "study"))
    open_journal(tmp_path / "study", create=False).set_user_attr(DECIDED, {"keys": 3})
    with pytest.raises(IntegrityError, match="a finalist is unreadable"):
        _ = Study.load(tmp_path / "study").finalists


def test_of_equal_means_the_one_that_was_found_better_is_first(tmp_path: Path) -> None:
    study = search(tmp_path / "study", slot=ToySlot())  # every seed says the same
    assert [one.trial for one in study.finalists] == [trial for trial, _ in study.ranking[:3]]
    assert all(isinstance(one, Finalist) and len(set(one.qualities)) == 1 for one in study.finalists)
