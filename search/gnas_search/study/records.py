"""What a study remembers of each model that it measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gnas_search.specs import GNN, BlendSpec, BranchSpec, ModelSpec, kind_of, read_spec
from gnas_search.study.measurement import Measurement

SPEC = "spec"
STRATEGY = "strategy"
MEASURED = "measured"
DUPLICATE_OF = "duplicate_of"
REASON = "reason"
RETRY_OF = "retry_of"
PHASE = "phase"
"""Which phase of the search a trial was drawn in: see :mod:`gnas_search.study.phases`."""
INFEASIBLE = "infeasible"
"""Which constraint a trial's model breaks."""
_WORST = 0.0  # of a metric that is the better the higher

STATES = ("complete", "cut", "duplicate", "failed", "infeasible", "interrupted", "running", "stopped", "waiting")
MEASURED_STATES = ("complete", "cut", "stopped")
"""Of trials that a study ranks: what was measured of an infeasible one is told with it alone."""


@dataclass(frozen=True)
class Baseline:
    """A simple model of a study.

    Attributes
    ----------
    name
        As in :data:`gnas_search.baselines.BASELINES`.
    spec
        With the settings chosen on validation.
    measured
        On the validation users.
    """

    name: str
    spec: BranchSpec
    measured: Measurement

    @property
    def key(self) -> str:
        """Under which its metrics are kept: its name."""
        return self.name


@dataclass(frozen=True)
class BlendRecord:
    """A blend of the best models of a study.

    Attributes
    ----------
    spec
        With its weights.
    measured
        On the validation users; of the blend itself, each by weights that were fitted on others. Its compressed form
        is measured with the weights of the spec, which where users are few were fitted on these very ones.
    loss
        Of the compressed form: its relative change of ndcg@20 against the blend of the same weights; 0 for the blend
        itself.
    scan_us
        Median time in which one thread scores every item for one user.
    infeasible
        Which constraint of the space it breaks; empty where none.
    stored_as
        As of a :class:`Trial`.
    """

    spec: BlendSpec
    measured: Measurement
    loss: float
    scan_us: float
    infeasible: str = ""
    stored_as: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name of the model."""
        return self.spec.key()

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "spec": self.spec.to_json(),
            "measured": self.measured.to_json(),
            "loss": self.loss,
            "scan_us": self.scan_us,
            "infeasible": self.infeasible,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> BlendRecord:
        """Read the JSON form."""
        spec = BlendSpec.from_json(raw["spec"])
        return cls(
            spec,
            Measurement.from_json(raw["measured"]),
            raw["loss"],
            raw["scan_us"],
            raw.get("infeasible", ""),
            (stored_key(raw["spec"]),),
        )


@dataclass(frozen=True)
class Trial:
    """One point of the space that a study tried.

    Attributes
    ----------
    number
        Counts from 0 in the order in which points were drawn.
    state
        One of :data:`STATES`.
    spec, key
        The model and its name; None and empty where the trial ended before its point was known.
    measured
        Of a complete, stopped or cut trial, and of one that proved too slow.
    strategy
        Which one drew it.
    duplicate_of
        Number of the trial that already measured this model.
    reason
        Why it failed, or which constraint its model breaks.
    stored_as
        The names under which its metrics may be kept beside its key: an earlier version may have had another one.
    phase
        That it was drawn in; empty in studies of earlier versions.
    """

    number: int
    state: str
    spec: BranchSpec | None
    key: str
    measured: Measurement | None
    strategy: str
    duplicate_of: int | None
    reason: str
    stored_as: tuple[str, ...] = ()
    phase: str = ""

    @property
    def kind(self) -> str:
        """The kind of the model; empty where it is not known."""
        return "" if self.spec is None else kind_of(self.spec)


def stored_key(raw: Mapping[str, Any]) -> str:
    """Give the key that a model had when its canonical spec was written down, whatever is canonical now."""
    content = json.dumps(raw, sort_keys=True)
    return f"{raw.get('kind', GNN)}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def infeasible_values(journal: optuna.Study) -> list[float] | None:
    """Give the values of a trial whose model breaks a constraint: strategies hear of the lowest, where there is one."""
    return [_WORST] if list(journal.directions) == [StudyDirection.MAXIMIZE] else None


def branch_spec(raw: dict[str, Any]) -> BranchSpec:
    """Read the spec of a model that is no blend.

    Raises
    ------
    ConfigError, TypeError
        If it is none.
    """
    spec: ModelSpec = read_spec(raw)
    if isinstance(spec, BlendSpec):
        raise TypeError("a blend where a single model is expected")
    return spec


def read_trial(
    frozen: FrozenTrial,
    *,
    interrupted: bool,
    writer_alive: bool,
    spec: BranchSpec | None = None,
    measured: Measurement | None = None,
) -> Trial:
    """Read a trial from the journal.

    Parameters
    ----------
    frozen
        As stored.
    interrupted
        Whether the study lists it as stopped from outside.
    writer_alive
        Whether a process writes the study: a running trial without one was interrupted.
    spec, measured
        What is written of it, where that is at hand; its metrics are kept under its key, then.

    Raises
    ------
    AttributeError, KeyError, TypeError, ConfigError
        If what is written of it cannot be read.
    """
    attributes = frozen.user_attrs
    stored_as: tuple[str, ...] = ()
    if spec is None and SPEC in attributes:
        spec, stored_as = branch_spec(attributes[SPEC]), (stored_key(attributes[SPEC]),)
    if measured is None and MEASURED in attributes:
        measured = Measurement.from_json(attributes[MEASURED])
    if measured is not None and spec is None:
        raise TypeError(f"trial {frozen.number} was measured, but its model is missing")
    return Trial(
        number=frozen.number,
        state=_state(frozen, measured, interrupted=interrupted, writer_alive=writer_alive),
        spec=spec,
        key=spec.key() if spec is not None else "",
        measured=measured,
        strategy=attributes.get(STRATEGY, ""),
        duplicate_of=attributes.get(DUPLICATE_OF),
        reason=attributes.get(INFEASIBLE, attributes.get(REASON, "")),
        stored_as=stored_as,
        phase=attributes.get(PHASE, ""),
    )


def _state(frozen: FrozenTrial, measured: Measurement | None, *, interrupted: bool, writer_alive: bool) -> str:
    if frozen.state == TrialState.WAITING:
        return "waiting"
    if interrupted or frozen.state == TrialState.RUNNING:
        return "running" if writer_alive and not interrupted else "interrupted"
    for attribute, state in ((DUPLICATE_OF, "duplicate"), (INFEASIBLE, "infeasible")):
        if attribute in frozen.user_attrs:
            return state
    is_complete = frozen.state == TrialState.COMPLETE
    if measured is None:
        return "complete" if is_complete else "failed"
    stopped = "stopped" if measured.stopped == "rung" else "complete"
    return "cut" if measured.is_cut and not is_complete else stopped
