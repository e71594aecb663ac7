"""The driver of a study: asks the strategy, lets a slot train, writes down what came of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from gnas_search.architecture import ArchitectureSpec
from gnas_search.baselines import BASELINES, measure_baseline
from gnas_search.data.dataset import Dataset
from gnas_search.evaluate import UserMetrics, Validation, validation_of
from gnas_search.slots import InlineSlot, Job, Outcome, Slot
from gnas_search.strategies import make_strategy
from gnas_search.strategies.strategy import INTERRUPTED, Strategy, interrupted_numbers
from gnas_search.study import records
from gnas_search.study.header import StudyHeader
from gnas_search.study.journal import WriterLock, mend_journal, open_journal
from gnas_search.study.limits import Limits
from gnas_search.study.records import Baseline, Measurement, Trial
from gnas_search.study.study import BASELINE_PREFIX, Study, metrics_path
from gnas_search.study.watcher import Watcher
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import IntegrityError

_REPEATS = 200
"""So many draws in a row of architectures already known end a study: there is hardly anything new to find."""


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
    with storage_errors(folder), _writing(folder) as journal:
        chosen = slot if slot is not None else InlineSlot(dataset.selection, validation)
        search = _Search(folder, header, journal, dataset, chosen, watcher)
        search.measure_baselines(dataset, validation)
        search.recover()
        search.run(strategy if strategy is not None else header.strategy, limits)
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
        slot: Slot,
        watcher: Watcher,
    ) -> None:
        self._folder = folder
        self._seed = header.seed
        self._space = header.space.restrict(dataset)
        self._journal = journal
        self._slot = slot
        self._watcher = watcher

    def measure_baselines(self, dataset: Dataset, validation: Validation) -> None:
        """Measure the simple models, each once per study; they stand outside the sampler's trials."""
        for name in BASELINES:
            attribute = BASELINE_PREFIX + name
            if attribute in self._journal.user_attrs:
                continue
            found = measure_baseline(name, dataset.selection, validation, seed=self._seed)
            settings = {key: value for key, value in found.baseline.to_json().items() if key != "baseline"}
            measured = Measurement.of(
                found.metrics, seed=self._seed, seconds=found.seconds, parameters=0, settings=settings
            )
            self._save_metrics(name, found.metrics)
            stored = {"servable": found.baseline.servable, "measured": measured.to_json()}
            self._journal.set_user_attr(attribute, stored)
            self._watcher.baseline_measured(Baseline(name, found.baseline.servable, measured))

    def recover(self) -> None:
        """Queue what a killed run left unfinished."""
        for trial in self._journal.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if records.MEASURED in trial.user_attrs:  # stopped after its result was written, before it was told
                self._tell_measured(trial.number, Measurement.from_json(trial.user_attrs[records.MEASURED]))
            else:
                self._interrupt(trial)

    def run(self, strategy_name: str, limits: Limits) -> None:
        """Ask, train and tell until the end."""
        strategy = make_strategy(strategy_name, self._space, self._seed)
        repeats = 0
        while repeats < _REPEATS:
            known = self._known()
            if limits.reached(len(known)) or (self._space.is_finite and len(known) >= self._space.size()):
                return
            trial = self._draw(strategy, strategy_name)
            spec = self._space.to_spec(trial.params)
            twin = known.get(spec.key())
            if twin is not None:
                self._tell_duplicate(trial, twin)
                repeats += 1
                continue
            repeats = 0
            self._watcher.trial_started(trial.number, spec, len(known))
            if not self._train(trial, Job(spec, self._seed, limits.deadline, limits.trial_s)):
                return

    def _known(self) -> dict[str, FrozenTrial]:
        """Give the finished trials by key, the duplicates left out."""
        finished = self._journal.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
        interrupted = interrupted_numbers(self._journal)
        known = {}
        for trial in finished:
            facts = trial.user_attrs
            if records.SPEC in facts and records.DUPLICATE_OF not in facts and trial.number not in interrupted:
                known[ArchitectureSpec.from_json(facts[records.SPEC]).key()] = trial
        return known

    def _draw(self, strategy: Strategy, name: str) -> optuna.trial.Trial:
        waiting = self._journal.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        drawn = strategy.drawn(self._journal)
        # One start at a time, and only where nothing waits for its second try: so the order of the starts is kept
        # and none is lost or doubled, wherever the run before was stopped.
        if not waiting and drawn < len(self._space.starts):
            self._journal.enqueue_trial(self._space.encode(self._space.starts[drawn]))
        trial = strategy.ask(self._journal)
        trial.set_user_attr(records.SPEC, self._space.to_spec(trial.params).to_json())
        trial.set_user_attr(records.STRATEGY, name)
        return trial

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
            if outcome.best_epoch == 0:
                self._interrupt(self._frozen(trial.number))
                self._watcher.trial_ended(self._read(trial.number))
                return False
            self._tell_outcome(trial, job.spec, outcome)
        self._watcher.trial_ended(self._read(trial.number))
        return True

    def _tell_outcome(self, trial: optuna.trial.Trial, spec: ArchitectureSpec, outcome: Outcome) -> None:
        measured = Measurement.of(
            outcome.users,
            seed=self._seed,
            seconds=outcome.seconds,
            parameters=outcome.num_parameters,
            best_epoch=outcome.best_epoch,
            epochs=spec.epochs,
            stopped=outcome.stopped,
            history=tuple(asdict(epoch) for epoch in outcome.history),
        )
        self._save_metrics(spec.key(), outcome.users)
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
        queued = trial.params if set(trial.params) == set(self._space.genes) else trial.system_attrs.get("fixed_params")
        # Stopped right here by an earlier run, it is queued already.
        again = (other.user_attrs.get(records.RETRY_OF) for other in self._journal.get_trials(deepcopy=False))
        if queued is not None and trial.number not in again:
            self._journal.enqueue_trial(queued, user_attrs={records.RETRY_OF: trial.number})
        self._journal.tell(trial.number, state=TrialState.FAIL)

    def _save_metrics(self, name: str, users: UserMetrics) -> None:
        path = metrics_path(self._folder, name)
        path.parent.mkdir(exist_ok=True)
        buffer = io.BytesIO()  # through memory: np.save hides a full disk in an error without a number
        np.save(buffer, records.per_user(users), allow_pickle=False)
        # Renamed into place: whoever reads a running study sees whole files.
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_bytes(buffer.getvalue())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _frozen(self, number: int) -> FrozenTrial:
        for trial in self._journal.get_trials(deepcopy=False):
            if trial.number == number:
                return trial
        raise IntegrityError(f"{self._folder}: trial {number} is gone", hint="another process wrote the study")

    def _read(self, number: int) -> Trial:
        return records.read_trial(
            self._frozen(number), interrupted=number in interrupted_numbers(self._journal), writer_alive=True
        )
