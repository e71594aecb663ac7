"""The encoder of real items: those that were left out of a whole road, recommended to those who had them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from search_world import run

from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

DATA = Path(os.environ.get("GNAS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "ml-100k"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}: set GNAS_REAL_DATA to run this test")
def test_real_items_that_were_left_out_are_recommended_better_than_by_popularity(tmp_path: Path) -> None:
    log, told = pl.read_parquet(DATA / "interactions.parquet"), pl.read_parquet(DATA / "items.parquet")
    ids = np.sort(log["item_id"].unique().to_numpy())
    left_out = set(np.random.default_rng(0).permutation(ids)[: len(ids) // 5].tolist())
    (tmp_path / "data").mkdir()
    log.filter(~pl.col("item_id").is_in(left_out)).write_parquet(tmp_path / "data" / "interactions.parquet")
    told.filter(~pl.col("item_id").is_in(left_out)).write_parquet(tmp_path / "data" / "items.parquet")
    (tmp_path / "filter.json").write_text(json.dumps({"kind": "filter", "response": "ridge", "rank": 64}))
    (tmp_path / "any.toml").write_text("[gates]\nbaseline_loss = 1\nquality_loss = 1\n")
    assert run("train", tmp_path / "data", "--spec", tmp_path / "filter.json", "--out", tmp_path / "checkpoint") == 0
    given = ("--profile", tmp_path / "any.toml", "--ranker", "never", "--out", tmp_path / "artifact")
    assert run("export", tmp_path / "checkpoint", *given) == 0
    recommender = Recommender.load(tmp_path / "artifact")
    rows = told.filter(pl.col("item_id").is_in(left_out)).to_dicts()
    items = [
        (str(row["item_id"]), tuple((name, value) for name, value in row.items() if name != "item_id")) for row in rows
    ]
    parts = [items[start : start + 100] for start in range(0, len(items), 100)]
    wanted = {
        user: set(ids)
        for user, ids in log.filter(pl.col("item_id").is_in(left_out)).group_by("user_id").agg("item_id").iter_rows()
    }
    by_encoder, by_popularity = [], []
    for user, own in sorted(wanted.items())[:160]:
        if recommender.users.row(user) < 0:
            continue
        for part in parts:
            candidates = tuple(item_id for item_id, _ in part)
            if own & {int(one) for one in candidates}:
                asked = {"k": 20, "candidates": candidates, "item_features": tuple(part)}
                by_encoder.append(ndcg(recommender.recommend(Query(user, **asked)).item_ids, own, candidates))
                by_popularity.append(ndcg(recommender.recommend(Query(**asked)).item_ids, own, candidates))
    assert len(by_encoder) > 300
    assert np.mean(by_encoder) > 1.2 * np.mean(by_popularity)


def ndcg(found: list[Any], own: set[int], candidates: tuple[str, ...]) -> float:
    discounts = 1 / np.log2(np.arange(20) + 2)
    most = min(20, len(own & {int(one) for one in candidates}))
    return float(sum(discounts[place] for place, one in enumerate(found) if one in own) / discounts[:most].sum())
