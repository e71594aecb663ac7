"""The report on the test part: groups of users and items, against plain loops."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from gnas_search.checkpoint import Checkpoint
from gnas_search.closed_form import FilterSpec
from gnas_search.data.dataset import Dataset, TestPart
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.sample import write_sample
from gnas_search.data.splits import load_with_test
from gnas_search.exam import Exam
from gnas_search.groups import COLD
from gnas_search.held_out import HeldOutReport, report
from gnas_search.outcome import checkpoint_outcome
from gnas_search.train import train_checkpoint

COLD_ITEM = 12  # the shop has none of fewer interactions that somebody wants


class World(NamedTuple):
    dataset: Dataset
    test: TestPart
    checkpoint: Checkpoint
    report: HeldOutReport


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("data") / "shop"
    write_sample(folder, num_users=150, num_items=90, seed=0)
    dataset, test = load_with_test(folder, DatasetConfig())
    checkpoint = train_checkpoint(dataset, FilterSpec(rank=8), seed=0)
    return World(dataset, test, checkpoint, reported(checkpoint, dataset, test))


def reported(checkpoint: Checkpoint, dataset: Dataset, test: TestPart, cold: int = COLD) -> HeldOutReport:
    exam = Exam(dataset, test, 10)
    return report(checkpoint_outcome(exam, checkpoint), exam, cold=cold)


def test_groups_of_users_share_the_users_out(world: World) -> None:
    lengths = np.diff(world.dataset.final.positives.indptr)[world.test.user_rows]
    cold, warm = world.report.groups["cold_users"], world.report.groups["warm_users"]
    assert (cold.users, warm.users) == (int((lengths <= COLD).sum()), int((lengths > COLD).sum()))
    assert cold.users > 0 < warm.users
    for name in ("recall@10", "ndcg@10"):
        together = cold.users * cold.metrics[name].value + warm.users * warm.metrics[name].value
        assert together / world.report.users == pytest.approx(world.report.metrics[name].value)
        assert warm.metrics[name].low < warm.metrics[name].value < warm.metrics[name].high


def test_groups_of_items_have_a_third_of_the_interactions_each(world: World) -> None:
    counts = np.sort(np.bincount(world.dataset.final.positives.indices, minlength=len(world.dataset.items)))[::-1]
    sizes = [world.report.groups[name].items or 0 for name in ("head_items", "middle_items", "tail_items")]
    assert sum(sizes) == len(counts)
    assert sizes == sorted(sizes)
    shares = [part.sum() / counts.sum() for part in np.split(counts, np.cumsum(sizes)[:-1])]
    assert shares == pytest.approx([1 / 3] * 3, abs=counts[0] / counts.sum())


def test_recall_by_group_counts_the_groups_items_alone(world: World) -> None:
    seen = world.dataset.final.positives
    counts = np.bincount(seen.indices, minlength=seen.shape[1])
    scores = world.checkpoint.final.score_rows(seen)(world.test.user_rows)
    scores[seen[world.test.user_rows].toarray() > 0] = -np.inf
    lists = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    popular = np.argsort(-counts, kind="stable").tolist()
    for name in ("head_items", "middle_items", "tail_items"):
        group = world.report.groups[name]
        members, popular = set(popular[: group.items]), popular[group.items :]
        recalls = []
        for place, best in enumerate(lists.tolist()):
            relevant = members & set(world.test.relevant[place].indices.tolist())
            if relevant:
                recalls.append(len(relevant & set(best)) / len(relevant))
        assert group.users == len(recalls)
        assert group.metrics["recall@10"].value == pytest.approx(np.mean(recalls))
    assert not popular


def test_all_metrics_are_told_those_of_selection_first(world: World) -> None:
    names = ["recall", "ndcg", "precision", "f1", "map", "mrr", "hit_rate"]
    further = ["auc", "log_loss", "accuracy", "novelty@10", "diversity@10"]
    assert list(world.report.metrics) == [f"{name}@10" for name in names] + further
    assert {"coverage@10", "gini@10", "novelty@10"} <= set(world.report.exposure)
    told = world.report.to_json()
    assert told["groups"]["head_items"]["items"] == world.report.groups["head_items"].items
    assert told["exposure"] == world.report.exposure
    assert "items" not in told["groups"]["cold_users"]
    assert told["pointwise"] == world.report.pointwise
    for name in ("novelty@10", "diversity@10"):  # all lists are of equal length
        assert world.report.metrics[name].value == pytest.approx(world.report.exposure[name])


def test_groups_tell_every_metric(world: World) -> None:
    for name in ("cold_users", "warm_users"):
        assert list(world.report.groups[name].metrics) == list(world.report.metrics)
    for name in ("warm_items", "head_items"):
        assert list(world.report.groups[name].metrics) == list(world.report.metrics)[:8]


def test_cold_items_are_those_with_few_interactions(world: World) -> None:
    counts = np.bincount(world.dataset.final.positives.indices, minlength=len(world.dataset.items))
    for cold in (3, COLD_ITEM):
        groups = reported(world.checkpoint, world.dataset, world.test, cold).groups
        sizes = {name: group.items for name, group in groups.items() if group.items is not None}
        assert sizes.get("cold_items", 0) in ((counts <= cold).sum(), 0)
        assert sizes["warm_items"] == (counts > cold).sum()
        users = {name: group.users for name, group in groups.items() if group.items is None}
        lengths = np.diff(world.dataset.final.positives.indptr)[world.test.user_rows]
        assert users.get("cold_users", 0) == (lengths <= cold).sum()


def test_recall_and_auc_of_cold_items_by_plain_loops(world: World) -> None:
    seen = world.dataset.final.positives
    counts = np.bincount(seen.indices, minlength=seen.shape[1])
    group = reported(world.checkpoint, world.dataset, world.test, COLD_ITEM).groups["cold_items"]
    recalls, areas = [], []
    for place, row in enumerate(world.test.user_rows.tolist()):
        scores = world.checkpoint.final.score_rows(seen)(np.array([row]))[0]
        masked = set(seen[row].indices.tolist())
        wanted = set(world.test.relevant[place].indices.tolist())
        best = [item for item in np.argsort(-scores, kind="stable").tolist() if item not in masked][:10]
        mine = [item for item in wanted if counts[item] <= COLD_ITEM]
        others = [item for item in range(len(counts)) if item not in masked | wanted]
        if mine:
            recalls.append(len(set(best) & set(mine)) / len(mine))
            wins = np.array([scores[item] > scores[others] for item in mine])
            level = np.array([scores[item] == scores[others] for item in mine])
            areas.append(wins.mean() + 0.5 * level.mean())
    assert group.users == len(recalls) > 0
    assert group.metrics["recall@10"].value == pytest.approx(np.mean(recalls))
    assert group.metrics["auc"].value == pytest.approx(np.mean(areas))
