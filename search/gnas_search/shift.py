"""Shift: whether the items of the test part are drawn as those of the validation part are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_search.data.dataset import Dataset, TestPart

LARGE = 1.25
"""Ratio of dispersions from which on validation is a poor guide to fine choices."""

Counts = npt.NDArray[np.integer]


@dataclass(frozen=True)
class PopularityShift:
    """How unevenly each held-out part is spread over items, given how often each item occurs in all.

    Attributes
    ----------
    validation, test
        Dispersion, see :func:`dispersion`: 1 where interactions were held out at random.
    """

    validation: float
    test: float

    @property
    def ratio(self) -> float:
        """Test over validation."""
        return self.test / max(self.validation, 1e-12)

    @property
    def is_large(self) -> bool:
        """Whether what was chosen on validation may not be the best choice for test."""
        return max(self.ratio, 1.0 / max(self.ratio, 1e-12)) >= LARGE

    def to_json(self) -> dict[str, float]:
        """Give the JSON form, with the ratio."""
        return {"validation": self.validation, "test": self.test, "ratio": self.ratio}

    def message(self) -> str:
        """Say it in one line."""
        return (
            "the test part is not exchangeable with validation: the shares of items in it disperse "
            f"{self.test:.2f} times as much as if drawn at random, those of validation {self.validation:.2f} times; "
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
    whole = (held_out + rest).astype(np.float64)
    present = whole > 0
    share = float(held_out.sum()) / max(float(whole.sum()), 1.0)
    if not 0.0 < share < 1.0:
        return 1.0
    expected = whole[present] * share
    squares = np.square(held_out[present] - expected) / (expected * (1.0 - share))
    return float(squares.sum() / max(int(present.sum()) - 1, 1))


def popularity_shift(dataset: Dataset, test: TestPart) -> PopularityShift:
    """Measure the dispersion of validation within train + validation, and of test within everything."""

    def counts(indices: Counts) -> npt.NDArray[np.int64]:
        return np.bincount(indices, minlength=len(dataset.items))

    train, valid, tested = (
        counts(part.indices) for part in (dataset.selection.positives, dataset.valid, test.relevant)
    )
    return PopularityShift(dispersion(valid, train), dispersion(tested, train + valid))
