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
from gnas_search.held_out import COLD_HISTORY, HeldOutReport, evaluate_checkpoint
from gnas_search.train import train_checkpoint


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
    return World(dataset, test, checkpoint, evaluate_checkpoint(checkpoint, dataset, test, k=10))


def test_groups_of_users_share_the_users_out(world: World) -> None:
    lengths = np.diff(world.dataset.final.positives.indptr)[world.test.user_rows]
    cold, warm = world.report.groups["cold_users"], world.report.groups["warm_users"]
    assert (cold.users, warm.users) == (int((lengths <= COLD_HISTORY).sum()), int((lengths > COLD_HISTORY).sum()))
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
    assert list(world.report.metrics) == [f"{name}@10" for name in names]
    assert {"coverage@10", "gini@10", "novelty@10"} <= set(world.report.exposure)
    told = world.report.to_json()
    assert told["groups"]["head_items"]["items"] == world.report.groups["head_items"].items
    assert told["exposure"] == world.report.exposure
    assert "items" not in told["groups"]["cold_users"]
