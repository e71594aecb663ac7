"""The driver of a study: asks the strategy, lets a slot train, writes down what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from gnas_search.baselines import BASELINES, measure_baseline
from gnas_search.data.dataset import Dataset
from gnas_search.evaluate import Validation, validation_of
from gnas_search.fit import Fit
from gnas_search.forecast import forecast
from gnas_search.memory import peak_bytes
from gnas_search.slots import InlineSlot, Job, Outcome, Slot
from gnas_search.specs import GNN, BranchSpec, kind_of
from gnas_search.strategies.strategy import FAMILY, INTERRUPTED, family_of, interrupted_numbers
from gnas_search.study import records
from gnas_search.study.draws import Draws
from gnas_search.study.finale import best_of_each_kind, blend_models
from gnas_search.study.header import StudyHeader
from gnas_search.study.interruption import SignalHold
from gnas_search.study.journal import WriterLock, mend_journal, open_journal
from gnas_search.study.kept import KeptModel
from gnas_search.study.limits import Limits
from gnas_search.study.metrics import save_metrics
from gnas_search.study.records import Baseline, Measurement, Trial
from gnas_search.study.study import BASELINE_PREFIX, BLENDS, Study
from gnas_search.study.watcher import Watcher
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import IntegrityError

_REPEATS = 200
"""So many draws in a row of models already known end a family: there is hardly anything new to find in it."""

_BLENDED = "blended"
"""Attribute of a study: what its blend was made of."""

_VALIDATIONS_OF_A_BLEND = 25
"""What a blend takes, in validations of the quickest baseline; measured on the data sets at hand: 10 to 25."""


def run(
    folder: Path,
    dataset: Dataset,
    watcher: Watcher,
    *,
    limits: Limits,
    strategy: str | None = None,
    slot: Slot | None = None,
) -> Study:
    """Go on with a study until a limit is reached or nothing new is left to try.

    Interrupted at any point, even killed, it loses at most the running trial, which the next run tries again.

    Parameters
    ----------
    folder
        A study made by :func:`begin`.
    dataset
        Its data.
    watcher
        Is told how it goes.
    limits
        When to end.
    strategy
        The study's own when None.
    slot
        Where trials are trained; in this process when None.

    Returns
    -------
    Study
        Its state at the end.

    Raises
    ------
    ConfigError
        If another process is writing the study, or the strategy is unknown.
    DataError
        If the data has no validation user.
    IntegrityError
        If the study is damaged.
    StorageError
        If the disk is full.
    """
    header = StudyHeader.read(folder)
    validation = validation_of(dataset)
    with storage_errors(folder), _writing(folder) as journal, SignalHold() as hold:
        chosen = slot if slot is not None else InlineSlot(dataset.selection, validation)
        search = _Search(folder, header, journal, dataset, validation, chosen, watcher, hold)
        search.measure_baselines()
        search.recover()
        search.run(strategy if strategy is not None else header.strategy, search.leaving_time(limits))
        search.blend_best()
    return Study.load(folder)


@contextmanager
def _writing(folder: Path) -> Iterator[optuna.Study]:
    lock = WriterLock(folder)
    try:
        mend_journal(folder)
        yield open_journal(folder, create=True)
    finally:
        lock.release()


class _Search:
    """One run over a study; the only writer of its journal."""

    def __init__(
        self,
        folder: Path,
        header: StudyHeader,
        journal: optuna.Study,
        dataset: Dataset,
        validation: Validation,
        slot: Slot,
        watcher: Watcher,
        hold: SignalHold,
    ) -> None:
        self._hold = hold
        self._folder = folder
        self._header = header
        self._seed = header.seed
        self._space = header.space.restrict(dataset)
        self._journal = journal
        self._graph = dataset.selection
        self._validation = validation
        self._slot = slot
        self._watcher = watcher
        self._kept = KeptModel(folder)

    def measure_baselines(self) -> None:
        """Measure the simple models, each once per study; they stand outside the sampler's trials."""
        for name in BASELINES:
            attribute = BASELINE_PREFIX + name
            if attribute in self._journal.user_attrs:
                continue
            with self._hold.released():
                found = measure_baseline(name, self._graph, self._validation, seed=self._seed)
            measured = Measurement.of(
                found.metrics, seed=self._seed, seconds=found.seconds, parameters=0, peak_bytes=peak_bytes()
            )
            save_metrics(self._folder, name, found.metrics)
            self._journal.set_user_attr(attribute, {"spec": found.spec.to_json(), "measured": measured.to_json()})
            self._watcher.baseline_measured(Baseline(name, found.spec, measured))

    def leaving_time(self, limits: Limits) -> Limits:
        """End the trials early enough for the blend at the end, measured by what a validation takes here."""
        seconds = [baseline.measured.seconds for baseline in Study.load(self._folder).baselines]
        return limits.reserving(_VALIDATIONS_OF_A_BLEND * min(seconds, default=0.0))

    def recover(self) -> None:
        """Queue what a killed run left unfinished."""
        for trial in self._journal.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if records.MEASURED in trial.user_attrs:  # stopped after its result was written, before it was told
                self._tell_measured(trial.number, Measurement.from_json(trial.user_attrs[records.MEASURED]))
            else:
                self._interrupt(trial)

    def run(self, strategy_name: str, limits: Limits) -> None:
        """Ask, train and tell until the end; the families take turns."""
        share_time = limits.deadline is not None
        draws = Draws(self._journal, self._space, strategy_name, self._seed, share_time=share_time)
        if GNN in draws.families and self._space.families[GNN].starts:
            start = self._space.families[GNN].starts[0]
            with self._hold.released():
                expected = forecast(start, self._graph)
            self._watcher.forecast_made(start, expected)
        repeats = dict.fromkeys(draws.families, 0)
        while True:
            known = draws.known()
            unfinished = [
                family
                for family in draws.families
                if repeats[family] < _REPEATS and not draws.is_exhausted(family, known)
            ]
            if limits.reached(len(known)) or not unfinished:
                return
            trial, family = draws.draw(unfinished)
            spec = self._space.read(family, trial.params)
            twin = known.get(spec.key())
            if twin is not None:
                self._tell_duplicate(trial, twin)
                repeats[family] += 1
                continue
            repeats[family] = 0
            self._watcher.trial_started(trial.number, spec, len(known))
            if not self._train(trial, Job(spec, self._seed, limits.deadline, limits.trial_s)):
                return

    def blend_best(self) -> None:
        """Blend the best model of each kind, unless that was done already."""
        best = best_of_each_kind(Study.load(self._folder))
        parts = sorted(spec.key() for spec in best.values())
        if parts == self._journal.user_attrs.get(_BLENDED) or len(best) < 2:
            return
        self._watcher.blending()
        with self._hold.released():
            fits = {kind: self._fitted(spec) for kind, spec in best.items()}
            found = blend_models(best, fits, self._graph, self._validation, seed=self._seed)
        for one in found:
            save_metrics(self._folder, one.record.key, one.metrics)
        self._journal.set_user_attr(BLENDS, [one.record.to_json() for one in found])
        self._journal.set_user_attr(_BLENDED, parts)
        self._watcher.blended(tuple(one.record for one in found))

    def _fitted(self, spec: BranchSpec) -> Fit:
        """Give the fit of a measured model: kept, or made again."""
        kept = self._kept.find(spec.key())
        return kept if kept is not None else self._slot.fit(Job(spec, self._seed, None))

    def _tell_duplicate(self, trial: optuna.trial.Trial, twin: FrozenTrial) -> None:
        trial.set_user_attr(records.DUPLICATE_OF, twin.number)
        if twin.state == TrialState.COMPLETE:
            self._journal.tell(trial, twin.value)
        else:
            self._journal.tell(trial, state=TrialState.FAIL)
        self._watcher.trial_ended(self._read(trial.number))

    def _train(self, trial: optuna.trial.Trial, job: Job) -> bool:
        """Train one trial and tell the study; give False where the budget ended before anything was known of it."""
        try:
            with self._hold.released():
                self._slot.start(job)
                while self._slot.advance(self._watcher.epoch_ended):
                    pass
                outcome = self._slot.result()
        except Exception as error:  # noqa: BLE001  # the trial boundary: whatever a trial does, the study goes on
            trial.set_user_attr(records.REASON, f"{type(error).__name__}: {error}")
            self._journal.tell(trial, state=TrialState.FAIL)
        except BaseException:
            self._interrupt(self._frozen(trial.number))
            raise
        else:
            if outcome.is_empty:
                self._interrupt(self._frozen(trial.number))
                self._watcher.trial_ended(self._read(trial.number))
                return False
            self._tell_outcome(trial, job.spec, outcome)
        self._watcher.trial_ended(self._read(trial.number))
        return True

    def _tell_outcome(self, trial: optuna.trial.Trial, spec: BranchSpec, outcome: Outcome) -> None:
        measured = Measurement.of(
            outcome.users,
            seed=self._seed,
            seconds=outcome.seconds,
            parameters=outcome.num_parameters,
            best_epoch=outcome.best_epoch,
            epochs=getattr(spec, "epochs", 0),
            stopped=outcome.stopped,
            history=tuple(asdict(epoch) for epoch in outcome.history),
            peak_bytes=outcome.peak_bytes,
        )
        best = Study(self._folder, self._header, self._journal).best_of(GNN)
        highest = best.measured.ndcg.value if best is not None and best.measured is not None else -1.0
        if kind_of(spec) == GNN and measured.ndcg.value > highest:
            self._kept.keep(spec.key(), outcome.fit)
        save_metrics(self._folder, spec.key(), outcome.users)
        trial.set_user_attr(records.MEASURED, measured.to_json())
        self._tell_measured(trial.number, measured)

    def _tell_measured(self, number: int, measured: Measurement) -> None:
        if measured.is_cut:  # a model hardly trained says little of its architecture: nothing to learn from
            self._journal.tell(number, state=TrialState.FAIL)
        else:
            self._journal.tell(number, measured.ndcg.value)

    def _interrupt(self, trial: FrozenTrial) -> None:
        """Close a trial that did not come to its end, and queue its point again."""
        self._journal.set_user_attr(INTERRUPTED, sorted({*interrupted_numbers(self._journal), trial.number}))
        # A trial killed while it was being drawn has only some genes; its draw is repeated by the same seed.
        family = family_of(trial)
        whole = family in self._space.families and set(trial.params) == set(self._space.families[family].genes)
        queued = trial.params if whole else trial.system_attrs.get("fixed_params")
        # Stopped right here by an earlier run, it is queued already.
        again = (other.user_attrs.get(records.RETRY_OF) for other in self._journal.get_trials(deepcopy=False))
        if queued is not None and trial.number not in again:
            self._journal.enqueue_trial(queued, user_attrs={records.RETRY_OF: trial.number, FAMILY: family})
        self._journal.tell(trial.number, state=TrialState.FAIL)

    def _frozen(self, number: int) -> FrozenTrial:
        for trial in self._journal.get_trials(deepcopy=False):
            if trial.number == number:
                return trial
        raise IntegrityError(f"{self._folder}: trial {number} is gone", hint="another process wrote the study")

    def _read(self, number: int) -> Trial:
        return records.read_trial(
            self._frozen(number), interrupted=number in interrupted_numbers(self._journal), writer_alive=True
        )
