"""A random graph in which every user has about as many interactions."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gnas_search.data.dataset import InteractionGraph


def random_graph(num_users: int, num_items: int, per_user: int = 10) -> InteractionGraph:
    """Draw ``per_user`` items for each user, one now and then twice; it counts once."""
    users = np.repeat(np.arange(num_users), per_user)
    items = np.random.default_rng(0).integers(0, num_items, len(users))
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=(num_users, num_items))
    matrix.data[:] = 1.0
    return InteractionGraph(matrix, matrix)
