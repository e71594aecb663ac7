"""Graph filters: a history is smoothed by the leading eigenvectors of the item-item operator, without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gnas_search.architecture import EDGES
from gnas_search.closed_form.spec import ClosedFormSpec
from gnas_serve.errors import ConfigError

MAX_RANK = 4096
MAX_STRENGTH = 1e6

Gains = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Response:
    """How much of each eigenvector a filter lets pass.

    Attributes
    ----------
    gains
        ``(eigenvalues (r,), strength, level) -> (r,)``, at least 0.
    uses_strength
        Whether ``strength`` has an effect.
    """

    gains: Callable[[Gains, float, float], Gains]
    uses_strength: bool


def _relative(eigenvalues: Gains) -> Gains:
    """Measure eigenvalues by the second one, the first counting as 1.

    The first eigenvector is the one without a change of sign: how much there is of each item, no taste. How far its
    eigenvalue stands above the others says how evenly the degrees are spread and depends on the powers that they are
    weighed by: .5 and .5 make it exactly 1, on whatever data, and none at all can make it tenfold the second.
    Measured by it, all others would lie at the far end of every response.
    """
    reference = max(float(eigenvalues[min(1, len(eigenvalues) - 1)]), np.finfo(np.float64).tiny)
    return np.minimum(eigenvalues / reference, 1.0)


RESPONSES: dict[str, Response] = {
    "heat": Response(lambda values, strength, _: np.exp(-strength * (1.0 - _relative(values))), uses_strength=True),
    "ideal": Response(lambda values, _, __: np.ones_like(values), uses_strength=False),
    "linear": Response(lambda values, _, __: values / max(float(values[0]), 1e-300), uses_strength=False),
    "polynomial": Response(lambda values, strength, _: 1.0 - (1.0 - _relative(values)) ** strength, uses_strength=True),
    "ridge": Response(
        lambda values, strength, level: values / np.maximum(values + strength * level, 1e-300), uses_strength=True
    ),
    "sharpened": Response(lambda values, strength, _: np.exp(-strength * _relative(values)), uses_strength=True),
}
"""By name. With eigenvalues measured by the second, ``x`` (at most 1), and by their mean, ``m``:

- ``heat``: ``exp(-strength (1 - x))``, a diffusion along the item-item graph: the stronger, the smoother;
- ``ideal``: 1, nothing but the cut at ``rank``;
- ``linear``: the eigenvalue over the largest: one step along the graph;
- ``polynomial``: ``1 - (1 - x) ** strength``, so many of Landweber's iterations towards the ideal filter; 2 is the
  second-order filter ``2 P - P^2`` of Turbo-CF;
- ``ridge``: ``m / (m + strength)``, ridge regression of every item on the history (EASE without its empty diagonal);
- ``sharpened``: ``exp(-strength x)``, the sharpening after the blur: common tastes step back behind rare ones.
"""


@dataclass(frozen=True)
class FilterSpec(ClosedFormSpec):
    """A low-rank filter of the item-item operator ``X^T X``, ``X = D_u^-user_power R D_i^-item_power``.

    With its leading eigenvectors V and gains g, a history H scores ``H D_i^-item_power V g V^T D_i^item_power``.

    Attributes
    ----------
    response
        One of :data:`RESPONSES`.
    rank
        How many eigenvectors.
    strength
        Of the response; without effect for ``ideal`` and ``linear``.
    user_power
        How much less an interaction counts the more its user has: 0 alike, .5 as in symmetric normalisation.
    item_power
        How much less an item counts in the operator the more users it has.
    edges
        Whether histories are of every event or the target event alone.

    References
    ----------
    Shen, Y. et al. (2021). How powerful is graph convolution for recommendation? CIKM (GF-CF).
    Choi, J. et al. (2023). Blurring-sharpening process models for collaborative filtering. SIGIR.
    Park, J.-D., Shin, Y.-M. and Shin, W.-Y. (2024). Turbo-CF: matrix decomposition-free graph filtering for fast
    recommendation. SIGIR.
    Steck, H. (2019). Embarrassingly shallow autoencoders for sparse data. WWW (EASE).
    """

    KIND: ClassVar[str] = "filter"

    response: str = "ideal"
    rank: int = 256
    strength: float = 1.0
    user_power: float = 0.5
    item_power: float = 0.5
    edges: str = "target"

    def __post_init__(self) -> None:
        """Refuse values outside the space, naming the field.

        Raises
        ------
        ConfigError
            If a name is unknown or a number out of range.
        """
        self._require_one_of("response", RESPONSES)
        self._require_one_of("edges", EDGES)
        self._require_within("rank", 1, MAX_RANK)
        self._require_within("user_power", 0.0, 1.0)
        self._require_within("item_power", 0.0, 1.0)
        if not 0.0 < self.strength <= MAX_STRENGTH:
            hint = f"give more than 0, at most {MAX_STRENGTH:g}"
            raise ConfigError(f"strength: {self.strength} is not above 0 or too large", hint=hint)

    def canonical(self) -> FilterSpec:
        """Set the strength to 1 where the response knows none."""
        return self if RESPONSES[self.response].uses_strength else replace(self, strength=1.0)

    def summary(self) -> str:
        """Describe the filter in a few words, for tables."""
        strength = f" {self.strength:.3g}" if RESPONSES[self.response].uses_strength else ""
        powers = f"powers {self.user_power:.2g} {self.item_power:.2g}"
        return f"{self.response}{strength} | {powers} | {self.edges} | d={self.rank}"
