"""Slots in processes of their own: several trials at a time, and one that dies takes no other with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.fit import Fit
from gnas_search.selection import EpochResult
from gnas_search.slots.inline import InlineSlot
from gnas_search.slots.slot import Event, Failure, Job

_PATIENCE_S = 5.0  # a worker that was told to end has nothing to write


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
    """

    process: BaseProcess
    connection: Connection
    lifeline: Connection

    def end(self) -> None:
        self.connection.close()
        self.lifeline.close()
        self.process.join(_PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class ProcessSlots:
    """Trains in spawned processes, which share the machine's threads and each hold the graph.

    A process that dies, by the kernel's hand for want of memory or by anybody's, costs its trial and nothing else: the
    next job there gets a new one.

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
        self._busy: set[int] = set()
        self._again = InlineSlot(graph, validation)

    @property
    def process_ids(self) -> dict[int, int]:
        """The processes by place, of those places that have one."""
        return {place: worker.process.pid or 0 for place, worker in self._workers.items()}

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
        if worker is None:
            worker = self._workers[place] = self._spawn()
        self._busy.add(place)
        try:
            worker.connection.send(job)
        except OSError:  # died just now: the next wait finds it
            return

    def wait(self) -> tuple[int, Event]:
        """Wait until a place has something to say; of several the lowest first.

        Raises
        ------
        ValueError
            If no job is under way.
        """
        if not self._busy:
            raise ValueError("no job was started")
        places = {self._workers[place].connection: place for place in sorted(self._busy)}
        place = min(places[one] for one in wait(list(places)) if isinstance(one, Connection))
        try:
            event: Event = self._workers[place].connection.recv()
        except (EOFError, OSError):
            event = Failure(self._cause_of_death(place))
            self._drop(place)
        if not isinstance(event, EpochResult):
            self._busy.discard(place)
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
        try:
            self._workers[place].connection.send(go_on)
        except OSError:  # died just now: the next wait finds it
            return

    def fit(self, job: Job) -> Fit:
        """Make the fit of a job that was measured before again, in this process."""
        return self._again.fit(job)

    def close(self) -> None:
        """End every process."""
        for place in list(self._workers):
            # At once: what a trial under way would still find out is of no use to anybody.
            self._workers[place].process.terminate()
            self._drop(place)
        self._busy.clear()

    def _spawn(self) -> _Worker:
        # Not forked: a copy of threads that hold locks would hang.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        listens, lifeline = context.Pipe(duplex=False)
        threads = max(1, (os.cpu_count() or 1) // self.count)
        process = context.Process(
            target=_serve, args=(theirs, listens, self._graph, self._validation, threads), daemon=True
        )
        process.start()
        theirs.close()
        listens.close()
        return _Worker(process, ours, lifeline)

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


def _serve(
    connection: Connection, lifeline: Connection, graph: InteractionGraph, validation: Validation, threads: int
) -> None:
    """Train job after job, until the driver hangs up."""
    # A terminal sends its interrupt to everybody: the driver decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _use_threads(threads)
    slot = InlineSlot(graph, validation)
    try:
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


def _use_threads(count: int) -> None:
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    threadpool_limits(count)
