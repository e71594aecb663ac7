"""A checkpoint of planted vectors and interactions sampled from them, made in milliseconds instead of trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from gnas_search.checkpoint import Checkpoint
from gnas_search.data.interactions import DatasetConfig, FeatureTable
from gnas_search.fit import Branch, Fit
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.vocabulary import Vocabulary


def planted_checkpoint(
    *,
    num_users: int = 300,
    num_items: int = 240,
    dim: int = 8,
    events_per_user: int = 14,
    valid_per_user: int = 3,
    hidden_taste: float = 0.0,
    with_features: bool = True,
    seed: int = 0,
) -> Checkpoint:
    """Plant low-rank tastes, sample interactions by them, and give the tastes as the vectors of both fits.

    Parameters
    ----------
    valid_per_user
        0 leaves nothing to judge by.
    hidden_taste
        How strongly everybody prefers the items with the attribute ``liked``, which the vectors do not know of:
        a ranker that reads attributes can gain from it.
    """
    rng = np.random.default_rng(seed)
    users = rng.standard_normal((num_users, dim)).astype(np.float32)
    items = (rng.standard_normal((num_items, dim)) / np.sqrt(dim)).astype(np.float32)
    liked = (rng.random(num_items) < 0.3).astype(np.float32)
    appeal = 2.0 * users @ items.T + hidden_taste * liked + rng.gumbel(size=(num_users, num_items))
    best = np.argsort(-appeal, axis=1)[:, : events_per_user + valid_per_user]
    best = rng.permuted(best, axis=1)
    features = FeatureTable(("liked", "price"), np.stack([liked, rng.standard_normal(num_items)], 1).astype(np.float32))
    final = single_fit(
        users + 0.02 * rng.standard_normal(users.shape).astype(np.float32),
        items + 0.02 * rng.standard_normal(items.shape).astype(np.float32),
    )
    return Checkpoint(
        name="planted",
        spec={"baseline": "planted"},
        users=Vocabulary.from_ids(np.arange(num_users) + 1000),
        items=Vocabulary.from_ids([f"item-{row:05d}" for row in range(num_items)]),
        selection=single_fit(users, items),
        final=final,
        train=_matrix(best[:, valid_per_user:], num_items),
        valid=_matrix(best[:, :valid_per_user], num_items),
        item_features=features if with_features else None,
        user_features=FeatureTable(("age",), rng.standard_normal((num_users, 1)).astype(np.float32))
        if with_features
        else None,
        item_recency=rng.random(num_items).astype(np.float32) if with_features else None,
        config=DatasetConfig(),
        fingerprint="0" * 64,
        policy="random",
        target_event=None,
        seed=seed,
    )


def single_fit(users: np.ndarray, items: np.ndarray, kind: str = "gnn") -> Fit:
    """Give a fit of one branch."""
    facts = BranchFacts(f"planted {kind}", kind, items.shape[1])
    return Fit((Branch(facts, np.asarray(users, np.float32), np.asarray(items, np.float32)),), 3)


def blended_checkpoint(
    *,
    num_users: int = 300,
    num_items: int = 240,
    filter_dim: int = 24,
    gnn_dim: int = 8,
    links: int = 12,
    events_per_user: int = 14,
    seed: int = 0,
) -> Checkpoint:
    """Blend all kinds of branches over planted interactions, each fit made from its own interactions.

    A low-pass filter with its exact fold-in map, planted tastes of unit length in the place of a trained network,
    popularity, and two-hop links (none for ``links=0``); weighted so that each of them moves the lists.
    """
    planted = planted_checkpoint(
        num_users=num_users,
        num_items=num_items,
        dim=gnn_dim,
        events_per_user=events_per_user,
        with_features=False,
        seed=seed,
    )

    def fit(tastes: Fit, matrix: sp.csr_matrix) -> Fit:
        users = tastes.user_vectors / np.linalg.norm(tastes.user_vectors, axis=1, keepdims=True)
        gnn = Branch(BranchFacts("tastes", "gnn", gnn_dim, unit_length=True), users, tastes.item_vectors)
        counts = np.bincount(matrix.indices, minlength=num_items)
        popularity = Branch(
            BranchFacts("popularity", "popularity", 1),
            np.ones((num_users, 1), np.float32),
            np.log1p(counts).astype(np.float32)[:, None],
        )
        parts = [_filter(matrix, filter_dim).weighted(20.0), gnn.weighted(1.5), popularity.weighted(0.2)]
        if links:
            parts.append(_two_hop(matrix, links).weighted(0.5))
        return Fit(tuple(parts), 3)

    return replace(
        planted,
        name="blend",
        spec={"blend": "planted"},
        selection=fit(planted.selection, planted.train),
        final=fit(planted.final, planted.seen()),
    )


def _filter(matrix: sp.csr_matrix, dim: int) -> Branch:
    """Keep the ``dim`` smoothest directions of the normalised interactions."""
    per_user, per_item = (np.maximum(np.asarray(matrix.sum(axis)).ravel(), 1.0) for axis in (1, 0))
    normalised = (sp.diags(per_user**-0.5) @ matrix @ sp.diags(per_item**-0.5)).toarray()
    axes = np.linalg.svd(normalised, full_matrices=False)[2][:dim].T  # (I, d)
    # The history vector of these item vectors, n ** -.5 * sum of count ** -1 * item, is the user vector itself.
    facts = BranchFacts("low pass", "filter", dim, item_power=1.0, history_power=0.5)
    fold_in = np.concatenate([np.eye(dim), np.zeros((1, dim))]).astype(np.float32)
    users, items = normalised @ axes, axes * per_item[:, None] ** 0.5
    return Branch(facts, users.astype(np.float32), items.astype(np.float32), fold_in)


def _two_hop(matrix: sp.csr_matrix, most: int) -> Branch:
    """Link every item to those that it shares most users with."""
    shared = (matrix.T @ matrix).toarray().astype(np.float32)
    np.fill_diagonal(shared, 0)
    shared /= np.sqrt(np.maximum(shared.sum(axis=1), 1))[:, None]
    shared[shared < np.sort(shared, axis=1)[:, -most][:, None]] = 0
    nobody = (np.empty((count, 0), np.float32) for count in matrix.shape)
    return Branch(BranchFacts("two hops", "two-hop", 0), *nobody, neighbours=sp.csr_matrix(shared))


def _matrix(rows: np.ndarray, num_items: int) -> sp.csr_matrix:
    count, width = rows.shape
    indptr = np.arange(count + 1) * width
    return sp.csr_matrix(
        (np.ones(rows.size, np.float32), np.sort(rows, axis=1).ravel().astype(np.int32), indptr),
        shape=(count, num_items),
    )


def refitted_checkpoint(
    *, num_users: int = 400, num_items: int = 240, dim: int = 8, growth: float = 1.0, seed: int = 0
) -> tuple[Checkpoint, sp.csr_matrix]:
    """Sample interactions and fit them twice, as a trainer does: on train, and anew on train + validation.

    The second fit starts from another seed, has its axes elsewhere and another scale, and its counts and histories have
    grown. Users with short histories prefer the items with the attribute ``liked``. The factorisations are made blind
    to it, so that a ranker has something to add which only attributes and histories tell.

    Parameters
    ----------
    growth
        Validation interactions per train interaction.

    Returns
    -------
    Checkpoint
    (U, I) CSR
        Five later interactions of every user, in neither fit: what the final fit can be judged by.
    """
    rng = np.random.default_rng(seed)
    users = rng.standard_normal((num_users, dim))
    items = rng.standard_normal((num_items, dim)) / np.sqrt(dim)
    liked = (rng.random(num_items) < 0.3).astype(np.float32)
    loyal = rng.random(num_users) < 0.5
    wish = np.where(loyal, 0.0, 3.0)[:, None] * liked
    order = np.argsort(-(2.0 * users @ items.T + wish + rng.gumbel(size=(num_users, num_items))), axis=1)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for user_row in range(num_users):
        train = int((14 if loyal[user_row] else 10) * rng.uniform(0.8, 1.2))
        valid = max(1, int(train * growth))
        chosen = rng.permutation(order[user_row, : train + valid + 5])
        for part, rows in zip(parts, np.split(chosen, [train, train + valid]), strict=True):
            part.append(rows)
    train, valid, later = (_ragged(part, num_items) for part in parts)
    checkpoint = Checkpoint(
        name="refitted",
        spec={"baseline": "refitted"},
        users=Vocabulary.from_ids(np.arange(num_users) + 1000),
        items=Vocabulary.from_ids(np.arange(num_items)),
        selection=_factorised(train, dim, liked, scale=1.0, seed=seed + 1),
        final=_factorised(sp.csr_matrix(train + valid), dim, liked, scale=3.0, seed=seed + 2),
        train=train,
        valid=valid,
        item_features=FeatureTable(("liked",), liked[:, None]),
        user_features=None,
        item_recency=None,
        config=DatasetConfig(),
        fingerprint="0" * 64,
        policy="random",
        target_event=None,
        seed=seed,
    )
    return checkpoint, later


def _factorised(matrix: sp.csr_matrix, dim: int, blind_to: np.ndarray, *, scale: float, seed: int) -> Fit:
    """Factorise by randomised subspace iteration, turn the axes, and take one direction out of the item vectors."""
    rng = np.random.default_rng(seed)
    degrees = [np.maximum(np.asarray(matrix.sum(axis)).ravel(), 1.0) ** -0.5 for axis in (1, 0)]
    normalised = sp.diags(degrees[0]) @ matrix @ sp.diags(degrees[1])
    basis = rng.standard_normal((matrix.shape[1], dim + 8))
    for _ in range(4):
        basis = np.linalg.qr(normalised.T @ (normalised @ basis))[0]
    left, values, right = np.linalg.svd(normalised @ basis, full_matrices=False)
    turned = scale * np.sqrt(values[:dim])[:, None] * np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    item_vectors = (basis @ right.T)[:, :dim] @ turned
    direction = blind_to - blind_to.mean()
    item_vectors -= np.outer(direction, direction @ item_vectors) / (direction @ direction)
    return single_fit((left[:, :dim] @ turned).astype(np.float32), item_vectors.astype(np.float32))


def _ragged(rows: list[np.ndarray], num_items: int) -> sp.csr_matrix:
    indptr = np.concatenate([[0], np.cumsum([len(some) for some in rows])])
    indices = np.concatenate([np.sort(some) for some in rows]).astype(np.int32)
    return sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(len(rows), num_items))
