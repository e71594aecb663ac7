"""The driver of a study: asks the strategy, lets a slot train, writes down what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from gnas_search.data.dataset import Dataset
from gnas_search.evaluate import fresh_validation, validation_of
from gnas_search.slots import InlineSlot, Job, Outcome, Slot
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN, BranchSpec, kind_of
from gnas_search.strategies.strategy import FAMILY, INTERRUPTED, family_of, interrupted_numbers
from gnas_search.study import records
from gnas_search.study.draws import Draws
from gnas_search.study.finale import blend_best, scan_us
from gnas_search.study.header import StudyHeader
from gnas_search.study.interruption import SignalHold
from gnas_search.study.journal import WriterLock, mend_journal, open_journal
from gnas_search.study.kept import KeptModel
from gnas_search.study.limits import Limits
from gnas_search.study.metrics import save_metrics
from gnas_search.study.opening import forecast_network, measure_baselines
from gnas_search.study.records import Measurement, Trial
from gnas_search.study.reserve import Reserve
from gnas_search.study.study import Study
from gnas_search.study.watcher import Watcher
from gnas_search.study.workshop import Workshop
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import IntegrityError

_REPEATS = 200
"""So many draws in a row of models already known end a family: there is hardly anything new to find in it."""


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
    fresh = fresh_validation(dataset, validation)
    with storage_errors(folder), _writing(folder) as journal, SignalHold() as hold:
        chosen = slot if slot is not None else InlineSlot(dataset.selection, validation)
        kept = KeptModel(folder)
        shop = Workshop(folder, header, journal, dataset.selection, validation, fresh, chosen, watcher, hold, kept)
        measure_baselines(shop)
        search = _Search(shop, header.space.restrict(dataset))
        search.run(strategy if strategy is not None else header.strategy, limits)
        blend_best(shop, search.reserve.seconds)
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

    def __init__(self, shop: Workshop, space: SearchSpace) -> None:
        self._shop = shop
        self._journal = shop.journal
        self._watcher = shop.watcher
        self._space = space
        self._recover()
        self.reserve = Reserve(shop.study())

    def _recover(self) -> None:
        """Queue what a killed run left unfinished."""
        for trial in self._journal.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if records.MEASURED in trial.user_attrs:  # stopped after its result was written, before it was told
                self._tell_measured(trial.number, Measurement.from_json(trial.user_attrs[records.MEASURED]))
            else:
                self._interrupt(trial)

    def run(self, strategy_name: str, limits: Limits) -> None:
        """Ask, train and tell until the end; the families take turns."""
        share_time = limits.deadline is not None
        seed = self._shop.seed
        draws = Draws(self._journal, self._space, strategy_name, seed, share_time=share_time)
        if GNN in draws.families and self._space.families[GNN].starts:
            forecast_network(self._shop, self._space.families[GNN].starts[0])
        repeats = dict.fromkeys(draws.families, 0)
        while True:
            known = draws.known()
            unfinished = [
                family
                for family in draws.families
                if repeats[family] < _REPEATS and not draws.is_exhausted(family, known)
            ]
            # What the blend at the end takes is known better after every trial.
            now = limits.reserving(self.reserve.seconds)
            if now.reached(len(known)) or not unfinished:
                return
            drawn = draws.draw(unfinished)
            if drawn is None:
                continue
            trial, family = drawn
            spec = self._space.read(family, trial.params)
            twin = known.get(spec.key())
            if twin is not None:
                self._tell_duplicate(trial, twin)
                repeats[family] += 1
                continue
            repeats[family] = 0
            self._watcher.trial_started(trial.number, spec, len(known), now.deadline)
            if not self._train(trial, Job(spec, seed, now.deadline, now.trial_s)):
                return

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
            with self._shop.hold.released():
                self._shop.slot.start(job)
                while self._shop.slot.advance(self._watcher.epoch_ended):
                    pass
                outcome = self._shop.slot.result()
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
            seed=self._shop.seed,
            seconds=outcome.seconds,
            parameters=outcome.num_parameters,
            best_epoch=outcome.best_epoch,
            epochs=getattr(spec, "epochs", 0),
            stopped=outcome.stopped,
            history=tuple(asdict(epoch) for epoch in outcome.history),
            peak_bytes=outcome.peak_bytes,
        )
        too_slow = self._too_slow(outcome)
        if too_slow:
            trial.set_user_attr(records.INFEASIBLE, too_slow)
        elif kind_of(spec) == GNN:
            best = self._shop.study().best_of(GNN)
            if best is None or best.measured is None or measured.ndcg.value > best.measured.ndcg.value:
                self._shop.kept.keep(spec.key(), outcome.fit)
        save_metrics(self._shop.folder, spec.key(), outcome.users)
        trial.set_user_attr(records.MEASURED, measured.to_json())
        self._tell_measured(trial.number, measured)
        if not too_slow:
            self.reserve.hear(kind_of(spec), measured)

    def _too_slow(self, outcome: Outcome) -> str:
        """Say that scoring takes longer than the space allows; empty where it does not."""
        constraints = self._space.constraints
        if constraints.max_latency_us is None:
            return ""
        return constraints.too_slow(scan_us(outcome.fit, self._shop.graph.positives, self._shop.validation.users))

    def _tell_measured(self, number: int, measured: Measurement) -> None:
        if records.INFEASIBLE in self._frozen(number).user_attrs:
            self._journal.tell(number, records.WORST)
        elif measured.is_cut:  # a model hardly trained says little of its architecture: nothing to learn from
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
        raise IntegrityError(f"{self._shop.folder}: trial {number} is gone", hint="another process wrote the study")

    def _read(self, number: int) -> Trial:
        return records.read_trial(
            self._frozen(number), interrupted=number in interrupted_numbers(self._journal), writer_alive=True
        )
