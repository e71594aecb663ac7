"""Runs a job of a GitHub Actions workflow as a runner does: its steps in order, by their own text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(vars|secrets)\.(\w+)\s*\}\}")


@dataclass(frozen=True)
class Job:
    """One job of a workflow file."""

    steps: list[dict[str, Any]]
    env: dict[str, str]

    @classmethod
    def read(cls, path: Path, name: str) -> Job:
        job = yaml.safe_load(path.read_text())["jobs"][name]
        return cls(job["steps"], job.get("env", {}))


@dataclass
class Outcome:
    """What came of a run: its steps' exit codes, what they said, and what was uploaded."""

    codes: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    uploaded: dict[str, bytes] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, int]:
        return {name: code for name, code in self.codes.items() if code}


def resolved(text: str, known: Mapping[str, Mapping[str, str]]) -> str:
    """Put variables and secrets in, empty where they are unset; other expressions are not understood."""
    filled = _EXPRESSION.sub(lambda found: known[found[1]].get(found[2], ""), text)
    assert "${{" not in filled, text
    return filled


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Give what a runner's shell sees: the installed commands, a store of its own, no setting of the machine's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GNAS_", "ORT_", "SOURCE_DATE"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "BENTOML_HOME": str(folder / ".bentoml"), "BENTOML_DO_NOT_TRACK": "True", **more}


def run_job(
    job: Job,
    folder: Path,
    *,
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
    excepted: set[str],
    beside: Mapping[str, Callable[[subprocess.Popen[str]], None]] | None = None,
) -> Outcome:
    """Run a job in a folder that was checked out.

    Parameters
    ----------
    excepted
        Names of steps, and actions, that are passed over; uploads are looked at. Any other action is an error.
    beside
        What is done while a step runs, by its name.
    """
    known = {"vars": variables, "secrets": secrets}
    outcome = Outcome()
    for step in job.steps:
        condition = step.get("if", "success()")
        assert condition in ("success()", "always()"), condition
        if outcome.failed and condition == "success()":
            continue
        action = step.get("uses", "").partition("@")[0]
        if action == "actions/upload-artifact":
            found = folder / step["with"]["path"]
            outcome.uploaded = {path.name: path.read_bytes() for path in found.rglob("*") if path.is_file()}
            continue
        if action or step["name"] in excepted:
            assert not action or action in excepted, action
            continue
        settings = {**job.env, **step.get("env", {})}
        process = subprocess.Popen(
            ["bash", "-e", "-c", step["run"]],
            cwd=folder,
            env=environment(folder, **{name: resolved(str(text), known) for name, text in settings.items()}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            (beside or {}).get(step["name"], lambda _process: None)(process)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        outcome.said[step["name"]], _ = process.communicate(timeout=400)
        outcome.codes[step["name"]] = process.returncode
    return outcome
