"""The losses against their definitions, and what a batch holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search.architecture import LOSSES as LOSS_NAMES
from gnas_search.architecture import ArchitectureSpec
from gnas_search.heads import HEADS
from gnas_search.objective import (
    LOSSES,
    Batch,
    adversarial,
    batches,
    bce,
    bpr,
    contrast,
    sampled_softmax,
    users_per_batch,
    view_contrast,
)
from gnas_search.objective.negatives import draw_opposites
from gnas_search.operators.spmm import entry_products

NUM_USERS, NUM_ITEMS, DIM = 17, 40, 6


def _positives(seed: int = 0) -> sp.csr_matrix:
    dense = np.random.default_rng(seed).random((NUM_USERS, NUM_ITEMS)) < 0.15
    dense[2] = False
    return sp.csr_matrix(dense.astype(np.float32))


def _whole(positives: sp.csr_matrix) -> Batch:
    (batch,) = batches(positives, 1000, np.random.default_rng(0))
    return batch


def _vectors(count: int, seed: int) -> torch.Tensor:
    return torch.randn((count, DIM), generator=torch.Generator().manual_seed(seed))


def test_an_epoch_holds_every_user_with_positives_once() -> None:
    positives = _positives()
    epoch = list(batches(positives, 5, np.random.default_rng(0)))
    users = np.concatenate([batch.users.numpy() for batch in epoch])
    assert sorted(users) == [user for user in range(NUM_USERS) if user != 2]
    assert [len(batch.users) for batch in epoch] == [5, 5, 5, 1]
    for batch in epoch:
        for position, user in enumerate(batch.users.tolist()):
            span = slice(batch.positives.indptr[position], batch.positives.indptr[position + 1])
            assert batch.positives.indices[span].tolist() == positives[user].indices.tolist()
            assert batch.weights[span].sum().item() == pytest.approx(1 / len(batch.users))


def test_long_histories_make_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnas_search.objective.minibatch.MAX_POSITIVES", 12)
    sizes = []
    for batch in batches(_positives(), 1000, np.random.default_rng(0)):
        sizes.append(len(batch.users))
        assert len(batch.positives.indices) <= 12 or len(batch.users) == 1
    assert sum(sizes) == NUM_USERS - 1
    assert max(sizes) > 1


def test_the_positives_of_a_batch_may_grow_with_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an epoch of many interactions had ever more batches, each with a propagation over all of them."""
    monkeypatch.setattr("gnas_search.objective.minibatch.MAX_POSITIVES", 12)
    positives = sp.csr_matrix(np.ones((320, 4), np.float32))
    sizes = [len(batch.users) for batch in batches(positives, 1, np.random.default_rng(0))]
    assert sizes == [10] * 32  # 40 positives each, of the 80 that a thirty-second part of the data allows


def test_an_epoch_of_many_users_has_at_most_32_batches() -> None:
    positives = sp.csr_matrix(np.ones((1000, 3), np.float32))
    sizes = [len(batch.users) for batch in batches(positives, 4, np.random.default_rng(0))]
    assert sum(sizes) == 1000
    assert len(sizes) == 32
    assert sizes[0] == users_per_batch(1000, 4) == 32
    assert users_per_batch(1000, 200) == 200


def _defined(positives: sp.csr_matrix, users: torch.Tensor, items: torch.Tensor, temperature: float) -> torch.Tensor:
    """The full softmax, entry by entry; users without positives are left out."""
    losses = []
    for user in np.flatnonzero(np.diff(positives.indptr)):
        scores = (items @ users[user]) / temperature
        own = positives[user].indices.tolist()
        others = scores[[item for item in range(len(items)) if item not in own]]
        terms = [-torch.log_softmax(torch.cat([scores[item : item + 1], others]), 0)[0] for item in own]
        losses.append(torch.stack(terms).mean())
    return torch.stack(losses).mean()


