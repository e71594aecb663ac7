"""The driver of a study: asks the strategy, lets slots train, writes down what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir

from gnas_search.data.dataset import Dataset
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import fresh_validation, validation_of
from gnas_search.slots import Event, Failure, Result, Slots
from gnas_search.slots.inline import InlineSlot
from gnas_search.slots.process import ProcessSlots
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN, BranchSpec, kind_of
from gnas_search.study.blending import blend_best
from gnas_search.study.draws import Draws
from gnas_search.study.finalist_training import repeat_finalists
from gnas_search.study.header import StudyHeader
from gnas_search.study.interruption import SignalHold
from gnas_search.study.journal import writing
from gnas_search.study.kept import KeptModels
from gnas_search.study.kept_weights import KeptWeights
from gnas_search.study.last_run import LastRun
from gnas_search.study.limits import Limits
from gnas_search.study.measurement import Measurement
from gnas_search.study.meter import CostMeter
from gnas_search.study.own_journal import sync
from gnas_search.study.put_off import PutOff
from gnas_search.study.recovery import recover
from gnas_search.study.reserve import Reserve
from gnas_search.study.rungs import Rungs
from gnas_search.study.running import Running
from gnas_search.study.scribe import Scribe
from gnas_search.study.simple_models import forecast_network, measure_baselines
from gnas_search.study.study import Study
from gnas_search.study.supernet_phase import shortlist_networks
from gnas_search.study.warm_start import WarmStart
from gnas_search.study.watcher import Watcher
from gnas_search.study.workshop import Workshop
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import StorageError

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
    meter: CostMeter | None = None,
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
        What the run was told, kept for the next one once this one is the study's writer; nothing is read from it.
    meter
        Measures what models cost to serve, where :func:`needs_meter` says so of the study.

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
        If the study is damaged, or weights that it was started from are.
    StorageError
        If the disk is full.
    """
    header = StudyHeader.read(folder)
    needed = meter if needs_meter(header) else None
    if needed is None and needs_meter(header):
        raise ValueError("the study needs a meter")
    validation = validation_of(dataset).judged_by(header.objectives.judge(dataset, header.seed))
    fresh = fresh_validation(dataset, validation)
    graph = dataset.selection
    if isinstance(slots, int):
        slots = InlineSlot(graph, validation) if slots == 1 else ProcessSlots(graph, validation, slots)
    with (
        storage_errors(folder),
        closing(slots),
        writing(folder, header.objectives.directions) as journal,
        SignalHold() as hold,
    ):
        if order is not None:
            order.write(folder)
        kept, weights = KeptModels(folder), KeptWeights(folder, dataset)
        warm = WarmStart.read(folder, header.warm_start)
        warm.verify()
        shop = Workshop(
            folder, header, journal, graph, validation, fresh, slots, watcher, hold, kept, weights, warm, needed
        )
        space = warm.extended(header.space.restrict(dataset))
        recover(folder, header, journal, space)
        shop.study().require_metrics()
        measure_baselines(shop)
        search = _Search(shop, space)
        search.run(strategy if strategy is not None else header.strategy, limits)
        repeat_finalists(shop, limits.reserving(search.reserve.blend_s))
        blend_best(shop, search.reserve.blend_s)
    return Study.load(folder)


def needs_meter(header: StudyHeader) -> bool:
    """Tell whether a study has an objective or a limit that is measured on an exported scorer."""
    return header.objectives.needs_export or header.space.constraints.max_latency_us is not None


