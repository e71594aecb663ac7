"""GraphRecommender: embeddings, layers and their combination, as one ArchitectureSpec says."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gnas_search.architecture import ArchitectureSpec
from gnas_search.combination import combination
from gnas_search.construction import constructed
from gnas_search.data.dataset import InteractionGraph
from gnas_search.heads import HEADS
from gnas_search.layer import Layer
from gnas_search.layer_spec import LayerSpec
from gnas_search.node_input import FeatureInput, has_features
from gnas_search.objective import AMONG_CHOSEN
from gnas_search.operators.adjacency import Adjacency, normalised
from gnas_search.operators.spmm import polynomial
from gnas_search.polynomials import POLYNOMIALS
from gnas_search.spectral import truncated_svd

_SCALE = 0.1  # standard deviation of an initial embedding's entries
_POLYNOMIALS = {name: np.array(found, dtype=np.float64) for name, found in POLYNOMIALS.items()}


class GraphRecommender(nn.Module):
    """Embeddings of all users and items, refined by message passing.

    Parameters
    ----------
    spec
        The architecture.
    graph
        Its ``positives`` or its ``edges`` carry the messages, weighed, thinned and joined by others as the spec says.
    seed
        Of the initial embeddings and weights, and of what training drops and adds at random.

    Raises
    ------
    ConfigError
        If the spec asks for what the data does not have: an event, timestamps, features.
    """

    _alone: Tensor

    def __init__(self, spec: ArchitectureSpec, graph: InteractionGraph, *, seed: int) -> None:
        super().__init__()
        built = constructed(spec, graph)
        generator = torch.Generator().manual_seed(seed)
        self.spec = spec
        self.adjacency = self._adjacency(built.interactions, built.links)
        start = torch.randn((self.adjacency.num_nodes, spec.embedding_dim), generator=generator) * _SCALE
        if spec.init == "svd":
            _write_spectrum(start, *truncated_svd(normalised(built.interactions), spec.embedding_dim, seed))
        self.features = FeatureInput(graph, spec.embedding_dim) if spec.features else None
        alone = torch.from_numpy(np.diff(self.adjacency.pattern.indptr) == 0)  # (U + I,)
        if self.features is not None:  # whom no message reaches has features alone, not where chance put him
            start[alone] = 0.0
        self.embeddings = nn.Parameter(start)  # (U + I, d)
        self.register_buffer("_alone", torch.nonzero(alone)[:, 0], persistent=False)
        self.layers = nn.ModuleList(
            Layer(layer, spec.embedding_dim, spec.heads, generator) for layer in spec.layer_specs
        )
        self.combination = combination(spec.combination, spec.embedding_dim, generator)
        self.head = HEADS[spec.scorer](spec.width, generator)
        self._built = built
        # Whom nothing moves from where chance put him: no message, no feature and, of items, no comparison with others.
        reached = ~alone.numpy()
        if spec.features:
            reached |= np.concatenate(has_features(graph))
        self.known_users, self.known_items = np.split(reached, [graph.num_users])
        if spec.loss not in AMONG_CHOSEN:
            self.known_items = np.ones_like(self.known_items)
        self._thinned = self.adjacency
        self._seed = seed
        self._noise: torch.Generator | None = None

    def thin(self, rng: np.random.Generator) -> None:
        """Draw the edges that carry messages in training until the next call: all but ``spec.edge_dropout``.

        References
        ----------
        Wu, J. et al. (2021). Self-supervised graph learning for recommendation. SIGIR (edge dropout).
        """
        if self.spec.edge_dropout:
            edges, links = self._built.interactions, self._built.links
            edges = _selected(edges, rng.random(edges.nnz) >= self.spec.edge_dropout)
            if links is not None:
                upper = sp.triu(links, format="csr")  # a link is dropped in both directions, or in none
                upper = _selected(upper, rng.random(upper.nnz) >= self.spec.edge_dropout)
                links = sp.csr_matrix(upper + upper.T)
            self._thinned = self._adjacency(edges, links)

    def hold_alone(self) -> None:
        """Take the gradient from the embeddings of those who have features alone, after it was computed.

        As items that nobody chose they would learn just that, in the place of what their features say.
        """
        gradient = self.embeddings.grad
        if self.features is not None and gradient is not None and len(self._alone):
            gradient[self._alone] = 0.0

    def _adjacency(self, edges: sp.csr_matrix, links: sp.csr_matrix | None) -> Adjacency:
        return Adjacency(edges, links=links, averaging=self.spec.graph.edge_weights == "uniform")

    def forward(self, chosen: Tensor | None = None, *, noise: float = 0.0) -> tuple[Tensor, Tensor]:
        """Compute the vectors whose inner products are the scores.

        Parameters
        ----------
        chosen : (b,) int64, optional
            Users to give, each once, for training: entries and edges are then dropped as the spec says, and where no
            layer has weights, a CPU rounds messages to bfloat16 (:func:`~gnas_search.operators.spmm.polynomial`).
            Without it all users are given, exactly.
        noise
            Length of the random vector that is added to each node's after each layer.

        Returns
        -------
        users : (b, d')
        items : (I, d')
            d' is ``spec.width``.
        """
        refined = self._refined(training=chosen is not None, noise=noise)
        users, items = _Parts.apply(refined, self.adjacency.num_users, chosen)  # type: ignore[no-untyped-call]
        scored: tuple[Tensor, Tensor] = self.head(users, items)
        return scored

    def _refined(self, *, training: bool, noise: float) -> Tensor:
        adjacency = self._thinned if training else self.adjacency
        start = self.embeddings if self.features is None else self.features(self.embeddings)
        coefficients = _coefficients(self.spec)
        dropping = training and any(layer.dropout for layer in self.spec.layer_specs)
        if coefficients is not None and not noise and not dropping:
            return polynomial(adjacency.propagation, coefficients, start, rounded=training)
        outputs: list[Tensor] = [start]
        for layer in self.layers:
            hidden = layer(outputs[-1], adjacency, self._drop if training else None)
            outputs.append(self._moved(hidden, noise) if noise else hidden)
        combined: Tensor = self.combination(outputs if self.spec.include_input or len(outputs) == 1 else outputs[1:])
        return combined

    def _drop(self, hidden: Tensor, share: float) -> Tensor:
        kept = torch.empty_like(hidden).bernoulli_(1.0 - share, generator=self._random(hidden.device))
        return hidden * kept.div_(1.0 - share)

    def _moved(self, hidden: Tensor, length: float) -> Tensor:
        # Into the vector's own orthant, as SimGCL has it: the signs of what is learned stay.
        drawn = torch.empty_like(hidden).uniform_(generator=self._random(hidden.device))
        return hidden + normalize(drawn, dim=1).mul_(length).mul_(hidden.detach().sign())

    def _random(self, device: torch.device) -> torch.Generator:
        if self._noise is None:
            own_seed = int(np.random.SeedSequence([self._seed, 1]).generate_state(1)[0])  # not that of the embeddings
            self._noise = torch.Generator(device).manual_seed(own_seed)
        return self._noise


def _selected(matrix: sp.csr_matrix, kept: np.ndarray[Any, np.dtype[np.bool_]]) -> sp.csr_matrix:
    lengths = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], lengths), shape=matrix.shape)


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


def count_parameters(spec: ArchitectureSpec, num_nodes: int) -> int:
    """Count the numbers that training adjusts, without making the embeddings.

    Parameters
    ----------
    spec
        The architecture.
    num_nodes
        Users and items.
    """
    generator = torch.Generator().manual_seed(0)
    parts: list[nn.Module] = [Layer(layer, spec.embedding_dim, spec.heads, generator) for layer in spec.layer_specs]
    parts.append(combination(spec.combination, spec.embedding_dim, generator))
    parts.append(HEADS[spec.scorer](spec.width, generator))
    return num_nodes * spec.embedding_dim + sum(weight.numel() for part in parts for weight in part.parameters())


def is_polynomial(spec: ArchitectureSpec) -> bool:
    """Say whether an architecture is trained as a polynomial of the adjacency, in less time and memory."""
    disturbed = spec.contrast_weight or any(layer.dropout for layer in spec.layer_specs)
    return _coefficients(spec) is not None and not disturbed


def _coefficients(spec: ArchitectureSpec) -> tuple[float, ...] | None:
    """Write an architecture without weights as a polynomial of the adjacency: what each power counts.

    None where it has weights or more than powers between them, passes no messages, or its parts are not added up.
    """
    if spec.combination not in ("last", "mean", "sum"):
        return None
    reached = [np.ones(1)]
    for layer in spec.layer_specs:
        passed = _layer_coefficients(layer)
        if passed is None:
            return None
        reached.append(np.convolve(reached[-1], passed))
    degree = max(len(part) for part in reached) - 1
    if not degree:
        return None
    parts = reached[-1:] if spec.combination == "last" else reached[0 if spec.include_input else 1 :]
    added = _added(parts)
    return tuple((added / (1 if spec.combination == "sum" else len(parts))).tolist())


def _layer_coefficients(layer: LayerSpec) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    if layer.has_weights or layer.resolved_activation != "none" or layer.normalisation != "none":
        return None
    reached = [np.ones(1)]
    for operator, source in layer.nodes:
        reached.append(np.convolve(reached[source], _POLYNOMIALS[operator]))
    leaves = [reached[number] for number in layer.leaves]
    mean = _added(leaves) / len(leaves)
    return _added([mean, np.ones(1)]) if layer.residual else mean


def _added(parts: list[np.ndarray[Any, np.dtype[np.float64]]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    longest = max(len(part) for part in parts)
    total: np.ndarray[Any, np.dtype[np.float64]] = sum(
        (np.pad(part, (0, longest - len(part))) for part in parts), np.zeros(longest)
    )
    return total


def _write_spectrum(start: Tensor, left: Tensor, values: Tensor, right: Tensor) -> None:
    # Users and items share the square root of each singular value; both sides are brought to the scale of random
    # embeddings. Columns beyond the matrix's rank stay random.
    share = values.clamp_min(0.0).sqrt()
    share = share * (_SCALE / share.mean())
    spectrum = torch.cat([left * share * len(left) ** 0.5, right * share * len(right) ** 0.5])  # (U + I, r)
    start[:, : len(values)] = spectrum