@pytest.fixture(params=[1 << 27, 500], ids=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrast, "HELD_BYTES", request.param)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("scorer", "temperature"), [("cosine", 0.1), ("cosine", 1 / 70), ("cosine", 0.01), ("dot", 0.05)]
)
@pytest.mark.parametrize("name", ["softmax", "sampled_softmax"])
def test_the_full_softmax_and_its_gradient_are_their_definition(
    name: str, scorer: str, temperature: float, bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contrast, "fast_bfloat16", lambda: bfloat16)
    positives = _positives()
    spec = ArchitectureSpec(loss=name, num_negatives=NUM_ITEMS, scorer=scorer, temperature=temperature)
    batch, users, items = _whole(positives), _vectors(NUM_USERS, 1), _vectors(NUM_ITEMS, 2)
    if scorer == "cosine":
        users, items = HEADS["cosine"](DIM, torch.Generator())(users, items)
    ours, theirs = ([part.clone().requires_grad_() for part in (users, items)] for _ in range(2))
    loss = LOSSES[name](ours[0].index_select(0, batch.users), ours[1], batch, spec, np.random.default_rng(0))
    expected = _defined(positives, *theirs, temperature)
    loss.backward()
    expected.backward()
    rounded = bfloat16 and (scorer, temperature) == ("cosine", 0.1)
    torch.testing.assert_close(loss, expected, rtol=2e-3 if rounded else 1e-5, atol=0)
    for mine, reference in zip(ours, theirs, strict=True):
        scale = float(reference.grad.abs().max())
        torch.testing.assert_close(mine.grad, reference.grad, rtol=0, atol=scale * (1e-2 if rounded else 1e-5))
        if rounded:  # else the bfloat16 path did not run
            assert (mine.grad - reference.grad).abs().max() > scale * 1e-6


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_large_scores_of_a_users_own_items_hide_no_others(size: float) -> None:
    """Own logits far above all others: the others' exponentials must not vanish under a shift by the own ones."""
    positives = _positives()
    batch, users, items = _whole(positives), size * _vectors(NUM_USERS, 1), _vectors(NUM_ITEMS, 2)
    for user in np.flatnonzero(np.diff(positives.indptr)):
        items[positives[user].indices] += 0.1 * users[user]
    spec = ArchitectureSpec(loss="softmax", scorer="dot", temperature=1.0)
    ours, theirs = ([part.double().float().clone().requires_grad_() for part in (users, items)] for _ in range(2))
    loss = LOSSES["softmax"](ours[0].index_select(0, batch.users), ours[1], batch, spec, np.random.default_rng(0))
    expected = _defined(positives, *(part.double() for part in theirs), 1.0)
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-4)
    for mine, reference in zip(ours, theirs, strict=True):
        scale = float(reference.grad.abs().max())
        torch.testing.assert_close(mine.grad, reference.grad, rtol=0, atol=1e-3 * scale)


def test_a_user_who_has_everything_loses_nothing_whatever_the_scores() -> None:
    batch = _whole(sp.csr_matrix(np.ones((1, 2), np.float32)))
    users = torch.tensor([[10.0]], requires_grad=True)
    items = torch.tensor([[10.0], [0.0]], requires_grad=True)
    spec = ArchitectureSpec(loss="softmax", scorer="dot", temperature=1.0)
    loss = LOSSES["softmax"](users, items, batch, spec, np.random.default_rng(0))
    loss.backward()
    assert loss.item() == 0
    assert not users.grad.any()
    assert not items.grad.any()


def test_the_sampled_softmax_estimates_the_full_one() -> None:
    batch, users, items = _whole(_positives()), _vectors(NUM_USERS, 1) * 0.3, _vectors(NUM_ITEMS, 2) * 0.3
    rng = np.random.default_rng(0)

    def loss(num_negatives: int) -> float:
        spec = ArchitectureSpec(num_negatives=num_negatives, scorer="dot", temperature=1.0)
        return float(sampled_softmax(users[batch.users], items, batch, spec, rng))

    estimates = [loss(10) for _ in range(200)]
    assert np.mean(estimates) == pytest.approx(loss(NUM_ITEMS), rel=0.02)
    assert np.std(estimates) > 0


def test_bpr_is_its_definition_with_collisions_left_out() -> None:
    positives = sp.csr_matrix(np.array([[1, 1, 0], [1, 0, 0]], dtype=np.float32))
    batch, users, items = _whole(positives), _vectors(2, 1), _vectors(3, 2)
    ours = bpr(users[batch.users], items, batch, ArchitectureSpec(temperature=0.5), np.random.default_rng(7))
    drawn = np.random.default_rng(7).integers(0, 3, 3, dtype=np.int32)
    expected = 0.0
    for entry, negative in enumerate(drawn):
        user = int(batch.users[batch.positives.rows[entry]])
        own = positives[user].indices
        if negative not in own:
            margin = users[user] @ (items[batch.positives.indices[entry]] - items[negative]) / 0.5
            expected += float(-torch.nn.functional.logsigmoid(margin)) / (2 * len(own))
    assert expected > 0
    assert float(ours) == pytest.approx(expected, rel=1e-5)


