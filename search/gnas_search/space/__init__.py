"""Search spaces: which models a study may try."""

from gnas_search.space.closed_form import ClosedFormSpace
from gnas_search.space.genes import Gene, Value
from gnas_search.space.network import NetworkSpace
from gnas_search.space.space import FamilySpace, SearchSpace

__all__ = ["ClosedFormSpace", "FamilySpace", "Gene", "NetworkSpace", "SearchSpace", "Value"]
