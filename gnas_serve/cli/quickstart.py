"""`gnas-serve quickstart`: the whole road on the embedded sample, ending with one answer from each door."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.rule import Rule
from rich.table import Table

from gnas_serve.artifact.store import canonical_json, storage_errors
from gnas_serve.cli.arguments import MAX_SEED, output_path
from gnas_serve.cli.console import Output, OutputOption, diagnostics, emit
from gnas_serve.cli.extras import need
from gnas_serve.errors import ConfigError, GnasError
from gnas_serve.service.child import end, tied

if TYPE_CHECKING:
    from gnas_serve.service.launch import Doors

_K = 5
_PRODUCTS = ("sample", "study", "checkpoint", "artifact")
_OPTIONS = "quickstart.json"
# For a step that was asked to end, to take its temporary files away; some native calls are not interrupted.
_PATIENCE_S = 20.0


def quickstart(
    out: Annotated[Path, typer.Option(metavar="PATH", parser=output_path, help="Where everything is written.")] = Path(
        "gnas-quickstart"
    ),
    trials: Annotated[int, typer.Option(min=1, help="How many models the search tries.")] = 6,
    users: Annotated[int, typer.Option(min=50, help="Users of the embedded sample.")] = 2000,
    items: Annotated[int, typer.Option(min=50, help="Items of the embedded sample.")] = 1200,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of sample, search and training.")] = 0,
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the HTTP door.")] = 3000,
    grpc_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the gRPC door.")] = 3001,
    output: OutputOption = Output.text,
) -> None:
    """Run the main job: sample, search, train, export, build, serve, one HTTP and one gRPC question, stop.

    Runs the very commands that a team would type, each in its own process. Finished steps are kept: a second
    run with the same options goes on where the first one stopped.
    """
    need("export")
    from gnas_serve.service.launch import Doors

    doors = Doors(http_port=http_port, grpc_port=grpc_port)
    doors.check()
    console = diagnostics()
    started = time.monotonic()
    _claim(out, {"trials": trials, "users": users, "items": items, "seed": seed})
    sample, study, checkpoint, artifact = (out / name for name in _PRODUCTS)
    size = ["--users", str(users), "--items", str(items), "--seed", str(seed)]
    budget = ["--trials", str(trials), "--space", "quick", "--seed", str(seed)]
    steps = (
        (sample, ["data", "sample", str(sample), *size]),
        (None, ["search", str(sample), "--out", str(study), *budget]),
        (checkpoint, ["train", str(sample), "--study", str(study), "--out", str(checkpoint), "--seed", str(seed)]),
        (artifact, ["export", str(checkpoint), "--out", str(artifact)]),
    )
    for product, arguments in steps:
        if product is not None and product.exists():
            console.print(f"{product} is there already: kept", style="dim")
            continue
        _step(console, arguments)
    bento = json.loads(_step(console, ["build", str(artifact), "--output", "json"], capture=True))
    answers = _ask_both_doors(console, artifact, sample, doors)
    leaderboard = json.loads(_step(console, ["study", "leaderboard", str(study), "--output", "json"], capture=True))
    seconds = round(time.monotonic() - started, 1)
    places = {"sample": sample, "study": study, "checkpoint": checkpoint, "artifact": artifact}
    result = {
        "seconds": seconds,
        "places": {name: str(path) for name, path in places.items()},
        "bento": bento["tag"],
        "leaderboard": leaderboard,
        "answers": answers,
    }
    emit(result, _summary(result, doors), output)


def _claim(out: Path, options: dict[str, int]) -> None:
    """Write down what the products in a folder are made with, or check that it is what they were made with.

    Raises
    ------
    ConfigError
        If there are products made with other options.
    """
    path = out / _OPTIONS
    remedy = f"choose another --out, or remove {out}"
    if path.exists():
        try:
            made_with = dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} is unreadable: {error}", hint=remedy) from error
        different = [
            f"--{name} {made_with.get(name)} (now {value})"
            for name, value in options.items()
            if made_with.get(name) != value
        ]
        if different:
            raise ConfigError(f"{out} was made with {', '.join(different)}", hint=f"give the same, {remedy}")
        return
    found = [name for name in _PRODUCTS if (out / name).exists()]
    if found:
        raise ConfigError(f"{out} holds {', '.join(found)} of unknown options: there is no {_OPTIONS}", hint=remedy)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".{path.name}.half")
        half.write_bytes(canonical_json(options))
        half.replace(path)


def _step(console: Console, arguments: list[str], *, capture: bool = False) -> str:
    """Run one command; its own error is on stderr already, its exit code becomes ours."""
    console.print(f"$ gnas-serve {' '.join(arguments)}", style="bold cyan")
    # The result on our stdout is the summary alone: what a step prints goes to stderr with its progress.
    process = subprocess.Popen(
        tied([sys.executable, "-m", "gnas_serve.cli", *arguments]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else sys.stderr,
        text=True,
        # A group of its own: Ctrl-C reaches it once, through us, and is waited for.
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate()
    except BaseException as stopped:
        end(process, signal.SIGINT if isinstance(stopped, KeyboardInterrupt) else signal.SIGTERM, _PATIENCE_S)
        raise
    # A child that was killed has minus the signal; shells say 128 plus it.
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    if status != 0:
        error = GnasError(
            f"`gnas-serve {arguments[0]}` ended with exit code {status}",
            hint="its own message is above; finished steps are kept, so run the same command again",
        )
        error.exit_code = status
        raise error
    return printed or ""


def _ask_both_doors(console: Console, artifact: Path, sample: Path, doors: Doors) -> dict[str, dict[str, Any]]:
    from gnas_search.data.readers import read_config, read_interactions
    from gnas_serve.service.launch import Server, find_target

    interactions = read_interactions(sample, read_config(sample, {}))
    user_id = int(interactions.users.id(0))
    titles = dict(
        zip(interactions.items.ids(range(len(interactions.items))), interactions.item_titles or (), strict=False)
    )
    ports = f"--http-port {doors.http_port} --grpc-port {doors.grpc_port}"
    console.print(f"$ gnas-serve serve {artifact} {ports}", style="bold cyan")
    with Server(find_target(str(artifact)), doors) as server:
        server.wait_until_ready()
        answers = {"http": _ask_http(doors, user_id), "grpc": _ask_grpc(doors, user_id)}
    for answer in answers.values():
        for item in answer["items"]:
            item["title"] = titles.get(item["item_id"], "")
    return answers


def _ask_http(doors: Doors, user_id: int) -> dict[str, Any]:
    body = json.dumps({"user_id": user_id, "k": _K})
    connection = HTTPConnection("127.0.0.1", doors.http_port, timeout=10)
    try:
        connection.request("POST", "/v1/recommend", body, {"content-type": "application/json"})
        answer: dict[str, Any] = json.load(connection.getresponse())
    finally:
        connection.close()
    return {"user_id": user_id, **answer}


def _ask_grpc(doors: Doors, user_id: int) -> dict[str, Any]:
    from gnas_serve.service.client import recommend

    return {"user_id": user_id, **recommend(doors.grpc_target, user_id=user_id, k=_K)}


def _summary(result: dict[str, Any], doors: Doors) -> Group:
    parts: list[Any] = [Rule("the study")]
    board = Table()
    for column in ("model", "ndcg@20", "recall@20", ""):
        board.add_column(column, justify="right" if "@" in column else "left")
    for row in result["leaderboard"]["rows"]:
        board.add_row(row["name"], f"{row['ndcg@20']:.4f}", f"{row['recall@20']:.4f}", row.get("remark", ""))
    parts.append(board)
    for door, path in (("http", "POST /v1/recommend"), ("grpc", "gnas.serve.v1.Recommender/Recommend")):
        answer = result["answers"][door]
        table = Table(title=f"{door.upper()} {path}, user {answer['user_id']}", title_justify="left")
        for column in ("item", "title", "score", "source"):
            table.add_column(column, justify="right" if column == "score" else "left")
        for item in answer["items"]:
            table.add_row(str(item["item_id"]), item["title"], f"{item['score']:.4f}", item["source"])
        parts.append(table)
    parts.append(Rule(f"done in {result['seconds']:.0f} s"))
    where = Table.grid(padding=(0, 2))
    for name, place in result["places"].items():
        where.add_row(name, place)
    where.add_row("bento", result["bento"])
    artifact, user_id = result["places"]["artifact"], result["answers"]["http"]["user_id"]
    program = "gnas-serve" if shutil.which("gnas-serve") else str(Path(sys.executable).with_name("gnas-serve"))
    ports = "" if doors == type(doors)() else f" --http-port {doors.http_port} --grpc-port {doors.grpc_port}"
    question = f"""curl -s localhost:{doors.http_port}/v1/recommend -d '{{"user_id": {user_id}, "k": {_K}}}'"""
    parts += [
        where,
        "",
        "Next:",
        f"  {program} serve {artifact}{ports}",
        f"  {question}",
        f"  {program} evaluate {artifact} {result['places']['sample']}",
        f"  {program} data validate YOUR_DATA   # then search, train, export: the same steps on your own logs",
    ]
    return Group(*parts)
