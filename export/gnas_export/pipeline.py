"""The export: a checkpoint goes through named steps and gates, and comes out as one verified artifact."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnas_export.accounts.inventory import running_code_sha256
from gnas_export.accounts.provenance import described
from gnas_export.accounts.writing import write_accounts
from gnas_export.decisions import Decisions
from gnas_export.draft import Draft
from gnas_export.gates import at_most, raise_first_breach
from gnas_export.judging.first_answers import check_answers
from gnas_export.judging.latency import latency_gate
from gnas_export.package import write_files
from gnas_export.profile import ExportProfile
from gnas_export.report.contents import build_report
from gnas_export.report.files import ReportFiles, page_of
from gnas_export.report.hints import quicker, smaller
from gnas_export.report.places import check_places, report_beside
from gnas_export.steps.audit import audit
from gnas_export.steps.compression import compress_neighbours, compress_tables
from gnas_export.steps.content import choose_content
from gnas_export.steps.forms import choose_form, draw_forms, weigh_forms
from gnas_export.steps.idle import is_idle
from gnas_export.steps.indexing import build_index
from gnas_export.steps.judgement import choose_ranker, judge, less_compressed
from gnas_export.steps.narrowing import narrow_ranker
from gnas_export.steps.newcomers import choose_fold_in, choose_segments
from gnas_export.steps.scoring import draw_plain_ranker, train_ranker
from gnas_export.steps.users import choose_users, fit_fold_ins
from gnas_export.work.workbook import Workbook
from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.signature import SigningKey
from gnas_serve.artifact.sizes import artifact_bytes, bytes_by_part
from gnas_serve.artifact.source_date import source_date, stamp
from gnas_serve.artifact.store import atomic_folder, canonical_json
from gnas_serve.errors import GnasError, OfflineError, QualityGateError, StorageError
from gnas_serve.network_guard import NetworkGuard
from gnas_serve.runtime.recommender import Recommender

Step = Callable[[Draft], None]

# Each step measures on what the steps before it have fixed, so the order is the order of the request path:
STEPS: tuple[Step, ...] = (
    choose_users,  # who may be learned from and who judges, before anything is fitted
    compress_neighbours,  # before the vectors: each is compressed beside what is known to be right
    compress_tables,  # the vectors that ship: all retrieval below is over them
    build_index,  # the candidates that ship: the ranker learns from what it will be given
    fit_fold_ins,  # needs the vectors that ship, nothing else needs it
    draw_plain_ranker,  # the fallback exists before anything may fall back to it
    train_ranker,  # on candidates of the selection fit
    narrow_ranker,  # students and pruned networks, of a teacher that is done: its thoughts are what they learn
    draw_forms,  # graphs of the trained networks, held against them; numbers last, no training could mend them
    weigh_forms,  # what users would get of each
    choose_form,  # forms are timed only after they are known to be right
    choose_ranker,  # the learned ranker in its final form against plain retrieval
    choose_fold_in,  # newcomers are ranked as everybody is
    choose_segments,  # what is left for those who bring no history either
    choose_content,  # unseen items: they lean on the scores that are settled by now
    judge,  # the whole path, once everything in it is chosen
)
AGAIN, PACKAGE = "again", "package"


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes
    ----------
    path
        The artifact's folder.
    manifest
        What ships.
    report
        As written.
    """

    path: Path
    manifest: Manifest
    report: dict[str, Any]


