"""What two artifacts differ in: data, architecture, config, code, what the export chose, metrics, gates, files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND, Manifest
from gnas_serve.artifact.sizes import artifact_bytes
from gnas_serve.artifact.store import read_manifest
from gnas_serve.errors import IntegrityError

ABSENT = None
"""Of what one of the two does not have."""

_HELD_AGAINST = re.compile(r"against (.+?), (?:the best simple model, )?(?:low|high) end")
_PROVENANCE = ("config", "lock", "code", "seeds", "steps")
_STEP = ("before", "after", "quality")
_SECTIONS = {
    "model": ("name", "num_users", "num_items", "embedding_dim", "branches", "model"),
    "data": ("data",),
    "export": ("profile", "index", "ranker", "newcomers", "segments", "content", "no_content", "scores"),
}


def difference(one: Path, other: Path) -> dict[str, Any]:
    """Compare two artifacts, both verified byte by byte.

    Returns
    -------
    dict
        ``same``: whether all that is hashed is equal; ``sections``: ``model``, ``architecture``, ``data``, ``export``
        (decisions among it), and of the provenance ``config``, ``lock``, ``code``, ``seeds``, ``steps``, each
        ``{what: [one's, other's]}``; ``metrics`` (with the ends of their intervals) and ``gates``:
        ``{name: [one's, other's]}`` of those that differ; ``gates_against``: what these are held against, of gates
        that are held against different things, whose values are not to be compared; ``files``:
        ``{name: [bytes, bytes]}`` of those whose content differs; ``size_bytes``: of all that each manifest lists;
        ``artifact_bytes``: of these without what describes the artifact, see :mod:`gnas_serve.artifact.sizes`. What
        one does not have is None.

    Raises
    ------
    ConfigError, IntegrityError, FormatVersionError
        If one of them is no whole artifact.
    """
    manifests = [Manifest.read(folder) for folder in (one, other)]
    bodies = [manifest.to_json() for manifest in manifests]
    decisions = [_decisions(folder) for folder in (one, other)]
    stored = [_stored(folder) for folder in (one, other)]
    listed, digests = [body["files"] for body in stored], [body["digest"] for body in stored]
    sections = {
        section: _changes(*({name: body[name] for name in names if name in body} for body in bodies))
        for section, names in _SECTIONS.items()
    }
    for name in ("architecture", *_PROVENANCE):
        sections[name] = _changes(*(_account(body, name) for body in bodies))
    # The spec stands in both places of a manifest; its differences are told once.
    sections["model"] = {name: pair for name, pair in sections["model"].items() if not name.startswith("model.spec")}
    sections["export"] |= {f"decisions.{name}": pair for name, pair in _changes(*decisions).items()}
    changed = {name: pair for name, pair in _pairs(*listed).items() if pair[0] != pair[1]}
    against = _changes(*({gate["name"]: held_against(gate) for gate in body["gates"]} for body in bodies))
    return {
        "same": not changed and digests[0] == digests[1],
        "artifacts": [
            {"path": str(folder), "version": manifest.version}
            for folder, manifest in zip((one, other), manifests, strict=True)
        ],
        "sections": sections,
        "metrics": _changes(*(_metrics(body) for body in bodies)),
        "gates": _changes(*({gate["name"]: gate["value"] for gate in body["gates"]} for body in bodies)),
        "gates_against": {name: pair for name, pair in against.items() if ABSENT not in pair},
        "files": {name: [fact and fact["bytes"] for fact in pair] for name, pair in changed.items()},
        "size_bytes": [sum(fact["bytes"] for fact in files.values()) for files in listed],
        "artifact_bytes": [artifact_bytes({name: fact["bytes"] for name, fact in files.items()}) for files in listed],
    }


def _changes(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    """Give what differs, by dotted path."""
    return {name: pair for name, pair in _pairs(_flat(one), _flat(other)).items() if pair[0] != pair[1]}


def _pairs(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [one.get(name, ABSENT), other.get(name, ABSENT)] for name in {**one, **other}}


def _flat(body: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Give the leaves of nested objects by dotted path; a list of objects counts as one by the places of these."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        nested = value
        if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
            nested = {str(place): entry for place, entry in enumerate(value)}
        if isinstance(nested, dict) and nested:
            found |= _flat(nested, f"{path}{name}.")
        else:
            found[f"{path}{name}"] = value
    return found


def _decisions(folder: Path) -> dict[str, Any]:
    path = folder / LAYOUT.decisions
    if not path.is_file():  # an artifact of an early version, or one that nobody decided anything of
        return {}
    try:
        return {name: decision["choice"] for name, decision in json.loads(path.read_bytes())["decisions"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{path} is garbled: {error}", hint="export again") from error


def _account(body: dict[str, Any], name: str) -> dict[str, Any]:
    """Give one part of an artifact's provenance; of an artifact without any, what else is known of it."""
    provenance = body["provenance"]
    if provenance is None:
        return {"spec": body["model"].get("spec")} if name == "architecture" else {}
    if name == "code":
        return {"sha256": provenance["hashes"]["code"]}
    if name == "steps":
        return {step["step"]: {part: step[part] for part in _STEP} for step in provenance["steps"]}
    found: dict[str, Any] = provenance[name]
    return found


def held_against(gate: dict[str, Any]) -> str | None:
    """Tell what a gate is held against; of an artifact of an early version the remark says it."""
    named: str | None = gate.get("against")
    if named is None and (found := _HELD_AGAINST.search(gate["remark"])):
        named = found[1]
    return named


def _metrics(body: dict[str, Any]) -> dict[str, Any]:
    """Give the metrics by name, and the ends of their intervals behind them."""
    provenance = body["provenance"] or {"metrics": {}}
    ends = {
        f"{name}.{end}": measured[end] for name, measured in provenance["metrics"].items() for end in ("low", "high")
    }
    return {**body["metrics"], **ends}


def _stored(folder: Path) -> dict[str, Any]:
    return read_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, verify=False)
