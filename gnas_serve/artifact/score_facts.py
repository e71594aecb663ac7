"""What a manifest says of the scores that the model gives: how those of first items are distributed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10
_DIGITS = 6  # more are those of one machine's arithmetic


@dataclass(frozen=True)
class ScoreFacts:
    """The first scores of answers to known users who asked for nothing but items.

    Attributes
    ----------
    users
        How many were asked.
    mean, std
        Of their first scores.
    edges
        Ascending: a score from one edge on, and below the next, falls between them. The deciles; fewer where scores
        are equal.
    shares
        Of the users, in the bins that the edges part: one more than there are edges.
    """

    users: int
    mean: float
    std: float
    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, scores: npt.NDArray[np.floating]) -> ScoreFacts:
        """Describe some first scores, at least one.

        Parameters
        ----------
        scores : (n,) finite
        """
        exact = scores.astype(np.float64)
        deciles = np.quantile(exact, np.arange(1, BINS) / BINS, method="inverted_cdf")
        edges = sorted({_rounded(edge) for edge in deciles.tolist()})
        bins = np.searchsorted(edges, exact, side="right")
        shares = np.bincount(bins, minlength=len(edges) + 1) / len(exact)
        return cls(
            users=len(exact),
            mean=_rounded(float(exact.mean())),
            std=_rounded(float(exact.std())),
            edges=tuple(edges),
            shares=tuple(_rounded(share) for share in shares.tolist()),
        )

    def to_json(self) -> dict[str, Any]:
        """Give the JSON of it."""
        return {
            "users": self.users,
            "mean": self.mean,
            "std": self.std,
            "edges": list(self.edges),
            "shares": list(self.shares),
        }

    @classmethod
    def from_json(cls, raw: Any) -> ScoreFacts:
        """Read and check what :meth:`to_json` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is not that.
        """
        users, mean, std = raw["users"], float(raw["mean"]), float(raw["std"])
        edges = tuple(float(edge) for edge in raw["edges"])
        shares = tuple(float(share) for share in raw["shares"])
        if type(users) is not int or users < 1:
            raise ValueError(f"scores of {users!r} users")
        if not all(math.isfinite(value) for value in (mean, std, *edges, *shares)):
            raise ValueError("scores that are no numbers")
        if list(edges) != sorted(set(edges)) or len(shares) != len(edges) + 1:
            raise ValueError("the edges of the scores do not ascend, or part other bins than there are shares")
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-3:
            raise ValueError("the shares of the scores are none")
        return cls(users, mean, std, edges, shares)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
