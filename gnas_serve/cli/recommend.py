"""`gnas-serve recommend`, `explain` and `bench`: an artifact asked in this process, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gnas_serve.cli.arguments import MAX_SEED
from gnas_serve.cli.console import Output, OutputOption, emit, warn
from gnas_serve.errors import ConfigError

if TYPE_CHECKING:
    from gnas_serve.runtime.recommender import Recommender

ArtifactArgument = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="Folder of an exported artifact.")]
HistoryOption = Annotated[
    list[str] | None, typer.Option(help="Id of an item that the user is known to have; may be given many times.")
]
_SHOWN = 20


def recommend(
    artifact: ArtifactArgument,
    user: Annotated[str | None, typer.Option(help="Who asks; an unknown user is answered too.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many items.")] = 10,
    history: HistoryOption = None,
    exclude_seen: Annotated[bool, typer.Option(help="Leave out the items of the user's own past.")] = True,
    candidate: Annotated[
        list[str] | None, typer.Option(help="Id of an item that may be answered, others may not; many times.")
    ] = None,
    exclude_item: Annotated[
        list[str] | None, typer.Option(help="Id of an item that is not wanted; may be given many times.")
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option("--filter", help="Condition on the items' attributes: 'category == \"shoes\" and price < 50'."),
    ] = None,
    diversity: Annotated[float, typer.Option(help="0 for the best, 1 for what is least like what stands above.")] = 0.0,
    exploration: Annotated[float, typer.Option(help="0 for the best, 1 for an even draw among the candidates.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Of the exploration; another one each time when not given.")] = None,
    explain: Annotated[
        bool, typer.Option(help="Say of each item which items of the past its score comes from.")
    ] = False,
    strict: Annotated[bool, typer.Option(help="Refuse ids that the model does not know.")] = False,
    output: OutputOption = Output.text,
) -> None:
    """Ask an artifact for one user's items."""
    from gnas_serve.runtime.query import Query
    from gnas_serve.runtime.recommender import Recommender

    recommender = Recommender.load(artifact)
    query = Query(
        user_id=user,
        k=k,
        history=_known(recommender, history, "items of the history"),
        exclude_items=_known(recommender, exclude_item, "items to exclude"),
        exclude_seen=exclude_seen,
        candidates=None if candidate is None else _known(recommender, candidate, "candidates"),
        filter=condition,
        diversity=diversity,
        exploration=exploration,
        seed=seed,
        explain=explain,
        strict=strict,
    )
    answer = recommender.recommend(query)
    items = answer.items()
    table = Table(title=f"for {user if user is not None else 'an unknown user'}", title_justify="left")
    for column in ("rank", "item", "score", "source", *(["because of"] if explain else [])):
        table.add_column(column, justify="right" if column in {"rank", "score"} else "left")
    for rank, item in enumerate(items, start=1):
        because = [", ".join(map(str, item["explanation"]["reason"]["items"])) or "popularity"] if explain else []
        table.add_row(str(rank), str(item["item_id"]), f"{item['score']:.4f}", answer.source, *because)
    if answer.underfilled:
        table.caption = f"{len(items)} of {k}: no other items may be answered"
    emit({"items": items, "underfilled": answer.underfilled, "model": recommender.info.signature()}, table, output)


def explain(
    artifact: ArtifactArgument,
    item: Annotated[str, typer.Option(help="Whose score is to be explained.")],
    user: Annotated[str | None, typer.Option(help="Who asks; somebody unknown when not given.")] = None,
    history: HistoryOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Say which items of a user's past the score of one item comes from.

    Graph filters and two-hop links are divided exactly among the items; a trained network or compressed blend by the
    linear map that answers newcomers, which is approximate: what it leaves open and a popularity term are shown as one
    number each. The score is that of retrieval: a learned ranker may order otherwise.
    """
    from gnas_serve.runtime.recommender import Recommender

    recommender = Recommender.load(artifact)
    found = recommender.explain(item, user, _known(recommender, history, "items of the history"))
    table = Table(
        title=f"{found.item_id} for {user if user is not None else 'an unknown user'}: {found.score:.4f}",
        title_justify="left",
        caption=f"source: {found.source}; the lines add up to the score{_of_retrieval(recommender)}"
        f"{'' if found.exact else '; what the items add is approximate'}",
    )
    for column in ("because of", "adds"):
        table.add_column(column, justify="left" if column == "because of" else "right")
    for item_id, value in found.contributions[:_SHOWN]:
        table.add_row(f"item {item_id}", f"{value:.4f}")
    others = found.contributions[_SHOWN:]
    if others:
        table.add_row(f"{len(others)} more items", f"{sum(value for _, value in others):.4f}")
    for kind, value in found.remainder.items():
        table.add_row(kind, f"{value:.4f}")
    emit({**found.to_json(), "score_of": "retrieval", "model": recommender.info.signature()}, table, output)


def _of_retrieval(recommender: Recommender) -> str:
    """Say what is not explained, where anything is not."""
    return "" if recommender.info.ranker == "retrieval" else " of retrieval; the learned ranker orders what it finds"


def _known(recommender: Recommender, ids: list[str] | None, what: str) -> tuple[str, ...]:
    """Take the given ids, saying how many of them the model does not know."""
    known = tuple(ids or ())
    unknown = int((recommender.items.rows(known) < 0).sum())
    if unknown:
        warn(f"{unknown} of {len(known)} {what} are unknown to this model")
    return known


def bench(
    artifact: ArtifactArgument,
    requests: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many requests are counted.")] = 2000,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=1000, help="Items per answer.")] = 10,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the draw of users.")] = 0,
    output: OutputOption = Output.text,
) -> None:
    """Time an artifact in this process on one thread, beside the same work done by brute force."""
    _one_thread()
    from gnas_serve.runtime.benchmark import benchmark
    from gnas_serve.runtime.recommender import Recommender

    recommender = Recommender.load(artifact)
    if recommender.info.num_users == 0:
        raise ConfigError(f"{artifact} has no users to ask for", hint="bench an artifact with users")
    report = benchmark(recommender, requests=requests, k=k, seed=seed).to_json()
    info = recommender.info
    table = Table(
        title=f"{info.num_users} users, {info.num_items} items, {info.index} index, {info.ranker} ranker"
        f" ({info.precision}), C={recommender.candidates}, k={k}, {requests} requests, one thread",
        title_justify="left",
    )
    for column in ("", "p50", "p99"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("recommend", f"{report['p50_us']:.0f} us", f"{report['p99_us']:.0f} us")
    table.add_row(
        "numpy brute force", f"{report['brute_force_p50_us']:.0f} us", f"{report['brute_force_p99_us']:.0f} us"
    )
    table.caption = (
        f"{report['speedup']:.2f}x the speed of brute force, with {report['recall']:.2%} of its items;"
        f" peak memory {report['rss_bytes'] / 2**20:.0f} MB"
    )
    emit(report, table, output)


def _one_thread() -> None:
    """Hold BLAS to one thread, as in a worker; its pool is sized when numpy is first imported."""
    import os

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
