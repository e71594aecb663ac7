"""`gnas-serve search` and `train`: from data to a study, and from a study to a checkpoint."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnas_serve.cli import dataset_options as flags
from gnas_serve.cli.arguments import MAX_SEED, output_path
from gnas_serve.cli.console import Output, OutputOption, diagnostics, emit, warn
from gnas_serve.cli.extras import need
from gnas_serve.cli.search_run import (
    BudgetOption,
    ObjectiveOption,
    SlotsOption,
    StrategyOption,
    TensorboardOption,
    TrialsOption,
    WandbOption,
    followers,
    go_on,
    load_data,
    seconds,
)
from gnas_serve.errors import ConfigError, GnasError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gnas_search.initial_weights import InitialWeights
    from gnas_search.specs import ModelSpec
    from gnas_search.study import StudyHeader, WarmSource
    from gnas_search.study.warm_start import WarmStart


def search(
    data: flags.DataArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=output_path,
            help="Folder of the study: made, or gone on with; not needed with --dry-run.",
            show_default=False,
        ),
    ] = None,
    strategy: StrategyOption = None,
    space: Annotated[
        str | None,
        typer.Option(help="quick, standard, full or a TOML file (standard, or the study's).", show_default=False),
    ] = None,
    objective: ObjectiveOption = None,
    trials: TrialsOption = None,
    budget: BudgetOption = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_SEED, help="Seed of everything drawn (0, or the study's).", show_default=False),
    ] = None,
    slots: SlotsOption = 1,
    warm_start: Annotated[
        Path | None,
        typer.Option(
            metavar="STUDY",
            help="Begin a new study with the best models of this one, of these or other data, and their weights.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Forecast sizes, seconds and memory, and make nothing.")
    ] = False,
    user_column: flags.UserColumnOption = None,
    item_column: flags.ItemColumnOption = None,
    event_column: flags.EventColumnOption = None,
    rating_column: flags.RatingColumnOption = None,
    timestamp_column: flags.TimestampColumnOption = None,
    split_column: flags.SplitColumnOption = None,
    target_event: flags.TargetEventOption = None,
    min_rating: flags.MinRatingOption = None,
    split: flags.SplitOption = None,
    id_type: flags.IdTypeOption = None,
    tensorboard: TensorboardOption = None,
    wandb: WandbOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Search for the best architecture for DATA; simple models are measured first and may win.

    Interrupt it whenever you like: the same command goes on with the study.
    """
    need("search")
    budget_s = None if budget is None else seconds(budget)
    import optuna

    from gnas_search.space import SearchSpace
    from gnas_search.strategies import require_strategy
    from gnas_search.study import LastRun, Limits, Objectives, Study, StudyHeader
    from gnas_search.study.beginning import begin
    from gnas_serve.cli.search_plan import Asked, emit_plan

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # of each study in memory it says that there is one
    limits = Limits.of(trials, budget_s)
    if strategy is not None:
        require_strategy(strategy)
    objectives = Objectives.of(objective) if objective else None
    if out is None and not dry_run:
        raise ConfigError("--out is missing", hint="name the folder of the study, or ask for a --dry-run")
    trackers = [] if dry_run or out is None else followers(tensorboard, wandb, out)
    chosen_space = None if space is None else SearchSpace.load(space)
    settings = flags.overrides(
        user_column=user_column,
        item_column=item_column,
        event_column=event_column,
        rating_column=rating_column,
        timestamp_column=timestamp_column,
        split_column=split_column,
        target_event=target_event,
        min_rating=min_rating,
        split=split,
        id_type=id_type,
    )
    header = StudyHeader.read(out) if out is not None and out.exists() else None
    source = None if warm_start is None else _source(warm_start, header)
    dataset = load_data(data, settings, header, out if out is not None else data)
    if dry_run or out is None:
        asked = Asked(chosen_space, strategy, seed, objectives, source, slots)
        emit_plan(dataset, asked, limits, None if header is None else out, output)
        return
    begin(out, dataset, space=chosen_space, strategy=strategy, seed=seed, objectives=objectives, source=source)
    if warm_start is not None:
        _say_what_is_taken_over(Study.load(out).warm_start)
    go_on(out, dataset, limits, LastRun(str(data.absolute()), trials, budget_s, strategy, slots), trackers, output)


