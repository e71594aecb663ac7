"""`gnas-serve bench`: how quick an artifact is, in this process or through the doors of a server."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnas_serve.cli.arguments import MAX_SEED, time_span
from gnas_serve.cli.console import Output, OutputOption, emit, warn
from gnas_serve.cli.load_table import in_process_table, load_table
from gnas_serve.errors import ConfigError

if TYPE_CHECKING:
    from gnas_serve.load.objectives import Objective
    from gnas_serve.load.plan import LoadPlan
    from gnas_serve.load.report import LoadReport
    from gnas_serve.runtime.recommender import Recommender

_PANEL = "Through a door"
_IN_PROCESS_REQUESTS = 2000
_BUSY_CLIENT = 0.9


class Door(StrEnum):
    """Which door of a server is asked."""

    http = "http"
    grpc = "grpc"


def bench(
    target: Annotated[
        str,
        typer.Argument(metavar="ARTIFACT|URL", help="An artifact's folder, or http://HOST:PORT or grpc://HOST:PORT."),
    ],
    requests: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000_000,
            help=f"Count so many requests: {_IN_PROCESS_REQUESTS} in process; through a door at most so many.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=1000, help="Items per answer.")] = 10,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the draw of users, and of arrivals.")] = 0,
    slo: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=LIMIT,...",
            help="Objectives, exit 7 where one is missed: p50, p90, p99, p99.9, max, cpu (per request), qps,"
            " errors, rss, recall; p99=10ms,qps=500,errors=0.1%,rss=500MB,recall=0.98.",
        ),
    ] = None,
    protocol: Annotated[
        Door | None,
        typer.Option(help="Ask this door; of an artifact, start its server first.", rich_help_panel=_PANEL),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="So many connections, each asking again when answered (8).",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="So many requests per second, answered or not; latency counts from when each was to start.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(help="How long to count: 500ms, 10s, 2m (10s).", show_default=False, rich_help_panel=_PANEL),
    ] = None,
    warm_up: Annotated[
        str | None,
        typer.Option(help="How long to ask before that (2s).", show_default=False, rich_help_panel=_PANEL),
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(
            help="Ask for these users, one id per line; else for those of the artifact.", rich_help_panel=_PANEL
        ),
    ] = None,
    artifact: Annotated[
        Path | None,
        typer.Option(help="What the server at URL serves: its users, and recall.", rich_help_panel=_PANEL),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the API key or token of the client.", rich_help_panel=_PANEL),
    ] = None,
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="Ask a server on another machine.", rich_help_panel=_PANEL)
    ] = False,
    output: OutputOption = Output.text,
) -> None:
    """Time an artifact in this process on one thread beside brute force, or a server through one of its doors."""
    _one_thread()
    from gnas_serve.load.address import is_address, refuse_bare
    from gnas_serve.load.objectives import read_objectives

    objectives = read_objectives(slo) if slo is not None else ()
    is_url = is_address(target)
    refuse_bare(target, None if protocol is None else protocol.value)
    given = {
        "--concurrency": concurrency,
        "--rate": rate,
        "--duration": duration,
        "--warm-up": warm_up,
        "--users": users,
        "--artifact": artifact,
        "--api-key-file": api_key_file,
        "--anywhere": anywhere or None,
    }
    if not is_url and protocol is None:
        unused = [name for name, value in given.items() if value is not None]
        if unused:
            raise ConfigError(
                f"{unused[0]} is for a door, and {target!r} is asked in this process",
                hint="give --protocol http or grpc to start its server and ask that",
            )
        _in_process(Path(target), requests or _IN_PROCESS_REQUESTS, k, seed, objectives, output)
        return
    if rate is not None and concurrency is not None:
        raise ConfigError("--rate and --concurrency", hint="give one: requests per second, or callers that wait")
    from gnas_serve.load.plan import MAX_DURATION_S, LoadPlan

    plan = LoadPlan(
        concurrency=concurrency or 8,
        rate=rate,
        duration_s=time_span(duration or "10s", flag="--duration", most_s=MAX_DURATION_S),
        warm_up_s=time_span(warm_up or "2s", flag="--warm-up", most_s=MAX_DURATION_S),
        requests=requests,
        seed=seed,
    )
    from gnas_serve.load.credential import read_credential

    credential = None if api_key_file is None else read_credential(api_key_file)
    if is_url:
        report = _of_address(target, protocol, plan, k, users, artifact, objectives, credential, anywhere=anywhere)
    elif artifact is not None or anywhere:
        raise ConfigError(f"{'--artifact' if artifact is not None else '--anywhere'} is for a URL", hint="leave it out")
    else:
        report = _of_artifact(Path(target), protocol or Door.http, plan, k, users, credential)
    if report.loop == "closed" and report.client_busy > _BUSY_CLIENT:
        warn(f"the client was busy {report.client_busy:.0%} of the time: the server may be quicker than this says")
    _finish(report.to_json(), load_table(report), objectives, report.figures(), output)


def _in_process(
    artifact: Path, requests: int, k: int, seed: int, objectives: Sequence[Objective], output: Output
) -> None:
    from gnas_serve.runtime.benchmark import benchmark

    if requests > (most := 1_000_000):
        raise ConfigError(f"--requests {requests} in this process", hint=f"count at most {most}")
    recommender = _load(artifact)
    report = benchmark(recommender, requests=requests, k=k, seed=seed)
    table = in_process_table(report, recommender.info)
    _finish(report.to_json(), table, objectives, report.figures(), output)


def _of_artifact(
    artifact: Path, protocol: Door, plan: LoadPlan, k: int, users: Path | None, credential: str | None
) -> LoadReport:
    from gnas_serve.load.askers import ExactJudge, known_users, listed_users
    from gnas_serve.load.measure import measure
    from gnas_serve.load.served import served

    recommender = _load(artifact)
    pool = known_users(recommender, plan.seed) if users is None else listed_users(users, plan.seed)
    judge = ExactJudge(recommender, k)
    with served(artifact, protocol.value, credential=credential) as server:
        return measure(server.door, pool, plan, k=k, meter=server.meter, judge=judge, cores=server.cores)


def _of_address(
    url: str,
    protocol: Door | None,
    plan: LoadPlan,
    k: int,
    users: Path | None,
    artifact: Path | None,
    objectives: Sequence[Objective],
    credential: str | None,
    *,
    anywhere: bool,
) -> LoadReport:
    from gnas_serve.load.address import Address
    from gnas_serve.load.askers import ExactJudge, known_users, listed_users
    from gnas_serve.load.measure import measure
    from gnas_serve.load.objectives import require_measured

    address = Address.read(url, None if protocol is None else protocol.value)
    if not anywhere:
        address.require_loopback()
    if users is None and artifact is None:
        raise ConfigError(
            "nothing says for whom the server is to be asked", hint="give --artifact ARTIFACT, or --users FILE of ids"
        )
    meter = address.meter()
    absent = {}
    if artifact is None:
        absent["recall"] = "give --artifact ARTIFACT, what the server serves"
    if meter is None:
        hint = "bench ARTIFACT --protocol http starts the server and looks at its processes"
        absent |= {"cpu": hint, "rss": hint}
    require_measured(objectives, absent)
    recommender = None if artifact is None else _load(artifact)
    if users is not None:
        pool = listed_users(users, plan.seed)
    elif recommender is not None:
        pool = known_users(recommender, plan.seed)
    judge = None if recommender is None else ExactJudge(recommender, k)
    return measure(address.door(credential), pool, plan, k=k, meter=meter, judge=judge)


def _load(artifact: Path) -> Recommender:
    from gnas_serve.runtime.recommender import Recommender

    recommender = Recommender.load(artifact)
    if recommender.info.num_users == 0:
        raise ConfigError(f"{artifact} has no users to ask for", hint="bench an artifact with users")
    return recommender


def _finish(
    result: dict[str, Any],
    table: Any,
    objectives: Sequence[Objective],
    figures: dict[str, float | None],
    output: Output,
) -> None:
    """Print the report, missed objectives or not."""
    from gnas_serve.load.objectives import require_kept

    told = [one.to_json(figures[one.name]) for one in objectives]
    emit({**result, "objectives": told}, table, output)
    require_kept(objectives, figures)


def _one_thread() -> None:
    """Hold BLAS to one thread, as in a worker; its pool is sized when numpy is first imported."""
    import os

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
