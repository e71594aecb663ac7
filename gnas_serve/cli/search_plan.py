"""What `search --dry-run` shows to people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnas_serve.cli.console import Output, emit
from gnas_serve.cli.search_run import meter_of

if TYPE_CHECKING:
    from gnas_search.data.dataset import Dataset
    from gnas_search.space import SearchSpace
    from gnas_search.study import Limits, Objectives, WarmSource


@dataclass(frozen=True)
class Asked:
    """What a search is told; None where that is as in its study, or as a new one begins.

    Attributes
    ----------
    space, strategy, seed, objectives
        Of the search.
    source
        Another study that it would be started from.
    slots
        Trials at a time.
    """

    space: SearchSpace | None
    strategy: str | None
    seed: int | None
    objectives: Objectives | None
    source: WarmSource | None
    slots: int


def emit_plan(dataset: Dataset, asked: Asked, limits: Limits, folder: Path | None, output: Output) -> None:
    """Tell what a search would take.

    Parameters
    ----------
    dataset
        What it would be about.
    asked
        What it would be told.
    limits
        When it would end.
    folder
        Of the study that would be gone on with; None for a new one.
    output
        Form of the result.

    Raises
    ------
    ConfigError
        If the study has another space, seed, objective or source, the constraints leave nothing, or an objective
        cannot be measured on this data.
    """
    from gnas_search.study import Study
    from gnas_search.study.beginning import new_header, require_same
    from gnas_search.study.plan import plan
    from gnas_search.study.transfer import Transfer
    from gnas_search.study.warm_start import COLD

    study, warm = None, COLD
    if folder is None:
        header = new_header(
            dataset, space=asked.space, strategy=asked.strategy, seed=asked.seed, objectives=asked.objectives
        )
        if asked.source is not None:
            warm = Transfer.of(asked.source, header.space, dataset).warm
    else:
        study = Study.load(folder)
        header, warm = study.header, study.warm_start
        require_same(
            header, folder, space=asked.space, seed=asked.seed, objectives=asked.objectives, source=asked.source
        )
    found = plan(
        dataset,
        header.space,
        strategy=asked.strategy or header.strategy,
        seed=header.seed,
        limits=limits,
        warm=warm,
        objectives=header.objectives,
        slots=asked.slots,
        study=study,
        meter=meter_of(dataset, header),
    )
    emit(found, plan_table(found), output)


def plan_table(plan: dict[str, Any]) -> Group:
    """Show the forecast of a search.

    Parameters
    ----------
    plan
        From :func:`gnas_search.study.plan.plan`.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in ("what", "s per epoch", "s per trial", "memory", ""):
        table.add_column(column, justify="left" if column in ("what", "") else "right", no_wrap=column != "")
    sizes, refused = [], []
    for family, facts in plan["families"].items():
        sizes.append(Text(f"{family}: {_size(facts)}"))
        for start in facts["starts"]:
            table.add_row(start["key"], *_figures(start), "refused" if start["refused"] else "start")
        sample = facts["sample"]
        for place in ("least", "median", "most"):
            spread = {name: sample[name] and sample[name][place] for name in ("epoch_s", "trial_s", "peak_bytes")}
            if spread["trial_s"] is not None:
                table.add_row(f"{family}, {place}", *_figures(spread), f"of {sample['points']} random points")
        refused += [one for one in (*facts["starts"], *sample["refused"]) if one["refused"]]
    counts = f"{plan['users']:,} users, {plan['items']:,} items, {plan['interactions']:,} interactions"
    parts: list[Any] = [Text(f"{counts}; strategy {plan['strategy']}, seed {plan['seed']}"), *sizes, "", table, ""]
    parts += [Text(f"refused for want of memory: {one['model']}: {one['refused']}") for one in refused]
    parts.append(Text(_expected(plan), style="bold"))
    parts.append(Text(f"(on this machine's CPU; {'; '.join(_aside(plan))})", style="dim"))
    return Group(*parts)


def _aside(plan: dict[str, Any]) -> list[str]:
    """Say what the forecast holds, and what it does not."""
    said = []
    if plan["costs_s"]:
        said.append(f"{plan['costs_s']:.1f} s of each trial are the model's export and timing")
    if plan["slots"] > 1:
        together = plan["together"]
        memory = f"{together['peak_bytes'] / (1 << 30):.1f} GiB"
        said.append(
            f"up to {together['trials']} of {plan['slots']} trials at a time, {memory} in all; "
            "each is timed on its share of the threads with nothing beside it, and may take longer"
        )
    tried = any(facts["tried"] for facts in plan["families"].values())
    simple = "" if tried else "the simple models, "
    if plan["budget_s"] is None:
        supernet = "the supernet, " if plan["supernet"] else ""
        return [*said, f"{simple}{supernet}the finalists' further seeds and the blend come on top"]
    pays = "" if tried else "also pays for the simple models, measured first, and "
    return [*said, f"a budget {pays}keeps up to a third for the blend"]


def _size(facts: dict[str, Any]) -> str:
    said = f"{_count(facts['size'])} models"
    said += "" if facts["is_finite"] else ", settings on a continuous scale aside"
    left = facts["feasible"]
    if left["models"] == facts["size"] and left["is_exact"]:
        return said
    return f"{said}; the constraints leave {'' if left['is_exact'] else 'by a sample about '}{_count(left['models'])}"


def _count(count: int) -> str:
    return f"{count:,}" if count < 10**9 else f"{count:.2g}"


def _figures(one: dict[str, Any]) -> tuple[str, str, str]:
    epoch = "" if one["epoch_s"] is None else f"{one['epoch_s']:.2f}"
    trial = "" if one["trial_s"] is None else f"{one['trial_s']:.1f}"  # of what memory refuses nothing is timed
    return epoch, trial, f"{one['peak_bytes'] / (1 << 30):.1f} GiB"


def _expected(plan: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {family}" for family, count in plan["trials"].items())
    trials, tried = sum(plan["trials"].values()), sum(facts["tried"] for facts in plan["families"].values())
    further = f"{trials} further trials beside the study's {tried}" if tried else f"{trials} trials"
    if plan["budget_s"] is not None:
        return f"the budget would hold about {further}: {counts}"
    seconds = plan["wall_s"]
    minutes = f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
    length = f"{seconds:.0f} s" if seconds < 100 else minutes
    return f"{further} ({counts}) would take about {length}"
