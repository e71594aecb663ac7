"""Similar items of every kind of model: by vectors that tell items apart, else by links, else an honest refusal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import BLEND, write_blended_artifact

from gnas_serve.artifact.branches import COMPRESSED, POPULARITY, TWO_HOP, BranchFacts, spans
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ItemNotFoundError, RequestError
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.similar import SimilarItems

FILTER, LINKS, NETWORK, PRIOR = BLEND
SHORT = BranchFacts("short", COMPRESSED, 5)
ITEMS = 80


def loaded(folder: Path, branches: tuple[BranchFacts, ...], tables: str = "float32") -> Recommender:
    return Recommender.load(write_blended_artifact(folder / "artifact", branches=branches, tables=tables))


def personal_columns(folder: Path, branches: tuple[BranchFacts, ...]) -> np.ndarray:
    """Read the item vectors without the popularity column, the long way."""
    vectors = np.load(folder / "artifact" / LAYOUT.item_vectors).astype(np.float64)
    wide = [branch for branch in branches if branch.kind != TWO_HOP]
    parts = zip(wide, spans(branches), strict=True)
    return np.concatenate([vectors[:, span] for branch, span in parts if branch.kind != POPULARITY], axis=1)


@pytest.mark.parametrize(
    "branches",
    [(NETWORK,), (FILTER,), (SHORT,), (FILTER, PRIOR), (PRIOR, NETWORK), (FILTER, PRIOR, NETWORK), BLEND],
    ids=lambda branches: " + ".join(branch.kind for branch in branches),
)
@pytest.mark.parametrize("tables", ["float32", "float16"])
def test_popularity_is_no_likeness(tmp_path: Path, branches: tuple[BranchFacts, ...], tables: str) -> None:
    recommender = loaded(tmp_path, branches, tables)
    vectors = personal_columns(tmp_path, branches)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row in (0, 41, 79):
        answer = recommender.similar_items(recommender.items.id(row), 12)
        order = [other for other in np.argsort(-(unit @ unit[row]), kind="stable") if other != row][:12]
        assert answer.item_ids == recommender.items.ids(order)
        assert answer.scores == pytest.approx((unit @ unit[row])[order], abs=1e-5)
        assert answer.source == "item"


def test_int8_vectors_too(tmp_path: Path) -> None:
    recommender = loaded(tmp_path, (FILTER, PRIOR), "int8")
    scales = np.load(tmp_path / "artifact" / LAYOUT.item_scales)[:, 0]
    vectors = personal_columns(tmp_path, (FILTER, PRIOR)) * scales[:, None]
    cosines = vectors @ vectors[3] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[3])
    cosines[3] = -np.inf
    order = np.argsort(-cosines, kind="stable")[:5]
    answer = recommender.similar_items(recommender.items.id(3), 5)
    assert answer.item_ids == recommender.items.ids(order)
    assert answer.scores == pytest.approx(cosines[order], abs=1e-5)


@pytest.mark.parametrize("branches", [(LINKS, PRIOR), (PRIOR, replace(LINKS, history_power=1.5))])
def test_where_only_popularity_has_vectors_links_tell(tmp_path: Path, branches: tuple[BranchFacts, ...]) -> None:
    recommender = loaded(tmp_path, branches)
    offsets, items, values = (
        np.load(tmp_path / "artifact" / name)
        for name in (LAYOUT.neighbour_offsets, LAYOUT.neighbour_items, LAYOUT.neighbour_values)
    )
    to_itself = longer = 0
    for row in range(ITEMS):
        own = slice(offsets[row], offsets[row + 1])
        links = dict(zip(items[own].tolist(), values[own].tolist(), strict=True))
        to_itself += links.pop(row, None) is not None
        longer += len(links) > 3
        expected = sorted(links.items(), key=lambda link: (-link[1], link[0]))
        for k in (3, 50):
            answer = recommender.similar_items(recommender.items.id(row), k)
            assert answer.item_ids == recommender.items.ids([item for item, _ in expected[:k]])
            assert answer.scores == pytest.approx([value for _, value in expected[:k]])
            assert answer.source == "item"
    assert to_itself
    assert longer


def test_a_link_that_weighs_nothing_is_none() -> None:
    links = Neighbours(np.array([0, 3, 3, 3, 3]), np.array([1, 2, 3], np.int32), np.array([0, 2, 0], np.float16), 0.5)
    similar = SimilarItems(EmbeddingTable(np.ones((4, 1), np.float32)), (LINKS, PRIOR), links)
    rows, scores = similar.find(0, 4)
    assert (rows.tolist(), scores.tolist()) == ([2], [2.0])
    rows, scores = similar.find(1, 4)
    assert len(rows) == len(scores) == 0


def test_popularity_alone_says_that_it_cannot_tell(tmp_path: Path) -> None:
    recommender = loaded(tmp_path, (PRIOR,))
    with pytest.raises(RequestError, match="popularity alone") as caught:
        recommender.similar_items(recommender.items.id(3))
    assert caught.value.code == "no_similarity"
    assert caught.value.hint
    with pytest.raises(ItemNotFoundError):
        recommender.similar_items("no such item")
    with pytest.raises(RequestError, match="k: 0"):
        recommender.similar_items(recommender.items.id(3), 0)
