"""Attention over the entries of a sparse matrix's rows, differentiable."""

from __future__ import annotations

from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor

from gnas_search.operators import spmm
from gnas_search.operators.pattern import CsrPattern


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pattern: CsrPattern,
        dense: Tensor,
        source: Tensor,
        target: Tensor,
        slope: float,
        prior: Tensor | None,
    ) -> Tensor:
        products = spmm.products_for(dense)
        weights, steep = products.attention_weights(pattern, source, target, slope, prior)
        out: Tensor = products.multiply(pattern, weights, dense)
        ctx.pattern = pattern
        ctx.save_for_backward(dense, out, weights, steep)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None, None]:
        pattern: CsrPattern = ctx.pattern
        dense, out, weights, steep = ctx.saved_tensors
        products, gradient = spmm.products_for(dense), gradients[0].contiguous()
        by_dense = products.multiply(pattern.transposed, spmm.turned(pattern, weights), gradient)
        by_logit = _by_logit(pattern, products, gradient, dense, out, weights) * steep
        by_source = products.row_sums(pattern.transposed, spmm.turned(pattern, by_logit))
        return None, by_dense, by_source, products.row_sums(pattern, by_logit), None, None


class _DynamicAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pattern: CsrPattern,
        source: Tensor,
        target: Tensor,
        query: Tensor,
        slope: float,
        prior: Tensor | None,
    ) -> Tensor:
        products = spmm.products_for(source)
        logits = products.dynamic_logits(pattern, source, target, query, slope)
        weights = products.row_softmax(pattern, logits if prior is None else logits.add_(prior))
        out: Tensor = products.multiply(pattern, weights, source)
        ctx.pattern, ctx.slope = pattern, slope
        ctx.save_for_backward(source, target, query, out, weights)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None, None]:
        pattern: CsrPattern = ctx.pattern
        source, target, query, out, weights = ctx.saved_tensors
        products, gradient = spmm.products_for(source), gradients[0].contiguous()
        by_source = products.multiply(pattern.transposed, spmm.turned(pattern, weights), gradient)
        by_logit = _by_logit(pattern, products, gradient, source, out, weights)
        by_target, by_query = products.dynamic_gradients(pattern, by_logit, source, target, query, ctx.slope)
        turned = spmm.turned(pattern, by_logit)
        by_source += products.dynamic_gradients(pattern.transposed, turned, target, source, query, ctx.slope)[0]
        return None, by_source, by_target, by_query, None, None


def _by_logit(
    pattern: CsrPattern, products: ModuleType, gradient: Tensor, dense: Tensor, out: Tensor, weights: Tensor
) -> Tensor:
    """Give the gradient by the logits of a softmax within each row that averages ``dense``: (nnz,)."""
    # The mean gradient of a row's weights, under those weights, is gradient . output.
    centre = (gradient * out).sum(dim=1)  # (n,)
    rows = pattern.rows.to(dense.device)
    by_weight = products.entry_products(pattern, gradient, dense) - centre.index_select(0, rows)
    return cast(Tensor, by_weight * weights)


def attention(
    pattern: CsrPattern, dense: Tensor, source: Tensor, target: Tensor, slope: float, prior: Tensor | None = None
) -> Tensor:
    """Average ``dense`` over the entries of each row, weighed by a softmax over them.

    Parameters
    ----------
    pattern
        (n, m).
    dense : (m, d)
    source : (m,)
        What each column contributes to a logit.
    target : (n,)
        What each row contributes to its logits.
    slope
        Of the leaky ReLU on the sum of both.
    prior : (nnz,), optional
        Added to the logit of each entry: the logarithm of its weight multiplies what the softmax gives it.

    Returns
    -------
    (n, d), 0 for empty rows
    """
    return cast(Tensor, _Attention.apply(pattern, dense, source, target, slope, prior))  # type: ignore[no-untyped-call]


def dynamic_attention(
    pattern: CsrPattern, source: Tensor, target: Tensor, query: Tensor, slope: float, prior: Tensor | None = None
) -> Tensor:
    """Average ``source`` over the entries of each row, by a softmax of ``query . leaky_relu(source + target)``.

    Parameters
    ----------
    pattern
        (n, m).
    source : (m, d)
        What is averaged.
    target : (n, d)
    query : (d,)
    slope
        Of the leaky ReLU.
    prior : (nnz,), optional
        As for :func:`attention`.

    Returns
    -------
    (n, d), 0 for empty rows
    """
    applied = _DynamicAttention.apply(pattern, source, target, query, slope, prior)  # type: ignore[no-untyped-call]
    return cast(Tensor, applied)