def export(
    checkpoint: Checkpoint,
    profile: ExportProfile,
    out: Path,
    *,
    ranker: str,
    decisions: Decisions,
    content_before: ContentFacts | None = None,
    seed: int = 0,
    report_path: Path | None = None,
    junit_path: Path | None = None,
    sign_key: SigningKey | None = None,
    on_step: Callable[[str], None] | None = None,
    on_idle: Callable[[str], None] | None = None,
    on_reports: Callable[[list[Path]], None] | None = None,
    workbook: Workbook | None = None,
    guard: NetworkGuard | None = None,
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
    content_before
        Of :func:`gnas_export.retrieval.content_before.content_before`: kept where too few users can judge an encoder.
    seed
        Of samples, k-means, the ranker's training and the bootstrap.
    report_path
        Where the report is written besides the artifact; ``<out>.report.json`` where no artifact is made. A page of
        it stands beside it.
    junit_path
        Where the gates are written as a JUnit report, passed or not.
    sign_key
        What the artifact is signed with, if it is to be.
    on_step
        Called with the name of each step before it runs, with :data:`AGAIN` where the quality gate sends the draft back
        to the first, and with :data:`PACKAGE` before the last checks.
    on_idle
        Called instead before a step that has nothing to do; ``on_step`` when None.
    on_reports
        Called with the reports that are written, the page among them, however the export ended.
    workbook
        Keeps what each step made, until the export has ended; what it has kept is gone on with.
    guard
        Of the network: where it refused something the export ends, and the report says what it saw.

    Raises
    ------
    ConfigError
        If ``out`` exists, or a report would lie inside of it or on a folder, or ``SOURCE_DATE_EPOCH`` is malformed.
    ExportError, ParityError, QualityGateError, LatencyError
        If a step fails or a gate is breached; the report is written first. Where it cannot be, the error says so.
    OfflineError
        If the guard refused something.
    StorageError
        If the disk is full or not writable; nothing is left but the reports that fit, which say so.
    """
    check_places(out, report_path, junit_path)
    source_date()  # malformed, it is to be told before any work
    running_code_sha256()  # of the code as it is loaded: its files may be edited meanwhile
    draft = Draft(checkpoint, profile, ranker, seed, decisions, content_before)
    told_in = report_path or report_beside(out)
    elsewhere = ReportFiles(told_in, junit_path)
    steps: list[dict[str, Any]] = []
    watched = _Watched(on_step, on_idle or on_step, on_reports, workbook, guard)
    try:
        done = 0
        if workbook is not None and (kept := workbook.latest(draft)) is not None:
            draft, steps, done = kept.draft, kept.steps, _place(kept.step) + 1
        _run(draft, steps, watched, done)
        while (wider := less_compressed(draft)) is not None:
            watched.announce(AGAIN)
            # From the start: the ranker has to learn from the candidates that it will be given.
            draft = Draft(checkpoint, profile, ranker, seed, wider, content_before)
            _run(draft, steps, watched)
        raise_first_breach(draft.binding_gates())
        watched.announce(PACKAGE)
        with atomic_folder(out) as folder:
            manifest, report = _package(draft, steps, folder, told_in, sign_key, guard)
            ReportFiles(report_path, junit_path).write(report)  # before the artifact can be seen: all or nothing
            stamp(folder)  # when all is written: a file more is another time of the folder
        if report_path is None:
            elsewhere.remove()  # what an attempt before this one left there says that it failed
        watched.end()
        watched.reported([*ReportFiles(out / LAYOUT.report).paths, *ReportFiles(report_path, junit_path).paths])
        return Exported(out, manifest, report)
    except GnasError as error:
        # Of a full disk as well: the reports may lie on another, and one that is written says that it passed.
        watched.reported(elsewhere.write_failure(build_report(draft, steps, {}, error, guard), error))
        # Without room the same command goes on with room; on the network, or without the guard, it may end otherwise.
        if not isinstance(error, OfflineError | StorageError):
            watched.end()
        raise


@dataclass(frozen=True)
class _Watched:
    """Who follows the steps of an export: people, what keeps them, what guards them."""

    on_step: Callable[[str], None] | None
    on_idle: Callable[[str], None] | None
    on_reports: Callable[[list[Path]], None] | None
    workbook: Workbook | None
    guard: NetworkGuard | None

    def announce(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)

    def begins(self, name: str, draft: Draft) -> None:
        if not is_idle(name, draft):
            self.announce(name)
        elif self.on_idle is not None:
            self.on_idle(name)

    def reported(self, paths: list[Path]) -> None:
        if self.on_reports is not None and paths:
            self.on_reports(paths)

    def finished(self, name: str, draft: Draft, steps: list[dict[str, Any]]) -> None:
        if self.guard is not None:
            self.guard.raise_if_refused()
        if self.workbook is not None:
            self.workbook.keep(name, draft, steps)

    def end(self) -> None:
        if self.workbook is not None:
            self.workbook.remove()


def _run(draft: Draft, steps: list[dict[str, Any]], watched: _Watched, done: int = 0) -> None:
    for step in STEPS[done:]:
        watched.begins(step.__name__, draft)
        start = time.perf_counter()
        step(draft)
        steps.append({"name": step.__name__, "seconds": time.perf_counter() - start})
        watched.finished(step.__name__, draft, steps)


def _place(name: str) -> int:
    return [step.__name__ for step in STEPS].index(name)


def _package(
    draft: Draft,
    steps: list[dict[str, Any]],
    folder: Path,
    told_in: Path,
    sign_key: SigningKey | None,
    guard: NetworkGuard | None,
) -> tuple[Manifest, dict[str, Any]]:
    """Write the artifact, and open it once as serving will, before it becomes visible."""
    ranker = draft.shipping(draft.final)
    write_files(folder, draft.checkpoint, draft.final, ranker)
    draft.decisions.write(folder / LAYOUT.decisions)
    _keep_size(draft, folder, told_in)
    draft.gates += audit(draft, folder, draft.manifest(draft.final, ranker))
    raise_first_breach(draft.gates)
    manifest = write_accounts(folder, described(draft, ranker, folder))
    if sign_key is not None:
        sign_key.sign(folder)
    check_answers(Recommender.load(folder))
    _keep_latency(draft, folder, told_in)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    shipped = {"version": manifest.version, "files": files, "size_bytes": sum(files.values())}
    if guard is not None:
        guard.raise_if_refused()
    report = build_report(draft, steps, shipped, None, guard)
    (folder / LAYOUT.report).write_bytes(canonical_json(report))
    (folder / LAYOUT.report_page).write_bytes(page_of(report))
    return manifest, report


def _keep_size(draft: Draft, folder: Path, told_in: Path) -> None:
    """Weigh the artifact's files, and hold them to the limit on their bytes, where there is one."""
    # What describes the artifact comes later: it states this very gate, and cannot be measured by it.
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    size_bytes = artifact_bytes(files)
    draft.facts["artifact_bytes"] = {"size_bytes": size_bytes, "parts": bytes_by_part(files)}
    limit = draft.profile.gates.max_artifact_bytes
    if limit is None:
        return
    remark = "bytes of the model's files and its decisions, what describes them apart"
    draft.gates.append(at_most("artifact_bytes", size_bytes, limit, remark, QualityGateError))
    raise_first_breach(draft.gates, smaller(draft, told_in))


def _keep_latency(draft: Draft, folder: Path, told_in: Path) -> None:
    """Hold the finished artifact to the latency objective, where there is one; its times stay out of the hashes."""
    limit = draft.profile.gates.max_p99_us
    if limit is None:
        return
    gate, runs = latency_gate(folder, limit, num_users=len(draft.checkpoint.users), seed=draft.seed)
    draft.host_gates.append(gate)
    draft.facts["latency"] = runs
    raise_first_breach(draft.host_gates, quicker(draft, told_in))
