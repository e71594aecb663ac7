"""`gnas-serve export`: make an artifact of a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.cli.arguments import MAX_SEED, byte_count, microseconds, output_path
from gnas_serve.cli.artifact import gate_table, manifest_facts
from gnas_serve.cli.console import Output, OutputOption, diagnostics, emit, warn
from gnas_serve.cli.export_forecast import emit_forecast
from gnas_serve.cli.export_work import kept_work
from gnas_serve.cli.extras import need
from gnas_serve.cli.form_table import form_lines, saving_line
from gnas_serve.errors import ConfigError
from gnas_serve.network_guard import NetworkGuard

STEP_PHRASES = {
    "choose_users": "choosing the users who judge",
    "compress_neighbours": "compressing the links between items",
    "compress_tables": "compressing the vectors",
    "build_index": "choosing the index",
    "fit_fold_ins": "fitting the answer to newcomers",
    "draw_plain_ranker": "drawing the plain ranker",
    "train_ranker": "training the learned ranker",
    "narrow_ranker": "distilling and pruning the ranker",
    "draw_forms": "drawing the ranker's numeric forms",
    "weigh_forms": "weighing every form on the users who judge",
    "choose_form": "timing the forms",
    "choose_ranker": "weighing the learned ranker against plain retrieval",
    "choose_fold_in": "judging the answers to newcomers",
    "choose_segments": "judging the answers by users' features",
    "choose_content": "judging the scores of items that are left out",
    "judge": "judging the whole path",
    "again": "the quality gate is breached: again with less compression",
    "package": "checking the finished artifact",
}
"""What people read before each step of an export."""


def export(
    context: typer.Context,
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
    precision: Annotated[
        str | None,
        typer.Option(help="Numbers of the learned ranker: auto, the quickest that is good enough; fp32; fp16; int8."),
    ] = None,
    distil: Annotated[
        str | None,
        typer.Option(help="Narrower rankers that learn from the first: auto, where one is good enough; always; never."),
    ] = None,
    prune: Annotated[
        str | None,
        typer.Option(help="Rankers whose hidden units are cut: auto, where one is good enough; always; never."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Whom rankers follow beside the labels: mlp, the first of them; attention, one that reads histories "
            "and cannot ship; auto, that one where it is better. As the profile says when absent."
        ),
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="decisions.json of an earlier artifact, to repeat its choices.")
    ] = None,
    content_from: Annotated[
        Path | None,
        typer.Option(
            metavar="ARTIFACT",
            help="Of a fine-tuned checkpoint: keep the content encoder of this artifact, which was made of the "
            "checkpoint before, where too few users can judge one.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the report here; beside FILE.json goes FILE.html, a page."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the gates here as a JUnit report, passed or not.")
    ] = None,
    min_ann_recall: Annotated[
        float | None, typer.Option(help="Least recall of the candidates against exact search, 0 to 1.")
    ] = None,
    max_ndcg_drop: Annotated[
        float | None, typer.Option(help="Largest relative loss of ndcg@20, low end of the interval: .01 is 1 %.")
    ] = None,
    max_latency_us: Annotated[
        float | None,
        typer.Option(
            "--max-latency-us",
            "--max-p99-us",
            metavar="MICROSECONDS",
            parser=microseconds,
            help="Latency objective: largest 99th percentile of an answer on this machine.",
        ),
    ] = None,
    max_artifact_bytes: Annotated[
        int | None,
        typer.Option(metavar="BYTES", parser=byte_count, help="Most bytes of the model's files and its decisions."),
    ] = None,
    sign_key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Sign the artifact with this Ed25519 private key.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Forecast the steps, their time and memory, and the artifact's bytes; make nothing."
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew: use nothing that an interrupted export kept.")
    ] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Refuse the network, ending with exit 9 where anything wants it."),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Seed of samples, clustering and the ranker's training.")
    ] = 0,
    output: OutputOption = Output.text,
) -> None:
    """Turn a checkpoint into one verified artifact: vectors, index, ONNX ranker, gates.

    A breached gate ends it with exit code 5, 6 or 7; the report is written all the same.
    Interrupt it whenever you like: the same command goes on after the last step that was finished.
    """
    need("export")
    if dry_run and (report is not None or junit is not None):
        raise ConfigError(
            "--dry-run passes no gate, of which a report could tell", hint="leave --report and --junit out"
        )
    # Before anything is loaded that may look at the network by itself.
    guard = context.with_resource(NetworkGuard()) if offline else None
    from gnas_export.decisions import Decisions
    from gnas_export.pipeline import export as run
    from gnas_export.profile import ExportProfile, ranker_mode
    from gnas_export.report.places import check_places
    from gnas_export.retrieval.content_before import content_before
    from gnas_export.steps.content import CONTENT, UNJUDGED
    from gnas_export.work.key import work_key
    from gnas_search.checkpoint import Checkpoint
    from gnas_serve.artifact.signature import SigningKey

    check_places(out, report, junit)
    key = None if sign_key is None else SigningKey.read(sign_key)
    chosen = ExportProfile.load(profile)
    chosen = replace(
        chosen,
        ranker=chosen.ranker.forced(precision=precision, distil=distil, prune=prune, teacher=teacher),
        gates=chosen.gates.forced(
            min_ann_recall=min_ann_recall,
            max_ndcg_drop=max_ndcg_drop,
            max_latency_us=max_latency_us,
            max_artifact_bytes=max_artifact_bytes,
        ),
    )
    mode = ranker_mode(chosen, ranker)
    taken = Decisions(chosen, mode)
    choices = taken if decisions is None else Decisions.read(decisions, profile=chosen, ranker=mode)
    trained = Checkpoint.load(checkpoint)
    before = None if content_from is None else content_before(content_from, trained)
    console = diagnostics()

    def say(name: str) -> None:
        console.print(f"export: {STEP_PHRASES[name]}")

    def say_where(reports: list[Path]) -> None:
        console.print(Text(f"export: reports: {', '.join(map(str, reports))}"), soft_wrap=True)

    if dry_run:
        emit_forecast(trained, chosen, mode, choices, seed=seed, say=say, output=output)
        if guard is not None:
            guard.raise_if_refused()
            console.print(f"export: {guard.summary}")
        return
    with kept_work(
        out,
        work_key(checkpoint, chosen, ranker=mode, seed=seed, decisions=choices, content_before=before),
        fresh=fresh,
    ) as workbook:
        exported = run(
            trained,
            chosen,
            out,
            ranker=mode,
            decisions=choices,
            content_before=before,
            seed=seed,
            report_path=report,
            junit_path=junit,
            sign_key=key,
            on_step=say,
            on_idle=lambda _: None,
            on_reports=say_where,
            workbook=workbook,
            guard=guard,
        )
    if guard is not None:
        console.print(f"export: {guard.summary}")
    facts = exported.report
    unseen = facts["facts"][CONTENT]
    if UNJUDGED in unseen:
        warn(
            f"no content encoder ships, whatever a model before had: {unseen['reason']}. Items that the catalogue does "
            "not have are refused (422) by this artifact" + _how_to_keep_one(trained.finetuned_from)
        )
    result = {
        "artifact": str(exported.path),
        **manifest_facts(exported.manifest),
        "gates": facts["gates"],
        "decisions": facts["decisions"],
        "size_bytes": facts["artifact"].get("size_bytes"),
        "artifact_bytes": facts["facts"]["artifact_bytes"]["size_bytes"],
    }
    title = f"wrote {exported.path}: {exported.manifest.name}, profile {exported.manifest.profile}"
    title += f"\nto look at: {exported.path / LAYOUT.report_page}"
    compressed = [*form_lines(facts), *saving_line(facts)]
    emit(result, Group(title, _decision_table(facts), *compressed, gate_table(facts["gates"])), output)


def _how_to_keep_one(finetuned_from: dict[str, Any] | None) -> str:
    if finetuned_from is None:
        return ""
    return (
        "; --content-from ARTIFACT keeps that of the artifact before: export this checkpoint again with it, or the "
        "artifact of the next fine-tuning has none to keep"
    )


def _decision_table(report: dict[str, Any]) -> Table:
    table = Table("decision", "choice", "because", "measured here")
    times = _times(report)
    gain = report["facts"].get("ranker_gain")
    for name, decision in report["decisions"].items():
        figures = ", ".join(f"{form} {time:.0f} us" for form, time in times.get(name, {}).items())
        if name == "ranker" and gain is not None:
            figures = f"{gain['value']:+.4f} ({gain['low']:+.4f} .. {gain['high']:+.4f})"
        table.add_row(name, decision["choice"], decision["reason"], figures)
    return table


def _times(report: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Pick the times behind the decisions: decision -> form -> microseconds; none where decisions were repeated.

    Of the forms of the ranker, which have a table of their own, the first and the chosen one.
    """
    facts, chosen = report["facts"], report["decisions"].get("form", {}).get("choice")
    forms = {
        name: form["latency_us"][str(report["candidates"])]
        for place, (name, form) in enumerate(facts.get("forms", {}).items())
        if "latency_us" in form and (place == 0 or name == chosen)
    }
    return {"index": facts.get("index", {}).get("latency_us", {}), "form": forms}
