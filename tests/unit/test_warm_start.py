"""A study started from another one: what it tries first, what networks begin with, and what is left out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from toy_study import NUM_ITEMS, NUM_USERS, SMALL, ToySlot, go, make_dataset, small_space

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.edge_log import EdgeLog
from gnas_search.data.interactions import FeatureTable
from gnas_search.epoch import EpochResult
from gnas_search.graph_spec import GraphSpec
from gnas_search.initial_weights import InitialWeights
from gnas_search.slots import Result
from gnas_search.space import SearchSpace
from gnas_search.specs import BranchSpec
from gnas_search.study import Study, WarmSource, leaderboard, status
from gnas_search.study.kept_weights import MOST, KeptWeights
from gnas_search.study.trained_on import TrainedOn, matched, seen_share
from gnas_search.study.transfer import Transfer
from gnas_search.study.warm_start import WarmModel, WarmStart
from gnas_serve.errors import ConfigError, IntegrityError
from gnas_serve.vocabulary import Vocabulary

NODES = NUM_USERS + NUM_ITEMS
NET = ArchitectureSpec(layers=("gcn",), embedding_dim=8)


def weights_of(spec: ArchitectureSpec) -> dict[str, np.ndarray]:
    """Weights that tell whose they are: a row of an embedding is its number."""
    rows = np.repeat(np.arange(NODES, dtype=np.float32)[:, None], spec.embedding_dim, axis=1)
    return {"embeddings": rows, "layers.0.operators.0.weight": np.full((2, 2), len(spec.layers), np.float32)}


class LearningSlot(ToySlot):
    """Gives networks weights, too."""

    def result(self) -> Result:
        found, spec = super().result(), self.jobs[-1].spec
        return replace(found, weights=weights_of(spec)) if isinstance(spec, ArchitectureSpec) else found


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of all families without weights, as earlier versions made them."""
    return go(tmp_path_factory.mktemp("toys") / "quick", trials=24).folder


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of eight networks with weights."""
    folder = tmp_path_factory.mktemp("toys") / "learned"
    return go(folder, trials=8, slots=LearningSlot(), space=small_space(), strategy="tpe").folder


def sparser(dataset: Dataset) -> Dataset:
    """The same shop before a third of its training interactions."""
    positives = dataset.selection.positives.copy()
    positives.data[::3] = 0.0
    positives.eliminate_zeros()
    return replace(dataset, selection=InteractionGraph(positives, positives), fingerprint="b" * 64)


@pytest.fixture
def middle(learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of other data that was started from the one with weights."""
    dataset = sparser(make_dataset())
    with monkeypatch.context() as patched:
        patched.setattr("toy_study.make_dataset", lambda: dataset)
        return go(
            tmp_path / "middle", trials=6, slots=LearningSlot(), source=source_of(learned), space=small_space()
        ).folder


def source_of(folder: Path) -> WarmSource:
    return WarmSource.of(Study.load(folder))


def kept(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "weights").iterdir()}


def space_of(**more: Any) -> SearchSpace:
    return SearchSpace.from_json({**SMALL, **more})


def test_only_what_has_weights_is_said_to_be_cold() -> None:
    cold, warm, closed = NET, replace(NET, layers=("gcn", "lightgcn")), FilterSpec(rank=8)
    models = (WarmModel(cold, "a"), WarmModel(warm, "b", file="b", digest="b"), WarmModel(closed, "c"))
    remark = WarmStart(models=models).remark
    said = ["warm start, cold weights", "warm start", "warm start"]
    assert [remark(one.key()) for one in (cold, warm, closed)] == said
    assert remark(FilterSpec(rank=4).key()) == ""


