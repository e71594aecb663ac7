"""The report of an export: what was measured, decided and refused, with times and facts of the host."""

from __future__ import annotations

from typing import Any

from gnas_export.accounts.inventory import host_facts
from gnas_export.draft import Draft
from gnas_serve.errors import GnasError
from gnas_serve.network_guard import NetworkGuard

SCHEMA = "gnas-serve/export-report/1"
"""What a report says of its own form: ``report.schema.json`` beside this module, `gnas-serve schema report`."""


def build_report(
    draft: Draft,
    steps: list[dict[str, Any]],
    shipped: dict[str, Any],
    error: GnasError | None,
    guard: NetworkGuard | None = None,
) -> dict[str, Any]:
    """Assemble the report.

    Parameters
    ----------
    steps
        ``{"name", "seconds"}`` of every step, ``"resumed"`` beside it where an interrupted export had run it, then.
    shipped
        The artifact's version and file sizes; empty where none was made.
    error
        What ended the export, if anything did.
    guard
        Of the network, where the export was to do without.
    """
    return {
        "schema": SCHEMA,
        "passed": error is None,
        "error": None if error is None else {"code": error.code, "message": error.message, "hint": error.hint},
        "checkpoint": {
            "name": draft.checkpoint.name,
            "fingerprint": draft.checkpoint.fingerprint,
            "finetuned_from": draft.checkpoint.finetuned_from,
        },
        "profile": draft.profile.to_json(),
        "candidates": draft.candidates,
        "ranker_mode": draft.mode,
        "seed": draft.seed,
        "gates": [gate.to_json() for gate in (*draft.binding_gates(), *draft.host_gates)],
        "ranker_gates": [gate.to_json() for gate in draft.ranker_gates],
        "decisions": draft.decisions.to_json()["decisions"],
        "metrics": draft.metrics,
        "steps": steps,
        "facts": draft.facts,
        "artifact": shipped,
        "connections": {"offline": False} if guard is None else guard.to_json(),
        "host": host_facts(),
    }
