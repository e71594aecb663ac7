"""The driver of a study: asks the strategy, lets slots train, writes down what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import optuna

from gnas_search.data.dataset import Dataset
from gnas_search.evaluate import fresh_validation, validation_of
from gnas_search.selection import EpochResult
from gnas_search.slots import Event, Failure, InlineSlot, Job, Outcome, ProcessSlots, Slots
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN, BranchSpec, kind_of
from gnas_search.study.draws import Draws
from gnas_search.study.finale import blend_best, scan_us
from gnas_search.study.header import StudyHeader
from gnas_search.study.interruption import SignalHold
from gnas_search.study.journal import WriterLock, mend_journal, open_journal
from gnas_search.study.kept import KeptModel
from gnas_search.study.last_run import LastRun
from gnas_search.study.limits import Limits
from gnas_search.study.opening import forecast_network, measure_baselines
from gnas_search.study.reserve import Reserve
from gnas_search.study.rungs import Rungs
from gnas_search.study.scribe import Scribe
from gnas_search.study.study import Study
from gnas_search.study.supernet_phase import shortlist_networks
from gnas_search.study.watcher import Watcher
from gnas_search.study.workshop import Workshop
from gnas_serve.artifact.store import storage_errors

_REPEATS = 200
"""So many draws in a row of models already known end a family: there is hardly anything new to find in it."""


def run(
    folder: Path,
    dataset: Dataset,
    watcher: Watcher,
    *,
    limits: Limits,
    strategy: str | None = None,
    slots: Slots | int = 1,
    order: LastRun | None = None,
) -> Study:
    """Go on with a study until a limit is reached or nothing new is left to try.

    Interrupted at any point, even killed, it loses at most the running trials, which the next run tries again.

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
    slots
        Where trials are trained: one in this process, so many processes, or what is given; closed at the end.
    order
        What the run was told: its strategy and slots are taken from it, and it is kept for the next run once this
        one is the study's writer.

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
    graph = dataset.selection
    if order is not None:
        strategy, slots = order.strategy, order.slots
    if isinstance(slots, int):
        slots = InlineSlot(graph, validation) if slots == 1 else ProcessSlots(graph, validation, slots)
    with storage_errors(folder), closing(slots), _writing(folder) as journal, SignalHold() as hold:
        if order is not None:
            order.write(folder)
        kept = KeptModel(folder)
        shop = Workshop(folder, header, journal, graph, validation, fresh, slots, watcher, hold, kept)
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


@dataclass
class _Running:
    """A trial that a slot trains."""

    trial: optuna.trial.Trial
    spec: BranchSpec
    family: str
    epochs: list[EpochResult] = field(default_factory=list)


