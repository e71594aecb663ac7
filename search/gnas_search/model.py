"""GraphRecommender: embeddings, layers and their combination, as one ArchitectureSpec says."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.heads import HEADS
from gnas_search.operators import OPERATORS
from gnas_search.operators.spmm import Adjacency, normalised
from gnas_search.spectral import truncated_svd

_SCALE = 0.1  # standard deviation of an initial embedding's entries
_LINEAR = frozenset({"lightgcn", "skip"})  # operators without weights: a non-linearity after them undoes their point
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

    def forward(self) -> tuple[Tensor, Tensor]:
        """Compute the vectors whose inner products are the scores.

        Returns
        -------
        users : (U, d')
        items : (I, d')
            d' is ``embedding_dim``, times the number of parts where they are concatenated.
        """
        outputs: list[Tensor] = [self.embeddings]
        for name, layer in zip(self.spec.layers, self.layers, strict=True):
            hidden = layer(outputs[-1], self.adjacency)
            outputs.append(hidden if name in _LINEAR else leaky_relu(hidden, _SLOPE))
        vectors = HEADS[self.spec.scorer](self._combined(outputs))
        return vectors[: self.adjacency.num_users], vectors[self.adjacency.num_users :]

    def _combined(self, outputs: list[Tensor]) -> Tensor:
        if len(outputs) == 1 or self.spec.combination == "last":
            return outputs[-1]
        parts = outputs if self.spec.include_input else outputs[1:]
        return torch.cat(parts, dim=1) if self.spec.combination == "concat" else torch.stack(parts).mean(dim=0)


def _write_spectrum(start: Tensor, left: Tensor, values: Tensor, right: Tensor) -> None:
    # Users and items share the square root of each singular value; both sides are brought to the scale of random
    # embeddings. Columns beyond the matrix's rank stay random.
    share = values.clamp_min(0.0).sqrt()
    share = share * (_SCALE / share.mean())
    spectrum = torch.cat([left * share * len(left) ** 0.5, right * share * len(right) ** 0.5])  # (U + I, r)
    start[:, : len(values)] = spectrum
