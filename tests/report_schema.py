"""The published schema of an export's report, for tests of what is in one."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator


def faults(report: dict[str, Any]) -> list[str]:
    """Say where a report is not what the schema says."""
    schema = json.loads((files("gnas_export") / "report" / "report.schema.json").read_text(encoding="utf-8"))
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(report)]
