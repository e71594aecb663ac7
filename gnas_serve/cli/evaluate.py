"""`gnas-serve evaluate`: the only command that touches the test part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from gnas_serve.cli.arguments import MAX_SEED
from gnas_serve.cli.console import Output, OutputOption, diagnostics, emit, warn
from gnas_serve.cli.evaluation_table import evaluation_table
from gnas_serve.cli.extras import need
from gnas_serve.errors import unknown_name

if TYPE_CHECKING:
    from gnas_search.exam import Exam
    from gnas_search.examinee import Examinee
    from gnas_search.outcome import Outcome


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="CHECKPOINT|ARTIFACT", help="What to evaluate.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The data it was made from.")],
    k: Annotated[int, typer.Option(min=1, max=1000, help="Length of the ranked lists.")] = 20,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECKPOINT|ARTIFACT|baselines",
            help="Compare with this model on the same users; repeat it for more. `baselines` fits popularity, item-knn "
            "and svd to the data, the name of one of them that one alone.",
        ),
    ] = None,
    cold: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Most interactions in training of a cold user or item.")
    ] = 5,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of drawn negatives, resamples, tests and baselines.")
    ] = 0,
    output: OutputOption = Output.text,
) -> None:
    """Score the held-out test part: all items ranked, training and validation items masked.

    A checkpoint is ranked exactly, from its scores; an artifact answers as its doors would. Where the items of the test
    part are drawn otherwise than those of validation, a warning says by how much.
    """
    need("search")
    from gnas_search.data.splits import load_with_test
    from gnas_search.exam import Exam
    from gnas_search.examinee import Examinee
    from gnas_search.held_out import report
    from gnas_search.shift import popularity_shift

    examinee = Examinee.load(model)
    dataset, test = load_with_test(data, examinee.config, maker=f"the {examinee.kind}")
    exam = Exam(dataset, test, k, seed)
    examinee.check(exam, f"the {examinee.kind}")
    rivals = _rivals(against or [], exam)
    everybody = [examinee, *rivals.values()]
    outcome = _outcome(examinee, exam, everybody)
    result: dict[str, Any] = report(outcome, exam, cold=cold).to_json()
    shift = popularity_shift(dataset, test, seed=seed)
    if shift.is_large:
        warn(shift.message())
    result["shift"] = shift.to_json()
    learned, asked = examinee.learned_answers(exam)
    if learned:
        warn(
            f"{learned} of {asked} test interactions are among those that the {examinee.kind} has learned from: its "
            "figures say little; fine-tune on data that is split by time or by a column"
        )
    if against:
        result |= _compared(outcome, against, rivals, everybody, exam)
    emit(result, evaluation_table(result, model.name), output)


def _rivals(against: list[str], exam: Exam) -> dict[str, Examinee]:
    """Read the models to compare with, baselines apart; all of them before anything is measured."""
    if not against:  # and torch, with which baselines are fitted, need not be loaded
        return {}
    from gnas_search.contenders import EVERY_BASELINE, named_baselines
    from gnas_search.examinee import Examinee

    paths = [name for name in against if not named_baselines(name)]
    for name in paths:
        if "/" not in name and not Path(name).exists():
            raise unknown_name("model to compare with", name, [EVERY_BASELINE, *named_baselines(EVERY_BASELINE)])
    rivals = {name: Examinee.load(Path(name)) for name in paths}
    for name, rival in rivals.items():
        rival.check(exam, name)
    return rivals


def _compared(
    outcome: Outcome, against: list[str], rivals: dict[str, Examinee], everybody: list[Examinee], exam: Exam
) -> dict[str, Any]:
    from gnas_search.contenders import METHOD, Contender, baseline_outcomes, compare_outcomes, named_baselines

    names = list(dict.fromkeys(name for word in against for name in named_baselines(word)))
    with _progress() as progress:
        task = progress.add_task("fitting baselines", total=len(names), visible=bool(names))
        contenders = []
        for one in baseline_outcomes(
            exam, names, on_left_out=lambda name, reason: warn(f"not compared with {name}: {reason}")
        ):
            contenders.append(one)
            progress.advance(task)
    contenders += [Contender(name, one.kind, _outcome(one, exam, everybody)) for name, one in rivals.items()]
    told = [
        {"name": one.name, "kind": one.kind, "metrics": {name: each.to_json() for name, each in found.items()}}
        for one, found in zip(contenders, compare_outcomes(outcome, contenders, exam), strict=True)
    ]
    return {"against": told, "comparison": METHOD}


def _outcome(examinee: Examinee, exam: Exam, everybody: list[Examinee]) -> Outcome:
    with _progress() as progress:
        task = progress.add_task(
            "asking for every test user", total=exam.num_users, visible=examinee.kind == "artifact"
        )
        return examinee.outcome(exam, everybody, lambda: progress.advance(task))


def _progress() -> Progress:
    """Make a bar for terminals; a file would get an empty line of it."""
    console = diagnostics()
    return Progress(console=console, transient=True, disable=not console.is_terminal)
