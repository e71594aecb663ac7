"""Attention over a user's history: a ranker that never ships, but that others can learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gnas_export.ranker.fitting import Course, learned
from gnas_export.ranker.lessons import Batch, Lessons, one_thread
from gnas_export.ranker.network import RankerNetwork
from gnas_serve.runtime.seen import SeenItems

Floats = npt.NDArray[np.float32]

MOST_HISTORY = 50
"""Items of a history that are attended to."""
_COMPONENTS = 64  # of the frozen vectors: a blend has hundreds of columns, and every candidate of a batch brings a row
_WIDTH, _HEADS = 32, 2


class AttentionNetwork(nn.Module):
    """The inputs of a :class:`RankerNetwork`, and what each candidate finds in the user's history.

    One Transformer block lets the items of the history see each other, then every candidate attends to them. What it
    finds, times what it is itself, how much it finds, and what it is go on as further cross inputs. A history is a set,
    as checkpoints keep it: no input tells its order, so it has no effect. Untrained it ranks as retrieval does.

    Parameters
    ----------
    widths
        Number of user, item and cross inputs.
    components
        Width of the frozen vectors.
    hidden
        Widths of the two hidden layers.
    score_column
        Which cross input is the retriever's standardised score.
    generator
        Of the initial weights.

    References
    ----------
    Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018. Vaswani et al., "Attention Is All
    You Need", NeurIPS 2017. Chen et al., "Behavior Sequence Transformer for E-commerce Recommendation in Alibaba",
    2019.
    """

    # Differs from DIN: weights are a softmax's, with its logarithmic sum beside them as the strength of the interest.
    # Differs from BST: no positions, and the candidate is no part of the sequence: one block serves all candidates.

    def __init__(
        self,
        widths: tuple[int, int, int],
        components: int,
        hidden: tuple[int, int],
        score_column: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()

        def weight(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator) / rows**0.5)

        self.down = weight(components, _WIDTH)
        self.block = nn.ParameterDict({name: weight(_WIDTH, _WIDTH) for name in ("query", "key", "value")})
        self.block["out"] = nn.Parameter(torch.zeros(_WIDTH, _WIDTH))
        self.wider, self.narrower = weight(_WIDTH, 2 * _WIDTH), nn.Parameter(torch.zeros(2 * _WIDTH, _WIDTH))
        self.target = nn.ParameterDict({name: weight(_WIDTH, _WIDTH) for name in ("query", "key", "value")})
        self.before, self.between, self.after = (nn.LayerNorm(_WIDTH) for _ in range(3))
        users, items, cross = widths
        self.ranker = RankerNetwork((users, items, cross + 2 * _WIDTH + _HEADS), hidden, score_column, generator)

    def forward(
        self, user: Tensor, item: Tensor, cross: Tensor, candidates: Tensor, history: Tensor, padded: Tensor
    ) -> Tensor:
        """Score candidates.

        Parameters
        ----------
        user : (n, 1, D), item : (n, C, F), cross : (n, C, X)
            Standardised.
        candidates : (n, C, P), history : (n, N, P)
            Frozen vectors.
        padded : (n, N) bool
            Where there is no item.

        Returns
        -------
        Tensor
            (n, C)
        """
        past = history @ self.down  # (n, N, W)
        seen = self.before(past)
        past = past + _attend(self.block, seen, seen, padded)[0] @ self.block["out"]
        past = past + torch.relu(self.between(past) @ self.wider) @ self.narrower
        wanted = candidates @ self.down  # (n, C, W)
        found, strength = _attend(self.target, wanted, self.after(past), padded)
        scored: Tensor = self.ranker(user, item, torch.cat([cross, wanted, found * wanted, strength], dim=2))
        return scored


def fit_attention(
    lessons: AttentiveLessons, *, hidden: tuple[int, int], score_column: int, seed: int
) -> tuple[AttentionNetwork, Course]:
    """Fit as :func:`gnas_export.ranker.fitting.fit_ranker` does.

    Parameters
    ----------
    lessons
        Of at least :data:`gnas_export.ranker.fitting.MIN_USERS` users.
    hidden
        Widths of the hidden layers.
    score_column
        Which cross input is the retriever's standardised score.
    seed
        Of the weights and the order.
    """
    generator = torch.Generator().manual_seed(seed)
    components = lessons.histories.vectors.shape[1]
    network = AttentionNetwork(lessons.widths, components, hidden, score_column, generator)
    return network, learned(network, lessons, lessons.labels, lessons.inner_ndcg, seed=seed)


def _attend(weights: Any, queries: Tensor, past: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
    """Attend with every head: (n, Q, W), (n, N, W), (n, N) -> (n, Q, W), and the strengths, (n, Q, heads).

    There is always nothing to attend to besides: of an empty history nothing is found.
    """

    def heads(values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:2], _HEADS, -1).transpose(1, 2)  # (n, heads, ., W / heads)

    query = heads(queries @ weights["query"]) * (_HEADS / queries.shape[2]) ** 0.5
    likeness = query @ heads(past @ weights["key"]).transpose(2, 3)  # (n, heads, Q, N)
    likeness = likeness.masked_fill(padded[:, None, None], float("-inf"))
    strength = torch.nn.functional.pad(likeness, (0, 1)).logsumexp(dim=3, keepdim=True)
    found = (likeness - strength).exp() @ heads(past @ weights["value"])
    return found.transpose(1, 2).flatten(2), strength[..., 0].transpose(1, 2)


@dataclass(frozen=True)
class Histories:
    """Frozen vectors of the items, and which items each user has: rows are gathered for each batch, never stored.

    Attributes
    ----------
    vectors : (I, P)
    offsets : (U + 1,) int64, items : (n,) int32
        As :class:`SeenItems` has them.
    """

    vectors: Tensor
    offsets: Tensor
    items: Tensor

    @classmethod
    def of(cls, vectors: Floats, seen: SeenItems) -> Histories:
        """Turn frozen vectors to their largest principal components, at unit length each before.

        Parameters
        ----------
        vectors : (I, D)
            Of the fit that retrieved.
        seen
            Of the same fit.
        """
        with one_thread():
            exact = torch.nn.functional.normalize(torch.from_numpy(vectors).double())
            _, axes = torch.linalg.eigh(exact.T @ exact)  # ascending
            turned = exact @ axes[:, -_COMPONENTS:]
            turned /= turned.square().mean().sqrt().clamp(min=1e-12)
        return cls(turned.float(), torch.from_numpy(seen.offsets), torch.from_numpy(seen.items))

    def rows(self, user_rows: Tensor) -> tuple[Tensor, Tensor]:
        """Give the histories of some users: (n, N) item rows, and where they are padded.

        Of a longer history they are so many, evenly spaced: it is a set, and no item is its latest.
        """
        begin = self.offsets[user_rows, None]  # (n, 1)
        lengths = self.offsets[user_rows + 1, None] - begin
        longest = max(1, min(MOST_HISTORY, int(lengths.max())))
        steps = torch.arange(longest)[None]
        places = torch.where(lengths > longest, steps * lengths // longest, steps)
        padded = steps >= lengths
        found = self.items[(begin + places).masked_fill(padded, 0)] if len(self.items) else torch.zeros_like(places)
        return found.long(), padded


@dataclass(frozen=True)
class AttentiveLessons(Lessons):
    """The same lessons for a network that sees the histories, too.

    Attributes
    ----------
    histories
        Of the users of all lists.
    """

    histories: Histories

    @classmethod
    def beside(cls, lessons: Lessons, histories: Histories) -> AttentiveLessons:
        """Give histories to lessons."""
        return cls(**vars(lessons), histories=histories)

    def scores(self, network: nn.Module, batch: Batch) -> Tensor:
        """Score lists, (n, C)."""
        rows, padded = self.histories.rows(batch.user_rows)
        vectors = self.histories.vectors
        scored: Tensor = network(
            batch.user, self.items[batch.rows], batch.cross, vectors[batch.rows], vectors[rows], padded
        )
        return scored