class TestModels:
    def test_they_come_right_after_the_starts_best_first(self, quick: Path, tmp_path: Path) -> None:
        old, source = Study.load(quick), source_of(quick)
        study = go(tmp_path / "new", trials=28, source=source)
        own = study.header.space.restrict(make_dataset())
        for family, specs in source.models.items():
            assert len(specs) == len({spec.key() for spec in specs}) == MOST
            ranked = [trial.key for trial, _ in old.ranking if trial.kind == family]
            assert [spec.key() for spec in specs] == ranked[:MOST]
            starts = [start.key() for start in own.families[family].starts]
            expected = starts + [key for key in ranked[:MOST] if key not in starts]
            drawn = [trial.key for trial in study.trials if trial.kind == family]
            assert drawn[: len(expected)] == expected
        assert not any(trial.state == "duplicate" for trial in study.trials[:12])

    def test_the_parts_of_the_verdict_come_first(self, quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = Study.load(quick)
        worst = [trial for trial, _ in old.ranking if trial.kind == "filter"][-1]
        monkeypatch.setattr(Study, "spec_of", lambda _self, _name: worst.spec)
        specs = WarmSource.of(old).models["filter"]
        assert specs[0] == worst.spec
        assert len(specs) == MOST

    def test_interrupted_it_goes_on_without_the_other_study(self, quick: Path, tmp_path: Path) -> None:
        other = Path(shutil.copytree(quick, tmp_path / "other"))
        whole = go(tmp_path / "whole", trials=20, source=source_of(other))
        go(tmp_path / "parts", trials=5, source=source_of(other))
        shutil.rmtree(other)
        parts = go(tmp_path / "parts", trials=20)
        assert [trial.key for trial in parts.trials] == [trial.key for trial in whole.trials]

    def test_what_the_space_does_not_have_is_left_out_and_said(self, quick: Path, tmp_path: Path) -> None:
        study = go(tmp_path / "new", trials=2, source=source_of(quick), space=small_space())
        notes = [note for note in leaderboard(study)["notes"] if note.startswith("warm start: ")]
        assert notes == [note for note in status(study)["notes"] if note.startswith("warm start: ")]
        assert "warm start: no filter model of quick: the space has none" in notes
        assert "warm start: no two-hop model of quick: the space has none" in notes
        outside = [note for note in notes if "is outside the space" in note]
        assert len(outside) == MOST
        assert all(note.startswith("warm start: gnn-") and "of quick left out: " in note for note in outside)
        assert study.warm_start.models == ()

    def test_what_breaks_a_constraint_is_left_out_and_said(self, learned: Path) -> None:
        found = Transfer.of(source_of(learned), space_of(forbid=[{"num_layers": 1}]), make_dataset()).warm
        assert found.models == ()  # the best have one layer
        assert len(found.remarks) == MOST
        assert all("left out: " in remark and "num_layers" in remark for remark in found.remarks)

    def test_what_the_data_does_not_have_is_dropped(self, learned: Path) -> None:
        graph = GraphSpec(event_weight=(("cart", 0.3), ("view", 0.5)), half_life=0.3)
        spec = replace(NET, edges="all", graph=graph, features=True)
        genes: dict[str, Any] = {
            "num_layers": [1],
            "operator": ["gcn"],
            "embedding_dim": [8],
            "edges": ["target", "all"],
        }
        genes |= {"event_weight": [0.5, 1.0], "half_life": [0.0, 0.3], "features": [False, True]}
        space = SearchSpace.from_json({"genes": genes, "start": [{"layers": ["gcn"], "embedding_dim": 8}]})
        source = replace(source_of(learned), models={"gnn": (spec,)})
        (plain,) = Transfer.of(source, space, make_dataset()).warm.models
        assert plain.spec == NET.canonical()
        (viewed,) = Transfer.of(source, space, with_views(make_dataset())).warm.models
        assert viewed.spec == replace(NET, edges="all", graph=GraphSpec(event_weight=0.5)).canonical()
        assert viewed.origin == spec.key()

    def test_a_study_without_a_model(self, tmp_path: Path) -> None:
        study = go(tmp_path / "empty", trials=1, slots=ToySlot({0: lambda: 1 / 0}), space=small_space())  # type: ignore[dict-item, return-value]
        with pytest.raises(ConfigError, match="empty has no model to start from") as caught:
            WarmSource.of(study)
        assert caught.value.code == "nothing_to_start_from"


def with_views(dataset: Dataset) -> Dataset:
    """Every user has viewed everything."""
    target = dataset.selection.positives
    edges = sp.csr_matrix(np.ones(target.shape, np.float32))
    bought = target.toarray().ravel().astype(bool)
    places = np.repeat(np.arange(edges.nnz), 1 + bought).astype(np.int32)
    codes = np.ones(len(places), np.int8)
    codes[np.flatnonzero(np.diff(places, prepend=-1) > 0)[bought]] = 0
    return replace(dataset, selection=InteractionGraph(target, edges, EdgeLog(("view",), places, codes, None)))


class TestSource:
    def test_it_may_be_named_again_and_no_other(self, quick: Path, learned: Path, tmp_path: Path) -> None:
        folder = tmp_path / "new"
        go(folder, trials=1, source=source_of(quick))
        moved = Path(shutil.copytree(quick, tmp_path / "moved"))
        go(folder, trials=2, source=source_of(moved))
        with pytest.raises(ConfigError, match=r"was made with warm_start = 'quick .*', not 'learned ") as caught:
            go(folder, trials=3, source=source_of(learned))
        assert caught.value.code == "study_differs"
        go(tmp_path / "cold", trials=1)
        with pytest.raises(ConfigError, match="was made with warm_start = None, not 'quick ") as caught:
            go(tmp_path / "cold", trials=2, source=source_of(quick))
        assert caught.value.code == "study_differs"

    def test_status_names_it(self, learned: Path, quick: Path, tmp_path: Path) -> None:
        study = go(tmp_path / "new", trials=1, source=source_of(learned), space=small_space())
        expected = {"study": "learned", "data": "a" * 64, "models": MOST, "weights": MOST}
        assert status(study)["warm_start"] == expected
        assert status(Study.load(quick))["warm_start"] is None

    def test_what_was_taken_over_is_verified(self, learned: Path, tmp_path: Path) -> None:
        study = go(tmp_path / "new", trials=1, slots=LearningSlot(), source=source_of(learned), space=small_space())
        folder = study.folder
        file = folder / "warm_start" / f"{study.warm_start.models[0].key}.safetensors"
        content = file.read_bytes()
        for broken, said in ((None, "is missing"), (content[:-1] + b"\1", "is damaged")):
            file.unlink() if broken is None else file.write_bytes(broken)
            with pytest.raises(IntegrityError, match=f"{file.name} {said}"):
                go(folder, trials=2)
            with pytest.raises(IntegrityError, match=f"{file.name} {said}"):
                Study.load(folder).warm_start.initial(study.warm_start.models[0].spec)
        file.write_bytes(content)
        record = folder / "warm_start.json"
        whole = record.read_bytes()
        record.write_bytes(whole.replace(b"learned", b"LEARNED"))
        with pytest.raises(IntegrityError, match=r"warm_start\.json is not what the study was begun with"):
            leaderboard(Study.load(folder))
        record.unlink()
        with pytest.raises(IntegrityError, match=r"warm_start\.json is missing"):
            go(folder, trials=2)
        record.write_bytes(whole)
        go(folder, trials=2)


class TestWeights:
    def test_those_of_the_best_are_kept(self, learned: Path, quick: Path) -> None:
        ranked = [trial.key for trial, _ in Study.load(learned).ranking]
        assert kept(learned) == {"data", *ranked[:MOST]}
        assert not (quick / "weights").exists()

    def test_one_that_is_beaten_is_forgotten(self, tmp_path: Path) -> None:
        weights = KeptWeights(tmp_path, make_dataset())
        specs = [replace(NET, embedding_dim=dim) for dim in (1, 2, 3, 4, 5)]
        for spec, ndcg in zip(specs, (0.2, 0.1, 0.3, 0.05, 0.25), strict=True):
            weights.keep(spec, ndcg, weights_of(spec))
            assert len(kept(tmp_path)) <= MOST + 1
        best = {specs[place].key() for place in (0, 2, 4)}
        assert kept(tmp_path) == {"data", *best}
        weights.keep(specs[0], 0.2, weights_of(specs[0]))  # once more, after an interruption
        assert kept(tmp_path) == {"data", *best}
        found = weights.find(specs[2])
        assert found is not None
        np.testing.assert_array_equal(found["embeddings"], weights_of(specs[2])["embeddings"])
        assert weights.find(specs[1]) is None
        with pytest.raises(ValueError, match="trained on"):
            KeptWeights(tmp_path).keep(specs[0], 1.0, {})

    def test_a_damaged_file_is_named(self, learned: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(learned, tmp_path / "broken"))
        best = source_of(folder).models["gnn"][0]
        path = folder / "weights" / f"{best.key()}.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(IntegrityError, match=f"{path.name} is damaged"):
            Transfer.of(source_of(folder), small_space(), make_dataset())
        path.unlink()  # then it starts cold
        found = Transfer.of(source_of(folder), small_space(), make_dataset()).warm
        assert [bool(model.digest) for model in found.models] == [False, True, True]
        assert f"broken keeps no weights of {best.key()}" in found.remarks
        data = folder / "weights" / "data.safetensors"
        data.write_bytes(b"{}")
        with pytest.raises(IntegrityError, match=r"data\.safetensors is damaged"):
            Transfer.of(source_of(folder), small_space(), make_dataset())
        data.unlink()
        with pytest.raises(IntegrityError, match=r"data\.safetensors is missing"):
            Transfer.of(source_of(folder), small_space(), make_dataset())

    def test_every_fit_of_a_model_begins_with_them(self, learned: Path, tmp_path: Path) -> None:
        slots = LearningSlot()
        study = go(tmp_path / "new", trials=6, slots=slots, source=source_of(learned), space=small_space())
        warm = {model.key for model in study.warm_start.models}
        assert len(warm) == MOST
        for job in slots.jobs:
            expected = tmp_path / "new" / "warm_start" / f"{job.spec.key()}.safetensors"
            assert job.initial == (expected if job.spec.key() in warm else None)
            if job.initial is not None:
                found = InitialWeights.load(job.initial)
                np.testing.assert_array_equal(found.embeddings, weights_of(job.spec)["embeddings"])  # type: ignore[arg-type]
                np.testing.assert_array_equal(found.rows, np.arange(NODES))
        said = {row["name"]: row["remark"] for row in leaderboard(study)["rows"] if row["kind"] == "gnn"}
        assert {key for key, remark in said.items() if "warm start" in remark} == warm

    def test_cold_ones_are_not_held_against_them(self, learned: Path, tmp_path: Path) -> None:
        class Ahead(LearningSlot):
            def epochs_of(self, spec: BranchSpec) -> list[EpochResult]:
                ndcg = 0.5 if self.jobs[-1].initial is None else 0.9
                return [EpochResult(epoch, 0.5, ndcg, 0.01) for epoch in range(1, 13)]

            def result(self) -> Result:
                return replace(super().result(), history=tuple(self.epochs_of(self.jobs[-1].spec)))

        slots = Ahead()
        space = space_of(start=[{"layers": ["gcn", "lightgcn"], "embedding_dim": 8}])
        go(tmp_path / "new", trials=MOST + 2, slots=slots, source=source_of(learned), space=space)
        assert [job.initial is None for job in slots.jobs].count(False) == MOST
        assert all(slots.replies)

    def test_ids_are_matched_whatever_their_type(self, learned: Path) -> None:
        users = Vocabulary.from_ids([*(str(user) for user in range(20, NUM_USERS)), "new"])
        items = Vocabulary.from_ids(range(5, NUM_ITEMS + 5))
        found = Transfer.of(source_of(learned), small_space(), with_ids(users, items))
        initial = loaded(found)
        assert len(initial.rows) == 40 + 35
        for row, embedding in zip(initial.rows, initial.embeddings, strict=True):
            ours = users.id(row) if row < len(users) else items.id(row - len(users))
            assert embedding[0] == int(ours) + (0 if row < len(users) else NUM_USERS)
        assert (found.warm.models[0].users, found.warm.models[0].items) == (40, 35)

    def test_too_few_ids_in_common(self, learned: Path) -> None:
        strangers = Vocabulary.from_ids(range(1000, 1000 + NUM_USERS))
        found = Transfer.of(source_of(learned), small_space(), with_ids(strangers, make_dataset().items))
        assert found.weights == {}
        assert len(found.warm.models) == MOST
        assert found.warm.remarks == (
            "no weights carried over: learned knows 40% of the users and items, and half is the least",
        )

    def test_weights_that_know_what_is_held_out(self, learned: Path) -> None:
        dataset = make_dataset()
        told = replace(dataset, valid=dataset.selection.positives)
        found = Transfer.of(source_of(learned), small_space(), told)
        assert found.weights == {}
        assert found.warm.remarks == ("no weights carried over: learned has learned 100% of what is held out",)

    def test_what_their_ancestors_learned_counts_as_well(self, middle: Path, tmp_path: Path) -> None:
        """A network that began with another study's weights has learned from the data of both."""
        dataset, source = make_dataset(), source_of(middle)
        warm, cold = source.models["gnn"][0], replace(NET, layers=("gcn", "lightgcn"))
        assert source.warm.begins_trained(warm.key())
        assert not source.warm.begins_trained(cold.key())
        KeptWeights(middle, sparser(dataset)).keep(cold, 0.99, weights_of(cold))
        source = replace(source, models={"gnn": (warm, cold)})
        lost = dataset.selection.positives - sparser(dataset).selection.positives
        assert lost.nnz > 20
        told = replace(dataset, valid=lost, selection=sparser(dataset).selection)
        found = Transfer.of(source, small_space(), told)
        assert [bool(model.digest) for model in found.warm.models] == [False, True]
        assert found.warm.remarks == (
            f"no weights of {warm.key()} carried over: with what it was started from, middle has learned 100% of what "
            "is held out",
        )
        unseen = replace(told, valid=dataset.valid)
        found = Transfer.of(source, small_space(), unseen)
        assert [bool(model.digest) for model in found.warm.models] == [True, True]
        assert found.warm.remarks == ()
        assert len(found.warm.learned) == 2  # what middle has and what learned had, whichever network comes first
        turned = Transfer.of(replace(source, models={"gnn": (cold, warm)}), small_space(), unseen)
        assert turned.warm.learned == found.warm.learned
        assert len(Transfer.of(replace(source, models={"gnn": (cold,)}), small_space(), unseen).warm.learned) == 1

    def test_so_does_what_those_had_learned_before(self, middle: Path, tmp_path: Path, monkeypatch: Any) -> None:
        dataset, sparse = make_dataset(), sparser(make_dataset())
        third = replace(sparse, selection=InteractionGraph(sparse.valid, sparse.valid), fingerprint="c" * 64)
        monkeypatch.setattr("toy_study.make_dataset", lambda: third)
        study = go(tmp_path / "third", trials=3, slots=LearningSlot(), source=source_of(middle), space=small_space())
        assert len(study.warm_start.learned) == 2
        source = source_of(study.folder)
        lost = dataset.selection.positives - sparse.selection.positives
        for held_out in (lost, sparse.selection.positives, third.selection.positives):
            found = Transfer.of(source, small_space(), replace(dataset, valid=held_out))
            assert not any(model.digest for model in found.warm.models if source.warm.begins_trained(model.origin))
            assert "has learned 100% of what is held out" in found.warm.remarks[-1]

    def test_where_it_is_not_known_what_they_have_learned_none_are_carried(self, middle: Path) -> None:
        """So it is with a study that an earlier version started from another one; its cold networks are carried."""
        source = source_of(middle)
        earlier = replace(source, warm=replace(source.warm, learned=()))
        found = Transfer.of(earlier, small_space(), sparser(make_dataset()))
        carried = [bool(model.digest) for model in found.warm.models]
        assert carried == [not source.warm.begins_trained(model.origin) for model in found.warm.models]
        trained = ", ".join(model.origin for model in found.warm.models if source.warm.begins_trained(model.origin))
        unknown = "middle does not say what those that it was started from had learned"
        assert found.warm.remarks == (f"no weights of {trained} carried over: {unknown}",)

    def test_a_record_without_it_is_read(self, learned: Path, tmp_path: Path) -> None:
        """As earlier versions wrote it."""
        warm = replace(Transfer.of(source_of(learned), small_space(), sparser(make_dataset())).warm, learned=())
        warm.write(tmp_path, {})
        raw = json.loads((tmp_path / "warm_start.json").read_bytes())
        assert set(raw) == {"data", "models", "remarks", "source", "study"}
        assert WarmStart.read(tmp_path, warm.digest) == warm

    def test_what_ancestors_learned_is_kept_and_verified(self, middle: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(middle, tmp_path / "copy"))
        warm = Study.load(folder).warm_start
        ((file, _),) = warm.learned
        (told,) = warm.earlier()
        assert (told.positives != make_dataset().selection.positives).nnz == 0
        path = folder / "warm_start" / file
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        for use in (warm.verify, warm.earlier):
            with pytest.raises(IntegrityError, match="is damaged: it is not what the study was begun with"):
                use()
        path.unlink()
        with pytest.raises(IntegrityError, match="is missing"):
            Study.load(folder).warm_start.verify()

    def test_features_keep_their_weights_by_name(self, learned: Path, tmp_path: Path) -> None:
        table = FeatureTable(("a", "b"), np.ones((NUM_ITEMS, 2), np.float32))
        folder = Path(shutil.copytree(learned, tmp_path / "featured"))
        shutil.rmtree(folder / "weights")
        spec = replace(NET, features=True)
        by_item = np.arange(16, dtype=np.float32).reshape(2, 8)
        by_user = np.empty((0, 8), np.float32)
        weights = {**weights_of(spec), "features.by_item": by_item, "features.by_user": by_user}
        KeptWeights(folder, replace(make_dataset(), item_features=table)).keep(spec, 0.5, weights)
        other = FeatureTable(("b", "c"), np.ones((NUM_ITEMS, 2), np.float32))
        graph = replace(make_dataset().selection, item_features=other)
        genes, fixed = {"operator": ["gcn"], "features": [False, True]}, {"num_layers": 1, "embedding_dim": 8}
        space = SearchSpace.from_json({"genes": genes, "fixed": fixed, "start": [{"layers": ["gcn"]}]})
        source = replace(source_of(folder), models={"gnn": (spec,)})
        found = Transfer.of(source, space, replace(make_dataset(), selection=graph, item_features=other))
        carried = loaded(found).weights
        np.testing.assert_array_equal(carried["features.by_item"], [by_item[1], np.zeros(8)])
        assert carried["features.by_user"].shape == (0, 8)


def with_ids(users: Vocabulary, items: Vocabulary) -> Dataset:
    """The toy data, as large as these vocabularies, with nothing held out that anybody knows."""
    dataset = make_dataset()
    shape = (len(users), len(items))
    positives = sp.csr_matrix(np.eye(*shape, dtype=np.float32))
    graph = InteractionGraph(positives, positives)
    nothing = sp.csr_matrix(shape, dtype=np.float32)
    return replace(dataset, users=users, items=items, selection=graph, final=graph, valid=nothing)


def loaded(found: Transfer) -> InitialWeights:
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(found.weights[found.warm.models[0].file])
        return InitialWeights.load(Path(file.name))


class TestTrainedOn:
    def test_it_comes_back(self, tmp_path: Path) -> None:
        table = FeatureTable(("price", "colour=red"), np.ones((NUM_ITEMS, 2), np.float32))
        texts = Vocabulary.from_ids([f"user-{row}" for row in range(NUM_USERS)])
        told = TrainedOn.of(replace(make_dataset(), users=texts, item_features=table))
        (tmp_path / "a").write_bytes(told.to_bytes())
        found = TrainedOn.load(tmp_path / "a")
        assert (found.users, found.items, found.features) == (texts, told.items, ((), ("price", "colour=red")))
        assert (found.positives != told.positives).nnz == 0

    @pytest.mark.parametrize(
        ("theirs", "ours", "expected"),
        [
            ([1, 2, 10], [2, 3, 10], [2, 10]),
            (["1", "10", "2", "x"], [2, 3, 10], [2, 10]),
            ([1, 2, 10], ["02", "10", "2"], ["10", "2"]),
            (["a", "b"], ["b", "c"], ["b"]),
            (["-0", "0"], [0], [0]),
            (["a"], [1], []),
        ],
    )
    def test_a_number_is_the_same_id_as_its_text(self, theirs: Any, ours: Any, expected: Any) -> None:
        one, other = Vocabulary.from_ids(theirs), Vocabulary.from_ids(ours)
        found = matched(one, other)
        assert other.ids(found.ours) == expected
        assert [int(x) if str(x).lstrip("-").isdigit() else x for x in one.ids(found.theirs)] == [
            int(x) if str(x).isdigit() else x for x in expected
        ]
        assert (np.diff(found.ours) > 0).all()

    def test_how_much_of_what_is_held_out_was_learned(self) -> None:
        told = TrainedOn.of(make_dataset())
        users, items = Vocabulary.from_ids(range(1, NUM_USERS)), Vocabulary.from_ids([f"{i}" for i in range(NUM_ITEMS)])
        learned = told.positives.toarray()
        held_out = np.zeros((len(users), len(items)), np.float32)
        held_out[3, items.rows([f"{i}" for i in np.flatnonzero(learned[4])])] = 1.0
        share = seen_share([told], sp.csr_matrix(held_out), users, items)
        assert share == 1.0
        held_out[3, items.rows([f"{i}" for i in np.flatnonzero(learned[4] == 0)])] = 1.0
        share = seen_share([told], sp.csr_matrix(held_out), users, items)
        assert share == pytest.approx(learned[4].mean())
        assert seen_share([told], sp.csr_matrix(held_out.shape), users, items) == 0.0
        rest = replace(told, positives=sp.csr_matrix((learned == 0).astype(np.float32)))
        for several, expected in (([told, told], share), ([told, rest], 1.0), ([], 0.0)):  # each pair counts once
            assert seen_share(several, sp.csr_matrix(held_out), users, items) == pytest.approx(expected)
