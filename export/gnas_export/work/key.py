"""What the bytes of an export rest on: work that was kept under one key is of no use under another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from gnas_export.accounts.inventory import host_facts, running_code_sha256
from gnas_export.decisions import Decisions
from gnas_export.profile import ExportProfile
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.artifact.store import MANIFEST, canonical_json

WorkKey = dict[str, str]


def work_key(
    checkpoint: Path,
    profile: ExportProfile,
    *,
    ranker: str,
    seed: int,
    decisions: Decisions,
    content_before: ContentFacts | None = None,
) -> WorkKey:
    """Hash everything that decides what an export makes, part by part, so that it can be said what changed.

    Parameters
    ----------
    checkpoint
        A folder that was read and verified.
    ranker, seed, decisions, content_before
        As :func:`gnas_export.pipeline.export` takes them.
    """
    host = host_facts()
    parts: dict[str, Any] = {
        "checkpoint": json.loads((checkpoint / MANIFEST).read_bytes())["digest"],
        "profile": profile.to_json(),
        "ranker mode": ranker,
        "seed": seed,
        "decisions": decisions.to_json(),
        "content encoder of the model before": None if content_before is None else content_before.to_json(),
        "version of gnas-serve": running_code_sha256(),
        "versions of its tools": {name: host[name] for name in ("python", "machine", "tools")},
    }
    return {name: hashlib.sha256(canonical_json(part)).hexdigest() for name, part in parts.items()}
