"""`gnas-serve inspect`, `verify`, `sign`, `diff`: what an artifact is, whether it is whole, whose, unlike which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from gnas_serve.cli.console import Output, OutputOption, emit
from gnas_serve.cli.lineage import finetuned_facts
from gnas_serve.cli.provenance_table import figure, provenance_tables
from gnas_serve.errors import ConfigError, IntegrityError
from gnas_serve.plain_text import listed

if TYPE_CHECKING:
    from gnas_serve.artifact.branches import BranchFacts
    from gnas_serve.artifact.manifest import Manifest

_NAMED_ATTRIBUTES = 10
ArtifactArgument = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="An artifact folder.")]


def inspect(artifact: ArtifactArgument, output: OutputOption = Output.text) -> None:
    """Say what an artifact is: its model, files, index, ranker and gates, and what it was made from."""
    from gnas_serve.artifact.checksums import SIGNATURE
    from gnas_serve.artifact.manifest import Manifest
    from gnas_serve.artifact.sizes import artifact_bytes

    manifest = Manifest.read(artifact, verify=False)
    files = {path.name: path.stat().st_size for path in sorted(artifact.iterdir()) if path.is_file()}
    gates = list(manifest.gates)
    result = {
        **manifest_facts(manifest),
        "model": manifest.model,
        "data": manifest.data,
        "attributes": [fact.to_json() for fact in manifest.attributes],
        "segments": None if manifest.segments is None else manifest.segments.to_json(),
        "user_encoding": [encoding.to_json() for encoding in manifest.user_encoding],
        "content": None if manifest.content is None else manifest.content.to_json(),
        "no_content": manifest.no_content,
        "scores": None if manifest.scores is None else manifest.scores.to_json(),
        "gates": gates,
        "format_version": manifest.format_version,
        "signed": SIGNATURE in files,
        "files": files,
        "size_bytes": sum(files.values()),
        "artifact_bytes": artifact_bytes(files),
    }
    tables = (_fact_table(manifest), *provenance_tables(manifest), _file_table(files))
    emit(result, Group(*tables, _curve(manifest), gate_table(gates)), output)


def verify(
    artifact: ArtifactArgument,
    output: OutputOption = Output.text,
    key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Ed25519 public key that the artifact must be signed with.")
    ] = None,
) -> None:
    """Check every byte of an artifact, and its signature if a key is given; load it, and ask it two questions."""
    if key is not None:
        _check_signature(artifact, key)
    from gnas_serve.runtime.recommender import Recommender
    from gnas_serve.runtime.smoke import smoke_answers

    recommender = Recommender.load(artifact)
    try:
        answers = smoke_answers(recommender)
    except IntegrityError as error:
        raise IntegrityError(f"{artifact}: {error.message}", hint="export it again") from error
    result = {
        "artifact": str(artifact),
        "verified": True,
        "signature": None if key is None else "verified",
        **recommender.info.signature(),
        "answers": answers,
    }
    by_key = "" if key is None else f", signed by the key in {key}"
    emit(result, f"{artifact} is whole: {result['name']}, version {result['version']}{by_key}", output)


def _check_signature(artifact: Path, key: Path) -> None:
    """Check whose an artifact is, before anything of it but its manifest is read."""
    from gnas_serve.artifact.manifest import Manifest
    from gnas_serve.artifact.signature import VerifyingKey

    public = VerifyingKey.read(key)
    Manifest.read(artifact, verify=False)
    public.check(artifact)


def sign(
    artifact: ArtifactArgument,
    key: Annotated[Path, typer.Option(metavar="PEM", help="Ed25519 private key, as openssl genpkey writes it.")],
    output: OutputOption = Output.text,
) -> None:
    """Sign an artifact, verified before: SHA256SUMS.sig, which `verify --key` and openssl check."""
    from gnas_serve.artifact.checksums import CHECKSUMS, SIGNATURE, is_sealed
    from gnas_serve.artifact.manifest import KIND, Manifest
    from gnas_serve.artifact.signature import SigningKey

    private = SigningKey.read(key)
    manifest = Manifest.read(artifact)
    if not is_sealed(KIND, manifest.format_version):
        raise ConfigError(
            f"{artifact} is of format version {manifest.format_version}, which has no {CHECKSUMS} to sign",
            hint="export it again",
        )
    private.sign(artifact)
    result = {"artifact": str(artifact), "version": manifest.version, "signature": str(artifact / SIGNATURE)}
    emit(result, f"signed {artifact}: {manifest.name}, version {manifest.version}", output)


def diff(
    one: Annotated[Path, typer.Argument(metavar="A", help="An artifact folder.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    output: OutputOption = Output.text,
) -> None:
    """Say what two artifacts differ in: data, model, config, code, what the export chose, metrics, gates, files."""
    from gnas_serve.artifact.difference import difference

    found = difference(one, other)
    if found["same"]:
        emit(found, f"{one} and {other} are equal: version {found['artifacts'][0]['version']}", output)
        return
    tables = [_change_table(name, changes) for name, changes in found["sections"].items() if changes]
    shown = {"metrics": found["metrics"], "gates": _comparable(found["gates"], found["gates_against"])}
    tables += [_change_table(name, changes) for name, changes in shown.items() if changes]
    sizes = {
        **found["files"],
        "artifact bytes: without manifest, card, SBOM, checksums, reports": found["artifact_bytes"],
        "every file that the manifest lists: without itself, checksums, reports": found["size_bytes"],
    }
    emit(found, Group(*tables, _change_table("bytes", sizes)), output)


def _comparable(gates: dict[str, list[Any]], against: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Say of gates that are held against different things against what: their values have no difference."""
    told = {
        name: [f"{_shown(value)} against {what}" for value, what in zip(pair, against[name], strict=True)]
        for name, pair in gates.items()
        if name in against
    }
    return {**gates, **told}


