"""Fine-tuning: what came since is mapped by id, scoring layers follow it, embeddings stay to the byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from planted_blend import FILTER, NETWORK, Planted, planted
from planted_checkpoint import planted_checkpoint
from written_logs import make

from gnas_search.blend import assemble
from gnas_search.checkpoint import Checkpoint
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.data.dataset import Dataset
from gnas_search.data.interactions import FeatureTable
from gnas_search.data.splits import split
from gnas_search.division import divided_users
from gnas_search.evaluate import Validation
from gnas_search.finetuning import finetune, fresh_interactions
from gnas_search.finetuning.reweighing import LEAST_SHARE, reweigh
from gnas_search.fit import Fit
from gnas_search.specs import BlendSpec, Share, read_spec
from gnas_search.train import train_checkpoint
from gnas_serve.cli.lineage import finetuned_facts
from gnas_serve.errors import DataError, DataMismatchError, IntegrityError
from gnas_serve.vocabulary import Vocabulary

POPULAR_BLEND = BlendSpec(
    (Share(TwoHopSpec(neighbours=5), 0.8, 0.5, 0.6), Share(FilterSpec(rank=4), 1.2), Share(PopularitySpec(), 0.1, 0.4))
)
USERS, ITEMS = range(100, 130), range(10)


def logs(*, stride: int = 1) -> list[tuple[int, int, str]]:
    """Users 100..129 with five of ten items each; the last one is validation."""
    found = []
    for user in USERS:
        items = [(user + step * stride) % 10 for step in range(5)]
        found += [(user, item, "valid" if place == 4 else "train") for place, item in enumerate(items)]
    return found


def read(rows: list[tuple[int, int, str]], **config: object) -> Dataset:
    pairs = [(user, item) for user, item, _ in rows]
    return split(make(pairs, parts=[part for *_, part in rows], **config))[0]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def old() -> Checkpoint:
    return train_checkpoint(read(logs()), POPULAR_BLEND, seed=0)


@pytest.fixture(scope="module")
def newer() -> Dataset:
    """One more item for ten users; a stranger before all others, and a new item: every row moves."""
    more = [(user, (user + 7) % 10, "train" if user % 2 else "valid") for user in range(100, 110)]
    strangers = [(5, 0, "train"), (5, 1, "train"), (5, -3, "valid"), (101, -3, "train"), (101, 0, "test")]
    return read(logs() + more + strangers)


def test_what_is_fresh_is_found_by_id(old: Checkpoint, newer: Dataset) -> None:
    fresh = fresh_interactions(old, newer)
    rows, items = fresh.interactions.nonzero()
    found = set(zip(old.users.ids(rows), old.items.ids(items), strict=True))
    assert found == {(user, (user + 7) % 10) for user in range(100, 110)}
    assert fresh.left_out == {"interactions": 4, "users": 1, "items": 1}
    assert fresh.counts() == {"interactions": 10, "users": 10, "items": 10}
    assert fresh.missing == 0


def test_what_the_data_no_longer_has_is_counted(old: Checkpoint) -> None:
    shorter = [row for row in logs() if row[0] != 100] + [(101, 9, "train")]
    assert fresh_interactions(old, read(shorter)).missing == 5


def test_histories_and_popularity_follow_and_embeddings_stay(old: Checkpoint, newer: Dataset) -> None:
    made = finetune(old, newer, seed=0).checkpoint
    assert (made.train != old.seen()).nnz == 0
    assert (made.valid != fresh_interactions(old, newer).interactions).nnz == 0
    for before, selection, final in zip(old.final.branches, made.selection.branches, made.final.branches, strict=True):
        for after in (selection, final):
            assert after.facts == before.facts
            np.testing.assert_array_equal(after.user_vectors, before.user_vectors)
            if before.neighbours is not None and after.neighbours is not None:
                np.testing.assert_array_equal(after.neighbours.data, before.neighbours.data)
        np.testing.assert_array_equal(selection.item_vectors, before.item_vectors)
        if before.facts.kind != "popularity":
            np.testing.assert_array_equal(final.item_vectors, before.item_vectors)
    counts = np.asarray(made.seen().sum(axis=0)).ravel()
    expected = np.log1p(counts) * 0.1 / 0.4
    np.testing.assert_allclose(made.final.branches[2].item_vectors.ravel(), expected, rtol=1e-6)
    assert not np.allclose(made.selection.branches[2].item_vectors.ravel(), expected, rtol=1e-6)


def test_the_question_of_the_new_data_is_kept(old: Checkpoint, newer: Dataset, tmp_path: Path) -> None:
    other = replace(old, fingerprint="e" * 64, policy="time", config=replace(old.config, split_seed=7))
    other.save(tmp_path / "old")
    given = Checkpoint.load(tmp_path / "old")
    done = finetune(given, newer, seed=3)
    made = done.checkpoint
    assert (made.fingerprint, made.config, made.policy) == (newer.fingerprint, newer.config, newer.policy)
    lineage = made.finetuned_from
    assert lineage is not None
    assert (lineage["name"], lineage["digest"], lineage["times"]) == (old.name, given.digest, 1)
    assert lineage["fresh"]["interactions"] == 10
    assert lineage["weights"]["reason"].startswith("5 fresh users to fit weights by")
    measured = Validation(made.train, made.valid, max_users=None, seed=0)
    recall, ndcg = measured.score_with(made.selection.score_rows(made.train)).mean()
    assert made.metrics == {"recall@20": recall, "ndcg@20": ndcg}
    made.save(tmp_path / "made")
    assert Checkpoint.load(tmp_path / "made").finetuned_from == lineage
    again = read(logs() + [(user, (user + 7) % 10, "train") for user in USERS])
    second = finetune(Checkpoint.load(tmp_path / "made"), again, seed=0)
    assert second.fresh.counts()["users"] == 20
    assert second.checkpoint.finetuned_from is not None
    assert second.checkpoint.finetuned_from["times"] == 2


@pytest.mark.parametrize("spec", [PopularitySpec(), FilterSpec(rank=4), TwoHopSpec(neighbours=5)])
def test_one_model_alone(spec: PopularitySpec | FilterSpec | TwoHopSpec, newer: Dataset) -> None:
    old = train_checkpoint(read(logs()), spec, seed=0)
    done = finetune(old, newer, seed=0)
    assert done.reweighed is None
    made = done.checkpoint
    assert made.name == old.name
    popularity = [branch for branch in made.final.branches if branch.facts.kind == "popularity"]
    counts = np.asarray(made.seen().sum(axis=0)).ravel()
    for branch in popularity:  # alone, or as the prior of two hops: the same order of items in any size
        vectors = branch.item_vectors.ravel() / branch.item_vectors.max()
        np.testing.assert_allclose(vectors, np.log1p(counts) / np.log1p(counts).max(), rtol=1e-6)
    assert len(popularity) == (0 if isinstance(spec, FilterSpec) else 1)
    assert made.final.branches[0].user_vectors is old.final.branches[0].user_vectors or popularity


def test_a_compressed_blend_has_no_weights_left(newer: Dataset) -> None:
    old = train_checkpoint(read(logs()), replace(POPULAR_BLEND, dims=6), seed=0)
    done = finetune(old, newer, seed=0)
    assert done.reweighed is None
    np.testing.assert_array_equal(done.checkpoint.final.item_vectors, old.final.item_vectors)


def features(names: tuple[str, ...], count: int, value: float) -> FeatureTable:
    return FeatureTable(names, np.full((count, len(names)), value, np.float32))


def test_features_come_from_the_data_where_the_columns_agree(old: Checkpoint, newer: Dataset) -> None:
    given = replace(
        old, item_features=features(("price",), len(old.items), 1.0), user_features=features(("age",), 30, 1.0)
    )
    told = replace(
        newer,
        item_features=features(("price",), len(newer.items), 2.0),
        user_features=features(("height",), len(newer.users), 2.0),
    )
    # An item that the newer data lacks keeps what the checkpoint had of it.
    known = replace(given, items=Vocabulary.from_ids([*range(9), 77]))
    done = finetune(known, told, seed=0)
    assert done.checkpoint.item_features is not None
    assert done.checkpoint.user_features is not None
    assert done.checkpoint.item_features.values.ravel().tolist() == [2.0] * 9 + [1.0]
    assert done.checkpoint.user_features.names == ("age",)
    assert [remark for remark in done.remarks if "user features" in remark] == list(done.remarks)
    assert "age, height" in done.remarks[0]
    assert finetune(given, newer, seed=0).checkpoint.item_features is given.item_features
    bare = finetune(old, told, seed=0).checkpoint.item_features
    assert bare is not None
    assert bare.values.ravel().tolist() == [2.0] * 10


@pytest.mark.parametrize("lineage", [1, {}, {"name": 1}, {"name": "a", "digest": "b", "times": 1, "fresh": []}])
def test_a_lineage_that_nobody_wrote_is_shown_as_such(lineage: object) -> None:
    assert finetuned_facts(lineage) == {"fine-tuned from": "unreadable"}
    assert finetuned_facts(None) == {}


class TestRefusals:
    def test_nothing_fresh(self, old: Checkpoint) -> None:
        with pytest.raises(DataError, match="has learned from every interaction") as caught:
            finetune(old, read(logs()), seed=0)
        assert caught.value.hint

    def test_strangers_alone_are_fresh(self, old: Checkpoint) -> None:
        with pytest.raises(DataError, match=r"all 2 interactions .* that it does not know"):
            finetune(old, read([*logs(), (7, 1, "train"), (100, 50, "train")]), seed=0)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda rows: [(user + 9000, item, part) for user, item, part in rows], "none of the 30 users"),
            (lambda rows: [(user, item + 9000, part) for user, item, part in rows], "none of the 10 items"),
        ],
    )
    def test_nobody_is_known(
        self, old: Checkpoint, change: Callable[[list[tuple[int, int, str]]], list[tuple[int, int, str]]], match: str
    ) -> None:
        with pytest.raises(DataError, match=match):
            finetune(old, read(change(logs(stride=3))), seed=0)

    def test_another_question(self, old: Checkpoint, newer: Dataset) -> None:
        with pytest.raises(DataMismatchError, match=r"predicts 'interaction', .* is 'view'") as caught:
            finetune(old, replace(newer, target_event="view"), seed=0)
        assert "--target-event interaction" in caught.value.hint
        config = replace(newer.config, min_rating=4.0)
        with pytest.raises(DataMismatchError, match=r"min_rating is None .* and 4\.0") as caught:
            finetune(old, replace(newer, config=config), seed=0)
        assert "leave --min-rating out" in caught.value.hint

    def test_a_spec_of_other_branches(self, old: Checkpoint, newer: Dataset) -> None:
        shorter = replace(POPULAR_BLEND, shares=POPULAR_BLEND.shares[:2])
        with pytest.raises(IntegrityError, match="two-hop, filter, its final fit has two-hop, filter, popularity"):
            finetune(replace(old, spec=shorter.to_json()), newer, seed=0)

    def test_another_type_of_ids(self, old: Checkpoint, newer: Dataset) -> None:
        texts = Vocabulary.from_ids([str(name) for name in newer.items.ids(range(len(newer.items)))])
        with pytest.raises(DataMismatchError, match="ids of the items are text in the data and integers") as caught:
            finetune(old, replace(newer, items=texts), seed=0)
        assert "--id-type integer" in caught.value.hint


@pytest.fixture(scope="module")
def world() -> Planted:
    return planted(num_users=400, num_items=120)


class TestWeights:
    """Two branches that each know half of what users want, one of them all but unheard."""

    def blended(self, world: Planted, *weights: float, useless: bool = False) -> tuple[Checkpoint, BlendSpec]:
        models = world.models("filter", "gnn", useless=useless)
        shares = tuple(Share(spec, weight) for spec, weight in zip((FILTER, NETWORK), weights, strict=True))
        spec = BlendSpec(shares)
        fit = assemble(shares, [branch for _, branch in models.values()], world.graph)
        relevant = sp.csr_matrix(world.graph.positives.shape, dtype=np.float32).tolil()
        relevant[world.validation.users] = world.validation.relevant
        like = planted_checkpoint(num_users=400, num_items=120, with_features=False)
        made = replace(
            like,
            name=spec.key(),
            spec=spec.to_json(),
            selection=fit,
            final=fit,
            train=world.graph.positives,
            valid=sp.csr_matrix(relevant),
        )
        return made, spec

    def test_better_ones_are_kept(self, world: Planted) -> None:
        checkpoint, spec = self.blended(world, 1.0, 0.02)
        found = reweigh(checkpoint, spec, seed=0)
        assert found.kept
        assert found.gain is not None
        assert found.gain["ndcg@20"].low > 0
        assert 0.5 < found.after[1] / found.after[0] < 2.0
        assert found.users <= 200  # those who judge the artifact have no part in it
        assert set(found.to_json()) == {"kept", "reason", "before", "after", "users", "metrics"}

    def test_good_ones_stay(self, world: Planted) -> None:
        checkpoint, spec = self.blended(world, 1.0, 0.02)
        best = reweigh(checkpoint, spec, seed=0).after
        checkpoint, spec = self.blended(world, *best)
        found = reweigh(checkpoint, spec, seed=0)
        assert not found.kept
        assert found.after == found.before == best
        assert found.factors() == (1.0, 1.0)

    def test_a_branch_is_never_lost(self, world: Planted) -> None:
        checkpoint, spec = self.blended(world, 0.5, 3.0, useless=True)
        found = reweigh(checkpoint, spec, seed=0)
        assert found.kept
        assert found.after[1] >= LEAST_SHARE * found.after[0] > 0

    def test_judges_have_no_say(self, world: Planted) -> None:
        checkpoint, spec = self.blended(world, 1.0, 0.02)
        judges = np.isin(np.arange(400), divided_users(checkpoint).gate)
        spoiled = checkpoint.valid.tolil()
        spoiled[judges] = np.roll(checkpoint.valid.toarray(), 31, axis=1)[judges]
        other = replace(checkpoint, valid=sp.csr_matrix(spoiled))
        assert reweigh(other, spec, seed=0) == reweigh(checkpoint, spec, seed=0)

    def test_new_weights_are_folded_in_as_training_does(self, world: Planted) -> None:
        checkpoint, _ = self.blended(world, 1.0, 0.02)
        seen = checkpoint.seen()
        users, items = seen.nonzero()
        rows = [(int(u) + 1000, f"item-{i:05d}", "train") for u, i in zip(users, items, strict=True)]
        known = [(user, item) for user, item, _ in rows]
        # The fresh items lie where the second taste alone leads, three of it for every user.
        liked = world.tastes[1][0] @ world.tastes[1][1].T
        liked[users, items] = -np.inf
        fresh = [(user + 1000, f"item-{row:05d}") for user in range(400) for row in np.argsort(-liked[user])[:3]]
        pairs = known + fresh
        parts = ["train"] * len(known) + ["valid"] * len(fresh)
        logs = make(pairs, parts=parts)  # type: ignore[arg-type]
        dataset = replace(split(logs)[0], target_event=None)
        done = finetune(checkpoint, dataset, seed=0)
        assert done.reweighed is not None
        assert done.reweighed.kept
        made, fitted = done.checkpoint, read_spec(done.checkpoint.spec)
        assert isinstance(fitted, BlendSpec)
        assert made.name == fitted.key() != checkpoint.name
        assert tuple(share.weight for share in fitted.shares) == done.reweighed.after
        models = world.models("filter", "gnn")
        expected = assemble(fitted.shares, [branch for _, branch in models.values()], world.graph)
        for fit in (made.selection, made.final):
            assert isinstance(fit, Fit)
            np.testing.assert_allclose(fit.item_vectors, expected.item_vectors, rtol=1e-5)
            np.testing.assert_array_equal(fit.user_vectors, checkpoint.final.user_vectors)
