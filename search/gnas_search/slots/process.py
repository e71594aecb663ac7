"""Slots in processes of their own: several trials at a time, and one that dies takes no other with it."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from gnas_search.data.dataset import InteractionGraph
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import Validation
from gnas_search.fit import Fit
from gnas_search.footprint import host_bytes
from gnas_search.memory import available_bytes, resident_bytes, resident_bytes_of
from gnas_search.slots.inline import InlineSlot
from gnas_search.slots.slot import Event, Failure, Job
from gnas_search.slots.threads import share_of, use_threads
from gnas_search.specs import BranchSpec

_PATIENCE_S = 5.0  # for a process that has ended or been killed to be gone
_LONGEST_WAIT_S = 3600.0  # at a time: of a wait of weeks the operating system knows nothing
_HELD = 2  # a network's embeddings, beside its training: those of its best epoch, and those that it begins with
GRACE_S = 120.0
"""After its deadline, for a job to end by itself: one step of training, or a closed form that had begun."""


@dataclass(frozen=True)
class _Worker:
    """A process that trains, and what holds it.

    Attributes
    ----------
    process
        It ends when either pipe does.
    connection
        Jobs and replies one way, events the other.
    lifeline
        Never written to: its end tells the worker that the driver is gone, however that died.
    feeder
        Sends it the graph and its first job: a process that is being started reads when it can, if it ever does.
    """

    process: BaseProcess
    connection: Connection
    lifeline: Connection
    feeder: threading.Thread

    def end(self) -> None:
        self.process.kill()  # also one that is stopped, and whatever it was about
        self.process.join(_PATIENCE_S)
        self.feeder.join(_PATIENCE_S)  # whose pipe is broken now
        self.connection.close()
        self.lifeline.close()


@dataclass(frozen=True)
class _UnderWay:
    """A job that a place has taken.

    Attributes
    ----------
    spec
        What it trains.
    overdue_at
        When it is killed; None never.
    """

    spec: BranchSpec
    overdue_at: float | None


class ProcessSlots:
    """Trains in spawned processes, which share the machine's threads and each hold the graph.

    A process that dies, by the kernel's hand for want of memory or by anybody's, costs its trial and nothing else: the
    next job there gets a new one. So does one that has not ended :data:`GRACE_S` after its deadline. Nothing but
    :meth:`wait` waits for a process, whatever state that is in.

    Parameters
    ----------
    graph
        What to train on.
    validation
        What to select the best epoch by.
    count
        How many; at least 1.
    """

    def __init__(self, graph: InteractionGraph, validation: Validation, count: int) -> None:
        if count < 1:
            raise ValueError(f"{count} slots")
        self.count = count
        self._graph = graph
        self._validation = validation
        self._workers: dict[int, _Worker] = {}
        self._busy: dict[int, _UnderWay] = {}  # by place
        self._unborn: dict[int, str] = {}
        self._again = InlineSlot(graph, validation)
        self._process_bytes = resident_bytes()  # about what one of them holds as well: the libraries and the graph

    @property
    def process_ids(self) -> dict[int, int]:
        """The processes by place, of those places that have one."""
        return {place: worker.process.pid or 0 for place, worker in self._workers.items()}

    def has_room(self, place: int, spec: BranchSpec) -> bool:
        """Tell whether the memory holds a model's training beside those under way.

        Each looks by itself whether it fits, before it takes anything: several that begin together would all find the
        same memory free. On a CUDA device that is left to them.
        """
        available = available_bytes()
        if not self._busy or available is None:
            return True
        workers = [self._workers[one] for one in {place, *self._busy} & set(self._workers)]
        held = sum(resident_bytes_of(worker.process.pid or 0) for worker in workers)
        specs = [spec, *(one.spec for one in self._busy.values())]
        return sum(self._process_bytes + host_bytes(one, self._graph, held=_HELD) for one in specs) <= available + held

    def start(self, place: int, job: Job) -> None:
        """Give a place a job, and a process if it has none.

        Raises
        ------
        ValueError
            If its last job has not ended, or there is no such place.
        """
        if place in self._busy or not 0 <= place < self.count:
            raise ValueError(f"place {place} is not free")
        worker = self._workers.get(place)
        if worker is not None and not worker.process.is_alive():
            self._drop(place)
            worker = None
        self._busy[place] = _UnderWay(job.spec, None if job.deadline is None else job.deadline + GRACE_S)
        try:
            if worker is None:
                self._workers[place] = self._spawn(job)
            else:
                _send(worker.connection, job)  # small: it fits into the pipe
        except OSError as error:
            self._unborn[place] = f"no process could be started: {error}"

    def wait(self) -> tuple[int, Event]:
        """Wait until a place has something to say; of several the lowest first.

        Raises
        ------
        ValueError
            If no job is under way.
        """
        if not self._busy:
            raise ValueError("no job was started")
        place, event = self._next()
        if not isinstance(event, EpochResult):
            del self._busy[place]
        return place, event

    def _next(self) -> tuple[int, Event]:
        if self._unborn:
            place = min(self._unborn)
            return place, Failure(self._unborn.pop(place))
        ends = {place: one.overdue_at for place, one in self._busy.items() if one.overdue_at is not None}
        overdue_at = min(ends.values(), default=None)
        places = {self._workers[place].connection: place for place in sorted(self._busy)}
        ready: list[Any] = wait(list(places), 0)  # what was said in time counts, however late it is heard
        while not ready and (overdue_at is None or time.monotonic() < overdue_at):
            left_s = math.inf if overdue_at is None else max(0.0, overdue_at - time.monotonic())
            ready = wait(list(places), min(left_s, _LONGEST_WAIT_S))
        if not ready:
            place = min(place for place, at in ends.items() if at == overdue_at)
            self._drop(place)
            late = f"its process had not ended {GRACE_S:.0f} s after the time was up, and was killed"
            return place, Failure(late, is_overdue=True)
        place = min(places[one] for one in ready if isinstance(one, Connection))
        try:
            event: Event = self._workers[place].connection.recv()
        except (EOFError, OSError):
            event = Failure(self._cause_of_death(place))
            self._drop(place)
        return place, event

    def reply(self, place: int, *, go_on: bool) -> None:
        """Tell a place that has said how an epoch went whether to train another.

        Raises
        ------
        ValueError
            If no job is under way there.
        """
        if place not in self._busy:
            raise ValueError(f"place {place} has asked nothing")
        _send(self._workers[place].connection, go_on)

    def fit(self, job: Job) -> Fit:
        """Make the fit of a job that was measured before again, in this process."""
        return self._again.fit(job)

    def close(self) -> None:
        """End every process."""
        for place in list(self._workers):
            self._drop(place)
        self._busy.clear()
        self._unborn.clear()

    def _spawn(self, job: Job) -> _Worker:
        # Not forked: a copy of threads that hold locks would hang.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        listens, lifeline = context.Pipe(duplex=False)
        # Not the graph among the arguments: those are written before anybody looks whether the process lives.
        process = context.Process(target=_serve, args=(theirs, listens), daemon=True)
        # A terminal sends its interrupt to everybody, a service manager its request to end; the driver alone decides
        # what becomes of it. A process inherits what is blocked, from its first instruction on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        listens.close()
        world = (self._graph, self._validation, share_of(self.count))
        feeder = threading.Thread(target=_feed, args=(process, ours, world, job), daemon=True)
        try:
            feeder.start()
        except RuntimeError as error:  # no more threads may be started
            process.kill()
            raise OSError(str(error)) from error
        return _Worker(process, ours, lifeline, feeder)

    def _drop(self, place: int) -> None:
        self._workers.pop(place).end()

    def _cause_of_death(self, place: int) -> str:
        process = self._workers[place].process
        process.join(_PATIENCE_S)
        code = process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            return f"the process of its slot was ended by {name}{memory}"
        return f"the process of its slot ended with exit code {code}"


def _feed(process: BaseProcess, connection: Connection, *messages: object) -> None:
    """Send what a new process waits for; where the memory does not hold its copy, nobody is left to wait for it."""
    try:
        _send(connection, *messages)
    except Exception:  # noqa: BLE001  # the next wait finds it dead
        process.kill()


def _send(connection: Connection, *messages: object) -> None:
    try:
        for message in messages:
            connection.send(message)
    except OSError:  # dead: the next wait finds it
        return


def _serve(connection: Connection, lifeline: Connection) -> None:
    """Train job after job, until the driver hangs up."""
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    try:
        graph, validation, threads = connection.recv()
        use_threads(threads)
        slot = InlineSlot(graph, validation)
        while True:
            slot.start(0, connection.recv())
            event: Event | None = None
            while event is None or isinstance(event, EpochResult):
                if event is not None:
                    slot.reply(0, go_on=connection.recv())
                _, event = slot.wait()
                connection.send(event)
    except (EOFError, OSError):
        return


def _end_with(lifeline: Connection, end: Callable[[int], None] = os._exit) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        end(1)
