"""Weights & Biases: a run per model, grouped by study; needs the [wandb] extra."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from gnas_search.study.records import MEASURED_STATES
from gnas_search.tracking.tracker import Run, RunLog, Tracker
from gnas_serve.errors import ConfigError


class WandbLogs:
    """Runs of a project.

    Parameters
    ----------
    project
        Its name.
    study
        Folder of the study: its name is the group of the runs, and their files lie in it, in ``wandb/``, unless
        ``WANDB_DIR`` says otherwise.

    Raises
    ------
    ConfigError
        If it is to send the runs and knows no key to do so with.
    """

    def __init__(self, project: str, study: Path) -> None:
        self._project = project
        self._study = study
        # Asked now and without a prompt: in the midst of a search there is nobody to answer.
        if wandb.setup().settings.mode in ("online", "run", "shared") and not wandb.login(prompt=False):
            raise ConfigError(
                "--wandb: no API key of Weights & Biases is configured",
                hint="run `wandb login`, or set WANDB_MODE=offline and `wandb sync` later",
                code="no_api_key",
            )

    def open(self, run: Run) -> RunLog:
        """Begin a run."""
        return _WandbRun(
            wandb.init(
                project=self._project,
                group=self._study.absolute().name,
                job_type=run.kind,
                name=run.name,
                config={"kind": run.kind, **run.traits},
                dir=os.environ.get("WANDB_DIR", str(self._study)),
                reinit="create_new",
                settings=wandb.Settings(console="off", silent=True),
            )
        )


class _WandbRun:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self, results: Mapping[str, float], state: str, reason: str) -> None:
        self._run.summary.update({**results, "state": state, **({"reason": reason} if reason else {})})
        self._run.finish(exit_code=0 if state in MEASURED_STATES else 1)


class WandbTracker(Tracker):
    """Follows a search for Weights & Biases.

    Parameters
    ----------
    project
        Its name.
    study
        Folder of the study.
    """

    def __init__(self, project: str, study: Path) -> None:
        super().__init__("Weights & Biases", WandbLogs(project, study))
