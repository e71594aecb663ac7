"""What the content encoder costs is bounded: terms, items that are looked at, and what is kept."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from attribute_tables import attributes_of
from content_tables import encoder_of

from gnas_serve.runtime import content_encoder
from gnas_serve.runtime.content_encoder import MAX_TERMS, ContentEncoder
from gnas_serve.runtime.kept import Kept


@pytest.fixture
def encoder() -> ContentEncoder:
    titles = ["red shoe", "blue shoe", "red boots"] * 10
    counts = np.ones(30, np.int32)
    return ContentEncoder(*encoder_of(attributes_of({"title": titles}), counts), counts)


def test_of_a_long_text_the_rarest_words_count() -> None:
    common = " ".join(f"w{place}" for place in range(2 * MAX_TERMS))
    attributes = attributes_of({"title": [common] * 20 + ["needle in here"] * 3})
    facts, content = encoder_of(attributes, np.ones(23, np.int32), neighbours=3, prior=0.0)
    encoder = ContentEncoder(facts, content, np.ones(23, np.int32))
    lean = encoder.lean({"title": f"{common} needle"})
    assert lean is not None
    terms, weights = encoder._query([f"{common} needle"])
    assert len(terms) == MAX_TERMS
    assert np.linalg.norm(weights) == pytest.approx(1.0)
    assert int(np.argmax(weights)) == int(np.argmax(content.rarity[terms]))


def test_a_long_text_leaves_a_heavier_attribute_in() -> None:
    title = " ".join(f"w{place}" for place in range(2 * MAX_TERMS))
    attributes = attributes_of({"kind": ["a", "b"] * 12, "title": [title] + ["other thing"] * 23})
    facts, content = encoder_of(attributes, np.ones(24, np.int32), weights=(4.0, 1.0))
    assert [column.name for column in facts.columns] == ["kind", "title"]
    terms, _ = ContentEncoder(facts, content, np.ones(24, np.int32))._query(["a", title])
    assert len(terms) == MAX_TERMS
    # Every word of the title is rarer than the kind.
    assert terms[0] == 0


def test_of_words_that_many_items_have_the_rarest_count(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = ["all some few"] * 3 + ["all some"] * 7 + ["all"] * 20
    facts, content = encoder_of(attributes_of({"title": titles}), np.ones(30, np.int32), neighbours=30, prior=0.0)

    def rows(told: str, most: int) -> list[int]:
        monkeypatch.setattr(content_encoder, "MAX_POSTINGS", most)
        lean = ContentEncoder(facts, content, np.ones(30, np.int32)).lean({"title": told})
        assert lean is not None
        assert lean.weights.sum() == pytest.approx(1.0)
        return sorted(lean.rows.tolist())

    assert rows("all some few", 43) == list(range(30))  # 30 + 10 + 3 items have the words
    assert rows("all some few", 42) == list(range(10))
    assert rows("all some few", 13) == list(range(10))
    assert rows("all some few", 12) == [0, 1, 2]
    # Of a word that alone is too common, items that are spread evenly.
    assert rows("all", 10) == list(range(0, 30, 3))
    assert rows("all", 29) == list(range(0, 30, 2))


def test_what_is_kept_is_small_whatever_is_told(encoder: ContentEncoder) -> None:
    title = "red shoe " + "x" * 1_000_000
    tracemalloc.start()
    found = [encoder.lean({"title": f"{title}{place}"}) for place in range(20)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
    # And what is told again is not looked up again.
    assert all(encoder.lean({"title": f"{title}{place}"}) is found[place] for place in range(20))


def test_an_encoder_is_freed_with_its_last_user() -> None:
    counts = np.ones(4, np.int32)
    encoder = ContentEncoder(*encoder_of(attributes_of({"title": ["red shoe", "red"] * 2}), counts), counts)
    encoder.lean({"title": "red"})
    freed = weakref.ref(encoder)
    gc.disable()
    try:
        del encoder
        assert freed() is None
    finally:
        gc.enable()


def test_the_latest_used_values_are_kept() -> None:
    kept: Kept[str] = Kept(2)
    for name in ("one", "two"):
        kept.put(name.encode(), name)
    assert kept.get(b"one") == "one"
    kept.put(b"three", "three")
    assert [kept.get(key) for key in (b"one", b"two", b"three")] == ["one", None, "three"]
    assert len(kept) == 2


def test_an_average_is_told_by_known_items_from_all_over_the_catalogue() -> None:
    counts = np.ones(2000, np.int32)
    counts[::2] = 0
    facts, content = encoder_of(attributes_of({"kind": ["a", "b", "b", "a"] * 500}), counts)
    encoder = ContentEncoder(facts, content, counts)
    lean = encoder.lean({"kind": "a"})
    assert lean is not None
    asked: list[np.ndarray] = []

    def score(rows: np.ndarray) -> np.ndarray:
        asked.append(rows)
        return rows.astype(np.float32)

    encoder.leaning([lean]).liked(score, np.empty(0, np.int64))
    references = asked[0]
    assert len(references) == 256
    assert (references[0], references[-1]) == (1, 1999)
    assert set(np.diff(references).tolist()) <= {6, 8}
    assert (counts[references] > 0).all()
