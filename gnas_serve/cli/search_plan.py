"""What `search --dry-run` shows to people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnas_serve.cli.console import Output, emit

if TYPE_CHECKING:
    from gnas_search.data.dataset import Dataset
    from gnas_search.space import SearchSpace
    from gnas_search.study import Limits, StudyHeader, WarmSource


def emit_plan(
    dataset: Dataset,
    chosen: tuple[SearchSpace | None, str | None, int | None],
    limits: Limits,
    header: StudyHeader | None,
    output: Output,
    *,
    folder: Path,
    source: WarmSource | None = None,
) -> None:
    """Tell what a search would take.

    Parameters
    ----------
    dataset
        What it would be about.
    chosen
        Space, strategy and seed; None where they are the study's, or what a new one begins with.
    limits
        When it would end.
    header
        Of the study that would be gone on with; None for a new one.
    output
        Form of the result.
    folder
        Of the study, for messages.
    source
        Another study that it would be started from.

    Raises
    ------
    ConfigError
        If the study has another space, seed or source, or the constraints leave nothing.
    """
    from gnas_search.space import SearchSpace
    from gnas_search.study.plan import plan
    from gnas_search.study.transfer import Transfer
    from gnas_search.study.warm_start import COLD, WarmStart

    space, strategy, seed = chosen
    if header is not None:
        if space is not None:
            header.require_space(space, folder)
        if seed is not None:
            header.require_seed(seed, folder)
        if source is not None:
            header.require_source(source, folder)
        space, strategy, seed = header.space, strategy or header.strategy, header.seed
    whole = space if space is not None else SearchSpace.load("standard")
    warm = COLD
    if header is not None:
        warm = WarmStart.read(folder, header.warm_start)
    elif source is not None:
        warm = Transfer.of(source, whole, dataset).warm
    found = plan(dataset, whole, strategy=strategy or "tpe", seed=seed or 0, limits=limits, warm=warm)
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
    aside = "the simple models, the finalists' further seeds and the blend come on top"
    if plan["budget_s"] is not None:
        aside = "a budget also pays for the simple models, measured first, and keeps up to a third for the blend"
    parts.append(Text(f"(on this machine's CPU; {aside})", style="dim"))
    return Group(*parts)


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
    return epoch, f"{one['trial_s']:.1f}", f"{one['peak_bytes'] / (1 << 30):.1f} GiB"


def _expected(plan: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {family}" for family, count in plan["trials"].items())
    seconds = sum(plan["seconds"].values())
    minutes = f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
    length = f"{seconds:.0f} s" if seconds < 100 else minutes
    if plan["budget_s"] is None:
        return f"{sum(plan['trials'].values())} trials ({counts}) would take about {length}"
    return f"the budget would hold about {sum(plan['trials'].values())} trials: {counts}"
