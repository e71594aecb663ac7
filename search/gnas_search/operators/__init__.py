"""Message passing: the operators a layer can be, each a module ``(x, adjacency) -> x`` of equal width."""

from __future__ import annotations

from torch import nn

from gnas_search.operators.gat import GAT
from gnas_search.operators.gcn import GCN
from gnas_search.operators.lightgcn import LightGCN
from gnas_search.operators.sage import SageMax, SageMean
from gnas_search.operators.skip import Skip

OPERATORS: dict[str, type[nn.Module]] = {
    "gat": GAT,
    "gcn": GCN,
    "lightgcn": LightGCN,
    "sage_max": SageMax,
    "sage_mean": SageMean,
    "skip": Skip,
}
"""By name; constructed as ``OPERATORS[name](dim, generator)``."""
