"""The content encoder: what an unseen item is like, by counting words, and what it scores by that."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from attribute_tables import attributes_of, random_table
from content_tables import PlainEncoder, encoder_of

from gnas_export.retrieval.content import ContentTerms, told_of
from gnas_serve.artifact.content_facts import ContentColumn, ContentFacts
from gnas_serve.artifact.kinds import TEXT
from gnas_serve.runtime import content_encoder
from gnas_serve.runtime.content_encoder import ContentEncoder
from gnas_serve.runtime.content_table import ContentTable, soft_places, words_of
from gnas_serve.runtime.told_values import typed

ITEMS = 120
TITLES = ["red shoe", "Red Boots", "blue shoe", "Größe 42 shoe", "日本 boots", "", "a-b_c d", "red RED red"]


@pytest.fixture(scope="module")
def shop():
    rng = random.Random(3)
    table = random_table(rng, ITEMS) | {"title": [rng.choice(TITLES) or None for _ in range(ITEMS)]}
    counts = np.array([rng.randrange(4) for _ in range(ITEMS)], np.int32)
    attributes = attributes_of(table)
    facts, content = encoder_of(attributes, counts)
    items = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return attributes, counts, facts, content, items


def test_it_leans_on_what_counting_words_finds(shop) -> None:
    _, counts, facts, content, items = shop
    encoder, plain = ContentEncoder(facts, content, counts), PlainEncoder(facts, items, counts)
    rng = random.Random(4)
    scores = np.random.default_rng(0).normal(size=ITEMS)
    leaning = same = 0
    for _ in range(200):
        told = {name: value for name, value in rng.choice(items).items() if value is not None and rng.random() < 0.7}
        told |= {"title": rng.choice(TITLES)} if rng.random() < 0.5 else {}
        given = {name: tuple(one for one in v if one) if isinstance(v, list) else v for name, v in told.items()}
        found, wanted = encoder.lean(given), plain.lean(told)
        if wanted is None or found is None:
            assert found is wanted is None
            continue
        leaning += 1
        # Two items as alike, to the last digits, may change places, and at the end one may be cut for the other.
        np.testing.assert_allclose(found.weights, wanted[1], rtol=1e-5)
        assert found.rest == pytest.approx(wanted[2])
        if list(found.rows) == wanted[0]:
            same += 1
            history = np.sort(np.random.default_rng(leaning).choice(ITEMS, 30, replace=False))
            liked = encoder.leaning([found]).liked(scores.take, history)
            assert liked.scores[0] == pytest.approx(plain.score(wanted, scores, set(history.tolist())), rel=1e-5)
            assert liked.scores[0] == pytest.approx(liked.shares_of(0).sum() + liked.rests[0], rel=1e-5)
    assert leaning > 150
    assert same > leaning // 2


def test_many_at_once_score_as_each_alone(shop) -> None:
    attributes, counts, facts, content, _ = shop
    encoder = ContentEncoder(facts, content, counts)
    leans = [lean for row in range(40) if (lean := encoder.lean(told_of(attributes, row))) is not None]
    scores, history = np.random.default_rng(1).normal(size=ITEMS), np.arange(0, ITEMS, 3)
    together = encoder.leaning(leans).liked(scores.take, history)
    alone = [encoder.leaning([lean]).liked(scores.take, history).scores[0] for lean in leans]
    np.testing.assert_allclose(together.scores, alone, rtol=1e-6)
    for place, lean in enumerate(leans):
        assert len(together.shares_of(place)) == len(lean.rows)


def test_a_known_item_leans_on_itself_most(shop) -> None:
    attributes, counts, facts, content, _ = shop
    encoder = ContentEncoder(replace(facts, neighbours=1), content, counts)
    for row in np.flatnonzero(counts > 0)[:30].tolist():
        lean = encoder.lean(told_of(attributes, row))
        if lean is not None:
            assert told_of(attributes, int(lean.rows[0])).keys() == told_of(attributes, row).keys()


def test_what_no_known_item_has_is_nothing(shop) -> None:
    _, counts, facts, content, _ = shop
    encoder = ContentEncoder(facts, content, counts)
    for told in (
        {},
        {"title": "unheard-of"},
        {"title": None, "tags": ()},
        {"nothing of the kind": 1.0},
    ):
        assert encoder.lean(told) is None
    one, other = encoder.lean({"tags": ("bag",)}), encoder.lean({"tags": ("BAG", "bag ")})
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.rows, other.rows)


def test_of_many_items_those_that_have_a_term_are_found_alike(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    attributes, counts, facts, content, _ = shop
    found = []
    for sparse in (0, 10**9):  # always as of few items, and always as of many
        monkeypatch.setattr(content_encoder, "_SPARSE", sparse)
        encoder = ContentEncoder(facts, content, counts)
        found.append([encoder.lean(told_of(attributes, row)) for row in range(40)])
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one.rows, other.rows)
            np.testing.assert_array_equal(one.weights, other.weights)


def test_what_is_kept_tells_truths_from_numbers() -> None:
    attributes = attributes_of({"kind": ["true", "1", "true", "1"], "rest": ["a", "b", "b", "a"]})
    facts, content = encoder_of(attributes, np.ones(4, np.int32), neighbours=2, prior=0.0)
    encoder = ContentEncoder(facts, content, np.ones(4, np.int32))
    leans = [encoder.lean({"kind": typed(TEXT, value)}) for value in (True, 1.0, True, "1")]
    assert [sorted(lean.rows.tolist()) for lean in leans if lean is not None] == [[0, 2], [1, 3], [0, 2], [1, 3]]


def test_items_that_nobody_has_are_leaned_on_by_none(shop) -> None:
    _, counts, _, content, _ = shop
    assert (counts[content.items] > 0).all()


def test_words_and_numbers_are_read_alike_by_both_sides() -> None:
    assert words_of("Red, RED shoe! Straße_2") == ["red", "shoe", "strasse_2"]
    knots = (0.0, 1.0, 4.0)
    lower, share = soft_places(np.array([-9.0, 0.0, 0.5, 1.0, 2.5, 4.0, 99.0]), knots)
    np.testing.assert_array_equal(lower, [0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(share, [0, 0, 0.5, 0, 0.5, 1, 1])


def test_what_tells_no_items_apart_or_names_each_is_not_read() -> None:
    attributes = attributes_of(
        {
            "code": [f"B00{row}" for row in range(30)],
            "brand_id": list(range(30)),
            "same": [7.0] * 30,
            "kind": ["ab"[row % 2] for row in range(30)],
            "price": [float(row % 5) for row in range(30)],
        }
    )
    assert [(one.name, one.kind) for one in ContentTerms.of(attributes).columns] == [
        ("kind", "text"),
        ("price", "number"),
    ]
    assert ContentTerms.of(None).columns == ()


def checked(folder: Path, facts: ContentFacts) -> ContentTable:
    found = ContentTable.open(folder, facts)
    assert found is not None
    found.check_content(facts)
    return found


def written(folder: Path, content: ContentTable) -> Path:
    for name, array in content.stored().items():
        np.save(folder / name, array, allow_pickle=False)
    return folder


def test_the_table_comes_back_from_its_files(shop, tmp_path: Path) -> None:
    _, _, facts, content, _ = shop
    found = checked(written(tmp_path, content), facts)
    assert found.size_bytes == content.size_bytes
    for name, array in found.stored().items():
        np.testing.assert_array_equal(array, content.stored()[name])
    assert ContentFacts.from_json(facts.to_json()) == facts
    kept = replace(facts, kept_from="v1")
    assert ContentFacts.from_json(kept.to_json()) == kept
    assert ContentTable.open(tmp_path, None) is None


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("offsets", lambda array: array + 1, "does not span"),
        ("values", lambda array: -array, "negative"),
        ("rarity", lambda array: array * np.float32(np.nan), "finite"),
        ("word_offsets", np.zeros_like, "does not span"),
        ("word_bytes", lambda array: array[::-1].copy(), "UTF|utf|ascend"),
    ],
)
def test_a_damaged_table_is_refused(shop, tmp_path: Path, name: str, change, told: str) -> None:
    _, _, facts, content, _ = shop
    damaged = replace(content, **{name: change(getattr(content, name))})
    folder = written(tmp_path, damaged)
    with pytest.raises(ValueError, match=told):
        checked(folder, facts)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": []},
        {"neighbours": 0},
        {"neighbours": True},
        {"neighbours": 2**63},
        {"power": 1e300},
        {"own": 1e40},
        {"prior": 1e308},
        {"power": 0},
        {"prior": -1},
        {"own": "3"},
        {"metrics": {"ndcg@20": None}},
        {"kept_from": 3},
        {"columns": [ContentColumn("a", "text", 1.0, num_words=2).to_json()] * 2},
        {"columns": [{"name": "a", "kind": "number", "weight": 1.0, "knots": [2.0, 1.0]}]},
        {"columns": [{"name": "a", "kind": "text", "weight": 0.0, "num_words": 1}]},
        {"columns": [{"name": "a", "kind": "text", "weight": 1e308, "num_words": 1}]},
        {"columns": [{"name": "a", "kind": "text", "weight": 5e-324, "num_words": 1}]},
        {"columns": [{"name": "a", "kind": "colour", "weight": 1.0, "num_words": 1}]},
        {"columns": [{"name": 1, "kind": "text", "weight": 1.0, "num_words": 1}]},
    ],
)
def test_facts_that_no_export_writes_are_refused(shop, change) -> None:
    with pytest.raises((ValueError, TypeError)):
        ContentFacts.from_json(shop[2].to_json() | change)
