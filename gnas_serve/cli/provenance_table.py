"""Where an artifact comes from, laid out for people: hashes, seeds, packages, and what each step of its export did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from gnas_serve.artifact.manifest import Manifest
    from gnas_serve.artifact.provenance import Measured, StoredForm


def provenance_tables(manifest: Manifest) -> list[Table]:
    """Lay out the provenance of an artifact; nothing where it states none."""
    provenance = manifest.provenance
    if provenance is None:
        return []
    facts = Table(show_header=False, title="made from", title_justify="left")
    for name, sha256 in provenance.hashes.items():
        facts.add_row(name, f"sha256 {sha256}")
    facts.add_row("packages", ", ".join(f"{name} {version}" for name, version in sorted(provenance.lock.items())))
    facts.add_row("seeds", ", ".join(f"{name} {seed}" for name, seed in provenance.seeds.items()))
    facts.add_row("interactions", f"{provenance.data['interactions']:,}")
    ranker = provenance.architecture["ranker"]
    widths = " x ".join(str(width) for width in ranker["hidden"])
    facts.add_row("ranker's form", f"{ranker['form']}{f', {widths}' if widths else ''}")
    if manifest.created is not None:
        facts.add_row("created", manifest.created)
    steps = Table("step", "before", "bytes", "after", "bytes", "measured")
    for column in (2, 4):
        steps.columns[column].justify = "right"
    for step in provenance.steps:
        measured = ", ".join(f"{name} {value:.4f}" for name, value in step.quality.items())
        steps.add_row(step.step, *_stored(step.before), *_stored(step.after), measured)
    return [facts, steps] if provenance.steps else [facts]


def figure(value: float, measured: Measured | None) -> str:
    """Show a metric, with its interval where there is one."""
    if measured is None or measured.low is None or measured.high is None:
        return f"{value:.4f}"
    return f"{value:.4f} ({measured.low:.4f} .. {measured.high:.4f})"


def _stored(form: StoredForm) -> tuple[str, str]:
    return form.form, f"{form.size_bytes:,}"
