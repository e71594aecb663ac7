"""The model card of an artifact: what it is and how good it is, for people, in Markdown.

References
----------
Mitchell, M. et al. (2019). Model cards for model reporting. FAT* 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from gnas_export.accounts.insistence import insisted
from gnas_export.gates import significance
from gnas_export.judging.quality import RETRIEVAL, K
from gnas_search.bootstrap import Interval
from gnas_serve.artifact.checksums import CHECKSUMS, SIGNATURE
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.provenance import Measured, Provenance
from gnas_serve.plain_text import plain_text

# What Markdown, GitHub's too, takes for more than a letter: an underscore between letters or digits is none.
_LIVE = re.compile(r"[\\`*<>\[\]!&|~#$]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)

_USE = """It ranks the items of the catalogue that it was trained on for the users of it: `gnas-serve serve` and
`gnas-serve recommend` ask it. A user without a vector is answered from a history, if the question brings one, else by
popularity, that among users of the same features where the question says some.

- Items and interactions after training are unknown to it: train again as the catalogue changes.
- Metrics are of held-out interactions of the past, on validation users. They say nothing of what recommending changes,
  and are not those of the test part, which `gnas-serve evaluate` measures.
- It repeats what the interactions hold: where some items or users are rare in them, it knows little of these.
- Scores order the items of one answer; those of different answers are not comparable.
- The artifact holds ids of users and items and who met which item: handle it as the data itself. This card
  holds none."""


def model_card(manifest: Manifest, size_bytes: int) -> str:
    """Write the card of a model.

    Parameters
    ----------
    manifest
        With its version. Equal ones give equal cards.
    size_bytes
        Artifact bytes, see :mod:`gnas_serve.artifact.sizes`.
    """
    sections = {
        "Data": _data(manifest),
        "Quality": _quality(manifest),
        "Gates": _gates(manifest),
        "Asked for": _asked_for(manifest),
        "Form": _form(manifest, size_bytes),
        "Intended use and limits": _USE,
        "Provenance": _provenance(manifest),
        "How to verify": _verify(),
    }
    head = f"# {_plain(manifest.name)}\n\n{_summary(manifest)}"
    return "\n\n".join((head, *(f"## {title}\n\n{text}" for title, text in sections.items() if text))) + "\n"


def _summary(manifest: Manifest) -> str:
    kinds = " + ".join(_plain(branch.kind) for branch in manifest.branches)
    said = f"A recommender, version {_code(manifest.version)}, exported with profile {_code(manifest.profile)}. "
    said += f"The score of a pair is the sum over its branches: {kinds}."
    return said if manifest.created is None else f"{said} Made at {manifest.created}."


def _data(manifest: Manifest) -> str:
    facts, config = manifest.data, manifest.data.get("config", {})
    rows = [("users", f"{manifest.num_users:,}"), ("items", f"{manifest.num_items:,}")]
    if manifest.provenance is not None:
        rows.append(("interactions of the target event", f"{manifest.provenance.data['interactions']:,}"))
    rows += [
        ("target event", str(facts.get("target_event") or "all")),
        ("split policy", f"{facts.get('policy')}, seed {config.get('split_seed')}"),
        ("fingerprint", str(facts.get("fingerprint"))),
    ]
    if (lineage := manifest.model.get("finetuned_from")) is not None:
        rows.append(
            ("fine-tuned on it; embeddings trained on", f"{lineage.get('fingerprint')}, as {lineage.get('name')}")
        )
    return _table(("", ""), rows)


def _quality(manifest: Manifest) -> str:
    provenance = manifest.provenance
    if provenance is None or not provenance.metrics:
        return "Not measured: too few validation users have a held-out item."
    users = provenance.data["gate_users"]
    said = (
        f"Means over {users:,} validation users, with 95 % bootstrap intervals. The measured fit had not seen their "
        f"held-out items; the forms that ship were chosen on them. They are the half that judges, the others being "
        f"learned from: what `train` said is of all of them, and differs."
    )
    metrics = [(name, *_figures(found)) for name, found in provenance.metrics.items()]
    text = f"{said}\n\n{_table(('metric', 'value', '95 % interval'), metrics)}"
    text += "".join(f"\n\n{line}" for line in _of_the_ranker(provenance))
    if provenance.baselines:
        text += f"\n\nWhat it was held against, on the same users:\n\n{_baselines(provenance)}"
    return text


def _of_the_ranker(provenance: Provenance) -> list[str]:
    """Say what a ranker that was asked for brings, and whether the network that it is made of is worse than none."""
    trained = next((step.quality for step in provenance.steps if step.step == "train_ranker"), {})
    shipped, teacher = (_gain(trained, name) for name in ("shipped", "teacher"))
    said = []
    if provenance.config["ranker_mode"] == "always" and shipped is not None:
        said.append(
            f"The learned ranker was asked for (`--ranker always`): ndcg@{K} against {RETRIEVAL} {_told(shipped)}."
        )
    if teacher is not None and teacher.high < 0:
        said.append(
            f"The learned ranker as it was trained (fp32) is worse than {RETRIEVAL}: ndcg@{K} {_told(teacher)}."
        )
    return said


def _gain(quality: Mapping[str, float], name: str) -> Interval | None:
    ends = [f"{name}_ndcg@{K}_gain{end}" for end in ("", "_low", "_high")]
    return Interval(*(quality[end] for end in ends)) if all(end in quality for end in ends) else None


def _told(gain: Interval) -> str:
    return f"{gain.value:+.4f} ({gain.low:+.4f} .. {gain.high:+.4f}), {significance(gain.low, gain.high)}"


def _baselines(provenance: Provenance) -> str:
    names = list(dict.fromkeys(name for metrics in provenance.baselines.values() for name in metrics))
    rows = [
        (model, *(" ".join(_figures(metrics[name])) if name in metrics else "-" for name in names))
        for model, metrics in provenance.baselines.items()
    ]
    return _table(("model", *names), rows)


def _gates(manifest: Manifest) -> str:
    rows = [
        (
            gate["name"],
            "-" if gate["value"] is None else f"{gate['value']:.6g}",
            f"{gate['limit']:.6g}",
            "yes" if gate["passed"] else "no",
            gate["remark"],
        )
        for gate in manifest.gates
    ]
    return _table(("gate", "value", "limit", "passed", "what"), rows) if rows else ""


def _asked_for(manifest: Manifest) -> str:
    """Say what was insisted on; nothing where everything was left to the profile."""
    rows = [] if manifest.provenance is None else insisted(manifest.provenance.config)
    if not rows:
        return ""
    said = "By options of the export, or a profile of one's own; an objective of time is of a machine, and not stated."
    return f"{said}\n\n{_table(('what', 'asked for', 'else'), rows)}"


def _form(manifest: Manifest, size_bytes: int) -> str:
    index, ranker = manifest.index, manifest.ranker
    rows = [
        ("vectors", f"{manifest.embedding_dim} columns, {manifest.model.get('tables', '?')}"),
        ("index", index.kind if index.kind == "flat" else f"{index.kind} over {index.dims} columns"),
        ("ranker", f"{_ranker(manifest)}, {ranker.precision}, {ranker.candidates} candidates"),
        ("newcomers", "from their history" if manifest.newcomers == "fold_in" else "by popularity"),
        ("newcomers without a history", _strangers(manifest)),
        ("items that it does not have", _unseen(manifest)),
    ]
    if "neighbours" in manifest.model:
        links = manifest.model["neighbours"]
        rows.insert(1, ("links", f"{links['links']:,}, {links['form']}"))
    rows.append(("time of an answer", "not measured, as it is of a machine: gnas-serve bench ARTIFACT"))
    rows.append(("artifact bytes", f"{size_bytes:,}: the model's files and its decisions"))
    text = _table(("part", "form"), rows)
    if manifest.provenance is None or not manifest.provenance.steps:
        return text
    changes = [
        (
            step.step,
            f"{step.before.form}, {step.before.size_bytes:,} bytes",
            f"{step.after.form}, {step.after.size_bytes:,} bytes",
            ", ".join(f"{name} {value:.6g}" for name, value in step.quality.items()),
        )
        for step in manifest.provenance.steps
    ]
    return f"{text}\n\nWhat the export changed:\n\n{_table(('step', 'before', 'after', 'measured'), changes)}"


def _strangers(manifest: Manifest) -> str:
    moving = () if manifest.segments is None else manifest.segments.moving
    if not moving:
        return "by popularity"
    return f"by popularity among users of the same {', '.join(feature.name for feature in moving)}, as far as known"


def _unseen(manifest: Manifest) -> str:
    if manifest.content is None:
        return f"not scored: {manifest.no_content}" if manifest.no_content else "not scored"
    named = ", ".join(column.name for column in manifest.content.columns)
    figures = manifest.content.metrics
    told = f"ndcg@{K} {figures[f'ndcg@{K}']:.4f}, {figures[f'popularity_ndcg@{K}']:.4f} by popularity as these tell it"
    shown = f"of {figures['items']:g} left out of lists and histories, {figures['list_length']:.0f} to a list"
    kept = manifest.content.kept_from
    of = f"kept from version {_line(kept)}, which was judged: " if kept else ""
    return f"by known items of similar {named}: {of}{shown}, {told}; the model was trained with them"


def _ranker(manifest: Manifest) -> str:
    if manifest.provenance is None or manifest.ranker.kind != "mlp":
        return manifest.ranker.kind
    return f"{manifest.ranker.kind} of form {manifest.provenance.architecture['ranker']['form']}"


def _provenance(manifest: Manifest) -> str:
    provenance = manifest.provenance
    if provenance is None:
        return ""
    rows = [(f"SHA-256 of the {name}", sha256) for name, sha256 in provenance.hashes.items()]
    rows += [(f"seed of the {name}", str(seed)) for name, seed in provenance.seeds.items()]
    rows += [(name, version) for name, version in sorted(provenance.lock.items())]
    return _table(("", ""), rows)


def _verify() -> str:
    return (
        f"`gnas-serve verify ARTIFACT` checks every byte and asks it; `sha256sum -c {CHECKSUMS}` in this folder checks "
        f"the files without it.\n"
        f"Where there is a `{SIGNATURE}`, `gnas-serve verify ARTIFACT --key PUB.pem` checks who made it, and so does "
        f"`openssl pkeyutl -verify -pubin -inkey PUB.pem -rawin -in {CHECKSUMS} -sigfile {SIGNATURE}`.\n"
        f"`{LAYOUT.sbom}` lists what serves it, `manifest.json` all of the above for programs."
    )


def _figures(found: Measured) -> tuple[str, str]:
    if found.low is None or found.high is None:
        return f"{found.value:.4f}", ""
    return f"{found.value:.4f}", f"({found.low:.4f} .. {found.high:.4f})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Keep a text on one line, within its cell, and a text: names are of whoever made the data."""
    return _LIVE.sub(r"\\\g<0>", _line(text))


def _code(text: str) -> str:
    """Show a text as code, between more backticks than follow each other in it: nothing in it ends it."""
    line = _line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    # Markdown takes one space off both ends: without it a backtick there would be one of the fence.
    return f"{fence} {line} {fence}" if not line or "`" in (line[0], line[-1]) else f"{fence}{line}{fence}"


def _line(text: str) -> str:
    return plain_text(" ".join(text.split()))