class _Search:
    """One run over a study; the only writer of its journal."""

    def __init__(self, shop: Workshop, space: SearchSpace) -> None:
        self._shop = shop
        self._watcher = shop.watcher
        self._space = space
        self._scribe = Scribe(shop, space)
        study = shop.study()
        self.reserve = Reserve(study, len(shop.judges.users), shop.slots.count)
        self._put_off = PutOff(shop.graph, study)
        self._rungs = Rungs()
        for trial, measured in study.ranking:
            if trial.kind == GNN and not shop.warm.begins_trained(trial.key):
                self._rungs.hear(measured.epochs, measured.worths)
        self._running: dict[int, Running] = {}  # by place
        self._waiting: Running | None = None  # drawn, and as yet without a place whose memory holds it
        self._out_of_time = False

    def run(self, strategy_name: str, limits: Limits) -> None:
        """Ask, train and tell until the end; the families take turns."""
        share_time = limits.deadline is not None
        draws = Draws(self._shop.journal, self._space, strategy_name, self._shop.seed, share_time=share_time)
        if GNN in draws.families and self._space.families[GNN].starts:
            forecast_network(self._shop, self._space.families[GNN].starts[0])
        shortlist_networks(self._shop, self._space, strategy_name, self._until_the_end(limits), draws)
        try:
            while self._fill(draws, limits):
                with self._shop.hold.released():
                    place, event = self._shop.slots.wait()
                self._hear(place, event, draws)
            while self._put_off.kept:
                self._scribe.interrupted(self._put_off.kept.pop(0)[1])
        except (OSError, StorageError):  # more lines might run into a torn one: the next run closes its trials
            raise
        except BaseException:
            waiting = [] if self._waiting is None else [self._waiting]
            begun = [running.trial.number for running in (*self._running.values(), *waiting)]
            for number in (*begun, *(number for _, number, _ in self._put_off.kept)):
                self._scribe.interrupted(number)
            raise

    def _fill(self, draws: Draws, limits: Limits) -> bool:
        """Give every free slot a trial, unless a limit is reached; tell whether any is under way."""
        while (place := self._free_place()) is not None:
            if self._waiting is None:
                self._waiting = self._drawn(draws, limits)
            drawn, now = self._waiting, self._until_the_end(limits)
            if drawn is not None and self._put_off.takes(drawn.trial, drawn.spec, now):
                draws.ended(drawn.trial.number)
                self._waiting = None
                continue
            if self._waiting is None or not self._shop.slots.has_room(place, self._waiting.spec):
                break
            running, self._waiting = self._waiting, None
            if self._out_of_time or now.is_late:
                self._scribe.interrupted(running.trial.number)
                draws.ended(running.trial.number)
                break
            self._running[place] = running
            self._watcher.trial_started(running.trial.number, running.spec, running.known, now.deadline)
            self._shop.slots.start(place, self._shop.job(running.spec, now.deadline, now.trial_s))
        return bool(self._running)

    def _until_the_end(self, limits: Limits) -> Limits:
        """Leave time for what comes after the trials, of which more is known after every one."""
        return limits.reserving(self.reserve.finalists_s + self.reserve.blend_s)

    def _drawn(self, draws: Draws, limits: Limits) -> Running | None:
        """Draw until a model is new; None once a limit is reached or nothing is left to draw."""
        while True:
            known = draws.tried.known()
            running = [(one.family, one.trial.number, one.spec.key()) for one in self._running.values()]
            begun = [*running, *self._put_off.kept]
            unfinished = [
                family
                for family in draws.families
                if not self._put_off.has_closed(family)
                and draws.tried.repeats(family) < _REPEATS
                and not draws.is_exhausted(family, sum(of == family for of, *_ in begun))
            ]
            now = self._until_the_end(limits)
            if self._out_of_time or now.reached(len(known) + len(running)) or not unfinished:
                return None
            drawn = draws.draw(unfinished, draws.progress(now, len(running)))
            if drawn is None:
                continue
            trial, spec, family = drawn
            twin = known.get(spec.key())
            if twin is None:
                twin = next((self._scribe.frozen(number) for _, number, key in begun if key == spec.key()), None)
            if twin is None:
                return Running(trial, spec, family, len(known))
            self._scribe.duplicate(trial.number, twin)
            draws.ended(trial.number)
            self._watcher.trial_ended(self._scribe.read(trial.number))

    def _free_place(self) -> int | None:
        return next((place for place in range(self._shop.slots.count) if place not in self._running), None)

    def _hear(self, place: int, event: Event, draws: Draws) -> None:
        """Take note of what a slot has to say: let it go on or stop, or end its trial."""
        if isinstance(event, EpochResult):
            running = self._running[place]
            running.epochs.append(event)
            self._watcher.epoch_ended(running.trial.number, event)
            epochs = getattr(running.spec, "epochs", 0)
            go_on = self._rungs.goes_on(epochs, [epoch.worth for epoch in running.epochs])
            self._shop.slots.reply(place, go_on=go_on)
            sync(self._shop.journal)  # what ended before a long training is not at stake until it ends
            return
        measured = None
        running = self._running.pop(place)  # what goes wrong while its end is written leaves it to the next run
        number = running.trial.number
        if isinstance(event, Failure) and not event.is_overdue:
            self._scribe.failed(running.trial.number, event.reason)
        elif isinstance(event, Failure) or event.is_empty:
            self._out_of_time = True
            self._scribe.interrupted(number)
        else:
            measured = self._end_measured(running, event)
        draws.ended(number)
        ended = self._scribe.read(number, running.spec, measured)
        if measured is not None:
            self.reserve.hear(ended, measured)
        self._watcher.trial_ended(ended)

    def _end_measured(self, running: Running, result: Result) -> Measurement | None:
        """End a trial that came to its end; give what was measured, where others are held against it."""
        try:
            with storage_errors(Path(gettempdir())):
                costs = self._costs_of(running.spec, result)
        except StorageError:  # no fault of the model: the next run trains it again
            raise
        except Exception as error:  # noqa: BLE001  # it may be fitted for this: that is part of a trial
            self._scribe.failed(running.trial.number, f"{type(error).__name__}: {error}")
            return None
        infeasible = self._space.constraints.too_costly(costs)
        measured = self._scribe.measured(running.trial.number, running.spec, result, costs, infeasible)
        if infeasible:  # nothing that others are held against, or that will be blended
            return None
        # One that goes on from what another learned is ahead of those that do not: it says nothing against them.
        if kind_of(running.spec) == GNN and not self._shop.warm.begins_trained(running.spec.key()):
            self._rungs.hear(measured.epochs, [epoch.worth for epoch in result.history])
        self._put_off.hear(running.spec, result.seconds)
        return measured

    def _costs_of(self, spec: BranchSpec, result: Result) -> Mapping[str, float]:
        job, fit = self._shop.job(spec), result.fit
        with self._shop.hold.released():
            return self._shop.costs_of(lambda: fit if fit is not None else self._shop.slots.fit(job))
