"""Supernet: networks that share weights, so that a study knows something of each before it trains any."""

from __future__ import annotations

from collections.abc import Callable

from gnas_search.data.dataset import InteractionGraph
from gnas_search.space import NetworkSpace
from gnas_search.supernet.choices import Choices
from gnas_search.supernet.course import Step
from gnas_search.supernet.darts import affordable_mixture, darts
from gnas_search.supernet.one_shot import affordable_paths, one_shot
from gnas_search.supernet.survey import Answer, Survey

__all__ = ["AFFORDABLE", "SUPERNETS", "Answer", "Step", "Survey"]

SUPERNETS: dict[str, Callable[[Survey], Answer]] = {"darts": darts, "one-shot": one_shot}
"""By the name of the strategy that proposes what they find."""

AFFORDABLE: dict[str, Callable[[NetworkSpace, InteractionGraph], Choices]] = {
    "darts": affordable_mixture,
    "one-shot": affordable_paths,
}
"""By the same names, what each would share in a space: refused where that is nothing, or more than memory holds."""
