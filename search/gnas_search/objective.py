"""What training minimises: losses over batches of users, each user weighing alike, however long the history."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import softplus

from gnas_search.architecture import ArchitectureSpec
from gnas_search.operators.spmm import CsrPattern, entry_products

MAX_POSITIVES = 1 << 18
"""Most positives in a batch of more than one user: bounds memory where histories are long."""

_BLOCK_LOGITS = 1 << 20
"""Logits held at a time: 4 MB, which stay in the processor's cache."""
_MASKED = -1e30  # finite, so that a user whose every sampled item is masked still has a gradient without NaN


@dataclass(frozen=True)
class Batch:
    """Some users with all their positives.

    Attributes
    ----------
    users : (b,) int64
        User rows.
    positives
        (b, I) pattern of their positives.
    weights : (nnz,) float32
        Of each positive: 1 / (b * its user's positives), so they sum to 1.
    """

    users: Tensor
    positives: CsrPattern
    weights: Tensor


def batches(positives: sp.csr_matrix, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Divide the users with positives into shuffled batches: one epoch.

    Parameters
    ----------
    positives : (U, I) CSR
    batch_size
        Most users in a batch; fewer where their positives exceed :data:`MAX_POSITIVES`.
    rng
        Shuffles.
    """
    degrees = np.diff(positives.indptr).astype(np.int64)
    users = rng.permutation(np.flatnonzero(degrees))
    ends = np.cumsum(degrees[users])
    start = 0
    while start < len(users):
        before = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, before + MAX_POSITIVES, side="right"))
        stop = min(start + batch_size, max(fitting, start + 1))
        yield _batch(positives, users[start:stop])
        start = stop


def _batch(positives: sp.csr_matrix, users: npt.NDArray[np.int64]) -> Batch:
    chosen = positives[users]
    degrees = np.diff(chosen.indptr)
    weights = np.repeat(1.0 / (len(users) * degrees), degrees).astype(np.float32)
    pattern = CsrPattern(chosen.indptr, chosen.indices, chosen.shape[1])
    return Batch(torch.from_numpy(users), pattern, torch.from_numpy(weights))


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, masked: npt.NDArray[np.int64]) -> Tensor:
        out = torch.empty(len(users))
        for span, logits in _logit_blocks(users, items, masked):
            out[span] = torch.logsumexp(logits, dim=1)
        ctx.save_for_backward(users, items, out)
        ctx.masked = masked
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        users, items, out = ctx.saved_tensors
        by_user, by_item = torch.empty_like(users), torch.zeros_like(items)
        for span, logits in _logit_blocks(users, items, ctx.masked):
            shares = logits.sub_(out[span, None]).exp_().mul_(gradients[0][span, None])  # softmax times gradient
            torch.mm(shares, items, out=by_user[span])
            by_item.addmm_(shares.T, users[span])
        return by_user, by_item, None


def _logit_blocks(users: Tensor, items: Tensor, masked: npt.NDArray[np.int64]) -> Iterator[tuple[slice, Tensor]]:
    size = max(1, _BLOCK_LOGITS // len(items))
    for start in range(0, len(users), size):
        span = slice(start, min(start + size, len(users)))
        logits = users[span] @ items.T
        first, last = np.searchsorted(masked[0], [span.start, span.stop])
        rows, columns = torch.from_numpy(masked[:, first:last])
        logits[rows - start, columns] = _MASKED
        yield span, logits


def _log_sum_exp(users: Tensor, items: Tensor, masked: npt.NDArray[np.int64]) -> Tensor:
    """Compute ``logsumexp(users @ items.T)`` per row with some entries left out, never holding all logits.

    Twice the multiplications of the plain form (the gradient computes the logits again) and several times faster
    from some thousand items on, where that one spends its time on fresh memory.

    Parameters
    ----------
    users : (b, d)
    items : (n, d)
    masked : (2, m)
        Rows, ascending, and columns of the entries left out.

    Returns
    -------
    (b,)
    """
    return cast(Tensor, _LogSumExp.apply(users, items, masked))  # type: ignore[no-untyped-call]


def sampled_softmax(
    users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator
) -> Tensor:
    """Compute the softmax loss of each positive against items sampled uniformly for the whole batch.

    The sampled sum is scaled by I / sampled to estimate the full one; with ``num_negatives >= I`` it is the full one.
    A user's own positives are no negatives of each other.

    Parameters
    ----------
    users : (b, d)
        Vectors of the batch's users.
    items : (I, d)
        Vectors of all items.
    batch, spec, rng
        The positives, the temperature and number of negatives, and what draws them.

    Returns
    -------
    () scalar

    References
    ----------
    Wu, J. et al. (2024). On the effectiveness of sampled softmax loss for item recommendation. TOIS 42(4).
    """
    # Differs from Wu et al.: other positives of the user do not stand in the denominator.
    num_items = items.shape[0]
    pattern = batch.positives
    correction = 0.0
    slots = pattern.indices.astype(np.int64)
    candidates = items
    if spec.num_negatives < num_items:
        chosen = rng.choice(num_items, spec.num_negatives, replace=False)
        slot_of = np.full(num_items, -1, dtype=np.int64)
        slot_of[chosen] = np.arange(len(chosen))
        slots = slot_of[slots]
        candidates = items.index_select(0, torch.from_numpy(chosen))
        correction = math.log(num_items / spec.num_negatives)
    own = slots >= 0
    masked = np.stack([pattern.rows.numpy()[own], slots[own]])
    others = _log_sum_exp(users / spec.temperature, candidates, masked) + correction  # (b,)
    scores = entry_products(pattern, users, items) / spec.temperature  # (nnz,)
    return (batch.weights * softplus(others.index_select(0, pattern.rows) - scores)).sum()


def bpr(users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator) -> Tensor:
    """Compute the pairwise loss: each positive should score above one item drawn uniformly.

    A drawn item that is itself a positive of the user does not count. Parameters as :func:`sampled_softmax`.

    References
    ----------
    Rendle, S. et al. (2009). BPR: Bayesian personalized ranking from implicit feedback. UAI.
    """
    pattern = batch.positives
    num_items = items.shape[0]
    drawn = rng.integers(0, num_items, len(pattern.indices), dtype=np.int32)
    rows = pattern.rows.numpy()
    counted = ~np.isin(rows * num_items + drawn, rows * num_items + pattern.indices)
    opposite = CsrPattern(pattern.indptr, drawn, num_items)
    margins = entry_products(pattern, users, items) - entry_products(opposite, users, items)  # (nnz,)
    return (batch.weights * torch.from_numpy(counted) * softplus(-margins / spec.temperature)).sum()


Loss = Callable[[Tensor, Tensor, Batch, ArchitectureSpec, np.random.Generator], Tensor]

LOSSES: dict[str, Loss] = {"bpr": bpr, "sampled_softmax": sampled_softmax}