def _change_table(title: str, changes: dict[str, list[Any]]) -> Table:
    table = Table(title, "A", "B", "change")
    for name, (one, other) in changes.items():
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
        table.add_row(name, _shown(one), _shown(other), _signed(other - one) if numbers else "")
    return table


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _signed(change: float) -> str:
    return f"{change:+,}" if isinstance(change, int) else f"{change:+.4g}"


def manifest_facts(manifest: Manifest) -> dict[str, Any]:
    """Give what a manifest says in one object of JSON."""
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
            "provenance",
            "created",
        )
    }


def _fact_table(manifest: Manifest) -> Table:
    table = Table(show_header=False, title=f"{manifest.name}, version {manifest.version}", title_justify="left")
    index, ranker = manifest.index, manifest.ranker
    intervals = {} if manifest.provenance is None else manifest.provenance.metrics
    rows = {
        "profile": manifest.profile,
        **finetuned_facts(manifest.model.get("finetuned_from")),
        "users": f"{manifest.num_users:,}",
        "items": f"{manifest.num_items:,}",
        "score": " + ".join(_branch(branch, manifest) for branch in manifest.branches),
        "vectors": f"{manifest.embedding_dim} x {manifest.model.get('tables', '?')}",
        "newcomers": "answered from their history" if manifest.newcomers == "fold_in" else "answered by popularity",
        "index": index.kind
        if index.kind == "flat"
        else f"{index.kind} over {index.dims} columns, nprobe {index.nprobe}, {index.recall:.4f}",
        "ranker": f"{ranker.kind}, {ranker.precision}, C={ranker.candidates}, inputs {', '.join(ranker.cross)}",
        "attributes": _attributes(manifest),
        "user features": _user_features(manifest),
        "unseen items": _content(manifest),
        **{f"gate users' {name}": figure(value, intervals.get(name)) for name, value in manifest.metrics.items()},
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _attributes(manifest: Manifest) -> str:
    facts = manifest.attributes
    return listed([f"{fact.name} ({fact.kind})" for fact in facts], _NAMED_ATTRIBUTES) or "none"


def _user_features(manifest: Manifest) -> str:
    features = () if manifest.segments is None else manifest.segments.features
    read = {encoding.name for encoding in manifest.user_encoding}
    moving = [feature for feature in features if feature.values or feature.name in read]
    named = [
        f"{feature.name} ({feature.num_segments} segments{', ranker' if feature.name in read else ''})"
        for feature in moving
    ]
    return listed(named, _NAMED_ATTRIBUTES) or "none that move answers"


def _content(manifest: Manifest) -> str:
    """Say what the content encoder reads, and how well it does."""
    facts = manifest.content
    if facts is None:
        return f"not scored: {manifest.no_content or 'no content encoder'}"
    named = ", ".join(f"{column.name} (weight {column.weight:g})" for column in facts.columns)
    told = {name: f"{value:.4f}" for name, value in facts.metrics.items() if name.endswith("ndcg@20")}
    measured = ", ".join(f"{name} {value}" for name, value in told.items())
    kept = f" (of version {facts.kept_from}, whose encoder was kept)" if facts.kept_from else ""
    alike = f"scored as the {facts.neighbours} known items most like them, by {named}"
    return f"{alike}; of items left out {measured}{kept}"


def _branch(branch: BranchFacts, manifest: Manifest) -> str:
    """Describe one summand of the score: its kind, and how much is stored of it."""
    if branch.width:
        return f"{branch.kind} ({branch.width} columns)"
    stored = manifest.model.get("neighbours", {})
    return f"{branch.kind} ({stored.get('links', 0):,} links, {stored.get('form', '?')})"


def _file_table(files: dict[str, int]) -> Table:
    from gnas_serve.artifact.sizes import artifact_bytes

    table = Table("file", "bytes")
    table.columns[1].justify = "right"
    for name, size in files.items():
        table.add_row(name, f"{size:,}")
    table.add_row("artifact bytes: without manifest, card, SBOM, checksums, reports", f"{artifact_bytes(files):,}")
    table.add_row("every file above", f"{sum(files.values()):,}")
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


def gate_table(gates: list[dict[str, Any]]) -> Table:
    """Lay out gates."""
    table = Table("gate", "value", "limit", "passed", "what")
    for gate in gates:
        value = "-" if gate["value"] is None else _figure(gate["value"])
        passed = "yes" if gate["passed"] else "no"
        table.add_row(gate["name"], value, _figure(gate["limit"]), passed, gate["remark"])
    return table


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
