"""Supernet: networks that share weights, so that a study knows something of each before it trains any."""

from __future__ import annotations

from collections.abc import Callable

from gnas_search.supernet.course import Step
from gnas_search.supernet.darts import darts
from gnas_search.supernet.one_shot import one_shot
from gnas_search.supernet.survey import Answer, Survey

__all__ = ["SUPERNETS", "Answer", "Step", "Survey"]

SUPERNETS: dict[str, Callable[[Survey], Answer]] = {"darts": darts, "one-shot": one_shot}
"""By the name of the strategy that proposes what they find."""
