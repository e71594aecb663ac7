"""The export: a checkpoint goes through named steps and gates, and comes out as one verified artifact."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnas_export.decisions import Decisions
from gnas_export.draft import Draft
from gnas_export.gates import raise_first_breach
from gnas_export.judgement import choose_ranker, judge, less_compressed
from gnas_export.package import write_bytes, write_files, write_manifest
from gnas_export.profile import ExportProfile
from gnas_export.report import build_report, write_report
from gnas_export.retrieval import build_index, choose_users, compress_tables, fit_fold_ins
from gnas_export.scoring import choose_form, draw_forms, draw_plain_ranker, train_ranker
from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.store import atomic_folder, canonical_json
from gnas_serve.errors import ConfigError, ExportError, GnasError, StorageError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

Step = Callable[[Draft], None]

# Each step measures on what the steps before it have fixed, so the order is the order of the request path:
STEPS: tuple[Step, ...] = (
    choose_users,  # who may be learned from and who judges, before anything is fitted
    compress_tables,  # the vectors that ship: all retrieval below is over them
    build_index,  # the candidates that ship: the ranker learns from what it will be given
    fit_fold_ins,  # needs the vectors that ship, nothing else needs it
    draw_plain_ranker,  # the fallback exists before anything may fall back to it
    train_ranker,  # on candidates of the selection fit
    draw_forms,  # graphs of the trained network, held against it
    choose_form,  # numeric forms are timed only after they are known to be right
    choose_ranker,  # the learned ranker in its final form against plain retrieval
    judge,  # the whole path, once everything in it is chosen
)


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes
    ----------
    path
        The artifact's folder; None after a dry run.
    manifest
        What ships, or would ship; its version is empty after a dry run.
    report
        As written.
    """

    path: Path | None
    manifest: Manifest
    report: dict[str, Any]


def export(
    checkpoint: Checkpoint,
    profile: ExportProfile,
    out: Path,
    *,
    ranker: str,
    decisions: Decisions,
    seed: int = 0,
    report_path: Path | None = None,
    dry_run: bool = False,
    on_step: Callable[[str], None] | None = None,
) -> Exported:
    """Make an artifact of a checkpoint.

    Parameters
    ----------
    out
        The artifact's folder; must not exist.
    ranker
        ``"auto"``, ``"always"`` or ``"never"``, from :func:`gnas_export.profile.ranker_mode`.
    decisions
        Empty, or those of an earlier export to repeat.
    seed
        Of samples, k-means, the ranker's training and the bootstrap.
    report_path
        Where the report is written besides the artifact; ``<out>.report.json`` where no artifact is made.
    dry_run
        Run every step and gate, write the report alone.
    on_step
        Called with the name of each step before it runs.

    Raises
    ------
    ConfigError
        If ``out`` exists, or the report would lie inside of it.
    ExportError, ParityError, QualityGateError
        If a step fails or a gate is breached; the report is written first.
    StorageError
        If the disk is full or not writable; nothing is left.
    """
    check_places(out, report_path)
    draft = Draft(checkpoint, profile, ranker, seed, decisions)
    elsewhere = report_path or out.with_name(f"{out.name}.report.json")
    steps: list[dict[str, Any]] = []
    try:
        _run(draft, steps, on_step)
        while (wider := less_compressed(draft)) is not None:
            # From the start: the ranker has to learn from the candidates that it will be given.
            draft = Draft(checkpoint, profile, ranker, seed, wider)
            _run(draft, steps, on_step)
        raise_first_breach(draft.binding_gates())
    except StorageError:
        raise  # there is no room for a report either
    except GnasError as error:
        write_report(elsewhere, build_report(draft, steps, {}, error))
        raise
    if dry_run:
        report = build_report(draft, steps, {}, None)
        write_report(elsewhere, report)
        return Exported(None, draft.manifest(draft.final, draft.shipping(draft.final)), report)
    with atomic_folder(out) as folder:
        manifest, report = _package(draft, steps, folder)
    if report_path is not None:
        write_report(report_path, report)
    return Exported(out, manifest, report)


def _run(draft: Draft, steps: list[dict[str, Any]], on_step: Callable[[str], None] | None) -> None:
    for step in STEPS:
        if on_step is not None:
            on_step(step.__name__)
        start = time.perf_counter()
        step(draft)
        steps.append({"name": step.__name__, "seconds": time.perf_counter() - start})


def check_places(out: Path, report_path: Path | None) -> None:
    """Refuse places that cannot be written, before any work.

    Raises
    ------
    ConfigError
        If ``out`` exists, or the report would lie inside of it.
    """
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} already exists", hint="choose another output folder or remove it", code="exists")
    if report_path is not None and out.resolve() in (report_path.resolve(), *report_path.resolve().parents):
        raise ConfigError(
            f"--report {report_path} lies inside --out {out}",
            hint=f"the artifact holds its {LAYOUT.report} anyway; name another file",
        )


def _package(draft: Draft, steps: list[dict[str, Any]], folder: Path) -> tuple[Manifest, dict[str, Any]]:
    """Write the artifact, and open it once as serving will, before it becomes visible."""
    ranker = draft.shipping(draft.final)
    write_files(folder, draft.checkpoint, draft.final, ranker)
    draft.decisions.write(folder / LAYOUT.decisions)
    manifest = write_manifest(folder, draft.manifest(draft.final, ranker))
    smoke_answer(Recommender.load(folder))
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    shipped = {"version": manifest.version, "files": files, "size_bytes": sum(files.values())}
    report = build_report(draft, steps, shipped, None)
    write_bytes(folder / LAYOUT.report, canonical_json(report))
    return manifest, report


def smoke_answer(recommender: Recommender) -> None:
    """Ask one question of an artifact that is about to ship.

    Raises
    ------
    ExportError
        If it has no answer.
    """
    users = recommender.users
    answer = recommender.recommend(Query(user_id=users.id(0) if len(users) else None, k=1, exclude_seen=False))
    if not answer.item_ids:
        raise ExportError("the artifact has no answer for its first user", hint="train on more data")
