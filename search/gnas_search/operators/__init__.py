"""Message passing: the operators a layer can be, each a module ``(x, adjacency) -> x`` of equal width."""

from __future__ import annotations

from torch import nn

from gnas_search.operators.gat import GAT
from gnas_search.operators.gatv2 import GATv2
from gnas_search.operators.gcn import GCN
from gnas_search.operators.gin import GIN
from gnas_search.operators.lightgcn import LightGCN
from gnas_search.operators.low_pass import LowPass
from gnas_search.operators.ngcf import NGCF
from gnas_search.operators.sage import SageMax, SageMean, SageSum
from gnas_search.operators.skip import Skip

OPERATORS: dict[str, type[nn.Module]] = {
    "gat": GAT,
    "gatv2": GATv2,
    "gcn": GCN,
    "gin": GIN,
    "lightgcn": LightGCN,
    "low_pass": LowPass,
    "ngcf": NGCF,
    "sage_max": SageMax,
    "sage_mean": SageMean,
    "sage_sum": SageSum,
    "skip": Skip,
}
"""By name; constructed as ``OPERATORS[name](dim, generator)``; attention takes ``heads`` too."""
