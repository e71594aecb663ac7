"""GateLimits: how much each gate of an export allows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from gnas_serve.errors import ConfigError


@dataclass(frozen=True)
class GateLimits:
    """How much each gate allows.

    Attributes
    ----------
    table_recall
        Least recall@C of the compressed vectors against exact ones; below it the vectors ship wider.
    index_recall
        Least recall@C of the index against exact search over what ships; below it another is tried, or search is flat.
    blend_recall
        The same where links propose as well, or the index is over a projection: several proposals may each leave out
        what is middling for all. What that costs the head of the lists is held by ``top_recall``.
    top_recall
        Least recall@20 of the index, and of compressed neighbours: the head of the lists, which is what users see.
    rank_overlap
        Least mean overlap of the first 20 between a form of the ranker and its own network as it was trained.
    quality_loss
        Largest relative loss of ndcg@20 of the whole path that ships, low end of the interval: against uncompressed
        exact retrieval, or against the uncompressed path with the ranker where that was asked for.
    form_loss
        Largest relative loss of ndcg@20 of a form of the ranker against the teacher in float32, low end of the
        interval.
    baseline_loss
        Largest relative loss of ndcg@20 against the best simple model, high end of the interval: 0 where what ships may
        not be significantly worse, 1 where it may by any amount.
    parity
        Largest relative difference between a graph and the network it was made from.
    max_p99_us
        Largest 99th percentile of an answer's latency on the exporting machine, in microseconds; None to measure none.
    max_artifact_bytes
        Most bytes of the model's files and its decisions, what describes them apart
        (:mod:`gnas_serve.artifact.sizes`); None for any number.
    """

    table_recall: float = 0.99
    index_recall: float = 0.98
    blend_recall: float = 0.9
    top_recall: float = 0.99
    rank_overlap: float = 0.95
    quality_loss: float = 0.01
    form_loss: float = 0.01
    baseline_loss: float = 0.0
    parity: float = 1e-4
    max_p99_us: float | None = None
    max_artifact_bytes: int | None = None

    def forced(
        self,
        *,
        min_ann_recall: float | None = None,
        max_ndcg_drop: float | None = None,
        max_latency_us: float | None = None,
        max_artifact_bytes: int | None = None,
    ) -> GateLimits:
        """Give the same limits with those that a command states.

        Parameters
        ----------
        min_ann_recall
            ``index_recall`` and ``blend_recall``.
        max_ndcg_drop
            ``quality_loss``.
        max_latency_us, max_artifact_bytes
            ``max_p99_us`` and ``max_artifact_bytes``.

        Raises
        ------
        ConfigError
            If one is out of its range. Names the option.
        """
        given: dict[str, Any] = {}
        if min_ann_recall is not None:
            given["index_recall"] = given["blend_recall"] = share("--min-ann-recall", min_ann_recall)
        if max_ndcg_drop is not None:
            given["quality_loss"] = share("--max-ndcg-drop", max_ndcg_drop)
        if max_latency_us is not None:
            given["max_p99_us"] = microseconds("--max-latency-us", max_latency_us)
        if max_artifact_bytes is not None:
            given["max_artifact_bytes"] = count("--max-artifact-bytes", max_artifact_bytes)
        return replace(self, **given)


def share(what: str, value: object) -> float:
    """Read a number from 0 to 1.

    Raises
    ------
    ConfigError
        If it is none. Says of what.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{what} = {value!r}", hint="give a number from 0 to 1")
    return float(value)


def microseconds(what: str, value: object) -> float:
    """Read a time.

    Raises
    ------
    ConfigError
        If it is no positive number. Says of what.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{what} = {value!r}", hint="give microseconds above 0")
    return float(value)


def count(what: str, value: object) -> int:
    """Read a number of bytes.

    Raises
    ------
    ConfigError
        If it is no positive whole number. Says of what.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{what} = {value!r}", hint="give a whole number above 0")
    return value
