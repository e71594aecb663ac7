"""What the simple models cost an export: links of some users' items, and products of the matrix, timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gnas_export.forecast.meter import seconds_of
from gnas_search.baselines import BASELINES, SVD_DIMS
from gnas_search.checkpoint import Checkpoint
from gnas_search.closed_form.fitting import fit_closed_form
from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit_forecast import linked_pairs
from gnas_search.links import links_bytes
from gnas_search.spectral import OVERSAMPLING, PRODUCTS

_SHARE = 0.05
"""Of the users whose items are linked."""
_WIDTH = 48
"""Of the product that is timed."""
_DENSE = 5
"""Products of a decomposition's columns with each other: four to orthonormalise, one to turn."""


@dataclass(frozen=True)
class BaselineCosts:
    """Seconds to fit the simple models, and the memory that it takes beside what the process holds."""

    seconds: float
    needed_bytes: int

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> BaselineCosts:
        """Time parts of both fits."""
        graph = InteractionGraph(checkpoint.train, checkpoint.train)
        num_users, num_items = checkpoint.train.shape
        chosen = np.sort(np.random.default_rng(0).permutation(num_users)[: max(1, round(_SHARE * num_users))])
        some = checkpoint.train[chosen]
        linked = seconds_of(
            lambda: fit_closed_form(BASELINES["item-knn"], InteractionGraph(some, some), seed=0), repeats=2
        )
        width = min(max(SVD_DIMS) + OVERSAMPLING, num_users, num_items)
        matrix = Spectra(graph, 0, lean=True).incidence("target").weighted(0.5, 0.5)
        columns = min(_WIDTH, width)
        items, users = torch.ones((num_items, columns)), torch.ones((num_users, columns))
        product = seconds_of(lambda: matrix.multiply(items), repeats=2)
        product += seconds_of(lambda: matrix.transposed.multiply(users), repeats=2)
        dense = seconds_of(lambda: users.T @ users, repeats=2) * (num_users + num_items) / num_users
        links, peak = links_bytes(checkpoint.train, 100)
        arrays = 3 * 4 * width * (num_users + num_items)
        return cls(
            linked * linked_pairs(checkpoint.train) / max(1.0, linked_pairs(some))
            + product * PRODUCTS / 2 * width / columns
            + dense * _DENSE * (width / columns) ** 2,
            max(peak + links, arrays) + 16 * checkpoint.train.nnz,
        )
