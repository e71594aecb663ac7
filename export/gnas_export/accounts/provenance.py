"""The manifest of what ships, with all that its bytes come from: data, config, packages, code, seeds, steps."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnas_export.accounts.inventory import installed_tools, lock_sha256, running_code_sha256
from gnas_export.accounts.step_changes import step_changes
from gnas_export.draft import Draft
from gnas_export.judging.quality import K
from gnas_export.package import PackedRanker
from gnas_export.steps.first_scores import first_scores
from gnas_search.bootstrap import intervals
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.provenance import Measured, Provenance
from gnas_serve.artifact.source_date import stated_time
from gnas_serve.artifact.store import canonical_json

_BASELINE = "baseline_"
_RIVALS = ("exact_retrieval", "popularity")


def described(draft: Draft, ranker: PackedRanker, folder: Path) -> Manifest:
    """Give the manifest of what ships, with its provenance and its scores; it has no version yet.

    Parameters
    ----------
    folder
        All files but the manifest.

    Raises
    ------
    ConfigError
        If ``SOURCE_DATE_EPOCH`` is malformed.
    """
    manifest = draft.manifest(draft.final, ranker)
    scores = first_scores(draft, folder, manifest)
    return replace(manifest, provenance=_provenance(draft, ranker), scores=scores, created=stated_time())


def _provenance(draft: Draft, ranker: PackedRanker) -> Provenance:
    checkpoint, tools = draft.checkpoint, installed_tools()
    config = _config(draft)
    return Provenance(
        hashes={
            "data": checkpoint.fingerprint,
            "config": hashlib.sha256(canonical_json(config)).hexdigest(),
            "lock": lock_sha256(tools),
            "code": running_code_sha256(),
        },
        config=config,
        lock=tools,
        seeds={"training": checkpoint.seed, "export": draft.seed, "split": checkpoint.config.split_seed},
        architecture={
            "spec": checkpoint.spec,
            "ranker": {
                "kind": ranker.facts.kind,
                "hidden": list(ranker.facts.hidden),
                "precision": ranker.facts.precision,
                "form": draft.form if draft.learned else ranker.facts.kind,
            },
        },
        data={"interactions": len(draft.final.seen.items), "gate_users": len(draft.jury.users)},
        metrics=_metrics(draft),
        baselines=_baselines(draft),
        steps=step_changes(draft),
    )


def _config(draft: Draft) -> dict[str, Any]:
    """Give what the export was asked for, in plain JSON values.

    The latency objective is left out: it is of the machine, and an export that meets it has the bytes of one without.
    """
    config = {"profile": draft.profile.to_json(), "ranker_mode": draft.mode}
    plain: dict[str, Any] = json.loads(canonical_json(config))
    del plain["profile"]["gates"]["max_p99_us"]
    return plain


def _metrics(draft: Draft) -> dict[str, Measured]:
    """Give the metrics of the manifest with their intervals over the gate users."""
    if not draft.metrics:
        return {}
    shipped = draft.measured["shipped"]
    users = {f"ndcg@{K}": shipped.ndcg, f"recall@{K}": shipped.recall}
    if draft.newcomer_metrics is not None:
        users[f"fold_in_ndcg@{K}"] = draft.newcomer_metrics.ndcg
    if draft.segment_metrics is not None:
        users[f"segment_ndcg@{K}"] = draft.segment_metrics.ndcg
    found = intervals(users, seed=draft.seed)
    return {name: Measured(value, found[name].low, found[name].high) for name, value in draft.metrics.items()}


def _baselines(draft: Draft) -> dict[str, dict[str, Measured]]:
    """Give what the shipped path was held against: the simple models, and retrieval without compression."""
    quality = draft.facts.get("quality", {})
    names = {name: name.removeprefix(_BASELINE) for name in quality if name.startswith(_BASELINE)}
    names |= {name: name for name in _RIVALS if name in quality and name not in names.values()}
    return {
        shown: {
            metric: Measured(*(float(quality[name][f"{metric}{end}"]) for end in ("", "_low", "_high")))
            for metric in (f"ndcg@{K}", f"recall@{K}")
        }
        for name, shown in names.items()
    }
