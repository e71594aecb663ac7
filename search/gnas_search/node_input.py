"""NodeInput: what the features of users and items add to their embeddings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gnas_search.data.dataset import InteractionGraph
from gnas_search.data.interactions import FeatureTable
from gnas_serve.errors import ConfigError

Mask = npt.NDArray[np.bool_]


class FeatureInput(nn.Module):
    """A learned linear map of the features of each side, added to the embeddings.

    Parameters
    ----------
    graph
        With the features of its items, its users or both.
    dim
        Of the embeddings.

    Raises
    ------
    ConfigError
        If it has neither.

    References
    ----------
    Kula, M. (2015). Metadata embeddings for user and item cold-start recommendations. RecSys workshops (LightFM).
    """

    users: Tensor
    items: Tensor

    def __init__(self, graph: InteractionGraph, dim: int) -> None:
        super().__init__()
        if graph.user_features is None and graph.item_features is None:
            raise ConfigError(
                "features: neither items nor users have any", hint="give items.* or users.*, or leave features out"
            )
        users = _evened(graph.user_features, graph.num_users)  # (U, F_u)
        items = _evened(graph.item_features, graph.num_items)  # (I, F_i)
        self.register_buffer("users", users, persistent=False)
        self.register_buffer("items", items, persistent=False)
        # They start at 0, so that training begins where it does without features.
        self.by_user = nn.Parameter(torch.zeros(users.shape[1], dim))
        self.by_item = nn.Parameter(torch.zeros(items.shape[1], dim))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Add what the features say: (U + I, d) -> (U + I, d)."""
        return embeddings + torch.cat([self.users @ self.by_user, self.items @ self.by_item])


def has_features(graph: InteractionGraph) -> tuple[Mask, Mask]:
    """Tell which users and which items have a feature other than 0: (U,), (I,)."""
    return _any(graph.user_features, graph.num_users), _any(graph.item_features, graph.num_items)


def _any(table: FeatureTable | None, count: int) -> Mask:
    if table is None:
        return np.zeros(count, np.bool_)
    found: Mask = (table.values != 0.0).any(axis=1)
    return found


def feature_bytes(graph: InteractionGraph) -> int:
    """Count what the features of a graph take."""
    return sum(table.values.nbytes for table in (graph.user_features, graph.item_features) if table is not None)


def _evened(table: FeatureTable | None, count: int) -> Tensor:
    """Scale features so that rows have unit length in the mean square: a step then moves by as much whatever F is."""
    if table is None:
        return torch.zeros((count, 0))
    length = float(np.sqrt(np.square(table.values, dtype=np.float64).sum(axis=1).mean())) if count else 0.0
    return torch.from_numpy((table.values / (length or 1.0)).astype(np.float32))
