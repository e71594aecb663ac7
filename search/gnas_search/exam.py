"""The test part made ready for any number of models: the same users, labelled pairs and masks for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data.dataset import Dataset, TestPart
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.splits import check_same_data
from gnas_search.evaluate import Validation, validation_of
from gnas_search.evidence import Catalogue
from gnas_search.labels import RATED_LOW, SAMPLED, LabelledPairs, rated_low, sampled
from gnas_search.validation_measures import catalogue_of, labelled_pairs
from gnas_serve.errors import DataMismatchError

_DRAWN = "random"
"""What the names of those policies end with that a seed has a part in."""


class Origin(Protocol):
    """What says of a model which data, split in which way, it was made from.

    Attributes
    ----------
    config, fingerprint, policy, target_event
        As of a :class:`~gnas_search.data.dataset.Dataset`.
    """

    @property
    def config(self) -> DatasetConfig: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def policy(self) -> str: ...  # noqa: D102
    @property
    def target_event(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Exam:
    """What every model that is evaluated on a dataset is asked.

    Attributes
    ----------
    dataset, test
        The split data.
    k
        Length of the lists.
    seed
        Of the negatives that are drawn, and of every resample.
    """

    dataset: Dataset
    test: TestPart
    k: int = 20
    seed: int = 0

    @property
    def num_users(self) -> int:
        """How many test users there are."""
        return len(self.test.user_ids)

    @cached_property
    def is_known(self) -> npt.NDArray[np.bool_]:
        """Which test users occur in training: (n,)."""
        known: npt.NDArray[np.bool_] = self.test.user_rows >= 0
        return known

    @cached_property
    def masked(self) -> sp.csr_matrix:
        """What the test users have from train and validation: (n, I), empty rows for users of test alone."""
        seen = self.dataset.final.positives
        places = np.flatnonzero(self.is_known)
        ones = np.ones(len(places), dtype=np.float32)
        chosen = sp.csr_matrix((ones, (places, self.test.user_rows[places])), shape=(self.num_users, seen.shape[0]))
        rows = sp.csr_matrix(chosen @ seen)
        rows.sort_indices()
        return rows

    @cached_property
    def catalogue(self) -> Catalogue:
        """The items as train and validation know them."""
        return catalogue_of(self.dataset, self.dataset.final.positives)

    @cached_property
    def validation(self) -> Validation:
        """The users whose validation interactions scores are calibrated on."""
        return validation_of(self.dataset)

    @cached_property
    def negatives(self) -> str:
        """What is labelled beside the relevant items.

        ``"rated_low"``: what the users rated too low for a positive, where both validation and test have some of that;
        ``"sampled"``: drawn items.
        """
        valid = self.dataset.valid_negatives
        observed = valid is not None and self.test.negatives is not None and self.test.negatives.nnz
        return RATED_LOW if observed and valid is not None and valid[self.validation.users].nnz else SAMPLED

    @cached_property
    def pairs(self) -> LabelledPairs:
        """The labelled pairs of the test users, with items that the dataset knows."""
        if self.negatives == RATED_LOW and self.test.negatives is not None:
            return rated_low(self.test.relevant, self.test.negatives)
        return sampled(self.test.relevant, self.masked, seed=self.seed, keys=np.arange(self.num_users))

    @cached_property
    def validation_pairs(self) -> LabelledPairs:
        """The labelled pairs of the validation users, of the same kind."""
        negatives = self.dataset.valid_negatives if self.negatives == RATED_LOW else None
        return labelled_pairs(self.validation, negatives, seed=self.seed)

    def check(self, made: Origin, what: str) -> None:
        """Make sure that a model was made from this data, split in this way, in whatever words.

        Parameters
        ----------
        made
            The model.
        what
            For people, e.g. ``"the checkpoint"``.

        Raises
        ------
        DataMismatchError
            If it was made from other data, or may have learned from this test part.
        """
        check_same_data(self.dataset, made.fingerprint, what)
        ours, theirs = _splitting(self.dataset), _splitting(made)
        for name, there in theirs.items():
            here = ours.get(name)
            if here != there:
                raise DataMismatchError(
                    f"{what} was made from another split of this data: its {name} is {there!r}, here it is {here!r}",
                    hint="compare models that were trained with the same flags",
                )


def _splitting(made: Origin) -> dict[str, Any]:
    """Give what a split comes to: what the settings were taken for, and of them those that have an effect."""
    found = {"target_event": made.target_event, "min_rating": made.config.min_rating, "split": made.policy}
    return found | ({"split_seed": made.config.split_seed} if made.policy.endswith(_DRAWN) else {})
