"""Popularity: the same for everyone; by itself what any model has to beat, in a sum a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gnas_search.closed_form.spec import ClosedFormSpec


@dataclass(frozen=True)
class PopularitySpec(ClosedFormSpec):
    """Every user gets the items with the most interactions."""

    KIND: ClassVar[str] = "popularity"

    def key(self) -> str:
        """Give its one name."""
        return self.KIND

    def summary(self) -> str:
        """Describe it, for tables."""
        return "log(1 + interactions)"
