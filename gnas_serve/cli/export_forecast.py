"""What `export --dry-run` shows: steps, time, memory and bytes of an export that is not made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table

from gnas_serve.cli.console import Output, emit, warn

if TYPE_CHECKING:
    from gnas_export.decisions import Decisions
    from gnas_export.profile import ExportProfile
    from gnas_search.checkpoint import Checkpoint


def emit_forecast(
    checkpoint: Checkpoint,
    profile: ExportProfile,
    ranker: str,
    decisions: Decisions,
    *,
    seed: int,
    say: Callable[[str], None],
    output: Output,
) -> None:
    """Forecast an export and show it; a warning where it would take more memory than there is.

    Parameters
    ----------
    ranker, decisions
        As the export would take them.
    say
        Called with the name of what is looked at.
    """
    from gnas_export.forecast import forecast_export
    from gnas_export.pipeline import STEPS
    from gnas_search.memory import available_bytes, resident_bytes

    steps = tuple(step.__name__ for step in STEPS)
    found = forecast_export(
        checkpoint, profile, ranker=ranker, decisions=decisions, steps=steps, seed=seed, on_step=say
    )
    there = available_bytes()
    further = found.peak_bytes - resident_bytes()
    if there is not None and further > there:
        warn(f"the export would take {further / 2**30:.1f} GiB more than now, and {there / 2**30:.1f} GiB are there")
    limit = profile.gates.max_artifact_bytes
    if limit is not None and found.artifact_bytes > limit:
        warn(f"there would be about {found.artifact_bytes:,} artifact bytes, over the limit of {limit:,}")
    result = {"artifact": None, "dry_run": True, "forecast": found.to_json()}
    table = Table("step", "seconds", "memory, MiB", box=box.SIMPLE)
    for step in found.steps:
        table.add_row(step.name, f"{step.seconds:.1f}", f"{step.peak_bytes / 2**20:,.0f}")
    table.add_row("all", f"{found.seconds:.1f}", f"{found.peak_bytes / 2**20:,.0f}")
    title = (
        f"dry run, nothing is written: about {found.seconds:.0f} s on this machine as busy as it is, "
        f"{found.peak_bytes / 2**30:.1f} GiB of memory, {found.artifact_bytes:,} artifact bytes"
    )
    emit(result, Group(title, table), output)
