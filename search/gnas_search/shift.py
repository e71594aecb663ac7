"""Shift: whether the items of the test part are drawn as those of the validation part are."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from gnas_search.data.dataset import Dataset, TestPart

LARGE = 1.25
"""Ratio of dispersions from which on validation is a poor guide to fine choices; the whole interval has to be there."""

_ROUNDS = 1000
_MOST_GROUPS = 1000
_LEAST = 1e-12

Counts = npt.NDArray[np.integer]


@dataclass(frozen=True)
class PopularityShift:
    """How unevenly each held-out part is spread over items, given how often each item occurs in all.

    Attributes
    ----------
    validation, test
        Dispersion, see :func:`dispersion`: 1 where interactions were held out at random.
    low, high
        95 % interval of test over validation.
    """

    validation: float
    test: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """Test over validation."""
        return self.test / max(self.validation, _LEAST)

    @property
    def is_large(self) -> bool:
        """Whether what was chosen on validation may not be the best choice for test, chance left aside."""
        return self.low >= LARGE or self.high <= 1.0 / LARGE

    def to_json(self) -> dict[str, float | None]:
        """Give the JSON form, with the ratio; an end of the interval that is infinite is None, as JSON has none."""
        numbers = {**asdict(self), "ratio": self.ratio}
        return {name: value if np.isfinite(value) else None for name, value in numbers.items()}

    def message(self) -> str:
        """Say it in one line."""
        return (
            "the test part is not exchangeable with validation: the shares of items in it disperse "
            f"{self.test:.2f} times as much as if drawn at random, those of validation {self.validation:.2f} times "
            f"(ratio {self.ratio:.2f}, 95 % interval {self.low:.2f}..{self.high:.2f}); "
            "what was finely chosen on validation carries over in part"
        )


def dispersion(held_out: Counts, rest: Counts) -> float:
    """Compare the held-out share of each item's interactions with that of all interactions.

    The mean of the squared deviations in units of their binomial variance: 1 if each interaction was held out by the
    same chance, more if some items (popular ones, new ones) are held out more often than others.

    Parameters
    ----------
    held_out, rest : (I,)
        Interactions of each item in the held-out part and in what it was held out from.

    References
    ----------
    Wedderburn, R. W. M. (1974). Quasi-likelihood functions, generalized linear models, and the Gauss-Newton method.
    Biometrika 61(3).
    """
    squares = _squares(held_out, rest)
    return float(squares.sum() / max(int((held_out + rest > 0).sum()) - 1, 1)) if squares.any() else 1.0


def _squares(held_out: Counts, rest: Counts) -> npt.NDArray[np.float64]:
    """Give each item's squared deviation in units of its variance: (I,), zeros where nothing or all was held out."""
    whole = (held_out + rest).astype(np.float64)
    share = float(held_out.sum()) / max(float(whole.sum()), 1.0)
    if not 0.0 < share < 1.0:
        return np.zeros(len(whole))
    expected = whole * share
    return np.square(held_out - expected) / np.maximum(expected * (1.0 - share), _LEAST)


def popularity_shift(dataset: Dataset, test: TestPart, *, seed: int = 0) -> PopularityShift:
    """Measure the dispersion of validation within train + validation, and of test within everything.

    Items that occur in test only count there, with nothing that they were held out from.

    Parameters
    ----------
    dataset, test
        The split data.
    seed
        Of the bootstrap over items. A hundred items leave the ratio uncertain by half, however it was split.
    """

    def counts(indices: Counts) -> npt.NDArray[np.int64]:
        return np.bincount(indices, minlength=len(dataset.items))

    train, valid, tested = (
        counts(part.indices) for part in (dataset.selection.positives, dataset.valid, test.relevant)
    )
    new = test.unknown_counts
    absent = np.zeros_like(new)
    valid, train, tested = np.append(valid, absent), np.append(train, absent), np.append(tested, new)
    parts = ((valid, train), (tested, train + valid))
    low, high = _ratio_interval([_squares(*part) for part in parts], [held + rest > 0 for held, rest in parts], seed)
    return PopularityShift(dispersion(valid, train), dispersion(tested, train + valid), low, high)


def _ratio_interval(
    squares: list[npt.NDArray[np.float64]], present: list[npt.NDArray[np.bool_]], seed: int
) -> tuple[float, float]:
    """Bootstrap the ratio of the second mean over the first, both over the same items: (low, high) of 95 %.

    Of many items, random groups are resampled in their place. A part that deviates nowhere counts as 1, as in
    :func:`dispersion`.
    """
    rng = np.random.default_rng(seed)
    groups = rng.permutation(len(squares[0])) % _MOST_GROUPS
    num_groups = int(groups.max(initial=-1)) + 1
    if not num_groups:
        return 0.0, np.inf
    drawn = rng.multinomial(num_groups, np.full(num_groups, 1.0 / num_groups), size=_ROUNDS).astype(np.float64)
    sums = [drawn @ np.bincount(groups, weights=part, minlength=num_groups) for part in squares]
    sizes = [drawn @ np.bincount(groups, weights=part, minlength=num_groups) for part in present]
    means = [
        total / np.maximum(size, 1.0) if part.any() else np.ones(_ROUNDS)
        for part, total, size in zip(squares, sums, sizes, strict=True)
    ]
    low, high = np.quantile(means[1] / np.maximum(means[0], _LEAST), [0.025, 0.975])
    return float(low), float(high)