def test_bce_is_its_definition_with_collisions_left_out() -> None:
    positives = sp.csr_matrix(np.array([[1, 1, 0], [1, 0, 0]], dtype=np.float32))
    batch, users, items = _whole(positives), _vectors(2, 1), _vectors(3, 2)
    ours = bce(users[batch.users], items, batch, ArchitectureSpec(temperature=0.5), np.random.default_rng(7))
    drawn = np.random.default_rng(7).integers(0, 3, 3, dtype=np.int32)
    expected = 0.0
    for entry, negative in enumerate(drawn):
        user = int(batch.users[batch.positives.rows[entry]])
        own = positives[user].indices
        scores = items @ users[user] / 0.5
        terms = -torch.nn.functional.logsigmoid(scores[batch.positives.indices[entry]])
        if negative not in own:
            terms = terms - torch.nn.functional.logsigmoid(-scores[negative])
        expected += float(terms) / (2 * len(own))
    assert float(ours) == pytest.approx(expected, rel=1e-5)


def test_items_drawn_by_popularity_estimate_the_full_softmax() -> None:
    batch, users, items = _whole(_positives()), _vectors(NUM_USERS, 1) * 0.3, _vectors(NUM_ITEMS, 2) * 0.3
    rng = np.random.default_rng(0)

    def loss(name: str, negatives: str, num_negatives: int) -> float:
        spec = ArchitectureSpec(negatives=negatives, num_negatives=num_negatives, scorer="dot", temperature=1.0)
        return float(LOSSES[name](users[batch.users], items, batch, spec, rng))

    estimates = [loss("sampled_softmax", "popularity", 20) for _ in range(300)]
    assert np.mean(estimates) == pytest.approx(loss("softmax", "uniform", 1), rel=0.02)
    assert np.std(estimates) > 0


def test_in_batch_negatives_estimate_the_softmax_over_items_that_have_positives() -> None:
    """Batches of half the users: what is popular comes more often, and its share is corrected for."""
    positives = sp.csr_matrix(
        (np.random.default_rng(1).random((60, 20)) < np.linspace(0.05, 0.9, 20)).astype(np.float32)
    )
    users, items = _vectors(60, 1) * 0.3, _vectors(20, 2) * 0.3
    spec = ArchitectureSpec(loss="in_batch", scorer="dot", temperature=1.0)

    def mean(name: str, batch_size: int, epochs: int) -> float:
        rng = np.random.default_rng(0)
        losses = [
            float(LOSSES[name](users[batch.users], items, batch, spec, rng))
            for _ in range(epochs)
            for batch in batches(positives, batch_size, rng)
        ]
        return float(np.mean(losses))

    full = mean("softmax", 60, 1)
    assert mean("in_batch", 60, 1) == pytest.approx(full, rel=1e-4)  # every item comes as often as it is expected to
    assert mean("in_batch", 20, 50) == pytest.approx(full, rel=0.02)


def test_hard_negatives_score_above_others_and_are_no_positives() -> None:
    batch, users, items = _whole(_positives()), _vectors(NUM_USERS, 1), _vectors(NUM_ITEMS, 2)
    own = users[batch.users]

    def drawn(negatives: str, seed: int) -> tuple[float, float]:
        spec = ArchitectureSpec(loss="bpr", negatives=negatives)
        found = draw_opposites(own, items, batch, spec, np.random.default_rng(seed))
        scores = entry_products(found.pattern, own, items)
        return float(scores.mean()), float(found.counted.mean())

    hard, uniform = ([drawn(name, seed) for seed in range(10)] for name in ("hard", "uniform"))
    assert min(score for score, _ in hard) > max(score for score, _ in uniform) + 0.5
    assert {counted for _, counted in hard} == {1.0}
    assert min(counted for _, counted in uniform) < 1.0


def test_popular_items_are_drawn_by_the_power_of_their_count() -> None:
    positives = sp.csr_matrix(np.array([[1, 1, 0]] * 15 + [[0, 1, 0]], dtype=np.float32))
    batch = _whole(positives)
    assert batch.item_counts.tolist() == [15, 16, 0]
    spec, rng = ArchitectureSpec(loss="bpr", negatives="popularity"), np.random.default_rng(0)
    found = [draw_opposites(_vectors(16, 1), _vectors(3, 2), batch, spec, rng).pattern.indices for _ in range(200)]
    shares = np.bincount(np.concatenate(found), minlength=3) / np.concatenate(found).size
    wanted = np.array([15**0.75, 16**0.75, 1.0])
    np.testing.assert_allclose(shares, wanted / wanted.sum(), atol=0.01)


