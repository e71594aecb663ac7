"""Whether one model is better than others on the same users: paired differences, their intervals and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_search.bootstrap import Interval, intervals
from gnas_search.search_objective import objective

Values = npt.NDArray[np.float64]
ROUNDS = 10_000
_SIGNS = 1 << 22  # drawn at a time


@dataclass(frozen=True)
class Difference:
    """One metric of a model against that of another, user by user.

    Attributes
    ----------
    value
        Mean of the other model over the users of whom the metric says something for both.
    difference
        Mean of the model minus the other's, with its 95 % bootstrap interval over users.
    p_value
        Of the hypothesis that it does not matter which of the two made which of a user's two values; two-sided.
    p_holm
        The same, corrected for the number of models that are compared.
    users
        How many the means are over.
    larger_is_better
        Direction of the metric.
    """

    value: float
    difference: Interval
    p_value: float
    p_holm: float
    users: int
    larger_is_better: bool

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "value": self.value,
            "difference": self.difference.value,
            "low": self.difference.low,
            "high": self.difference.high,
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "users": self.users,
            "larger_is_better": self.larger_is_better,
        }


def compare(
    values: Mapping[str, Values], others: Sequence[Mapping[str, Values]], *, seed: int, rounds: int = ROUNDS
) -> list[dict[str, Difference]]:
    """Compare a model with others on the same users, metric by metric.

    Parameters
    ----------
    values
        By the name of an :func:`~gnas_search.search_objective.objective` that is per user: (n,), NaN for users of whom
        it says nothing.
    others
        The same for each other model; metrics that one of them lacks are not compared with it.
    seed
        Of resamples and signs.
    rounds
        Of the test.

    Returns
    -------
    list
        For each of ``others``, by name. Holm's correction is over the models, within each metric.

    Raises
    ------
    ValueError
        If the numbers of users differ.
    """
    found = [_against(values, other, seed, rounds) for other in others]
    for name in values:
        places = [place for place, one in enumerate(found) if name in one]
        corrected = holm([found[place][name].p_value for place in places])
        for place, p_holm in zip(places, corrected, strict=True):
            one = found[place][name]
            found[place][name] = Difference(
                one.value, one.difference, one.p_value, p_holm, one.users, one.larger_is_better
            )
    return found


def _against(
    values: Mapping[str, Values], other: Mapping[str, Values], seed: int, rounds: int
) -> dict[str, Difference]:
    pairs = {name: (values[name], other[name]) for name in values if name in other}
    if any(len(a) != len(b) for a, b in pairs.values()):
        raise ValueError("models that were measured on other users cannot be paired")
    differences = {name: a - b for name, (a, b) in pairs.items()}
    means = intervals(differences, seed=seed)
    names = list(means)
    matrix = np.nan_to_num(np.stack([differences[name] for name in names], axis=1)) if names else np.empty((0, 0))
    chances = sign_flip(matrix, seed=seed, rounds=rounds)
    found = {}
    for name, p_value in zip(names, chances.tolist(), strict=True):
        told = np.isfinite(differences[name])
        found[name] = Difference(
            value=float(other[name][told].mean()),
            difference=means[name],
            p_value=p_value,
            p_holm=p_value,
            users=int(told.sum()),
            larger_is_better=objective(name).larger_is_better,
        )
    return found


def sign_flip(differences: Values, *, seed: int, rounds: int = ROUNDS) -> Values:
    """Test whether means of paired differences are 0: Fisher's randomisation test, two-sided.

    Parameters
    ----------
    differences : (n, m)
        Of n users in m metrics; 0 where there is no pair.
    seed
        Of the signs.
    rounds
        How many of the ``2 ** n`` ways to give the differences signs are drawn.

    Returns
    -------
    (m,) float64
        The share of draws, the actual signs counted as one of them, whose sum is as far from 0 as the actual one:
        ``1 / (rounds + 1)`` at the least.

    References
    ----------
    Smucker, M. D., Allan, J. and Carterette, B. (2007). A comparison of statistical significance tests for information
    retrieval evaluation. CIKM.
    Phipson, B. and Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in Genetics
    and Molecular Biology 9(1).
    """
    moved = differences[differences.any(axis=1)]  # a difference of 0 is 0 with either sign
    # Sums that are equal in exact arithmetic may differ in their last bits.
    observed = np.abs(moved.sum(axis=0)) - 1e-12 * np.abs(moved).sum(axis=0)
    rng = np.random.default_rng(seed)
    as_far = np.ones(differences.shape[1])
    size = max(1, _SIGNS // max(1, len(moved)))
    for start in range(0, rounds, size):
        shape = (min(size, rounds - start), len(moved))
        signs = rng.integers(0, 2, shape, dtype=np.int8) * np.float32(2.0) - np.float32(1.0)
        as_far += (np.abs(signs.astype(np.float64) @ moved) >= observed).sum(axis=0)
    return as_far / (rounds + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, so that the chance of any false finding stays within the level.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6(2).
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        least = max(least, min(1.0, (len(p_values) - done) * p_values[place]))
        corrected[place] = least
    return corrected
