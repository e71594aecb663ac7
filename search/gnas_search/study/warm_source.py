"""WarmSource: what a study has to offer to another one that is started from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gnas_search.specs import FAMILIES, BlendSpec, BranchSpec, ModelSpec, kind_of
from gnas_search.study.kept_weights import MOST, KeptWeights
from gnas_search.study.warm_start import COLD, WarmStart
from gnas_serve.errors import ConfigError, NoViableTrialError

if TYPE_CHECKING:
    from gnas_search.study.study import Study


@dataclass(frozen=True)
class WarmSource:
    """What a study has to offer to another one that is started from it.

    Attributes
    ----------
    study
        Name of its folder.
    fingerprint
        SHA-256 of what it is about: its data, space, seed and objective.
    data
        SHA-256 of its data's content.
    models
        By family, the parts of its verdict and then its best models, :data:`~gnas_search.study.kept_weights.MOST` each.
    weights
        Those of its networks that it keeps.
    warm
        What it was started from itself.
    """

    study: str
    fingerprint: str
    data: str
    models: Mapping[str, tuple[BranchSpec, ...]]
    weights: KeptWeights = field(compare=False)
    warm: WarmStart = field(default=COLD, compare=False)

    @classmethod
    def of(cls, study: Study) -> WarmSource:
        """Ask a study; it may be running.

        Raises
        ------
        ConfigError
            If it has measured no model yet.
        IntegrityError
            If it is damaged.
        """
        found: dict[str, dict[str, BranchSpec]] = {family: {} for family in FAMILIES}
        for spec in _best_first(study):
            own = found.get(kind_of(spec), {})
            if len(own) < MOST:
                own.setdefault(spec.key(), spec)
        if not any(found.values()):
            raise ConfigError(
                f"{study.folder} has no model to start from: none was measured yet",
                hint="search on in it, or start from another study",
                code="nothing_to_start_from",
            )
        return cls(
            study=study.folder.resolve().name,
            fingerprint=study.header.digest,
            data=study.header.fingerprint,
            models={family: tuple(own.values()) for family, own in found.items() if own},
            weights=KeptWeights(study.folder),
            warm=study.warm_start,
        )


def _best_first(study: Study) -> Iterator[BranchSpec]:
    measured_anyway = {baseline.spec.key() for baseline in study.baselines}
    try:
        chosen: ModelSpec | None = study.spec_of(study.verdict.name)
    except NoViableTrialError:
        chosen = None
    if isinstance(chosen, BlendSpec):
        yield from (share.spec for share in chosen.shares if share.spec.key() not in measured_anyway)
    elif chosen is not None and chosen.key() not in measured_anyway:
        yield chosen
    yield from (trial.spec for trial, _ in study.ranking if trial.spec is not None)
