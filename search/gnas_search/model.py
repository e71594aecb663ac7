"""GraphRecommender: embeddings, layers and their combination, as one ArchitectureSpec says."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.heads import HEADS
from gnas_search.operators import OPERATORS
from gnas_search.operators.low_pass import COEFFICIENTS as LOW_PASS
from gnas_search.operators.spmm import Adjacency, normalised, polynomial
from gnas_search.spectral import truncated_svd

_SCALE = 0.1  # standard deviation of an initial embedding's entries
_POLYNOMIALS = {"lightgcn": (0.0, 1.0), "low_pass": LOW_PASS, "skip": (1.0,)}
"""Operators without weights, as polynomials of the adjacency: a non-linearity after them would undo their point."""
_SLOPE = 0.2


class GraphRecommender(nn.Module):
    """Embeddings of all users and items, refined by message passing.

    Parameters
    ----------
    spec
        The architecture.
    graph
        Its ``positives`` or its ``edges`` carry the messages, as the spec says.
    seed
        Of the initial embeddings and weights.
    """

    def __init__(self, spec: ArchitectureSpec, graph: InteractionGraph, *, seed: int) -> None:
        super().__init__()
        interactions = graph.edges if spec.edges == "all" else graph.positives
        generator = torch.Generator().manual_seed(seed)
        self.spec = spec
        self.adjacency = Adjacency(interactions)
        start = torch.randn((self.adjacency.num_nodes, spec.embedding_dim), generator=generator) * _SCALE
        if spec.init == "svd":
            _write_spectrum(start, *truncated_svd(normalised(interactions), spec.embedding_dim, seed))
        self.embeddings = nn.Parameter(start)  # (U + I, d)
        self.layers = nn.ModuleList(OPERATORS[name](spec.embedding_dim, generator) for name in spec.layers)

    def forward(self, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the vectors whose inner products are the scores.

        Parameters
        ----------
        chosen : (b,) int64, optional
            Users to give, each once, for training: where no layer has weights, a CPU then rounds messages to bfloat16
            (:func:`~gnas_search.operators.spmm.polynomial`). Without it all users are given, exactly.

        Returns
        -------
        users : (b, d')
        items : (I, d')
            d' is ``embedding_dim``, times the number of parts where they are concatenated.
        """
        users, items = _Parts.apply(self._refined(rounded=chosen is not None), self.adjacency.num_users, chosen)  # type: ignore[no-untyped-call]
        head = HEADS[self.spec.scorer]
        return head(users), head(items)

    def _refined(self, *, rounded: bool) -> Tensor:
        coefficients = _coefficients(self.spec)
        if coefficients is not None:
            return polynomial(self.adjacency.symmetric, coefficients, self.embeddings, rounded=rounded)
        outputs: list[Tensor] = [self.embeddings]
        for name, layer in zip(self.spec.layers, self.layers, strict=True):
            hidden = layer(outputs[-1], self.adjacency)
            outputs.append(hidden if name in _POLYNOMIALS else leaky_relu(hidden, _SLOPE))
        return self._combined(outputs)

    def _combined(self, outputs: list[Tensor]) -> Tensor:
        if len(outputs) == 1 or self.spec.combination == "last":
            return outputs[-1]
        parts = outputs if self.spec.include_input else outputs[1:]
        return torch.cat(parts, dim=1) if self.spec.combination == "concat" else reduce(torch.add, parts) / len(parts)


class _Parts(torch.autograd.Function):
    """Some users' rows and all items' of (U + I, d) vectors; the gradient is one array filled once."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, num_users: int, chosen: Tensor | None) -> tuple[Tensor, Tensor]:
        ctx.num_users, ctx.chosen = num_users, chosen
        users = vectors[:num_users].clone() if chosen is None else vectors.index_select(0, chosen)
        return users, vectors[num_users:].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        users, items = gradients
        num_users: int = ctx.num_users
        out = users.new_empty((num_users + len(items), users.shape[1]))
        out[num_users:] = items
        if ctx.chosen is None:
            out[:num_users] = users
        else:
            out[:num_users] = 0.0
            out[ctx.chosen] = users
        return out, None, None


def is_polynomial(spec: ArchitectureSpec) -> bool:
    """Say whether an architecture is a polynomial of the adjacency, which is trained in less time and memory."""
    return _coefficients(spec) is not None


def _coefficients(spec: ArchitectureSpec) -> tuple[float, ...] | None:
    """Write an architecture without weights as a polynomial of the adjacency: what each power counts.

    None where it has weights, passes no messages, or its parts are not added up.
    """
    if not _POLYNOMIALS.keys() >= set(spec.layers) or spec.combination == "concat":
        return None
    reached = [np.ones(1)]
    for name in spec.layers:
        reached.append(np.convolve(reached[-1], _POLYNOMIALS[name]))
    degree = len(reached[-1]) - 1
    if not degree:
        return None
    parts = reached[-1:] if spec.combination == "last" else reached[0 if spec.include_input else 1 :]
    coefficients = np.stack([np.pad(part, (0, degree + 1 - len(part))) for part in parts]).mean(axis=0)
    return tuple(coefficients.tolist())


def _write_spectrum(start: Tensor, left: Tensor, values: Tensor, right: Tensor) -> None:
    # Users and items share the square root of each singular value; both sides are brought to the scale of random
    # embeddings. Columns beyond the matrix's rank stay random.
    share = values.clamp_min(0.0).sqrt()
    share = share * (_SCALE / share.mean())
    spectrum = torch.cat([left * share * len(left) ** 0.5, right * share * len(right) ** 0.5])  # (U + I, r)
    start[:, : len(values)] = spectrum
