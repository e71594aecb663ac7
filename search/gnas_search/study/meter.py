"""Meter: what a model costs to serve, measured on what an export would make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gnas_search.fit import Fit


class CostMeter(Protocol):
    """Exports a model and measures what it costs; made by whoever starts a search, as export stands above search."""

    def __call__(self, fit: Fit) -> Mapping[str, float]:
        """Give :data:`gnas_search.study.objectives.EXPORTED` by name: ``artifact_bytes`` and ``latency_us``.

        Beside them ``table_bytes``, which ``max_artifact_bytes`` limits: of the vectors with their scales, and links.

        Parameters
        ----------
        fit
            To the selection graph.
        """
