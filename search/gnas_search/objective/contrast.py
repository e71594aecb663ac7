"""Softmax of each positive against the other items: all of them, or some sampled for the whole batch."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import softplus

from gnas_search.architecture import ArchitectureSpec
from gnas_search.objective.minibatch import Batch
from gnas_search.objective.negatives import popularity_of
from gnas_search.operators.spmm import entry_products

HELD_BYTES = 1 << 27
"""Of exponentials held at a time: those of 1,024 users and 65,536 items in bfloat16."""

_SAFE_LOGIT = 60.0
"""Logits known to be no larger need no shift: 10^11 times exp(60) is a float32."""


_SUMMED_ROWS = 64


@cache
def fast_bfloat16() -> bool:
    """Say whether this processor multiplies bfloat16 matrices in hardware.

    Where it does (AVX512-BF16, AMX), the gradient over 40,981 items for 1,024 users of 128 dimensions takes 87 ms in
    bfloat16 and 245 ms in float32 on two cores.
    """
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


class _Contrast(torch.autograd.Function):
    """The loss of given positive scores against exponentials of ``users @ items.T``, some entries left out.

    The gradient is computed along with the loss, while a block's exponentials are at hand: no logit is computed twice
    and never are more than a block's held.
    """

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        users: Tensor,
        items: Tensor,
        batch: Batch,
        left_out: Tensor,
        correction: float,
        low: bool,
    ) -> Tensor:
        dtype = torch.bfloat16 if low else torch.float32
        queries, keys = users.to(dtype), items.to(dtype)
        rows, bounds = batch.positives.rows.to(users.device), batch.positives.indptr
        left_out_bounds = torch.searchsorted(left_out[0], torch.arange(len(users) + 1, device=users.device)).tolist()
        by_score, by_user, by_item = torch.empty_like(scores), torch.empty_like(users), torch.zeros_like(items)
        loss = torch.zeros((), device=users.device)
        size = max(1, HELD_BYTES // (len(items) * keys.itemsize))
        for start in range(0, len(users), size):
            stop = min(start + size, len(users))
            entries, omitted = slice(bounds[start], bounds[stop]), slice(left_out_bounds[start], left_out_bounds[stop])
            powers = queries[start:stop] @ keys.T  # (s, n) logits
            # Left out before the shift is chosen: under that of a large own score, all others would vanish.
            powers[left_out[0, omitted] - start, left_out[1, omitted]] = -torch.inf
            if low:
                shift = torch.zeros((), device=users.device)
            else:
                highest = powers.amax(dim=1)
                shift = torch.where(highest.isfinite(), highest, 0.0)  # a user may have everything
                powers.sub_(shift[:, None])
            powers.exp_()
            # Some rows at a time: torch first writes a float32 copy of all that it is given.
            parts = [part.sum(dim=1, dtype=torch.float32) for part in torch.split(powers, _SUMMED_ROWS)]
            sums = torch.cat(parts)  # 0, and so no loss and no pull, where nothing is left
            local = rows[entries] - start
            margins = (sums.log() + shift + correction).index_select(0, local) - scores[entries]
            loss += (batch.weights[entries] * softplus(margins)).sum()
            pull = batch.weights[entries] * margins.sigmoid()
            by_score[entries] = -pull
            push = torch.zeros_like(sums).index_add_(0, local, pull)
            push = push.div_(sums.clamp_min(torch.finfo(torch.float32).tiny))[:, None]  # per unit of exponential
            torch.mul(powers @ keys, push, out=by_user[start:stop])
            by_item += powers.T @ (queries[start:stop] * push).to(dtype)
        ctx.save_for_backward(by_score, by_user, by_item)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_score, by_user, by_item = ctx.saved_tensors
        scale = gradients[0]
        return by_score * scale, by_user * scale, by_item * scale, None, None, None, None


def softmax(users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator) -> Tensor:  # noqa: ARG001  # nothing is drawn
    """Compute the softmax loss of each positive against all items.

    A user's own positives are no negatives of each other. Cosine scores, which the temperature bounds, are multiplied
    in bfloat16 where the processor does that in hardware; positives are float32 always. Parameters as
    :func:`sampled_softmax`.

    It costs users times items. Against 4,096 sampled items on two cores: with 41,000 items (Gowalla, 128 dimensions) an
    epoch takes 1.4 times as long, and two epochs give a better validation ndcg (.114) than seven of the sampled loss
    (.113; seven of this .118); with 200,000 items 1.7 times, with 800,000 about 4 times: the sampled loss is for
    catalogues beyond some 300,000.
    """
    pattern = batch.positives
    left_out = np.stack([pattern.rows.numpy(), pattern.indices.astype(np.int64)])
    return _contrast(users, items, items, batch, spec, left_out, 0.0)


def sampled_softmax(
    users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator
) -> Tensor:
    """Compute the softmax loss of each positive against items sampled for the whole batch.

    The sampled sum is scaled to estimate the full one: uniformly by I / sampled, by popularity each item by its own
    chance; with ``num_negatives >= I`` it is the full one.

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
    if spec.num_negatives >= num_items:
        return softmax(users, items, batch, spec, rng)
    if spec.negatives == "popularity":
        chance = popularity_of(batch.item_counts)
        drawn = rng.choice(num_items, spec.num_negatives, p=chance)
        return _corrected(users, items, batch, spec, drawn, spec.num_negatives * chance)
    chosen = rng.choice(num_items, spec.num_negatives, replace=False)
    correction = math.log(num_items / spec.num_negatives)
    return _contrast(
        users, items, _rows_of(items, chosen), batch, spec, _own_among(chosen, batch, num_items), correction
    )


