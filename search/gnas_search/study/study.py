"""Study: what was searched and found, read from its folder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optuna

from gnas_search.evaluate import UserMetrics
from gnas_search.expected_cost import Forecast
from gnas_search.specs import BLEND, FAMILIES, GNN, BlendSpec, ModelSpec
from gnas_search.strategies.shortlist import Shortlist
from gnas_search.strategies.tally import interrupted_numbers
from gnas_search.study.finalists import Finalist, decided, repeats_of
from gnas_search.study.header import StudyHeader
from gnas_search.study.journal import JOURNAL, is_locked, open_journal
from gnas_search.study.measurement import Measurement
from gnas_search.study.metrics import check_means, metrics_path, read_metrics
from gnas_search.study.records import MEASURED_STATES, Baseline, BlendRecord, Trial, branch_spec, read_trial
from gnas_search.study.verdict import BASELINE, Representative, Verdict, decide
from gnas_search.study.warm_start import WarmStart
from gnas_serve.errors import ConfigError, IntegrityError

BASELINE_PREFIX = "baseline."
BASELINES_LEFT_OUT = "baselines_left_out"
BLENDS = "blends"
BLEND_FAILED = "blend_failed"
FORECAST = "forecast"


class Study:
    """The state of a study at the time it was read.

    Parameters
    ----------
    folder
        Holds ``study.json``, ``journal.log`` and ``metrics/``.
    header
        What it is about.
    journal
        The Optuna study behind it.
    """

    def __init__(self, folder: Path, header: StudyHeader, journal: optuna.Study) -> None:
        self.folder = folder
        self.header = header
        self._journal = journal

    @classmethod
    def load(cls, folder: Path) -> Study:
        """Read a study; it may be running.

        Raises
        ------
        ConfigError, IntegrityError, FormatVersionError
            As :meth:`StudyHeader.read` and :func:`open_journal`.
        """
        header = StudyHeader.read(folder)
        return cls(folder, header, open_journal(folder, create=False))

    @cached_property
    def warm_start(self) -> WarmStart:
        """Which study it was started from, and what it took over."""
        return WarmStart.read(self.folder, self.header.warm_start)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial, in the order drawn; without the points that wait for their second try."""
        alive, stopped = is_locked(self.folder), interrupted_numbers(self._journal)
        try:
            read = (
                read_trial(frozen, interrupted=frozen.number in stopped, writer_alive=alive)
                for frozen in self._journal.get_trials(deepcopy=False)
            )
            trials = tuple(trial for trial in read if trial.state != "waiting")
        except (AttributeError, KeyError, TypeError, ConfigError) as error:
            raise IntegrityError(f"{self.folder}: a trial is unreadable: {error}", hint="search again") from error
        for trial in trials:
            if trial.state == "complete" and trial.measured is None:
                raise IntegrityError(
                    f"{self.folder}: trial {trial.number} is complete, but what was measured of it is missing",
                    hint=f"restore {JOURNAL}, or search into another folder",
                )
        return trials

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those that drew trials, in order: a study may be gone on with by another one."""
        return tuple(dict.fromkeys(trial.strategy for trial in self.trials if trial.strategy))

    @cached_property
    def baselines(self) -> tuple[Baseline, ...]:
        """The simple models, best first."""
        try:
            read = [
                Baseline(
                    name.removeprefix(BASELINE_PREFIX),
                    branch_spec(raw["spec"]),
                    Measurement.from_json(raw["measured"]),
                )
                for name, raw in self._journal.user_attrs.items()
                if name.startswith(BASELINE_PREFIX) and raw is not None  # None: its metrics were lost
            ]
        except (AttributeError, KeyError, TypeError, ConfigError) as error:
            raise IntegrityError(f"{self.folder}: a baseline is unreadable: {error}", hint="search again") from error
        return tuple(sorted(read, key=lambda baseline: (-baseline.measured.quality.value, baseline.name)))

    @property
    def left_out(self) -> dict[str, str]:
        """The simple models that the last run could not measure for want of memory, and why, by name."""
        raw = self._journal.user_attrs.get(BASELINES_LEFT_OUT, {})
        return {name: str(reason) for name, reason in raw.items()}

    @cached_property
    def blends(self) -> tuple[BlendRecord, ...]:
        """The blend of the best models and its compressed form; empty where none was made or none pays."""
        try:
            return tuple(BlendRecord.from_json(raw) for raw in self._journal.user_attrs.get(BLENDS, ()))
        except (AttributeError, KeyError, TypeError, ConfigError) as error:
            raise IntegrityError(f"{self.folder}: a blend is unreadable: {error}", hint="search again") from error

    @property
    def feasible_blends(self) -> tuple[BlendRecord, ...]:
        """Those of :attr:`blends` that break no constraint."""
        return tuple(blend for blend in self.blends if not blend.infeasible)

    @property
    def has_blended(self) -> bool:
        """Whether a run got as far as to blend, whatever came of it."""
        return BLENDS in self._journal.user_attrs

    @property
    def blend_failure(self) -> str:
        """Why the last run could make no blend; empty where it could, or had none to make."""
        return str(self._journal.user_attrs.get(BLEND_FAILED, ""))

    @property
    def forecast(self) -> Forecast | None:
        """What the first network of the space was expected to cost, on a CPU; None where no forecast was made."""
        raw = self._journal.user_attrs.get(FORECAST)
        try:
            return None if raw is None else Forecast(float(raw["epoch_s"]), int(raw["peak_bytes"]))
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{self.folder}: the forecast is unreadable: {error}", hint="search again") from error

    @property
    def shortlists(self) -> dict[str, Shortlist]:
        """What supernets found, by the strategy that proposes it."""
        try:
            return Shortlist.all_of(self._journal.user_attrs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{self.folder}: a shortlist is unreadable: {error}", hint="search again") from error

    def describe(self, blend: BlendSpec) -> str:
        """Describe a blend in a few words, for tables: its parts by the names that the leaderboard has for them."""
        names = {baseline.spec.key(): baseline.name for baseline in self.baselines}
        keyed = ((share.weight, share.spec.key()) for share in blend.shares)
        parts = " + ".join(f"{weight:.2f} {names.get(key, key)}" for weight, key in keyed)
        return parts if blend.dims is None else f"{parts}, as {blend.dims} dims"

    @cached_property
    def repeats(self) -> dict[str, Measurement]:
        """What networks were worth from further seeds, by :func:`gnas_search.study.finalists.repeat_name`."""
        try:
            return repeats_of(self._journal.user_attrs)
        except (AttributeError, KeyError, TypeError) as error:
            raise IntegrityError(f"{self.folder}: a finalist is unreadable: {error}", hint="search again") from error

    @cached_property
    def finalists(self) -> tuple[Finalist, ...]:
        """The networks that were trained from several seeds, the best on average first.

        Empty where there were none, or where the best networks are others since.
        """
        try:
            return decided(self._journal.user_attrs, self.ranking, self.repeats)
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{self.folder}: a finalist is unreadable: {error}", hint="search again") from error

    def best_of(self, kind: str) -> Trial | None:
        """Give the best trial of a kind of model, a network by its mean over seeds; None where none was measured."""
        if kind == GNN and self.finalists:
            return self.finalists[0].trial
        return next((trial for trial, _ in self.ranking if trial.kind == kind), None)

    @cached_property
    def ranking(self) -> tuple[tuple[Trial, Measurement], ...]:
        """The complete, stopped and cut trials with what was measured, best first; duplicates left out."""
        measured = [(t, t.measured) for t in self.trials if t.state in MEASURED_STATES and t.measured is not None]
        return tuple(sorted(measured, key=lambda pair: (-pair[1].quality.value, pair[0].number)))

    def per_user(self, name: str) -> UserMetrics:
        """Read the validation metrics per user of a baseline (its name), trial or blend (its key).

        Raises
        ------
        IntegrityError
            If their file is missing or damaged, or disagrees with the journal.
        """
        path, measured = self._metrics_path(name), self._measured[name]
        users = read_metrics(path, judged=measured.judged is not None)
        check_means(path, users, measured)
        return users

    def require_metrics(self) -> None:
        """Make sure that what the verdict is made of, as things are, has the metrics that the journal states.

        Raises
        ------
        IntegrityError
            As :meth:`per_user`.
        """
        best = {trial.kind: trial.key for trial, _ in reversed(self.ranking)}
        simple: list[Baseline | BlendRecord] = [*self.baselines, *self.blends]
        for name in (*(one.key for one in simple), *best.values(), *(n for one in self.finalists for n in one.names)):
            self.per_user(name)

    def values_per_user(self, name: str) -> npt.NDArray[np.float64]:
        """Read what a model is worth to each validation user, the higher the better: of a finalist, over its seeds.

        Raises
        ------
        IntegrityError
            As :meth:`per_user`.
        """
        names = next((one.names for one in self.finalists if one.trial.key == name), (name,))
        values: npt.NDArray[np.float64] = np.mean([self.per_user(one).quality for one in names], axis=0)
        return values

    def _metrics_path(self, name: str) -> Path:
        """Say where the metrics of a model lie; those of an earlier version under the key that it had then."""
        path = metrics_path(self.folder, name)
        if path.exists():
            return path
        models: list[Trial | BlendRecord] = [*self.blends, *(trial for trial, _ in self.ranking)]
        earlier = (metrics_path(self.folder, key) for model in models if model.key == name for key in model.stored_as)
        return next((other for other in earlier if other.exists()), path)

    @cached_property
    def _measured(self) -> dict[str, Measurement]:
        """What was measured, by the name under which its metrics are kept."""
        measured = {baseline.key: baseline.measured for baseline in self.baselines}
        measured |= {blend.key: blend.measured for blend in self.blends}
        # Two trials of an earlier version may be equal by now: the better one speaks for both.
        return measured | self.repeats | {trial.key: found for trial, found in reversed(self.ranking)}

    @cached_property
    def verdict(self) -> Verdict:
        """Which model to ship.

        Raises
        ------
        NoViableTrialError
            If none is usable.
        """
        found = [(best, best.kind) for kind in FAMILIES if (best := self.best_of(kind)) is not None]
        models: list[tuple[Trial | Baseline | BlendRecord, str]] = [
            *((baseline, BASELINE) for baseline in self.baselines[:1]),
            *found,
            *((blend, BLEND) for blend in self.feasible_blends[:1]),
        ]
        representatives = []
        for model, kind in models:
            values, remark = self.values_per_user(model.key), _cut(model)
            if kind == GNN and self.finalists:
                remark = f"its mean over {len(self.finalists[0].seeds)} seeds"
            is_usable = bool(self.per_user(model.key).ndcg.any())
            representatives.append(Representative(model.key, kind, values, remark, is_usable=is_usable))
        if len({len(one.values) for one in representatives}) > 1:
            raise IntegrityError(
                f"{self.folder}: the models were measured on different numbers of users",
                hint="restore the files, or search again",
            )
        first = self.header.objectives.first
        return decide(representatives, seed=self.header.seed, metric=first, sign=self.header.objectives.sign(first))

    def spec_of(self, name: str) -> ModelSpec | None:
        """Give the spec of a measured model by its name on the leaderboard; None where there is none of that name."""
        trials = (trial for trial, _ in self.ranking)
        models: list[Baseline | BlendRecord | Trial] = [*self.baselines, *self.blends, *trials]
        return next((model.spec for model in models if model.key == name), None)

    @property
    def best(self) -> float | None:
        """The best value of what models are chosen by so far, the higher the better; None where nothing is measured."""
        simple: list[Baseline | BlendRecord] = [*self.baselines, *self.feasible_blends]
        measured = [model.measured for model in simple]
        return max((m.quality.value for m in (*measured, *(m for _, m in self.ranking))), default=None)


def _cut(model: Trial | Baseline | BlendRecord) -> str:
    """Say that time stopped a trial before it could show what it is worth; empty where it did not."""
    measured = model.measured
    if measured is None or measured.stopped != "deadline":
        return ""
    done = f"{'cut' if measured.is_cut else 'stopped'} after {len(measured.history)} of {measured.epochs} epochs"
    return f"{done}: a longer budget may do better"
