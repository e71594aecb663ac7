"""The ``study`` commands: look at a study, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnas_serve.cli.arguments import output_path
from gnas_serve.cli.console import Output, OutputOption, emit
from gnas_serve.cli.extras import need
from gnas_serve.cli.search_run import (
    MAX_SLOTS,
    BudgetAgainOption,
    StrategyAgainOption,
    TensorboardOption,
    TrialsOption,
    WandbOption,
    followers,
    go_on,
    load_data,
    seconds,
)
from gnas_serve.errors import ConfigError

if TYPE_CHECKING:
    from gnas_search.study import LastRun

app = typer.Typer(no_args_is_help=True)

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.", show_default=False)]


@app.command()
def leaderboard(study: StudyArgument, output: OutputOption = Output.text) -> None:
    """List the models of a study, baselines first, and its verdict."""
    need("search")
    from gnas_search.study import Study
    from gnas_search.study import leaderboard as list_models
    from gnas_serve.cli.search_tables import leaderboard_table

    board = list_models(Study.load(study))
    emit({"study": str(study), **board}, leaderboard_table(board), output)


@app.command()
def status(study: StudyArgument, output: OutputOption = Output.text) -> None:
    """Say what a study is about and how far it is."""
    need("search")
    from gnas_search.study import Study
    from gnas_search.study import status as status_of
    from gnas_serve.cli.search_tables import status_table

    state = status_of(Study.load(study))
    emit({"study": str(study), **state}, status_table(state), output)


@app.command()
def report(
    study: StudyArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            parser=output_path,
            help="Where to write it, in the place of an earlier one (STUDY/report.html).",
            show_default=False,
        ),
    ] = None,
    output: OutputOption = Output.text,
) -> None:
    """Write a study down as one HTML file to look at: no network, no scripts needed; it may be running."""
    need("search")
    from gnas_search.report import REPORT, write_report
    from gnas_search.study import Study

    found = Study.load(study)
    path = out if out is not None else study / REPORT
    size = write_report(found, path)
    result = {"study": str(study), "report": str(path), "trials": len(found.trials), "bytes": size}
    emit(result, f"{path}: {len(found.trials)} trials, {size / 1024:.0f} KiB", output)


@app.command()
def resume(
    study: StudyArgument,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Folder of its data (where the last search found it).", show_default=False),
    ] = None,
    strategy: StrategyAgainOption = None,
    trials: TrialsOption = None,
    budget: BudgetAgainOption = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_SLOTS, help="Train so many models at a time (as before).", show_default=False),
    ] = None,
    tensorboard: TensorboardOption = None,
    wandb: WandbOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Go on with a study, as its last search was told: the same data, limits and strategy where none are given."""
    need("search")
    budget_s = None if budget is None else seconds(budget)
    from gnas_search.strategies import require_strategy
    from gnas_search.study import LastRun, Limits, StudyHeader

    if strategy is not None:
        require_strategy(strategy)
    header = StudyHeader.read(study)
    trackers = followers(tensorboard, wandb, study)
    last = LastRun.read(study)
    where = data if data is not None else _kept_place(last, study)
    if last is not None and trials is None and budget_s is None:
        trials, budget_s = last.trials, last.budget_s
    if strategy is None and last is not None:
        strategy = last.strategy
    if slots is None:
        slots = 1 if last is None else last.slots
    limits = Limits.of(trials, budget_s)
    dataset = load_data(where, {}, header, study)
    go_on(study, dataset, limits, LastRun(str(where.absolute()), trials, budget_s, strategy, slots), trackers, output)


def _kept_place(last: LastRun | None, study: Path) -> Path:
    """Say where the data lay."""
    if last is None:
        raise ConfigError(
            f"{study}: the study does not say where its data lies", hint="give --data DATA", code="no_data_path"
        )
    where = Path(last.data)
    if not where.exists():
        raise ConfigError(
            f"{study}: its data is no longer at {where}", hint="give --data with where it lies now", code="not_found"
        )
    return where
