"""Objectives of a study: what they are called, how a study is led by them, and the front that it answers with."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_study import Ledger, ToySlot, go, make_dataset, small_space

from gnas_search.data.interactions import FeatureTable
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import UserMetrics, validation_of
from gnas_search.fit import Fit
from gnas_search.report.page import render
from gnas_search.selection import fit_selected
from gnas_search.slots import Result
from gnas_search.slots.inline import InlineSlot
from gnas_search.space import SearchSpace
from gnas_search.study import NDCG, Limits, Objectives, Study, StudyHeader, leaderboard, status
from gnas_search.study.beginning import begin
from gnas_search.study.driver import run
from gnas_search.study.front import front
from gnas_search.train import train_checkpoint
from gnas_search.validation_measures import ObjectiveJudge, catalogue_of
from gnas_serve.errors import ConfigError, IntegrityError

COSTLY = Objectives.of(["ndcg@20", "latency_us", "artifact_bytes"])


class TestNames:
    @pytest.mark.parametrize(
        ("names", "directions"),
        [
            (["ndcg@20"], ("maximize",)),
            (["log_loss", "auc"], ("minimize", "maximize")),
            (["recall@5", "latency_us", "gini@20"], ("maximize", "minimize", "minimize")),
        ],
    )
    def test_which_way_is_better(self, names: list[str], directions: tuple[str, ...]) -> None:
        objectives = Objectives.of(names)
        assert objectives.directions == directions
        assert objectives.first == names[0]
        assert objectives.are_several == (len(names) > 1)
        assert objectives.needs_export == ("latency_us" in names)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ([], "no objective is given"),
            (["ndcg"], "the length of the lists is missing"),
            (["nDCG@20"], "unknown objective 'nDCG@20'"),
            (["ndcg@20", "latency"], "did you mean 'latency_us'"),
            (["ndcg@20", "recall@20", "ndcg@20"], "'ndcg@20' is given twice"),
            (["latency_us"], "'latency_us' cannot be the first: models are chosen by a metric with a value per user"),
            (["coverage@20", "ndcg@20"], "'coverage@20' cannot be the first"),
        ],
    )
    def test_what_is_no_objective(self, names: list[str], message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            Objectives.of(names)
        assert message in str(caught.value)

    def test_diversity_is_refused_before_a_study_is_made(self, tmp_path: Path) -> None:
        objectives = Objectives.of(["ndcg@20", "diversity@10"])
        with pytest.raises(ConfigError, match="needs attributes of the items"):
            begin(tmp_path / "study", make_dataset(), space=None, strategy=None, seed=None, objectives=objectives)
        assert not (tmp_path / "study").exists()


class TestHeader:
    def test_a_study_of_ndcg_is_as_earlier_versions_wrote_it(self, tmp_path: Path) -> None:
        go(tmp_path / "study", trials=1)
        text = (tmp_path / "study" / "study.json").read_text()
        assert '"objective":"ndcg@20"' in text.replace(" ", "")
        assert '"format_version":1' in text.replace(" ", "")
        assert StudyHeader.read(tmp_path / "study").objectives == NDCG

    def test_several_are_kept_and_others_refused(self, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        go(folder, trials=1, objectives=COSTLY)
        assert StudyHeader.read(folder).objectives == COSTLY
        go(folder, trials=2)  # unsaid, they are the study's
        with pytest.raises(ConfigError, match="was made with objective = 'ndcg@20, latency_us, artifact_bytes'"):
            go(folder, trials=3, objectives=NDCG)


class WideSlot(ToySlot):
    """Gives networks vectors as wide as they say, so that the toy meter tells them apart."""

    def result(self) -> Result:
        found = super().result()
        spec = self.jobs[-1].spec
        if found.fit is None or not hasattr(spec, "embedding_dim"):
            return found
        branch = found.fit.branches[0]
        width = spec.embedding_dim
        vectors = (np.resize(branch.user_vectors, (len(branch.user_vectors), width)), np.ones((40, width), np.float32))
        facts = replace(branch.facts, width=width)
        return replace(found, fit=replace(found.fit, branches=(type(branch)(facts, *vectors),)))


class TestSeveral:
    def beats(self, one: dict[str, float], other: dict[str, float]) -> bool:
        """Hold a model against another by hand: of latencies a fifth is nothing."""
        quality, size = one["ndcg@20"] - other["ndcg@20"], one["artifact_bytes"] - other["artifact_bytes"]
        ratio = one["latency_us"] / other["latency_us"]
        return quality >= 0 and size <= 0 and ratio <= 1.2 and (quality > 0 or size < 0 or ratio < 0.8)

    @pytest.mark.parametrize("strategy", ["tpe", "nsga-ii", "random"])
    def test_a_front_of_quality_and_costs(self, strategy: str, tmp_path: Path) -> None:
        study = go(
            tmp_path / "study",
            trials=8,
            slots=WideSlot(),
            space=small_space(),
            objectives=COSTLY,
            strategy=strategy,
        )
        board = leaderboard(study)
        assert board["objectives"] == list(COSTLY.names)
        for row in board["rows"]:
            assert set(row["values"]) == set(COSTLY.names)
            assert all(value is not None for value in row["values"].values())
        journal = study._journal
        told = {trial.number: trial.values for trial in journal.get_trials() if trial.values}
        measured = {trial.number: found for trial, found in study.ranking}
        assert [one.name for one in journal.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
        for number, found in measured.items():
            assert told[number] == [found.value_of(name) for name in COSTLY.names]
        chosen = front(study)
        assert board["front"] == list(chosen)
        assert {row["name"] for row in board["rows"] if "front" in row["remark"].split(", ")} == set(chosen)
        values = {row["name"]: row["values"] for row in board["rows"]}
        for name, one in values.items():
            others = (values[key] for key in chosen)
            assert (name in chosen) == (not any(self.beats(other, one) for other in others))
        assert status(study)["objectives"] == list(COSTLY.names)
        assert study.verdict.kind == "gnn"  # the first objective alone decides what is shipped
        page = render(study)
        assert "median request to the exported scorer" in page
        assert "latency_us" in page

    def test_a_study_without_a_meter_is_a_mistake_of_the_caller(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="needs a meter"):
            go(tmp_path / "study", objectives=COSTLY, meter=None)
        assert go(tmp_path / "plain", trials=1, meter=None).trials

    def test_a_result_that_was_written_but_not_told_is_told_by_the_next_run(self, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        study = go(folder, trials=2, objectives=COSTLY)
        journal = folder / "journal.log"
        lines = journal.read_text().splitlines(keepends=True)
        last = max(place for place, line in enumerate(lines) if '"op_code": 6' in line or '"op_code":6' in line)
        journal.write_text("".join(lines[:last]))
        again = go(folder, trials=2)
        assert [trial.state for trial in again.trials] == [trial.state for trial in study.trials]
        assert again._journal.get_trials()[1].values == study._journal.get_trials()[1].values

    @pytest.mark.parametrize(("more", "is_on"), [(4.0, False), (40.0, True)])
    def test_what_is_smaller_by_less_than_a_hundredth_is_no_smaller(
        self, more: float, is_on: bool, tmp_path: Path
    ) -> None:
        sizes: dict[str, float] = {}

        def meter(fit: Fit) -> dict[str, float]:
            """Let each model be a little smaller than the one before it."""
            size = sizes.setdefault(fit.branches[0].facts.name, 1000.0 - more * len(sizes))
            return {"artifact_bytes": size, "latency_us": 10.0}

        objectives = Objectives.of(["ndcg@20", "artifact_bytes"])
        space = SearchSpace.from_json({"filter": {"genes": {"rank": [8, 4]}, "start": [{"rank": 8}, {"rank": 4}]}})
        study = go(tmp_path / "study", trials=2, meter=meter, objectives=objectives, space=space)
        better, worse = (trial.key for trial, _ in study.ranking)
        assert sizes[better] - sizes[worse] == more
        assert better in front(study)
        assert (worse in front(study)) == is_on
        costs = render(study).partition('id="costs"')[2].partition("</section>")[0]
        assert "sizes within 1 % of each other being equal" in costs


class TestOtherFirst:
    @pytest.mark.parametrize("first", ["ndcg@20", "auc", "log_loss", "map@10"])
    def test_a_search_is_led_by_it(self, first: str, tmp_path: Path) -> None:
        dataset = make_dataset()
        raw = SearchSpace.load("quick").to_json()
        for section in (raw["fixed"], *raw["start"]):
            section["epochs"] = 2
        objectives = Objectives.of([first, "coverage@20"])
        folder = tmp_path / "study"
        begin(
            folder,
            dataset,
            space=SearchSpace.from_json(raw),
            strategy="random",
            seed=0,
            objectives=objectives,
        )
        study = run(folder, dataset, Ledger(), limits=Limits(4, None), slots=1)
        sign = objectives.sign(first)
        board = leaderboard(study)
        assert board["objective"] == first
        best = [sign * row["values"][first] for row in board["rows"] if row["trial"] is not None]
        assert best == sorted(best, reverse=True)
        for row in board["rows"]:
            low, high = row["intervals"][first]
            assert low <= row["values"][first] <= high
        assert first in study.verdict.reason or study.verdict.kind == "baseline"
        for name in [one.key for one in study.baselines]:
            users = study.per_user(name)
            assert users.judged is not None
            assert len(users.quality) == int(np.isfinite(users.judged).sum())
        assert first in render(study)
        # Read again from its folder, it is the same.
        assert leaderboard(Study.load(folder)) == board

    def test_a_file_of_another_shape_is_damage(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=1, objectives=Objectives.of(["ndcg@20", "recall@20"]))
        name = study.baselines[0].key
        path = tmp_path / "study" / "metrics" / f"{name}.npy"
        both = np.load(path)
        np.save(path, np.vstack([both, both[:1]]))
        with pytest.raises(IntegrityError, match="missing or damaged"):
            study.per_user(name)


class TestJudge:
    def test_recall_and_ndcg_are_those_of_a_validation_without_one(self) -> None:
        dataset = make_dataset()
        plain = validation_of(dataset)
        judge = ObjectiveJudge(("auc", "gini@20"), catalogue_of(dataset, dataset.selection.positives), 0)
        scores = np.random.default_rng(0).standard_normal(dataset.valid.shape).astype(np.float32)
        found = plain.judged_by(judge).score_with(lambda rows: scores[rows].copy())
        usual = plain.score_with(lambda rows: scores[rows].copy())
        assert (found.recall == usual.recall).all()
        assert (found.ndcg == usual.ndcg).all()
        assert usual.judged is None
        assert usual.quality is usual.ndcg
        assert found.judged is not None
        assert found.values["auc"] == pytest.approx(found.quality.mean())
        assert set(found.values) == {"auc", "gini@20"}

    def test_the_best_epoch_is_that_of_the_judge(self) -> None:
        """A judge that likes each epoch less than the one before keeps the first, whatever ndcg says."""
        dataset = make_dataset()
        asked: list[float] = []

        def grumpy(validation: object, score_rows: object) -> UserMetrics:
            asked.append(-float(len(asked)))
            rising = np.full(3, 0.1 * len(asked))
            return UserMetrics(rising, rising, np.full(3, asked[-1]), {})

        start = SearchSpace.load("quick").families["gnn"].starts[0]
        spec = replace(start, epochs=4, patience=2, embedding_dim=8)
        seen: list[EpochResult] = []
        found = fit_selected(
            spec, dataset.selection, validation_of(dataset).judged_by(grumpy), seed=0, on_epoch=seen.append
        )
        assert found.best_epoch == 1
        assert found.stopped == "patience"
        assert [epoch.quality for epoch in seen] == [0.0, -1.0, -2.0]
        assert [epoch.worth for epoch in seen] == [epoch.quality for epoch in seen]

    def test_a_checkpoint_keeps_the_epoch_that_the_study_would(self) -> None:
        dataset = make_dataset()

        def grumpy(validation: object, score_rows: object) -> UserMetrics:
            asked.append(-float(len(asked)))
            return UserMetrics(np.full(3, 0.1), np.full(3, 0.1 * len(asked)), np.full(3, asked[-1]), {})

        start = SearchSpace.load("quick").families["gnn"].starts[0]
        spec = replace(start, epochs=4, patience=4, embedding_dim=8)
        asked: list[float] = []
        assert train_checkpoint(dataset, spec, seed=0, judge=grumpy).final.epochs == 1
        assert len(asked) == 4
        assert train_checkpoint(dataset, spec, seed=0).final.epochs > 1

    def test_it_goes_to_other_processes(self) -> None:
        dataset = make_dataset()
        judge = Objectives.of(["auc", "log_loss"]).judge(dataset, 0)
        validation = pickle.loads(pickle.dumps(validation_of(dataset).judged_by(judge)))  # noqa: S301  # our own
        assert InlineSlot(dataset.selection, validation).count == 1
        scores = np.random.default_rng(0).standard_normal(dataset.valid.shape).astype(np.float32)
        assert set(validation.score_with(lambda rows: scores[rows].copy()).values) == {"auc", "log_loss"}


def test_features_make_diversity_an_objective() -> None:
    dataset = make_dataset()
    features = np.random.default_rng(1).normal(size=(len(dataset.items), 3)).astype(np.float32)
    dataset = replace(dataset, item_features=FeatureTable(("a", "b", "c"), features))
    judge = Objectives.of(["ndcg@20", "diversity@10"]).judge(dataset, 0)
    assert judge is not None
    assert Objectives.of(["ndcg@20", "recall@20", "latency_us"]).judge(dataset, 0) is None
