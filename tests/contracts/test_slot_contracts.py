"""Every kind of slot trains the same, says how each epoch went, and stops where it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import scipy.sparse as sp
from processes import still_alive

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import Validation
from gnas_search.footprint import host_bytes
from gnas_search.selection import fit_selected
from gnas_search.slots import Failure, Job, Result, Slots
from gnas_search.slots.inline import InlineSlot
from gnas_search.slots.process import ProcessSlots
from gnas_search.specs import BranchSpec

SPEC = ArchitectureSpec(layers=("lightgcn",), embedding_dim=8, epochs=3, batch_size=16, num_negatives=8)
LONG = replace(SPEC, epochs=100_000, patience=100_000)
CLOSED = (FilterSpec(rank=6), TwoHopSpec(neighbours=5), PopularitySpec())


def world() -> tuple[InteractionGraph, Validation]:
    rng = np.random.default_rng(0)
    dense = rng.random((40, 30)) < 0.3
    held_out = dense & (rng.random(dense.shape) < 0.3)
    train = sp.csr_matrix((dense & ~held_out).astype(np.float32))
    valid = sp.csr_matrix(held_out.astype(np.float32))
    return InteractionGraph(train, train), Validation(train, valid, max_users=None, seed=0)


def train(slots: Slots, spec: BranchSpec, *, seed: int = 3, stop_after: int | None = None, **times: Any) -> Any:
    """Run one job to its end; give its epochs and how it ended."""
    slots.start(0, Job(spec, seed, times.pop("deadline", None), **times))
    epochs: list[EpochResult] = []
    while isinstance((heard := slots.wait())[1], EpochResult):
        epochs.append(heard[1])
        slots.reply(0, go_on=len(epochs) != stop_after)
    assert heard[0] == 0
    return epochs, heard[1]


class SlotContract:
    """What the driver of a study relies on."""

    @pytest.fixture
    def slots(self) -> Slots:
        raise NotImplementedError

    def test_gives_what_training_gives(self, slots: Slots) -> None:
        epochs, result = train(slots, SPEC)
        expected = fit_selected(SPEC, *world(), seed=3)
        np.testing.assert_array_equal(result.users.ndcg, expected.metrics.ndcg)
        assert (result.best_epoch, result.num_parameters) == (expected.best_epoch, expected.num_parameters)
        assert result.stopped == "epochs"
        assert result.history == tuple(epochs)
        assert [epoch.ndcg for epoch in epochs] == [epoch.ndcg for epoch in expected.history]
        assert result.seconds > 0
        assert result.peak_bytes > 1 << 20
        np.testing.assert_array_equal(result.fit.user_vectors, expected.fit.user_vectors)
        np.testing.assert_array_equal(slots.fit(Job(SPEC, 3, None)).item_vectors, expected.fit.item_vectors)
        assert not result.is_empty

    @pytest.mark.parametrize("spec", CLOSED, ids=lambda spec: spec.KIND)
    def test_closed_forms_are_jobs_too(self, slots: Slots, spec: BranchSpec) -> None:
        graph, validation = world()
        epochs, result = train(slots, spec, deadline=time.monotonic())  # seconds at most: no deadline cuts them
        again = slots.fit(Job(spec, 3, None)).score_rows(graph.positives)
        np.testing.assert_array_equal(result.users.ndcg, validation.score_with(again).ndcg)
        assert (epochs, result.best_epoch, result.history, result.stopped) == ([], 0, (), "")
        assert (result.num_parameters, result.is_empty, result.fit) == (0, False, None)

    def test_stops_after_the_epoch_at_which_it_is_told_to(self, slots: Slots) -> None:
        epochs, result = train(slots, SPEC, stop_after=2)
        whole = fit_selected(SPEC, *world(), seed=3).history
        assert (len(epochs), result.stopped) == (2, "rung")
        assert [epoch.ndcg for epoch in result.history] == [epoch.ndcg for epoch in whole[:2]]
        assert result.users.mean()[1] == max(epoch.ndcg for epoch in epochs)

    def test_after_the_last_epoch_there_is_nothing_to_stop(self, slots: Slots) -> None:
        epochs, result = train(slots, SPEC, stop_after=3)
        assert (len(epochs), result.stopped) == (3, "epochs")

    def test_a_deadline_that_has_passed_leaves_nothing_known(self, slots: Slots) -> None:
        epochs, result = train(slots, SPEC, deadline=time.monotonic())
        assert (epochs, result.best_epoch, result.stopped, result.is_empty) == ([], 0, "deadline", True)

    def test_a_deadline_may_be_years_away(self, slots: Slots) -> None:
        epochs, result = train(slots, SPEC, deadline=time.monotonic() + 1e8)
        assert (len(epochs), result.stopped) == (3, "epochs")

    def test_a_limit_leaves_the_first_epoch(self, slots: Slots) -> None:
        epochs, result = train(slots, SPEC, limit_s=0.0)
        assert (len(epochs), result.stopped, result.is_empty) == (1, "deadline", False)

    def test_a_job_that_fails_says_why_and_the_next_one_runs(self, slots: Slots) -> None:
        _, failure = train(slots, replace(SPEC, learning_rate=1e30, scorer="dot"))
        assert isinstance(failure, Failure)
        assert failure.reason.startswith("NoViableTrialError: training diverged")
        assert train(slots, SPEC)[1].stopped == "epochs"

    def test_alone_a_model_has_room_whatever_it_takes(self, slots: Slots) -> None:
        assert slots.has_room(0, replace(SPEC, embedding_dim=1 << 30))

    def test_misuse_is_a_programmer_mistake(self, slots: Slots) -> None:
        with pytest.raises(ValueError, match="no job"):
            slots.wait()
        with pytest.raises(ValueError, match="asked nothing"):
            slots.reply(0, go_on=True)
        with pytest.raises(ValueError, match="not free"):
            slots.start(slots.count, Job(SPEC, 0, None))
        slots.start(0, Job(SPEC, 0, None))
        with pytest.raises(ValueError, match="not free"):
            slots.start(0, Job(SPEC, 0, None))
        while isinstance(slots.wait()[1], EpochResult):
            slots.reply(0, go_on=False)


class TestInlineSlot(SlotContract):
    @pytest.fixture
    def slots(self) -> InlineSlot:
        return InlineSlot(*world())

    def test_an_epoch_has_to_be_replied_to(self, slots: InlineSlot) -> None:
        slots.start(0, Job(SPEC, 0, None))
        slots.wait()
        with pytest.raises(ValueError, match="not replied"):
            slots.wait()

    def test_interrupted_it_is_free_again(self, slots: InlineSlot, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        slots.start(0, Job(SPEC, 0, None))
        with monkeypatch.context() as patched:
            patched.setattr(Validation, "score", interrupt)
            with pytest.raises(KeyboardInterrupt):
                slots.wait()
        assert train(slots, SPEC)[1].stopped == "epochs"

    def test_filters_share_their_decompositions(self, slots: InlineSlot, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[int] = []
        decompose = Spectra._decompose

        def counting(self: Spectra, user: float, item: float, edges: str, rank: int) -> Any:
            made.append(rank)
            return decompose(self, user, item, edges, rank)

        monkeypatch.setattr(Spectra, "_decompose", counting)
        for spec in (FilterSpec(rank=3), FilterSpec(rank=12), FilterSpec(response="heat", rank=6, strength=2.0)):
            train(slots, spec, seed=0)
        assert made == [512]
        train(slots, FilterSpec(rank=3), seed=1)  # of another seed
        assert made == [512, 512]


@pytest.fixture(scope="module")
def one() -> Iterator[ProcessSlots]:
    """One process for all tests: it takes seconds to start."""
    slots = ProcessSlots(*world(), 1)
    yield slots
    slots.close()


@pytest.fixture(scope="module")
def two() -> Iterator[ProcessSlots]:
    slots = ProcessSlots(*world(), 2)
    yield slots
    slots.close()


class TestProcessSlots(SlotContract):
    @pytest.fixture
    def slots(self, one: ProcessSlots) -> ProcessSlots:
        return one


class TestSeveralProcesses:
    def test_jobs_under_way_together_do_not_disturb_each_other(self, two: ProcessSlots) -> None:
        jobs = [Job(SPEC, 3, None), Job(replace(SPEC, layers=("gcn",)), 3, None)]
        for place, job in enumerate(jobs):
            two.start(place, job)
        ended: dict[int, Result] = {}
        while len(ended) < 2:
            place, event = two.wait()
            if isinstance(event, EpochResult):
                two.reply(place, go_on=True)
            else:
                assert isinstance(event, Result)
                ended[place] = event
        for place, job in enumerate(jobs):
            expected = fit_selected(job.spec, *world(), seed=3).metrics.ndcg
            np.testing.assert_allclose(ended[place].users.ndcg, expected, atol=1e-6)

    def test_what_would_not_go_into_memory_beside_another_has_no_room(
        self, two: ProcessSlots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small, large = replace(SPEC, layers=()), replace(SPEC, embedding_dim=1 << 22)  # 70 x 2^22 floats: 1 GiB each
        assert host_bytes(large, world()[0]) > 8 << 30
        two.start(0, Job(LONG, 3, None))
        try:
            assert isinstance(two.wait()[1], EpochResult)
            monkeypatch.setattr("gnas_search.slots.process.available_bytes", lambda: 4 << 30)
            assert two.has_room(1, small)
            assert not two.has_room(1, large)
            monkeypatch.setattr("gnas_search.slots.process.available_bytes", lambda: 0)
            assert not two.has_room(1, small)  # what the other one holds is its own
            monkeypatch.setattr("gnas_search.slots.process.available_bytes", lambda: None)
            assert two.has_room(1, large)  # the system does not say
        finally:
            two.reply(0, go_on=False)
            assert isinstance(two.wait()[1], Result)
        assert two.has_room(1, large)

    def test_there_is_room_for_the_best_epoch_and_the_beginning_too(
        self, two: ProcessSlots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or the process would refuse what the driver sends it, and the trial count as failed."""
        graph, large = world()[0], replace(SPEC, embedding_dim=1 << 22)  # 1 GiB for each copy of its embeddings
        two.start(0, Job(LONG, 3, None))
        try:
            assert isinstance(two.wait()[1], EpochResult)
            monkeypatch.setattr("gnas_search.slots.process.resident_bytes_of", lambda _: 0)
            for copies in (1, 2):
                both = host_bytes(LONG, graph, held=2) + host_bytes(large, graph, held=copies)
                enough = 2 * two._process_bytes + both
                monkeypatch.setattr("gnas_search.slots.process.available_bytes", lambda enough=enough: enough)
                assert two.has_room(1, large) == (copies == 2)
        finally:
            two.reply(0, go_on=False)
            assert isinstance(two.wait()[1], Result)

    def test_what_was_done_in_time_counts_however_late_it_is_heard(
        self, two: ProcessSlots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The driver was stopped meanwhile, or busy with a model of another place."""
        monkeypatch.setattr("gnas_search.slots.process.GRACE_S", 0.0)
        two.start(0, Job(FilterSpec(rank=4), 3, time.monotonic()))
        assert two._workers[0].connection.poll(60.0)  # it has ended
        place, event = two.wait()
        assert place == 0
        assert isinstance(event, Result)

    def test_a_process_that_is_killed_costs_its_own_trial(self, two: ProcessSlots) -> None:
        two.start(0, Job(LONG, 0, None))
        two.start(1, Job(SPEC, 3, None))
        said: dict[int, list[Any]] = {0: [], 1: []}
        killed = False
        while not (said[0] and isinstance(said[0][-1], Failure) and said[1] and isinstance(said[1][-1], Result)):
            place, event = two.wait()
            said[place].append(event)
            if isinstance(event, EpochResult):
                two.reply(place, go_on=True)
                if place == 0 and not killed:
                    os.kill(two.process_ids[0], signal.SIGKILL)
                    killed = True
        assert said[0][-1].reason == (
            "the process of its slot was ended by SIGKILL, as the system does when memory runs out"
        )
        assert said[1][-1].stopped == "epochs"
        assert train(two, SPEC)[1].stopped == "epochs"  # in a new process

    def test_one_that_is_killed_or_stopped_while_it_starts_blocks_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a graph that no pipe holds, which is what a starting process has not read yet."""
        _, validation = world()
        wide = sp.csr_matrix((np.ones(1 << 17, np.float32), np.arange(1 << 17), [0] * 40 + [1 << 17]), (40, 1 << 17))
        slots = ProcessSlots(InteractionGraph(wide, wide), validation, 2)
        monkeypatch.setattr("gnas_search.slots.process.GRACE_S", 0.2)
        try:
            slots.start(0, Job(SPEC, 0, None))
            os.kill(slots.process_ids[0], signal.SIGKILL)
            place, event = slots.wait()
            assert place == 0
            assert isinstance(event, Failure)
            assert "SIGKILL" in event.reason
            assert not event.is_overdue
            slots.start(1, Job(SPEC, 0, time.monotonic()))
            os.kill(slots.process_ids[1], signal.SIGSTOP)
            place, event = slots.wait()
            assert place == 1
            assert isinstance(event, Failure)
            assert "after the time was up" in event.reason
            assert event.is_overdue
            slots.start(0, Job(SPEC, 0, None))
            os.kill(slots.process_ids[0], signal.SIGSTOP)
        finally:
            slots.close()
        assert slots.process_ids == {}

    def test_an_interrupt_from_the_terminal_is_the_drivers_alone(self, two: ProcessSlots) -> None:
        two.start(0, Job(SPEC, 3, None))
        os.kill(two.process_ids[0], signal.SIGINT)
        while isinstance(event := two.wait()[1], EpochResult):
            two.reply(0, go_on=True)
        assert isinstance(event, Result)

    def test_no_process_to_be_had_costs_a_trial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(self: object) -> None:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", refused)
        slots = ProcessSlots(*world(), 1)
        slots.start(0, Job(SPEC, 0, None))
        place, event = slots.wait()
        assert (place, isinstance(event, Failure)) == (0, True)
        assert "Resource temporarily unavailable" in str(event)

    def test_processes_end_with_their_driver_however_it_dies(self) -> None:
        script = (
            "import os, sys; sys.path.insert(0, sys.argv[1])\n"
            "from test_slot_contracts import LONG, Job, ProcessSlots, world\n"
            "slots = ProcessSlots(*world(), 1)\n"
            "slots.start(0, Job(LONG, 0, None))\n"
            "slots.wait()\n"
            "print(slots.process_ids[0], flush=True)\n"
            "os._exit(9)\n"
        )
        here = Path(__file__)
        paths = os.pathsep.join([str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", script, str(here.parent)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert done.returncode == 9
        with suppress(psutil.NoSuchProcess):  # ended already
            assert still_alive([psutil.Process(int(done.stdout))], 10) == []


def test_there_is_at_least_one_slot() -> None:
    with pytest.raises(ValueError, match="0 slots"):
        ProcessSlots(*world(), 0)


@pytest.mark.parametrize(
    ("broken", "error", "said"),
    [
        ("_send", MemoryError(), "ended by SIGKILL, as the system does when memory runs out"),
        (
            "threading.Thread.start",
            RuntimeError("can't start new thread"),
            "no process could be started: can't start",
        ),
    ],
)
def test_what_cannot_be_sent_to_a_new_process_costs_its_trial(
    broken: str, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(*_: object) -> None:
        raise error

    with closing(ProcessSlots(*world(), 2)) as slots:
        monkeypatch.setattr(f"gnas_search.slots.process.{broken}", breaking)
        slots.start(1, Job(SPEC, 0, None))
        place, event = slots.wait()
    assert isinstance(event, Failure)
    assert place == 1
    assert said in event.reason