def in_batch(users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator) -> Tensor:  # noqa: ARG001  # nothing is drawn
    """Compute the softmax loss of each positive against the other users' positives in the batch.

    They occur as often as they are popular, which is corrected for: the sum estimates that over all items that have a
    positive. Parameters as :func:`sampled_softmax`.

    References
    ----------
    Yi, X. et al. (2019). Sampling-bias-corrected neural modeling for large corpus item recommendations. RecSys.
    """
    # Differs from Yi et al.: frequencies are counted, not estimated from a stream.
    drawn = batch.positives.indices
    expected = batch.item_counts.astype(np.float64) * (len(drawn) / max(1, int(batch.item_counts.sum())))
    return _corrected(users, items, batch, spec, drawn, expected)


def _corrected(
    users: Tensor,
    items: Tensor,
    batch: Batch,
    spec: ArchitectureSpec,
    drawn: npt.NDArray[np.integer],
    expected: npt.NDArray[np.float64],
) -> Tensor:
    """Compute the softmax against drawn items, each weighed by how often it came over how often it was to come."""
    chosen, times = np.unique(drawn, return_counts=True)
    bias = np.log(times / expected[chosen])
    # What all have in common is added in float32; the rest, which differs little, is one more dimension of the
    # candidates, that users have at 1.
    common = float(bias.mean())
    column = torch.from_numpy((bias - common).astype(np.float32)[:, None]).to(items.device)
    candidates = torch.cat([_rows_of(items, chosen), column], dim=1)
    own = _own_among(chosen, batch, items.shape[0])
    return _contrast(users, items, candidates, batch, spec, own, common)


def _rows_of(items: Tensor, chosen: npt.NDArray[np.integer]) -> Tensor:
    return items.index_select(0, torch.from_numpy(chosen.astype(np.int64)).to(items.device))


def _own_among(chosen: npt.NDArray[np.integer], batch: Batch, num_items: int) -> npt.NDArray[np.int64]:
    """Find which of the chosen items are positives of which user: (2, n), (row of the batch, place among them)."""
    slot_of = np.full(num_items, -1, dtype=np.int64)
    slot_of[chosen] = np.arange(len(chosen))
    slots = slot_of[batch.positives.indices]
    return np.stack([batch.positives.rows.numpy()[slots >= 0], slots[slots >= 0]])


def _contrast(
    users: Tensor,
    items: Tensor,
    candidates: Tensor,
    batch: Batch,
    spec: ArchitectureSpec,
    left_out: npt.NDArray[np.int64],
    correction: float,
) -> Tensor:
    bounded = spec.scorer == "cosine" and 1.0 / spec.temperature <= _SAFE_LOGIT
    low = bounded and (users.is_cuda or fast_bfloat16())
    queries = users / spec.temperature
    scores = entry_products(batch.positives, queries, items)
    if candidates.shape[1] > users.shape[1]:  # their last column is added to their scores
        queries = torch.cat([queries, queries.new_ones((len(queries), 1))], dim=1)
    omitted = torch.from_numpy(left_out).to(users.device)
    return cast(Tensor, _Contrast.apply(scores, queries, candidates, batch, omitted, correction, low))  # type: ignore[no-untyped-call]
