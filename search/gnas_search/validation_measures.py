"""Any objective of any model on the validation users, in one pass over its scores; and a search's judge by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data.dataset import Dataset
from gnas_search.evaluate import ScoreRows, UserMetrics, Validation
from gnas_search.evidence import Catalogue, Evidence
from gnas_search.labels import LabelledPairs, rated_low, sampled
from gnas_search.observation import observe
from gnas_search.pointwise import calibrate
from gnas_search.search_objective import Objective, objective
from gnas_serve.errors import ConfigError, DataError

Values = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


_USUAL = ("recall@20", "ndcg@20")


@dataclass(frozen=True)
class ObjectiveJudge:
    """Judges models by objectives.

    Attributes
    ----------
    names
        Of the objectives, at least one; by the first, a value per user, epochs and models are chosen.
    catalogue, seed, negatives
        As for :func:`measure_validation`.
    """

    names: tuple[str, ...]  # not what they name: functions do not go from process to process
    catalogue: Catalogue
    seed: int
    negatives: sp.csr_matrix | None = None

    def __call__(self, validation: Validation, score_rows: ScoreRows) -> UserMetrics:
        """Measure a model that scores all items for blocks of user rows.

        Raises
        ------
        DataError
            If the first objective has nothing to say of any validation user.
        """
        objectives = {name: objective(name) for name in (*_USUAL, *self.names)}
        found = measure_validation(
            list(objectives.values()),
            validation,
            score_rows,
            self.catalogue,
            seed=self.seed,
            negatives=self.negatives,
        )
        first = objectives[self.names[0]]
        judged = found[first.name] if first.larger_is_better else -found[first.name]
        if not np.isfinite(judged).any():
            raise DataError(
                f"{first.name} has nothing to say of any validation user", hint="search by another objective first"
            )
        recall, ndcg = (found[name] for name in _USUAL)
        values = {name: objectives[name].mean(found[name]) for name in self.names}
        return UserMetrics(recall, ndcg, judged, values)


def catalogue_of(dataset: Dataset, positives: sp.csr_matrix) -> Catalogue:
    """Describe the items of a dataset by the training part of one of its fits, (U, I) CSR."""
    features = dataset.item_features
    has_features = features is not None and features.values.shape[1] > 0
    counts = np.bincount(positives.indices, minlength=positives.shape[1])
    return Catalogue(counts, int(positives.shape[0]), features.values if features and has_features else None)


def measure_validation(
    objectives: Sequence[Objective],
    validation: Validation,
    score_rows: ScoreRows,
    catalogue: Catalogue,
    *,
    seed: int,
    negatives: sp.csr_matrix | None = None,
) -> dict[str, Values]:
    """Measure a model that scores all items for blocks of user rows.

    Parameters
    ----------
    objectives
        At least one; what none of them needs is not computed.
    validation
        On whose users; the lists are as long as the longest k asks.
    score_rows
        Of the model.
    catalogue
        Of the training part, :func:`catalogue_of`.
    seed
        Of the negatives drawn, and of the halves of users: scores of each half are calibrated on the other. Equal
        seeds give all models the same pairs.
    negatives : (U, I) CSR, optional
        ``dataset.valid_negatives``: labelled in place of drawn ones, where the validation users have some.

    Returns
    -------
    dict
        By name: (n,) values per user, or (1,) of the catalogue. Their mean is :meth:`Objective.mean`.

    Raises
    ------
    ConfigError
        If an objective needs attributes of the items and there are none.
    DataError
        If an objective needs a calibration and only one user has labelled pairs.
    """
    needs = {one.needs for one in objectives}
    if "features" in needs and catalogue.features is None:
        raise ConfigError("diversity needs attributes of the items, and the data has none", hint="give an items file")
    pairs = labelled_pairs(validation, negatives, seed=seed) if "pairs" in needs else None
    seen = observe(
        validation.score_blocks(score_rows),
        validation.relevant,
        k=max([one.k for one in objectives if one.k is not None], default=None),
        ranks_all="ranking" in needs,
        pairs=pairs,
    )
    margins = None
    if pairs is not None and seen.pair_scores is not None:
        margins = _cross_calibrated(pairs, seen.pair_scores, seed)
    evidence = Evidence(seen.lists, validation.relevant, catalogue, shares=seen.shares, pairs=pairs, margins=margins)
    return {one.name: one.measure(evidence) for one in objectives}


def labelled_pairs(validation: Validation, negatives: sp.csr_matrix | None, *, seed: int) -> LabelledPairs:
    """Label pairs of the validation users: with what they rated too low where there is some, else with drawn items.

    Parameters
    ----------
    validation, negatives, seed
        As for :func:`measure_validation`.
    """
    if negatives is not None and negatives[validation.users].nnz:
        return rated_low(validation.relevant, negatives[validation.users])
    return sampled(validation.relevant, validation.masked, seed=seed, keys=validation.users)


def _cross_calibrated(pairs: LabelledPairs, scores: Floats, seed: int) -> Values:
    """Give log-odds of each half of the users by a calibration on the other half: never on what is judged."""
    with_pairs = np.unique(pairs.users)
    if len(with_pairs) < 2:
        raise DataError("a calibration needs two validation users", hint="give more data, or another objective")
    half = np.zeros(pairs.num_users, dtype=np.bool_)
    half[np.random.default_rng(seed).permutation(with_pairs)[::2]] = True
    in_half, weights = half[pairs.users], pairs.weights()
    margins = np.empty(len(scores), dtype=np.float64)
    for judged in (in_half, ~in_half):
        curve = calibrate(scores[~judged], pairs.labels[~judged], weights[~judged])
        margins[judged] = curve.margins(scores[judged])
    return margins
