"""Segments of a checkpoint's users: which values make one, what is counted, and how much is kept."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from attribute_tables import attributes_of
from planted_checkpoint import planted_checkpoint

from gnas_export.retrieval import segments
from gnas_export.retrieval.segments import LEAST_USERS, MAX_VALUES, fixed_features, said_by, segment_table
from gnas_serve.artifact.segment_facts import SegmentFacts, UserFeature

USERS = 300


def checkpoint_of(**said):
    return replace(planted_checkpoint(num_users=USERS), user_attributes=attributes_of(said))


def test_values_that_enough_users_share_make_segments():
    camps = ["a"] * (LEAST_USERS - 1) + ["b"] * LEAST_USERS + ["c"] * 200
    checkpoint = checkpoint_of(
        camp=camps + [None] * (USERS - len(camps)),
        member=[row % 3 == 0 for row in range(USERS)],
        stars=[row % 5 for row in range(USERS)],
        age=[None if row < 30 else float(row) for row in range(USERS)],
        alike=["same"] * USERS,
        few=[row + 0.5 if row < 60 else None for row in range(USERS)],
        tags=[["x"]] * USERS,
    )
    features = {feature.name: feature for feature in fixed_features(checkpoint)}
    assert features["camp"] == UserFeature("camp", "text", ("b", "c"))
    assert features["member"] == UserFeature("member", "number", (0.0, 1.0))
    assert features["stars"].values == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert (features["age"].kind, features["age"].num_segments) == ("bins", 6)
    assert features["alike"].values == ()  # tells nobody apart
    assert features["few"] == UserFeature("few", "bins")
    assert "tags" not in features


def test_ranges_are_of_about_equally_many_users():
    rng = np.random.default_rng(0)
    values = np.exp(rng.standard_normal(USERS)).tolist()
    (feature,) = fixed_features(checkpoint_of(income=values))
    sizes = np.bincount(np.searchsorted(feature.values, values, side="right"))
    assert sizes.tolist() == pytest.approx([USERS / 6] * 6, abs=2)
    half = [0.0] * (USERS // 2) + values[USERS // 2 :]
    (feature,) = fixed_features(checkpoint_of(income=half))
    sizes = np.bincount(np.searchsorted(feature.values, half, side="right"))
    assert sizes.min() > 0
    assert feature.values[0] > 0.0


def test_users_without_an_item_and_too_many_values_are_left_out():
    checkpoint = planted_checkpoint(num_users=2000, num_items=60)
    nobody = checkpoint.train.tolil()
    nobody[1000:] = 0
    said = {"place": [f"{row % 90:03d}" if row < 1900 else "late" for row in range(2000)]}
    made = replace(checkpoint, train=sp.csr_matrix(nobody), user_attributes=attributes_of(said))
    made.train.eliminate_zeros()
    assert fixed_features(made)[0].values == ()  # ten users each
    (feature,) = fixed_features(replace(made, train=checkpoint.train))
    assert len(feature.values) == MAX_VALUES
    assert "late" in feature.values  # a hundred users: the most


def test_no_more_features_than_are_read(monkeypatch):
    monkeypatch.setattr(segments, "MAX_FEATURES", 2)
    said = {name: [row % 2 == 0 for row in range(USERS)] for name in "abcd"}
    assert [len(feature.values) for feature in fixed_features(checkpoint_of(**said))] == [2, 2, 0, 0]


@pytest.fixture
def counted():
    rng = np.random.default_rng(1)
    checkpoint = checkpoint_of(
        camp=[None if draw < 0.1 else ("north" if draw < 0.5 else "süd") for draw in rng.random(USERS)],
        age=[None if draw < 0.2 else round(40 * draw, 2) for draw in rng.random(USERS)],
        stars=rng.integers(0, 4, USERS).tolist(),
    )
    return checkpoint, SegmentFacts(fixed_features(checkpoint), 100.0, 0.5)


def test_what_is_counted(counted):
    checkpoint, facts = counted
    table = segment_table(facts, checkpoint.user_attributes, checkpoint.train)
    table.check_counts()
    said = [dict(said_by(checkpoint.user_attributes, row)) for row in range(USERS)]
    train, place = checkpoint.train.toarray(), 0
    assert facts.num_segments == 2 + 6 + 4
    for feature in facts.features:
        for number in range(feature.num_segments):
            if feature.kind == "bins":
                low, high = [-np.inf, *feature.values][number], [*feature.values, np.inf][number]
                inside = [low <= one[feature.name] < high if feature.name in one else False for one in said]
            else:
                inside = [one.get(feature.name) == feature.values[number] for one in said]
            own = train[np.array(inside)].sum(axis=0)
            span = slice(table.offsets[place], table.offsets[place + 1])
            assert table.items[span].tolist() == np.flatnonzero(own).tolist()
            assert table.counts[span].tolist() == own[own > 0].astype(int).tolist()
            assert table.totals[place] == own.sum() > 0
            place += 1


def test_of_long_lists_the_items_that_answers_begin_with_are_kept(counted, monkeypatch):
    checkpoint, facts = counted
    whole = segment_table(facts, checkpoint.user_attributes, checkpoint.train)
    monkeypatch.setattr(segments, "MAX_ENTRIES", 7 * facts.num_segments)
    short = segment_table(facts, checkpoint.user_attributes, checkpoint.train)
    short.check_counts()
    assert np.diff(short.offsets).tolist() == [7] * facts.num_segments
    np.testing.assert_array_equal(short.totals, whole.totals)
    counts = 1.0 + np.asarray(checkpoint.train.sum(axis=0)).ravel()
    for place in range(facts.num_segments):
        span, kept = (slice(*table.offsets[place : place + 2]) for table in (whole, short))
        rows, own = whole.items[span], whole.counts[span]
        scores = np.log(counts[rows]) + np.log1p(own * counts.sum() / (1000 * counts[rows]))
        best = np.sort(np.argsort(-scores, kind="stable")[:7])
        assert short.items[kept].tolist() == rows[best].tolist()
        assert short.counts[kept].tolist() == own[best].tolist()


def test_without_features_there_is_nothing():
    assert fixed_features(planted_checkpoint()) == ()
    facts = SegmentFacts((UserFeature("age", "bins"),), 1.0, 1.0)
    checkpoint = checkpoint_of(age=[1.5] * USERS)
    assert segment_table(facts, checkpoint.user_attributes, checkpoint.train) is None
