"""The embedded sample: reproducible, plausible, and with a structure that popularity cannot see."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from gnas_search.data.dataset import Dataset
from gnas_search.data.describe import degree_skew
from gnas_search.data.readers import read_config, read_interactions
from gnas_search.data.sample import write_sample
from gnas_search.data.splits import load_dataset
from gnas_serve.errors import ConfigError, StorageError
from gnas_serve.runtime.topk import top_k


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "shop"
    write_sample(out)
    return out


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_sample(tmp_path / name, num_users=60, num_items=50, seed=seed)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert set(hashes(tmp_path / "a")) == {"interactions.parquet", "items.parquet", "users.parquet", "dataset.toml"}
    assert hashes(tmp_path / "a")["interactions.parquet"] != hashes(tmp_path / "c")["interactions.parquet"]


def test_events_come_in_their_order(shop: Path) -> None:
    logs = pl.read_parquet(shop / "interactions.parquet")
    assert logs.height < 250_000
    assert not logs.select("user_id", "item_id", "event").is_duplicated().any()
    assert logs["timestamp"].is_sorted()
    wide = logs.pivot("event", index=["user_id", "item_id"], values="timestamp")
    assert wide["view"].null_count() == 0
    assert (wide["favourite"] > wide["view"]).all()
    assert (wide["purchase"] > wide["favourite"].fill_null(0)).all()
    assert (wide["purchase"] > wide["view"]).all()


def test_popularity_and_activity_are_skewed(shop: Path) -> None:
    interactions = read_interactions(shop, read_config(shop, {}))
    assert interactions.target_event == "purchase"
    assert interactions.items.is_text
    assert not interactions.users.is_text
    assert interactions.item_titles is not None
    assert len(set(interactions.item_titles)) > 600
    for rows in (interactions.user_rows, interactions.item_rows):
        assert degree_skew(np.bincount(rows))["gini"] > 0.3


def normalised(matrix: sp.csr_matrix) -> sp.csr_matrix:
    scales = [np.maximum(np.asarray(matrix.sum(axis)).ravel(), 1) ** -0.5 for axis in (1, 0)]
    return sp.csr_matrix(sp.diags_array(scales[0]) @ matrix @ sp.diags_array(scales[1])).astype(np.float64)


def ndcg(dataset: Dataset, scores: np.ndarray, k: int = 20) -> float:
    scores = scores.copy()
    scores[dataset.selection.positives.nonzero()] = -np.inf
    discounts = 1 / np.log2(np.arange(k) + 2)
    found = []
    for user in np.flatnonzero(np.diff(dataset.valid.indptr)):
        relevant = dataset.valid.indices[dataset.valid.indptr[user] : dataset.valid.indptr[user + 1]]
        hits = np.isin(top_k(scores[user], k), relevant)
        found.append((hits * discounts).sum() / discounts[: len(relevant)].sum())
    return float(np.mean(found))


def test_a_graph_sees_more_than_svd_and_svd_three_times_more_than_popularity(shop: Path) -> None:
    dataset = load_dataset(shop, read_config(shop, {}))
    train = normalised(dataset.selection.positives)
    left, sizes, right = svds(train, k=32, random_state=0)
    users, items = left * np.sqrt(sizes), right.T * np.sqrt(sizes)
    edges = normalised(dataset.selection.edges)
    users_1, items_1 = edges @ items, edges.T @ users
    users_2, items_2 = edges @ items_1, edges.T @ users_1
    popularity = np.asarray(dataset.selection.positives.sum(0)).ravel()
    counted = ndcg(dataset, np.tile(popularity, (len(dataset.users), 1)))
    factored = ndcg(dataset, (left * sizes) @ right)
    spread = ndcg(dataset, (users + users_1 + users_2) @ (items + items_1 + items_2).T)
    assert factored > 3 * counted
    assert spread > 1.15 * factored


@pytest.mark.parametrize("sizes", [{"num_users": 5}, {"num_items": 5}, {"num_users": 10**6, "num_items": 10**6}])
def test_sizes_out_of_bounds_are_refused(sizes: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_sample(tmp_path / "shop", **sizes)
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_the_sample(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(StorageError, match="cannot write") as caught:
            write_sample(tmp_path / "shop", num_users=100, num_items=60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == 10
    assert list(tmp_path.iterdir()) == []
