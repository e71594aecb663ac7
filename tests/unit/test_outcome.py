"""What a checkpoint and an artifact make of the test part, pair by pair and against plain loops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from tiny_artifact import CLOSED_FORM, write_blended_artifact, write_tiny_artifact

from gnas_search.closed_form import FilterSpec, PopularitySpec
from gnas_search.contenders import BASELINE, Contender, baseline_outcomes, compare_outcomes, named_baselines
from gnas_search.data.dataset import Dataset, InteractionGraph, TestPart
from gnas_search.data.interactions import DatasetConfig
from gnas_search.evaluate import mask_scores
from gnas_search.exam import Exam
from gnas_search.held_out import report
from gnas_search.labels import RATED_LOW, SAMPLED
from gnas_search.memory_check import TOO_LARGE
from gnas_search.outcome import (
    LEARNED_RANKER,
    NO_VALIDATION_FIT,
    NOBODY_TO_CALIBRATE_ON,
    NOTHING_TO_TELL,
    Outcome,
    artifact_outcome,
    calibrations,
    checkpoint_outcome,
)
from gnas_search.pointwise import Calibration
from gnas_search.train import train_checkpoint
from gnas_serve.errors import ConfigError, DataMismatchError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.vocabulary import Vocabulary

NUM_USERS, NUM_ITEMS, STRANGERS = 70, 40, 4


class World(NamedTuple):
    exam: Exam
    test: TestPart


def _csr(dense: np.ndarray) -> sp.csr_matrix:
    return sp.csr_matrix(dense.astype(np.float32))


@pytest.fixture(scope="module")
def world() -> World:
    """Users of four tastes; some occur in test alone, one of them wants an item that nobody knows."""
    rng = np.random.default_rng(0)
    taste = np.arange(NUM_USERS)[:, None] % 4 == np.arange(NUM_ITEMS)[None, :] % 4
    part = rng.random((NUM_USERS, NUM_ITEMS))
    likes = rng.random((NUM_USERS, NUM_ITEMS)) < np.where(taste, 0.7, 0.1)
    train, valid, tested = likes & (part < 0.6), likes & (part >= 0.6) & (part < 0.75), likes & (part >= 0.75)
    tested[:, 0] = True
    train[:, 0] = valid[:, 0] = False
    known = NUM_USERS - STRANGERS
    low = ~likes & (rng.random(likes.shape) < 0.2)
    dataset = Dataset(
        users=Vocabulary.from_ids(range(known)),
        items=Vocabulary.from_ids(range(NUM_ITEMS)),
        selection=InteractionGraph(_csr(train[:known]), _csr(train[:known])),
        final=InteractionGraph(_csr((train | valid)[:known]), _csr((train | valid)[:known])),
        valid=_csr(valid[:known]),
        item_features=None,
        user_features=None,
        item_recency=None,
        target_event=None,
        policy="given",
        fingerprint="a" * 64,
        config=DatasetConfig(),
        valid_negatives=_csr((low & (part < 0.5))[:known]),
    )
    rows = np.where(np.arange(NUM_USERS) < known, np.arange(NUM_USERS), -1)
    totals = tested.sum(axis=1)
    totals[-1] += 1
    test = TestPart(list(range(NUM_USERS)), rows, _csr(tested), totals, _csr(low & (part >= 0.5)))
    return World(Exam(dataset, replace(test, negatives=None), k=5), test)


def test_a_checkpoint_is_measured_pair_by_pair(world: World) -> None:
    exam = world.exam
    checkpoint = train_checkpoint(exam.dataset, FilterSpec(rank=8), seed=0)
    outcome = checkpoint_outcome(exam, checkpoint)
    seen = exam.dataset.final.positives.toarray()
    popularity = np.log1p(seen.sum(axis=0)).astype(np.float32)
    curves = outcome.calibration
    assert set(curves) == {"model", "popularity"}
    exact = checkpoint.final.score_rows(exam.dataset.final.positives)(np.arange(len(seen)))
    for place, row in enumerate(exam.test.user_rows.tolist()):
        scores = popularity if row < 0 else exact[row]
        masked = np.zeros(NUM_ITEMS, bool) if row < 0 else seen[row] > 0
        wanted = exam.test.relevant[place].toarray()[0] > 0
        a, b = scores[wanted][:, None], scores[~wanted & ~masked][None, :]
        share = ((a > b) + 0.5 * (a == b)).mean() * wanted.sum() / exam.test.num_relevant[place]
        assert outcome.values["auc"][place] == pytest.approx(share)
        curve = curves["popularity" if row < 0 else "model"]
        pairs = exam.pairs
        mine = pairs.users == place
        chances = 1 / (1 + np.exp(-(curve.slope * scores[pairs.items[mine]].astype(float) + curve.intercept)))
        right = np.where(pairs.labels[mine], chances, 1 - chances)
        assert outcome.values["log_loss"][place] == pytest.approx(-np.log(right).mean(), rel=1e-4)
        assert outcome.values["accuracy"][place] == pytest.approx((right > 0.5).mean())
        best = np.argsort(-np.where(masked, -np.inf, scores), kind="stable")[:5]
        np.testing.assert_array_equal(outcome.evidence.lists[place], best)
    told = report(outcome, exam)
    assert told.groups["test_only_users"].users == STRANGERS
    assert told.users - told.known_users == STRANGERS
    assert told.pointwise["negatives"] == SAMPLED
    assert told.pointwise["pairs"] == 2 * told.pointwise["positive_pairs"] == 2 * exam.test.relevant.nnz
    assert told.pointwise["calibration"]["model"]["slope"] == curves["model"].slope


def test_every_average_names_the_users_it_is_over(world: World) -> None:
    """What two users took in test is unknown to training: nobody can tell the probability of any pair of theirs."""
    wanted = world.exam.test.relevant.toarray()
    wanted[:2] = 0
    exam = Exam(world.exam.dataset, replace(world.exam.test, relevant=_csr(wanted)), k=5)
    outcome = checkpoint_outcome(exam, train_checkpoint(exam.dataset, FilterSpec(rank=8), seed=0))
    told = report(outcome, exam).to_json()
    assert told["users"] == NUM_USERS
    for part in (told, told["known_users"]):
        for name, facts in part["metrics"].items():
            assert facts["users"] == part["users"] - (2 if name in ("log_loss", "accuracy") else 0)
    values = outcome.values["log_loss"]
    assert told["metrics"]["log_loss"]["value"] == pytest.approx(np.nanmean(values))
    groups = told["groups"]
    assert all(groups["test_only_users"]["metrics"][name]["users"] == STRANGERS for name in told["metrics"])
    assert groups["head_items"]["metrics"]["auc"]["users"] == groups["head_items"]["users"]


def _tell_the_same(outcome: Outcome, whole: Outcome) -> None:
    assert len(outcome.evidence.lists) == len(whole.evidence.lists)
    for mine, theirs in zip(outcome.evidence.lists, whole.evidence.lists, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert list(outcome.values) == list(whole.values)
    for name, values in outcome.values.items():
        np.testing.assert_allclose(values, whole.values[name], rtol=1e-5, err_msg=name)
    assert outcome.calibration == whole.calibration


@pytest.mark.parametrize("users", [1, 3, 64])
def test_users_are_examined_in_spans_as_all_at_once(users: int, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last span is a short one, and one has users of whom the model knows and others."""
    exam, spans = world.exam, []
    checkpoint = train_checkpoint(exam.dataset, FilterSpec(rank=8), seed=0)
    whole = checkpoint_outcome(exam, checkpoint)
    monkeypatch.setattr("gnas_search.outcome._BLOCK_SCORES", users * NUM_ITEMS + NUM_ITEMS - 1)
    mask = mask_scores
    monkeypatch.setattr(
        "gnas_search.outcome.mask_scores", lambda scores, *of: (spans.append(len(scores)), mask(scores, *of))
    )
    _tell_the_same(checkpoint_outcome(exam, checkpoint), whole)
    assert spans == [users] * (NUM_USERS // users) + [NUM_USERS % users] * (NUM_USERS % users > 0)


@pytest.mark.parametrize("users", [1, 3])
@pytest.mark.parametrize("learned", [False, True])
def test_an_artifact_is_asked_in_spans_as_all_at_once(
    users: int, learned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender.load(write_tiny_artifact(tmp_path / "a"))
    if learned:
        recommender.info = replace(recommender.info, ranker="mlp")
    exam = _examined(recommender)
    curves = {"model": Calibration(2.0, -1.0), "popularity": Calibration(0.5, 0.0)}
    whole = artifact_outcome(exam, recommender, calibration=curves)
    monkeypatch.setattr("gnas_search.outcome._BLOCK_SCORES", users * len(recommender.items))
    asked: list[int] = []
    outcome = artifact_outcome(exam, recommender, calibration=curves, on_user=lambda: asked.append(1))
    assert len(asked) == exam.num_users > users
    _tell_the_same(outcome, whole)


def test_calibration_sees_validation_alone(world: World) -> None:
    checkpoint = train_checkpoint(world.exam.dataset, FilterSpec(rank=8), seed=0)
    found = calibrations(world.exam, checkpoint)
    blind = Exam(world.exam.dataset, replace(world.exam.test, relevant=_csr(np.eye(NUM_USERS, NUM_ITEMS))), k=5)
    assert calibrations(blind, checkpoint) == found
    assert found["model"].slope > 0
    # The final fit has learned from validation; by its scores the curve would be another.
    other = calibrations(world.exam, replace(checkpoint, selection=checkpoint.final))
    assert other["model"] != found["model"]


def test_low_ratings_are_the_negatives_where_validation_and_test_have_some(world: World) -> None:
    exam = Exam(world.exam.dataset, world.test, k=5)
    assert exam.negatives == RATED_LOW
    assert exam.test.negatives is not None
    assert exam.dataset.valid_negatives is not None
    assert (~exam.pairs.labels).sum() == exam.test.negatives.nnz
    rated = exam.dataset.valid_negatives[exam.validation.users].nnz
    assert (~exam.validation_pairs.labels).sum() == rated
    assert Exam(replace(exam.dataset, valid_negatives=None), world.test, k=5).negatives == SAMPLED


def test_who_knows_nobody_of_validation_is_not_calibrated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = train_checkpoint(world.exam.dataset, FilterSpec(rank=4), seed=0)
    known = replace(world.exam.test, user_rows=np.arange(NUM_USERS) % (NUM_USERS - STRANGERS))
    exam = Exam(world.exam.dataset, known, k=5)
    monkeypatch.setattr("gnas_search.outcome.calibrations", lambda *_: {"popularity": Calibration(1.0, 0.0)})
    outcome = checkpoint_outcome(exam, checkpoint)
    assert outcome.left_out == dict.fromkeys(("log_loss", "accuracy"), NOBODY_TO_CALIBRATE_ON)
    assert "auc" in outcome.values


def test_where_no_test_item_is_known_there_is_nothing_to_tell(world: World) -> None:
    nothing = replace(world.exam.test, relevant=_csr(np.zeros((NUM_USERS, NUM_ITEMS))))
    exam = Exam(world.exam.dataset, nothing, k=5)
    checkpoint = train_checkpoint(exam.dataset, FilterSpec(rank=4), seed=0)
    outcome = checkpoint_outcome(exam, checkpoint)
    assert outcome.left_out == dict.fromkeys(("log_loss", "accuracy"), NOTHING_TO_TELL)


def test_a_model_of_popularity_alone_is_calibrated_as_popularity(world: World) -> None:
    outcome = checkpoint_outcome(world.exam, train_checkpoint(world.exam.dataset, PopularitySpec(), seed=0))
    assert set(outcome.calibration) == {"popularity"}
    assert np.isfinite(outcome.values["log_loss"]).all()


def test_models_of_other_data_or_another_split_are_refused(world: World) -> None:
    checkpoint = train_checkpoint(world.exam.dataset, FilterSpec(rank=4), seed=0)
    with pytest.raises(DataMismatchError, match="the checkpoint was made from other data"):
        checkpoint_outcome(world.exam, replace(checkpoint, fingerprint="b" * 64))
    rated = replace(checkpoint.config, min_rating=3.0)
    others: tuple[tuple[str, object, dict[str, Any]], ...] = (
        ("min_rating", 3.0, {"config": rated}),
        ("split", "random", {"policy": "random"}),
        ("target_event", "buy", {"target_event": "buy"}),
    )
    for setting, value, changes in others:
        with pytest.raises(DataMismatchError, match=f"another split of this data: its {setting} is {value!r}"):
            checkpoint_outcome(world.exam, replace(checkpoint, **changes))


@pytest.mark.parametrize("policy", ["random", "given+random"])
def test_a_seed_that_a_split_was_drawn_by_tells_splits_apart(policy: str, world: World) -> None:
    exam = replace(world.exam, dataset=replace(world.exam.dataset, policy=policy))
    checkpoint = train_checkpoint(exam.dataset, FilterSpec(rank=4), seed=0)
    other = replace(checkpoint, config=replace(checkpoint.config, split_seed=7))
    exam.check(checkpoint, "the checkpoint")
    with pytest.raises(DataMismatchError, match="another split of this data: its split_seed is 7, here it is 0"):
        exam.check(other, "the checkpoint")


def test_one_split_in_other_words_is_no_other_split(world: World) -> None:
    """What was said of the target event and the policy does not count: what they were resolved to does."""
    checkpoint = train_checkpoint(world.exam.dataset, FilterSpec(rank=4), seed=0)
    said = replace(checkpoint.config, split="temporal", target_event="buy", split_seed=7)
    world.exam.check(replace(checkpoint, config=said), "the checkpoint")


def test_baselines_are_fitted_and_compared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    exam = world.exam
    outcome = checkpoint_outcome(exam, train_checkpoint(exam.dataset, FilterSpec(rank=8), seed=0))
    assert named_baselines("baselines") == ["item-knn", "popularity", "svd"]
    assert (named_baselines("svd"), named_baselines("else")) == (["svd"], [])
    left_out: list[tuple[str, str]] = []
    rivals = list(baseline_outcomes(exam, ["popularity", "svd"], on_left_out=lambda *why: left_out.append(why)))
    assert [(one.name, one.kind) for one in rivals] == [("popularity", BASELINE), ("svd", BASELINE)]
    first, _ = compare_outcomes(outcome, rivals, exam)
    assert list(first) == list(outcome.values)
    gain = first["ndcg@5"]
    expected = outcome.values["ndcg@5"].mean() - rivals[0].outcome.values["ndcg@5"].mean()
    assert gain.difference.value == pytest.approx(expected)
    assert gain.p_holm == pytest.approx(2 * gain.p_value)
    assert gain.p_value < 0.01
    (itself,) = compare_outcomes(outcome, [Contender("itself", "checkpoint", outcome)], exam)
    assert {one.p_value for one in itself.values()} == {1.0}

    def refuse(name: str, *_: object, **__: object) -> None:
        raise ConfigError(f"{name} is too much", code=TOO_LARGE if name == "svd" else "other")

    monkeypatch.setattr("gnas_search.contenders.baseline_spec", refuse)
    assert list(baseline_outcomes(exam, ["svd"], on_left_out=lambda *why: left_out.append(why))) == []
    assert left_out == [("svd", "svd is too much")]
    with pytest.raises(ConfigError, match="popularity is too much"):
        list(baseline_outcomes(exam, ["popularity"], on_left_out=lambda *why: left_out.append(why)))


def _examined(recommender: Recommender, *, strangers: int = 2) -> Exam:
    """Ask the users of an artifact, and some it does not know, for items that they do not have."""
    rng = np.random.default_rng(0)
    users, items = recommender.users, recommender.items
    seen = np.zeros((len(users), len(items)), bool)
    for row in range(len(users)):
        answered = items.rows(recommender.recommend(Query(user_id=users.id(row), k=len(items))).item_ids)
        seen[row] = ~np.isin(np.arange(len(items)), answered)
    wanted = (rng.random((len(users) + strangers, len(items))) < 0.1) & ~np.vstack(
        [seen, np.zeros((strangers, len(items)))]
    ).astype(bool)
    wanted[:, 0] |= ~np.concatenate([seen[:, 0], np.zeros(strangers, bool)])
    wanted[wanted.sum(axis=1) == 0, -1] = True
    graph = InteractionGraph(_csr(seen), _csr(seen))
    dataset = Dataset(
        users,
        items,
        graph,
        graph,
        _csr(np.zeros_like(seen)),
        None,
        None,
        None,
        None,
        "given",
        "a" * 64,
        DatasetConfig(),
    )
    ids: list[int | str] = [users.id(row) for row in range(len(users))] + list(range(10**6, 10**6 + strangers))
    rows = np.concatenate([np.arange(len(users)), np.full(strangers, -1)])
    return Exam(dataset, TestPart(ids, rows, _csr(wanted), wanted.sum(axis=1)), k=5)


def _ranking(recommender: Recommender, user_id: int | str) -> np.ndarray:
    """Rank everything by asking for everything."""
    return recommender.items.rows(recommender.recommend(Query(user_id=user_id, k=1000)).item_ids)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("kind", ["tiny", "blended", "reranked"])
def test_an_artifact_is_measured_by_the_order_of_its_answers(kind: str, learned: bool, tmp_path: Path) -> None:
    if kind == "blended":
        folder = write_blended_artifact(tmp_path / "a", branches=CLOSED_FORM, tables="int8", without_history=3)
    else:
        folder = write_tiny_artifact(tmp_path / "a", weights=(-1.0,) if kind == "reranked" else (1.0,))
    recommender = Recommender.load(folder)
    if learned:
        recommender.info = replace(recommender.info, ranker="mlp")
    exam = _examined(recommender)
    asked = []
    outcome = artifact_outcome(exam, recommender, on_user=lambda: asked.append(1))
    assert len(asked) == exam.num_users
    for place, user_id in enumerate(exam.test.user_ids):
        ranking = _ranking(recommender, user_id)
        np.testing.assert_array_equal(outcome.evidence.lists[place], ranking[:5])
        if kind == "reranked" and not learned:
            continue  # its auc is of what is retrieved, which this ranker turns around
        wanted = np.isin(ranking, exam.test.relevant[place].indices)
        others_below = np.cumsum(~wanted[::-1])[::-1]
        share = (others_below[wanted] / (~wanted).sum()).mean()
        # Popularity has ties, which count half whatever their order in an answer.
        tolerance = 0.12 if recommender.recommend(Query(user_id=user_id)).source == "popularity" else 1e-9
        assert outcome.values["auc"][place] == pytest.approx(share, abs=tolerance)
    assert outcome.left_out == dict.fromkeys(("log_loss", "accuracy"), LEARNED_RANKER if learned else NO_VALIDATION_FIT)
    assert "log_loss" not in outcome.values


def test_an_artifact_is_calibrated_by_its_checkpoint_unless_its_ranker_is_learned(tmp_path: Path) -> None:
    recommender = Recommender.load(write_tiny_artifact(tmp_path / "a"))
    exam = _examined(recommender)
    curves = {"model": Calibration(2.0, -1.0), "popularity": Calibration(0.5, 0.0)}
    outcome = artifact_outcome(exam, recommender, calibration=curves)
    assert outcome.left_out == {}
    scores, known = recommender.catalogue_scores.of(exam.test.user_ids)
    assert known.tolist() == [True] * (exam.num_users - 2) + [False] * 2
    pairs = exam.pairs
    slopes, shifts = np.where(known, 2.0, 0.5), np.where(known, -1.0, 0.0)
    margins = slopes[pairs.users] * scores[pairs.users, pairs.items] + shifts[pairs.users]
    right = ((margins >= 0) == pairs.labels).astype(float)
    np.testing.assert_allclose(outcome.values["accuracy"], pairs.per_user(right))
    # Without a curve for popularity nothing is said of those whom it answers.
    partly = artifact_outcome(exam, recommender, calibration={"model": curves["model"]})
    assert np.isnan(partly.values["log_loss"]).tolist() == (~known).tolist()
    recommender.info = replace(recommender.info, ranker="mlp")
    assert artifact_outcome(exam, recommender, calibration=curves).left_out["log_loss"] == LEARNED_RANKER


def test_scores_of_all_items_are_those_of_the_answers(tmp_path: Path) -> None:
    recommender = Recommender.load(write_blended_artifact(tmp_path / "a", tables="float16", without_history=2))
    ids = [recommender.users.id(row) for row in range(len(recommender.users))] + [10**6]
    scores, known = recommender.catalogue_scores.of(ids)
    for place, user_id in enumerate(ids):
        answer = recommender.recommend(Query(user_id=user_id, k=recommender.candidates))
        assert known[place] == (answer.source == "user")
        np.testing.assert_allclose(scores[place][recommender.items.rows(answer.item_ids)], answer.scores, atol=1e-4)