def test_alignment_and_uniformity_are_their_definition() -> None:
    batch, users, items = _whole(_positives()), _vectors(NUM_USERS, 1), _vectors(NUM_ITEMS, 2)
    spec = ArchitectureSpec(loss="alignment_uniformity", uniformity_weight=0.7)
    ours = LOSSES[spec.loss](users[batch.users], items, batch, spec, np.random.default_rng(0))
    left, right = (torch.nn.functional.normalize(side, dim=1) for side in (users[batch.users], items))
    rows, columns = batch.positives.rows, torch.from_numpy(batch.positives.indices.astype(np.int64))
    alignment = (batch.weights * (left[rows] - right[columns]).square().sum(1)).sum()
    spread = [torch.pdist(side).square().mul(-2).exp().mean().log() for side in (left, right[columns.unique()])]
    torch.testing.assert_close(ours, alignment + 0.7 * sum(spread) / 2)


def test_moved_vectors_lose_more_and_the_same_items_are_drawn() -> None:
    batch = _whole(_positives())
    users, items = _vectors(NUM_USERS - 1, 1).requires_grad_(), _vectors(NUM_ITEMS, 2).requires_grad_()
    spec = ArchitectureSpec(loss="bpr", scorer="dot", adversarial_radius=0.2)
    loss, hurt = (part.item() for part in adversarial(bpr, users, items, batch, spec, np.random.default_rng(3)))
    assert loss == bpr(users, items, batch, spec, np.random.default_rng(3)).item()
    assert hurt > loss * 1.05
    still = replace(spec, adversarial_radius=0.0)
    assert adversarial(bpr, users, items, batch, still, np.random.default_rng(3))[1].item() == loss
    length = 0.2 * users.detach().norm(dim=1, keepdim=True)
    away = users + length * torch.nn.functional.normalize(_vectors(NUM_USERS - 1, 9), dim=1)
    assert bpr(away, items, batch, spec, np.random.default_rng(3)).item() < hurt  # no other way hurts so


def test_unit_vectors_move_along_the_sphere_by_the_radius() -> None:
    batch = _whole(_positives())
    sides = [torch.nn.functional.normalize(_vectors(count, seed), dim=1) for count, seed in ((16, 1), (NUM_ITEMS, 2))]
    users, items = (side.requires_grad_() for side in sides)
    seen: list[torch.Tensor] = []

    def loss(users: torch.Tensor, items: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(users)
        return bpr(users, items, *rest)  # type: ignore[arg-type]

    spec = ArchitectureSpec(loss="bpr", scorer="cosine", adversarial_radius=0.2)
    adversarial(loss, users, items, batch, spec, np.random.default_rng(3))
    cosines = (seen[0] * seen[1]).sum(dim=1)
    torch.testing.assert_close(cosines, torch.full((16,), 1.04**-0.5), rtol=1e-4, atol=0)


def test_views_are_told_apart_by_node() -> None:
    batch, users, items = _whole(_positives()), _vectors(NUM_USERS - 1, 1), _vectors(NUM_ITEMS, 2)
    rng = np.random.default_rng(0)
    same = float(view_contrast((users, items), (users, items), batch, rng))
    other = float(view_contrast((users, items), (users.roll(1, 0), items.roll(1, 0)), batch, rng))
    assert 0 < same < other
    chosen = np.unique(batch.positives.indices)
    logits = [torch.nn.functional.normalize(side, dim=1) for side in (users, items[chosen])]
    expected = sum(-torch.log_softmax(side @ side.T / 0.2, 1).diag().mean() for side in logits)
    assert same == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    batch, spec = _whole(_positives()), ArchitectureSpec(loss=name, num_negatives=12, scorer="dot", temperature=0.7)
    users, items = _vectors(NUM_USERS - 1, 1).requires_grad_(), _vectors(NUM_ITEMS, 2).requires_grad_()

    def loss(step: float = 0.0) -> torch.Tensor:
        moved = (users + step * users_way, items + step * items_way)
        return LOSSES[name](*moved, batch, spec, np.random.default_rng(3))

    users_way, items_way = _vectors(NUM_USERS - 1, 5), _vectors(NUM_ITEMS, 6)
    loss().backward()
    slope = float((users.grad * users_way).sum() + (items.grad * items_way).sum())
    with torch.no_grad():
        measured = float(loss(1e-2) - loss(-1e-2)) / 2e-2
    assert measured == pytest.approx(slope, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_user_who_has_everything_gives_no_nan(name: str) -> None:
    batch = _whole(sp.csr_matrix(np.ones((2, 5), np.float32)))
    users, items = _vectors(2, 1).requires_grad_(), _vectors(5, 2).requires_grad_()
    spec = ArchitectureSpec(loss=name, num_negatives=5)
    loss = LOSSES[name](users, items, batch, spec, np.random.default_rng(0))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(users.grad).all()


def test_the_registry_is_what_architectures_may_name() -> None:
    assert sorted(LOSSES) == sorted(LOSS_NAMES)