def train(
    data: flags.DataArgument,
    out: Annotated[
        Path,
        typer.Option(metavar="PATH", parser=output_path, help="Folder of the checkpoint to make.", show_default=False),
    ],
    study: Annotated[Path | None, typer.Option(help="Train a model of this study.", show_default=False)] = None,
    trial: Annotated[
        str | None,
        typer.Option(
            help="Which: verdict, blend, best-gnn, best-filter, best-two-hop, a baseline's name, a trial's number or "
            "key (verdict).",
            show_default=False,
        ),
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(help="Train the model in this JSON or TOML file.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_SEED, help="Seed (the study's, or 0).", show_default=False)
    ] = None,
    user_column: flags.UserColumnOption = None,
    item_column: flags.ItemColumnOption = None,
    event_column: flags.EventColumnOption = None,
    rating_column: flags.RatingColumnOption = None,
    timestamp_column: flags.TimestampColumnOption = None,
    split_column: flags.SplitColumnOption = None,
    target_event: flags.TargetEventOption = None,
    min_rating: flags.MinRatingOption = None,
    split: flags.SplitOption = None,
    id_type: flags.IdTypeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Train one model on DATA into a checkpoint: of a study (its verdict, unless --trial says else) or by --spec."""
    need("search")
    if study is not None and spec is not None:
        raise _one_of_two()
    if trial is not None and study is None:
        raise ConfigError("--trial chooses a model of a study", hint="give --study, or leave --trial out")
    if out.exists():
        raise ConfigError(f"{out} already exists", hint="choose another output folder or remove it", code="exists")
    settings = flags.overrides(
        user_column=user_column,
        item_column=item_column,
        event_column=event_column,
        rating_column=rating_column,
        timestamp_column=timestamp_column,
        split_column=split_column,
        target_event=target_event,
        min_rating=min_rating,
        split=split,
        id_type=id_type,
    )
    from gnas_search.study import Study, pick
    from gnas_search.train import train_checkpoint
    from gnas_serve.cli.search_tables import checkpoint_table
    from gnas_serve.cli.training_progress import TrainingProgress

    model: ModelSpec
    initial: Mapping[str, InitialWeights] = {}
    known_as, unseen, judge = "", None, None
    if study is not None:
        found = Study.load(study)
        model = pick(found, trial if trial is not None else "verdict")
        seed = seed if seed is not None else found.header.seed
        dataset = load_data(data, settings, found.header, study)
        initial = found.warm_start.initial(model)
        judge = found.header.objectives.judge(dataset, found.header.seed)
        known_as = next((one.name for one in found.baselines if one.spec.key() == model.key()), "")
        blend = next((one for one in found.blends if one.key == model.key()), None)
        if blend is not None:
            if blend.infeasible:
                warn(f"{blend.key} is infeasible in the study: {blend.infeasible}")
            first = found.header.objectives.first
            unseen = {"name": first, "value": blend.measured.value_of(first)}
    elif spec is not None:
        model = _read_spec(spec)
        dataset = load_data(data, settings, None, out)
    else:
        raise _one_of_two()
    with TrainingProgress(diagnostics(), model) as progress:
        checkpoint = train_checkpoint(
            dataset, model, seed=seed or 0, on_epoch=progress.epoch_ended, initial=initial, judge=judge
        )
    checkpoint.save(out)
    result = {
        "checkpoint": str(out),
        "model": checkpoint.name,
        "spec": checkpoint.spec,
        "known_as": known_as,
        "epochs": checkpoint.final.epochs,
        "seed": checkpoint.seed,
        "metrics": checkpoint.metrics,
        "unseen": unseen,
    }
    emit(result, checkpoint_table(result), output)


def _source(other: Path, header: StudyHeader | None) -> WarmSource | None:
    """Ask the study to start from; None where it is gone and the one that was started from it goes on."""
    from gnas_search.study import Study, WarmSource

    try:
        return WarmSource.of(Study.load(other))
    except (GnasError, OSError) as error:
        if header is None or not header.warm_start:
            raise
        reason = error.message if isinstance(error, GnasError) else f"{other} is unreadable: {error.strerror}"
        warn(f"warm start: {reason}; the study goes on with what it took over")
        return None


def _say_what_is_taken_over(warm: WarmStart) -> None:
    """Say before the search, which takes long, what another study has for it."""
    for remark in warm.remarks:
        warn(f"warm start: {remark}")
    if not warm.models:
        warn(f"warm start: nothing of {warm.study} is taken over: the search begins cold")


def _one_of_two() -> ConfigError:
    return ConfigError("give exactly one of --study and --spec", hint="--study STUDY trains the study's verdict")


def _read_spec(path: Path) -> ModelSpec:
    from gnas_search.specs import read_spec

    if not path.is_file():
        raise ConfigError(f"{path}: no such file", hint="give a JSON or TOML file with the fields of a spec")
    try:
        text = path.read_text(encoding="utf-8-sig")
        raw = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: neither JSON nor, by its name, TOML: {error}", hint="mend the file") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: no object", hint='write the fields of a spec, e.g. {"layers": ["lightgcn"]}')
    try:
        return read_spec(raw).canonical()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint, code=error.code) from error
