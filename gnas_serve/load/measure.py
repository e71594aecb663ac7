"""Measuring one door: a first question, the warm-up, the load, and what it came to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter, process_time
from urllib.parse import urlsplit

from gnas_serve.errors import ConfigError, GnasError, StorageError
from gnas_serve.load.askers import Judge, mean_recall
from gnas_serve.load.lane import CLOSED, TIMEOUT, UNREACHABLE, Door
from gnas_serve.load.listener import Listener, listener_at
from gnas_serve.load.loop_thread import LoopThread
from gnas_serve.load.loops import Questions, closed_loop, open_loop
from gnas_serve.load.meter import Meter, Reading
from gnas_serve.load.plan import LoadPlan
from gnas_serve.load.report import LoadReport, Spent, report_of
from gnas_serve.load.tally import Tally
from gnas_serve.plain_text import plain_text
from gnas_serve.vocabulary import Id

# What a server says that is there and well, and cannot answer just now.
_BUSY = {"429", "503", "504", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
# What it says that does not know who asks.
_UNKNOWN = {"401", "UNAUTHENTICATED"}
_WHO_ASKS = "give a key or token that it takes: --api-key-file FILE"
_WHOM_TO_ASK = "give the address of a gnas-serve server, and users that it takes"
_SHOWN = 300


def measure(
    door: Door,
    users: list[Id],
    plan: LoadPlan,
    *,
    k: int = 10,
    meter: Meter | None = None,
    judge: Judge | None = None,
    cores: tuple[int, int] | None = None,
) -> LoadReport:
    """Ask a running server as a plan says.

    Parameters
    ----------
    door
        Which server, and by which protocol.
    users
        For whom; drawn from evenly.
    k
        Items per answer.
    meter
        Looks at what the server costs; None where nothing can be seen of it.
    judge
        Of a sample of the answers, when all is over; None where there is nothing to judge by.
    cores
        Which ones server and client are held to, for the report.

    Raises
    ------
    StorageError
        If nobody answers at the address.
    ConfigError
        If who listens there speaks another protocol, refuses the question, or is another model than the judge's.
    DataError
        If the answers are none of a recommender.
    """
    questions = Questions([door.question(user, k) for user in users], plan.seed)
    with LoopThread() as loop:
        tally, spent = loop.run(_run(door, questions, plan, meter))
    if tally.counted == 0:
        raise ConfigError(
            f"no request fell into the {plan.duration_s:g} s that were to be measured",
            hint="measure longer, or at a higher rate",
        )
    recall = mean_recall(door, users, tally.sample, judge) if judge else None
    return report_of(
        tally,
        spent,
        plan,
        protocol=door.protocol,
        address=door.address,
        k=k,
        recall=recall,
        judged=len(tally.sample) if judge else 0,
        cores=cores,
    )


@dataclass(frozen=True)
class _Look:
    """What server and client have used so far."""

    server: Reading | None
    client_cpu_s: float
    clock_s: float

    @classmethod
    async def at(cls, meter: Meter | None) -> _Look:
        # In a thread: a server that is slow to say what it costs is not to hold the load up.
        server = None if meter is None else await asyncio.to_thread(meter.read)
        return cls(server, process_time(), perf_counter())


async def _run(door: Door, questions: Questions, plan: LoadPlan, meter: Meter | None) -> tuple[Tally, Spent]:
    await _check_alive(door, questions.pool[0])
    looks: list[_Look] = []

    async def look() -> None:
        looks.append(await _Look.at(meter))

    if plan.rate is None:
        tally = await closed_loop(door.lane, questions, plan, look)
    else:
        tally = await open_loop(door.lane, questions, plan, plan.rate, look)
    await look()
    begin, end = looks
    return tally, Spent(
        begin.server, end.server, end.client_cpu_s - begin.client_cpu_s, max(end.clock_s - begin.clock_s, 1e-9)
    )


async def _check_alive(door: Door, question: bytes) -> None:
    """Ask once, so that a wrong address is told from a server that cannot cope."""
    lane = door.lane()
    try:
        reply = await lane.ask(question)
    finally:
        await lane.close()
    if reply.status in {UNREACHABLE, CLOSED, TIMEOUT}:
        place = urlsplit(door.address)
        raise _no_answer(door, reply.status, await listener_at(str(place.hostname), int(place.port or 0)))
    if not reply.is_answer and reply.status not in _BUSY:
        said = plain_text(reply.body[:_SHOWN].decode(errors="replace"))
        raise ConfigError(
            f"{door.address} refuses the first question with status {reply.status}{': ' if said else ''}{said}",
            hint=_WHO_ASKS if reply.status in _UNKNOWN else _WHOM_TO_ASK,
            code="refused",
        )


def _no_answer(door: Door, status: str, listener: Listener) -> GnasError:
    if door.protocol == "http" and listener is Listener.http2:
        return ConfigError(
            f"{door.address} is no HTTP door: what listens there speaks HTTP/2, as gRPC doors do",
            hint="try --protocol grpc, or give the port of the HTTP door",
            code="other_protocol",
        )
    if door.protocol == "grpc" and listener is Listener.other:
        return ConfigError(
            f"{door.address} is no gRPC door: what listens there does not speak HTTP/2, or wants TLS",
            hint="give the port of the gRPC door, or try --protocol http with an address that begins with http://",
            code="other_protocol",
        )
    return StorageError(
        f"nobody answers at {door.address} ({status})",
        hint="start a server there: gnas-serve serve ARTIFACT; or give the address and protocol of one that runs",
        code="unreachable",
    )