class _Search:
    """One run over a study; the only writer of its journal."""

    def __init__(self, shop: Workshop, space: SearchSpace) -> None:
        self._shop = shop
        self._watcher = shop.watcher
        self._space = space
        self._scribe = Scribe(shop, space)
        self._scribe.recover()
        study = shop.study()
        self.reserve = Reserve(study)
        self._rungs = Rungs()
        for trial, measured in study.ranking:
            if trial.kind == GNN:
                self._rungs.hear(measured.epochs, [epoch["ndcg"] for epoch in measured.history])
        self._running: dict[int, _Running] = {}  # by place
        self._out_of_time = False

    def run(self, strategy_name: str, limits: Limits) -> None:
        """Ask, train and tell until the end; the families take turns."""
        share_time = limits.deadline is not None
        draws = Draws(self._shop.journal, self._space, strategy_name, self._shop.seed, share_time=share_time)
        if GNN in draws.families and self._space.families[GNN].starts:
            forecast_network(self._shop, self._space.families[GNN].starts[0])
        shortlist_networks(self._shop, self._space, strategy_name, limits, draws)
        repeats = dict.fromkeys(draws.families, 0)
        try:
            while self._fill(draws, repeats, limits):
                with self._shop.hold.released():
                    place, event = self._shop.slots.wait()
                self._hear(place, event, draws)
        except BaseException:
            for running in self._running.values():
                self._scribe.interrupted(running.trial.number)
            raise

    def _fill(self, draws: Draws, repeats: dict[str, int], limits: Limits) -> bool:
        """Give every free slot a trial, unless a limit is reached; tell whether any is under way."""
        while (place := self._free_place()) is not None:
            known = draws.known()
            running = [(one.family, one.trial.number, one.spec.key()) for one in self._running.values()]
            unfinished = [
                family
                for family in draws.families
                if repeats[family] < _REPEATS
                and not draws.is_exhausted(family, known, sum(of == family for of, *_ in running))
            ]
            # What the blend at the end takes is known better after every trial.
            now = limits.reserving(self.reserve.seconds)
            if self._out_of_time or now.reached(len(known) + len(running)) or not unfinished:
                break
            drawn = draws.draw(unfinished)
            if drawn is None:
                continue
            trial, family = drawn
            spec = self._space.read(family, trial.params)
            twin = known.get(spec.key())
            if twin is None:
                twin = next((self._scribe.frozen(number) for _, number, key in running if key == spec.key()), None)
            if twin is not None:
                self._scribe.duplicate(trial, twin)
                draws.ended(trial.number)
                self._watcher.trial_ended(self._scribe.read(trial.number))
                repeats[family] += 1
                continue
            repeats[family] = 0
            self._running[place] = _Running(trial, spec, family)
            self._watcher.trial_started(trial.number, spec, len(known), now.deadline)
            self._shop.slots.start(place, Job(spec, self._shop.seed, now.deadline, now.trial_s))
        return bool(self._running)

    def _free_place(self) -> int | None:
        return next((place for place in range(self._shop.slots.count) if place not in self._running), None)

    def _hear(self, place: int, event: Event, draws: Draws) -> None:
        """Take note of what a slot has to say: let it go on or stop, or end its trial."""
        if isinstance(event, EpochResult):
            running = self._running[place]
            running.epochs.append(event)
            self._watcher.epoch_ended(running.trial.number, event)
            epochs = getattr(running.spec, "epochs", 0)
            go_on = self._rungs.goes_on(epochs, [epoch.ndcg for epoch in running.epochs])
            self._shop.slots.reply(place, go_on=go_on)
            return
        running = self._running.pop(place)  # what goes wrong while its end is written leaves it to the next run
        number = running.trial.number
        if isinstance(event, Failure):
            self._scribe.failed(running.trial, event.reason)
        elif event.is_empty:
            self._out_of_time = True
            self._scribe.interrupted(number)
        else:
            self._end_measured(running, event)
        draws.ended(number)
        self._watcher.trial_ended(self._scribe.read(number))

    def _end_measured(self, running: _Running, outcome: Outcome) -> None:
        try:
            too_slow = self._too_slow(running.spec, outcome)
        except Exception as error:  # noqa: BLE001  # it may be fitted for this: that is part of a trial
            self._scribe.failed(running.trial, f"{type(error).__name__}: {error}")
            return
        measured = self._scribe.measured(running.trial, running.spec, outcome, too_slow)
        if too_slow:  # nothing that others are held against, or that will be blended
            return
        if kind_of(running.spec) == GNN:
            self._rungs.hear(measured.epochs, [epoch.ndcg for epoch in outcome.history])
        self.reserve.hear(kind_of(running.spec), measured)

    def _too_slow(self, spec: BranchSpec, outcome: Outcome) -> str:
        """Say that scoring takes longer than the space allows; empty where it does not."""
        constraints = self._space.constraints
        if constraints.max_latency_us is None:
            return ""
        with self._shop.hold.released():
            fit = outcome.fit if outcome.fit is not None else self._shop.slots.fit(Job(spec, self._shop.seed, None))
            return constraints.too_slow(scan_us(fit, self._shop.graph.positives, self._shop.validation.users))
