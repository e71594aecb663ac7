"""Ranking: networks by the shared weights of a supernet, on the validation users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gnas_search.evaluate import Validation
from gnas_search.strategies.shortlist import Listed
from gnas_search.supernet.choices import Choices, Path
from gnas_search.supernet.course import Step
from gnas_search.supernet.network import SharedNetwork
from gnas_search.supernet.survey import Survey

RANKED = 100
"""Networks that are judged, where time does not end before."""
DRAWN = 0.5
"""Share of them that is drawn at random; the others are mutations of the best."""
PARENTS = 10
_REPEATS = 200
"""So many networks in a row that are known already end the ranking: there are hardly any others."""


@dataclass(frozen=True)
class Ranked:
    """A path and what it is worth by shared weights."""

    path: Path
    key: str
    worth: float

    @property
    def listed(self) -> Listed:
        """The form in which a study keeps it."""
        return Listed(self.path.point, self.worth)


def shared_worth(network: SharedNetwork, path: Path, validation: Validation) -> float:
    """Measure what a path is worth with the weights that a supernet has, the higher the better."""
    network.choose(path.spec)
    with torch.no_grad():
        users, items = network()
    return float(validation.score(users.cpu().numpy(), items.cpu().numpy()).quality.mean())


def ranking(network: SharedNetwork, choices: Choices, survey: Survey) -> list[Ranked]:
    """Search the paths of a supernet: random ones, then mutations of the best.

    Returns
    -------
    list
        Best first, of equal networks one; those that are known already are left out.

    References
    ----------
    Guo, Z. et al. (2020). Single path one-shot neural architecture search with uniform sampling. ECCV (the
    evolutionary search over a trained supernet).
    """
    # Differs from Guo et al.: mutations alone, no crossover; with 100 networks there are few generations.
    found: list[Ranked] = []
    known = set(survey.known)
    for path in _proposed(choices, survey, found):
        key = path.spec.key()
        if key in known or not survey.allowed(path.spec):
            continue
        known.add(key)
        found.append(Ranked(path, key, shared_worth(network, path, survey.validation)))
        best = max(one.worth for one in found)
        survey.heard(Step("network", len(found), RANKED, best))
    return sorted(found, key=lambda one: -one.worth)


def _proposed(choices: Choices, survey: Survey, found: list[Ranked]) -> Iterator[Path]:
    """Propose paths, as long as new ones are found and there is time."""
    rng = np.random.default_rng([survey.seed, 1])
    before, repeats = 0, 0
    while len(found) < RANKED and repeats < _REPEATS and not survey.is_over:
        if len(found) < DRAWN * RANKED and repeats < _REPEATS // 2:
            yield choices.draw(rng, survey.allowed)
        else:
            best = sorted(found, key=lambda one: -one.worth)[:PARENTS]
            path = choices.mutate(rng, best[rng.integers(len(best))].path) if best else None
            if path is not None:
                yield path
        repeats = 0 if len(found) > before else repeats + 1
        before = len(found)
