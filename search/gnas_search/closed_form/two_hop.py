"""Two hops: an item of a history recommends the items that its users also have. Item-kNN is one of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gnas_search.architecture import EDGES
from gnas_search.closed_form.spec import ClosedFormSpec
from gnas_serve.artifact.branches import TWO_HOP

MAX_NEIGHBOURS = 4096
KEPT_PER = ("source", "target")


@dataclass(frozen=True)
class TwoHopSpec(ClosedFormSpec):
    """Sparse links between items: the largest of ``D^-source_power R^T D_u^-user_power R D^-target_power``.

    The item-item operator as it is where a :class:`FilterSpec` smooths it: exact where items share few users.

    Attributes
    ----------
    neighbours
        Links kept per item.
    kept_per
        Whether these are the largest of each ``"source"``, an item of a history, which bounds what an answer costs, or
        of each ``"target"``, an item to recommend, which gives every item its ways to be reached.
    user_power
        How much less a common user counts the more items he has.
    source_power
        How much less an item of a history counts the more users it has.
    target_power
        How much less an item is recommended the more users it has. With .5, .5 and a user power of 0, links are
        cosines; kept per target, this is item-kNN.
    edges
        Whether common users are those of every event or of the target event alone. Histories are of the target event.

    References
    ----------
    Sarwar, B. et al. (2001). Item-based collaborative filtering recommendation algorithms. WWW.
    Cooper, C. et al. (2014). Random walks in recommender systems: exact computation and simulations. WWW (P3alpha).
    """

    KIND: ClassVar[str] = TWO_HOP

    neighbours: int = 100
    kept_per: str = "source"
    user_power: float = 0.5
    source_power: float = 0.5
    target_power: float = 0.25
    edges: str = "target"

    def __post_init__(self) -> None:
        """Refuse values outside the space, naming the field.

        Raises
        ------
        ConfigError
            If a name is unknown or a number out of range.
        """
        self._require_one_of("kept_per", KEPT_PER)
        self._require_one_of("edges", EDGES)
        self._require_within("neighbours", 1, MAX_NEIGHBOURS)
        self._require_within("user_power", 0.0, 2.0)
        self._require_within("source_power", -1.0, 1.0)
        self._require_within("target_power", -1.0, 1.0)

    def summary(self) -> str:
        """Describe the links in a few words, for tables."""
        powers = f"{self.user_power:.2g} {self.source_power:.2g} {self.target_power:.2g}"
        return f"two hops | powers {powers} | {self.edges} | top {self.neighbours} per {self.kept_per}"
