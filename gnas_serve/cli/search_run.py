"""One run of a search, as `search` and `study resume` start it: its flags, its data, its watchers and its result."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnas_serve.cli.arguments import output_path
from gnas_serve.cli.console import Output, diagnostics, emit, warn
from gnas_serve.cli.extras import need
from gnas_serve.errors import ConfigError, IntegrityError, MissingExtraError

if TYPE_CHECKING:
    from gnas_search.data.dataset import Dataset
    from gnas_search.study import CostMeter, LastRun, Limits, StudyHeader
    from gnas_search.tracking import Tracker

_BUDGET = re.compile(r"(\d+(?:\.\d+)?)([smh])\Z")
_UNIT_S = {"s": 1, "m": 60, "h": 3600}
MAX_BUDGET_S = 366 * 24 * 3600.0
MAX_SLOTS = 64
MAX_TRIALS = 10**9
_SHOWN = 40
_PANEL = "Where to follow the trials"


def _strategy(default: str) -> Any:
    return typer.Option(
        help="cma-es, darts, evolution, genetic, gp, grid, nsga-ii, one-shot, particle-swarm, random, reinforce or tpe "
        f"({default}). In 40 networks of our benchmark grid and one-shot were no better than random.",
        show_default=False,
    )


StrategyOption = Annotated[str | None, _strategy("gp, or the study's")]
StrategyAgainOption = Annotated[str | None, _strategy("as before")]
ObjectiveOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="What to make better, again for each further one: a metric such as recall@50, map@10 or auc first; then "
        "also coverage@20, latency_us, artifact_bytes, parameters (ndcg@20, or the study's).",
        show_default=False,
    ),
]
TrialsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MAX_TRIALS,
        help="End with so many trials in the study, earlier runs included.",
        show_default=False,
    ),
]


def _budget(default: str) -> Any:
    return typer.Option(
        help=f"End this run after so long: 90s, 10m, 1.5h; a third of it for one trial at most ({default}).",
        show_default=False,
    )


BudgetOption = Annotated[str | None, _budget("10m without --trials")]
BudgetAgainOption = Annotated[str | None, _budget("without --trials as before")]
_SLOTS = typer.Option(
    min=1, max=MAX_SLOTS, help="Train so many models at a time, each in a process of its own (1).", show_default=False
)
SlotsOption = Annotated[int, _SLOTS]
TensorboardOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        parser=output_path,
        help="Write each trial's scalars for TensorBoard; needs the \\[tensorboard] extra.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
WandbOption = Annotated[
    str | None,
    typer.Option(
        metavar="PROJECT",
        help="Log each trial to Weights & Biases (WANDB_MODE=offline keeps it here); needs the \\[wandb] extra.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]


def followers(tensorboard: Path | None, wandb: str | None, study: Path) -> list[Tracker]:
    """Make who follows the trials beside the terminal; nothing is written before the first trial.

    Parameters
    ----------
    tensorboard
        Folder of event files; None for none.
    wandb
        Project of Weights & Biases; None for none.
    study
        Folder of the study.

    Raises
    ------
    MissingExtraError
        If what it takes is not installed.
    ConfigError
        If the folder is a file, the project has no name, or there is no key to log to it with.
    """
    made: list[Tracker] = []
    if tensorboard is not None:
        need("tensorboard")
        if tensorboard.is_file():
            raise ConfigError(f"--tensorboard {tensorboard}: a file", hint="name a folder")
        from gnas_search.tracking.tensorboard import TensorboardTracker

        made.append(TensorboardTracker(tensorboard))
    if wandb is not None:
        need("wandb")
        if not wandb.strip():
            raise ConfigError("--wandb: the project has no name", hint="name a project")
        from gnas_search.tracking.wandb import WandbTracker

        made.append(WandbTracker(wandb, study))
    return made


def seconds(budget: str) -> float:
    """Read a time.

    Raises
    ------
    ConfigError
        If it is none.
    """
    parsed = _BUDGET.match(budget)
    found = float(parsed[1]) * _UNIT_S[parsed[2]] if parsed else 0.0
    if not 0 < found <= MAX_BUDGET_S:
        shown = budget if len(budget) <= _SHOWN else f"{budget[:_SHOWN]}..."
        raise ConfigError(
            f"--budget {shown!r} is no time up to a year", hint="write a number above 0 and s, m or h: 90s, 10m, 1.5h"
        )
    return found


def load_data(data: Path, settings: dict[str, Any], header: StudyHeader | None, folder: Path) -> Dataset:
    """Read the data: as its flags and ``dataset.toml`` say, or exactly as the study read it."""
    from gnas_search.data.readers import read_config
    from gnas_search.data.splits import check_same_data, load_dataset

    if header is None:
        dataset = load_dataset(data, read_config(data, settings))
    else:
        header.require_config(settings, folder)
        maker = f"the study {folder}"
        dataset = load_dataset(data, header.config, maker=maker)
        check_same_data(dataset, header.fingerprint, maker)
    for found in dataset.warnings:
        warn(found.message)
    return dataset


def go_on(
    folder: Path, dataset: Dataset, limits: Limits, order: LastRun, trackers: list[Tracker], output: Output
) -> None:
    """Search on in a study, and print its leaderboard.

    Parameters
    ----------
    folder
        A study that was begun.
    dataset
        Its data.
    limits
        When to end; their clock runs.
    order
        What this run was told; kept for the next.
    trackers
        Who follow it.
    output
        Form of the result.
    """
    import optuna

    from gnas_search.study import Study, leaderboard
    from gnas_search.study.driver import run
    from gnas_search.tracking import FanOut
    from gnas_serve.cli.search_progress import SearchProgress
    from gnas_serve.cli.search_tables import BEST_SHOWN, leaderboard_table

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    console = diagnostics()
    ended = False
    try:
        with ExitStack() as stack:
            before = Study.load(folder)
            objectives = before.header.objectives
            progress = stack.enter_context(
                SearchProgress(console, limits, best=before.best, objectives=objectives, slots=order.slots)
            )
            watchers = stack.enter_context(FanOut(progress, trackers, on_lost=warn))
            meter = meter_of(dataset, before.header)
            study = run(
                folder,
                dataset,
                watchers,
                limits=limits,
                strategy=order.strategy,
                slots=order.slots,
                order=order,
                meter=meter,
            )
        ended = True
    except (ConfigError, IntegrityError, MissingExtraError):  # refused before anything ran, or not to be gone on with
        ended = True
        raise
    finally:
        if not ended and folder.is_dir():  # of one that is gone the error says so
            console.print(
                f"the study so far is in {folder}: run the same command to go on with it, "
                f"or `gnas-serve study resume {folder}`"
            )
    study.verdict  # noqa: B018  # a study without one usable model is exit code 4, not an empty table
    board = leaderboard(study)
    table = leaderboard_table(board, most_trials=BEST_SHOWN, study=folder)
    emit({"study": str(folder), **board}, table, output)


def meter_of(dataset: Dataset, header: StudyHeader) -> CostMeter | None:
    """Make what measures the costs of serving, where a study asks for any: by an export of each model.

    Parameters
    ----------
    dataset
        Of the search.
    header
        Of its study.

    Raises
    ------
    MissingExtraError
        If what it takes is not installed.
    """
    from gnas_search.study.driver import needs_meter

    if not needs_meter(header):
        return None
    need("export")
    from gnas_export.trial_costs import ExportedCosts

    return ExportedCosts(dataset, seed=header.seed)
