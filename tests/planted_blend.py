"""Planted data for blends: branches that know known parts of what users want."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, PopularitySpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.fit import Branch
from gnas_search.specs import BranchSpec
from gnas_serve.artifact.branches import BranchFacts

NETWORK = ArchitectureSpec(layers=("lightgcn",))
FILTER = FilterSpec(rank=8)
POPULARITY = PopularitySpec()
SPECS: dict[str, BranchSpec] = {"filter": FILTER, "gnn": NETWORK, "popularity": POPULARITY}
Models = dict[str, tuple[BranchSpec, Branch]]


@dataclass(frozen=True)
class Planted:
    """Users whose interactions follow the sum of two tastes, and vectors that know each of them.

    Attributes
    ----------
    tastes : two pairs of (U, d) and (I, d)
    """

    graph: InteractionGraph
    validation: Validation
    tastes: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

    def models(self, *kinds: str, scale: float = 1.0, useless: bool = False) -> Models:
        """Give a model per kind: the first knows the first taste, the second the other one, or nothing."""
        found: Models = {}
        for place, kind in enumerate(kinds):
            users, items = self.tastes[place]
            if useless and place == 1:
                users = np.random.default_rng(5).standard_normal(users.shape)
            if kind == "popularity":
                users, items = np.ones((len(users), 1)), np.asarray(self.graph.positives.sum(axis=0)).reshape(-1, 1)
            facts = BranchFacts(kind, kind, items.shape[1])
            branch = Branch(facts, users.astype(np.float32), (scale * items).astype(np.float32))
            found[kind] = (SPECS[kind], branch)
        return found


def planted(num_users: int = 160, num_items: int = 120, *, seed: int = 0, per_user: int = 12) -> Planted:
    """Plant two tastes of equal strength; a third of each user's items is held out."""
    rng = np.random.default_rng(seed)
    pairs = tuple((rng.standard_normal((num_users, 4)), rng.standard_normal((num_items, 4)) / 2.0) for _ in range(2))
    appeal = sum(users @ items.T for users, items in pairs) + 0.5 * rng.gumbel(size=(num_users, num_items))
    best = rng.permuted(np.argsort(-appeal, axis=1)[:, :per_user], axis=1)
    train, valid = (np.zeros((num_users, num_items), np.float32) for _ in range(2))
    np.put_along_axis(train, best[:, per_user // 3 :], 1.0, axis=1)
    np.put_along_axis(valid, best[:, : per_user // 3], 1.0, axis=1)
    positives = sp.csr_matrix(train)
    validation = Validation(positives, sp.csr_matrix(valid), max_users=None, seed=0)
    return Planted(InteractionGraph(positives, positives), validation, (pairs[0], pairs[1]))
