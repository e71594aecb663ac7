"""Reweighing: the weights of a blend fitted anew on fresh interactions, and kept where that is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_search.blend import CandidateScores, halved
from gnas_search.bootstrap import Interval, paired_interval
from gnas_search.checkpoint import Checkpoint
from gnas_search.division import LEAST_JUDGES, divided_users
from gnas_search.evaluate import FRESH_SCORES, FRESH_USERS, UserMetrics, Validation
from gnas_search.fit import Fit
from gnas_search.specs import BLEND, BlendSpec, kind_of, read_spec
from gnas_serve.errors import IntegrityError
from gnas_serve.plain_text import counted

Weights = npt.NDArray[np.float64]

LEAST_SHARE = 1e-3
"""Of the largest weight, for a branch that would get none: weights are folded into vectors, of which nothing would be
left for the next fine-tuning to weigh."""
METRICS = ("ndcg@20", "recall@20")


@dataclass(frozen=True)
class Reweighed:
    """What became of a blend's weights.

    Attributes
    ----------
    names
        Of the branches, by their keys.
    before, after
        Their weights; the new ones are ``after`` where they were kept.
    reason
        Why the old weights stay; empty where the new ones are kept.
    users
        How many the weights were fitted and compared on; 0 where nothing was fitted.
    old, new, gain
        By metric: means of the old and of the new weights, and the paired interval of the change. Each user is measured
        by weights that were fitted on others.
    """

    names: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    reason: str = ""
    users: int = 0
    old: dict[str, float] | None = None
    new: dict[str, float] | None = None
    gain: dict[str, Interval] | None = None

    @property
    def kept(self) -> bool:
        """Whether the new weights are kept."""
        return not self.reason

    def factors(self) -> tuple[float, ...]:
        """Give what each branch's scores are multiplied by."""
        return tuple(new / old if new != old else 1.0 for old, new in zip(self.before, self.after, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        measured = {}
        if self.old is not None and self.new is not None and self.gain is not None:
            measured = {
                name: {
                    "old": self.old[name],
                    "new": self.new[name],
                    "gain": {"value": each.value, "low": each.low, "high": each.high},
                }
                for name, each in self.gain.items()
            }
        return {
            "kept": "new" if self.kept else "old",
            "reason": self.reason,
            "before": dict(zip(self.names, self.before, strict=True)),
            "after": dict(zip(self.names, self.after, strict=True)),
            "users": self.users,
            "metrics": measured,
        }


def blend_of(checkpoint: Checkpoint) -> BlendSpec | None:
    """Give the blend that a checkpoint holds branch by branch; None of another model, or of a compressed one.

    Raises
    ------
    IntegrityError
        If the branches of its final fit are not those of its spec.
    """
    if checkpoint.spec.get("kind") != BLEND:
        return None
    spec = read_spec(checkpoint.spec)
    if not isinstance(spec, BlendSpec) or spec.dims is not None:
        return None
    said, found = ([kind_of(one.spec) for one in spec.shares], [one.facts.kind for one in checkpoint.final.branches])
    if said != found:
        raise IntegrityError(
            f"the checkpoint's spec is a blend of {', '.join(said)}, its final fit has {', '.join(found)}",
            hint="make or copy the checkpoint again",
        )
    return spec


def reweigh(checkpoint: Checkpoint, spec: BlendSpec, *, seed: int) -> Reweighed:
    """Fit the weights of a blend on what came after it was fitted, and compare them with those that it has.

    Only the users that the export will fit its ranker by have a part in it: those that judge the artifact stay judges.
    Half of them are measured by weights fitted on the other half, as blends are; what is kept is fitted on all.

    Parameters
    ----------
    checkpoint
        Its ``valid`` is fresh to its selection fit.
    spec
        What it is made of.
    seed
        Of the halves and of the interval.
    """
    names = tuple(share.spec.key() for share in spec.shares)
    old = tuple(share.weight for share in spec.shares)
    places = [place for place, weight in enumerate(old) if weight > 0]
    if len(places) < 2:
        return Reweighed(names, old, old, "one branch alone has a weight")
    validation = _fitting_users(checkpoint)
    if validation is None:
        count = len(divided_users(checkpoint).fitting)
        reason = f"{counted(count, 'fresh user')} to fit weights by, fewer than {LEAST_JUDGES}"
        return Reweighed(names, old, old, reason)
    fit, histories = checkpoint.selection, checkpoint.train
    shares, branches = [spec.shares[place] for place in places], [fit.branches[place] for place in places]
    candidates = CandidateScores.of_blend(shares, branches, histories, validation)
    current = np.array([share.weight for share in shares])

    def fitted(users: npt.NDArray[np.int64] | None) -> tuple[float, ...]:
        found = _floored(candidates.fit_weights(range(len(places)), users), current)
        weights = list(old)
        for place, weight in zip(places, found.tolist(), strict=True):
            weights[place] = weight
        return tuple(weights)

    before = validation.score_with(fit.score_rows(histories))
    halves = halved(len(validation.users), seed)
    crossed = {name: np.empty(len(validation.users)) for name in METRICS}
    for fitted_on, measured_on in (halves, halves[::-1]):
        trial = reweighted(fit, Reweighed(names, old, fitted(fitted_on)).factors())
        found = _by_name(validation.subset(measured_on).score_with(trial.score_rows(histories)))
        for name in METRICS:
            crossed[name][measured_on] = found[name]
    gain = {name: paired_interval(crossed[name], values, seed) for name, values in _by_name(before).items()}
    ndcg = gain["ndcg@20"]
    reason = "" if ndcg.low > 0 else "new ones are not better by more than chance"
    return Reweighed(
        names,
        old,
        old if reason else fitted(None),
        reason,
        len(validation.users),
        {name: float(values.mean()) for name, values in _by_name(before).items()},
        {name: float(values.mean()) for name, values in crossed.items()},
        gain,
    )


def reweighted(fit: Fit, factors: Sequence[float]) -> Fit:
    """Multiply the scores of each branch; one with a factor of 1 is the same."""
    pairs = zip(fit.branches, factors, strict=True)
    return Fit(tuple(one if factor == 1.0 else one.weighted(factor) for one, factor in pairs), fit.epochs)


def with_weights(spec: BlendSpec, weights: Sequence[float]) -> BlendSpec:
    """Give the spec with other weights."""
    pairs = zip(spec.shares, weights, strict=True)
    return replace(spec, shares=tuple(replace(share, weight=weight) for share, weight in pairs))


def _fitting_users(checkpoint: Checkpoint) -> Validation | None:
    every = Validation(checkpoint.train, checkpoint.valid, max_users=None, seed=0)
    places = np.flatnonzero(np.isin(every.users, divided_users(checkpoint).fitting))
    if len(places) < LEAST_JUDGES:
        return None
    most = max(FRESH_USERS[1], FRESH_SCORES // checkpoint.valid.shape[1])
    if len(places) > most:
        places = np.sort(np.random.default_rng(checkpoint.config.split_seed).choice(places, most, replace=False))
    return every.subset(places)


def _floored(weights: Weights, current: Weights) -> Weights:
    """Leave every branch a little; where nothing could be fitted, what it has."""
    largest = float(weights.max())
    return np.maximum(weights, LEAST_SHARE * largest) if largest > 0 else current


def _by_name(metrics: UserMetrics) -> dict[str, npt.NDArray[np.float64]]:
    return dict(zip(METRICS, (metrics.ndcg, metrics.recall), strict=True))
