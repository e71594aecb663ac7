"""`gnas-serve export`, `inspect`, `verify`: make an artifact, say what it is, check that it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from gnas_serve.cli.arguments import MAX_SEED, output_path
from gnas_serve.cli.console import Output, OutputOption, diagnostics, emit
from gnas_serve.cli.extras import need
from gnas_serve.errors import IntegrityError

if TYPE_CHECKING:
    from gnas_serve.artifact.branches import BranchFacts
    from gnas_serve.artifact.manifest import Manifest

STEP_PHRASES = {
    "choose_users": "choosing the users who judge",
    "compress_neighbours": "compressing the links between items",
    "compress_tables": "compressing the vectors",
    "build_index": "choosing the index",
    "fit_fold_ins": "fitting the answer to newcomers",
    "draw_plain_ranker": "drawing the plain ranker",
    "train_ranker": "training the learned ranker",
    "draw_forms": "drawing the ranker's numeric forms",
    "choose_form": "timing the forms",
    "choose_ranker": "weighing the learned ranker against plain retrieval",
    "choose_fold_in": "judging the answers to newcomers",
    "judge": "judging the whole path",
    "again": "the quality gate is breached: again with less compression",
    "package": "checking the finished artifact",
}
"""What people read before each step of an export."""

ArtifactArgument = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="An artifact folder.")]


def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="What `train` wrote.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="ARTIFACT", parser=output_path, help="Folder to make; must not exist.")
    ],
    profile: Annotated[
        str, typer.Option(help="exact, fast, balanced, small, or a .toml file of your own.")
    ] = "balanced",
    ranker: Annotated[
        str | None,
        typer.Option(help="auto: learned ranker where it is better; always; never. As the profile says when absent."),
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="decisions.json of an earlier artifact, to repeat its choices.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report here.")] = None,
    max_p99_us: Annotated[
        float | None,
        typer.Option(
            metavar="MICROSECONDS", help="Latency objective: largest 99th percentile of an answer on this machine."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run everything, write the report alone.")] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Seed of samples, clustering and the ranker's training.")
    ] = 0,
    output: OutputOption = Output.text,
) -> None:
    """Turn a checkpoint into one verified artifact: vectors, index, ONNX ranker, gates.

    A breached gate ends it with exit code 5, 6 or 7; the report is written all the same.
    """
    need("export")
    from gnas_export.decisions import Decisions
    from gnas_export.pipeline import export as run
    from gnas_export.places import check_places
    from gnas_export.profile import ExportProfile, ranker_mode
    from gnas_search.checkpoint import Checkpoint

    check_places(out, report)
    chosen = ExportProfile.load(profile).within(max_p99_us)
    mode = ranker_mode(chosen, ranker)
    taken = Decisions(chosen, mode)
    choices = taken if decisions is None else Decisions.read(decisions, profile=chosen, ranker=mode)
    trained = Checkpoint.load(checkpoint)
    console = diagnostics()
    exported = run(
        trained,
        chosen,
        out,
        ranker=mode,
        decisions=choices,
        seed=seed,
        report_path=report,
        dry_run=dry_run,
        on_step=lambda name: console.print(f"export: {STEP_PHRASES[name]}"),
    )
    facts = exported.report
    result = {
        "artifact": None if exported.path is None else str(exported.path),
        "dry_run": dry_run,
        **_facts(exported.manifest),
        "gates": facts["gates"],
        "decisions": facts["decisions"],
        "size_bytes": facts["artifact"].get("size_bytes"),
    }
    done = "dry run, nothing written; would ship" if exported.path is None else f"wrote {exported.path}"
    title = f"{done}: {exported.manifest.name}, profile {exported.manifest.profile}"
    emit(result, Group(title, _decision_table(facts), _gate_table(facts["gates"])), output)


def inspect(artifact: ArtifactArgument, output: OutputOption = Output.text) -> None:
    """Say what an artifact is: its model, files, index, ranker and gates."""
    from gnas_serve.artifact.manifest import Manifest

    manifest = Manifest.read(artifact, verify=False)
    files = {path.name: path.stat().st_size for path in sorted(artifact.iterdir()) if path.is_file()}
    gates = list(manifest.gates)
    result = {
        **_facts(manifest),
        "model": manifest.model,
        "data": manifest.data,
        "gates": gates,
        "files": files,
        "size_bytes": sum(files.values()),
    }
    emit(result, Group(_fact_table(manifest), _file_table(files), _curve(manifest), _gate_table(gates)), output)


def verify(artifact: ArtifactArgument, output: OutputOption = Output.text) -> None:
    """Check every byte of an artifact, load it as serving does, and ask it two questions."""
    from gnas_serve.runtime.recommender import Recommender
    from gnas_serve.runtime.smoke import smoke_answers

    recommender = Recommender.load(artifact)
    try:
        answers = smoke_answers(recommender)
    except IntegrityError as error:
        raise IntegrityError(f"{artifact}: {error.message}", hint="export it again") from error
    result = {"artifact": str(artifact), "verified": True, **recommender.info.signature(), "answers": answers}
    emit(result, f"{artifact} is whole: {result['name']}, version {result['version']}", output)


def _facts(manifest: Manifest) -> dict[str, Any]:
    body = manifest.to_json()
    return {
        key: body[key]
        for key in (
            "name",
            "version",
            "profile",
            "branches",
            "newcomers",
            "num_users",
            "num_items",
            "embedding_dim",
            "index",
            "ranker",
            "metrics",
        )
    }


def _fact_table(manifest: Manifest) -> Table:
    table = Table(show_header=False, title=f"{manifest.name}, version {manifest.version}", title_justify="left")
    index, ranker = manifest.index, manifest.ranker
    rows = {
        "profile": manifest.profile,
        "users": f"{manifest.num_users:,}",
        "items": f"{manifest.num_items:,}",
        "score": " + ".join(_branch(branch, manifest) for branch in manifest.branches),
        "vectors": f"{manifest.embedding_dim} x {manifest.model.get('tables', '?')}",
        "newcomers": "answered from their history" if manifest.newcomers == "fold_in" else "answered by popularity",
        "index": index.kind
        if index.kind == "flat"
        else f"{index.kind} over {index.dims} columns, nprobe {index.nprobe}, {index.recall:.4f}",
        "ranker": f"{ranker.kind}, {ranker.precision}, C={ranker.candidates}, inputs {', '.join(ranker.cross)}",
        **{f"gate users' {name}": f"{value:.4f}" for name, value in manifest.metrics.items()},
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _branch(branch: BranchFacts, manifest: Manifest) -> str:
    """Describe one summand of the score: its kind, and how much is stored of it."""
    if branch.width:
        return f"{branch.kind} ({branch.width} columns)"
    stored = manifest.model.get("neighbours", {})
    return f"{branch.kind} ({stored.get('links', 0):,} links, {stored.get('form', '?')})"


def _file_table(files: dict[str, int]) -> Table:
    table = Table("file", "bytes")
    table.columns[1].justify = "right"
    for name, size in files.items():
        table.add_row(name, f"{size:,}")
    table.add_row("all", f"{sum(files.values()):,}")
    return table


def _curve(manifest: Manifest) -> RenderableType:
    if not manifest.index.curve:
        return "index curve: none (flat search is exact)"
    table = Table("columns", "nprobe", f"recall@{manifest.ranker.candidates}", "recall@20")
    for point in manifest.index.curve:
        # Artifacts of format version 1 know neither projections nor the recall of the head.
        dims, top = point.get("dims", manifest.index.dims), point.get("top_recall")
        shown = "-" if top is None else f"{top:.4f}"
        table.add_row(f"{dims:g}", f"{point['nprobe']:g}", f"{point['recall']:.4f}", shown)
    return table


def _decision_table(report: dict[str, Any]) -> Table:
    table = Table("decision", "choice", "because", "measured here")
    times = _times(report["facts"])
    gain = report["facts"].get("ranker_gain")
    for name, decision in report["decisions"].items():
        figures = ", ".join(f"{form} {time:.0f} us" for form, time in times.get(name, {}).items())
        if name == "ranker" and gain is not None:
            figures = f"{gain['value']:+.4f} ({gain['low']:+.4f} .. {gain['high']:+.4f})"
        table.add_row(name, decision["choice"], decision["reason"], figures)
    return table


def _times(facts: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Pick the times behind the decisions: decision -> form -> microseconds; none where decisions were repeated."""
    forms = {
        # The last of the numbers of candidates that were timed is the largest.
        name: list(form["latency_us"].values())[-1]
        for name, form in facts.get("forms", {}).items()
        if "latency_us" in form
    }
    return {"index": facts.get("index", {}).get("latency_us", {}), "form": forms}


def _gate_table(gates: list[dict[str, Any]]) -> Table:
    table = Table("gate", "value", "limit", "passed", "what")
    for gate in gates:
        value = "-" if gate["value"] is None else _figure(gate["value"])
        passed = "yes" if gate["passed"] else "no"
        table.add_row(gate["name"], value, _figure(gate["limit"]), passed, gate["remark"])
    return table


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
