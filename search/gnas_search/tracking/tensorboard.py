"""TensorBoard: a folder of event files per run; needs the [tensorboard] extra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from gnas_search.tracking.tracker import Run, RunLog, Tracker


class TensorboardLogs:
    """Event files for ``tensorboard --logdir FOLDER``.

    Parameters
    ----------
    folder
        Gets a folder per run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, run: Run) -> RunLog:
        """Begin the event file of a run."""
        return _EventFile(self._folder, run)


class _EventFile:
    def __init__(self, folder: Path, run: Run) -> None:
        self._run = run
        self._writer = SummaryWriter(str(folder / run.name))

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, results: Mapping[str, float], state: str, reason: str) -> None:
        for name, value in results.items():
            self._writer.add_scalar(name, value, 0)
        # Into the same file: add_hparams would make another run of it.
        settings = {"kind": self._run.kind, **self._run.traits, "state": state}
        file = self._writer._get_file_writer()  # type: ignore[no-untyped-call]
        for summary in hparams(settings, dict(results)):  # type: ignore[no-untyped-call]
            file.add_summary(summary)
        if reason:
            self._writer.add_text("failed", reason)
        self._writer.close()


class TensorboardTracker(Tracker):
    """Follows a search for TensorBoard.

    Parameters
    ----------
    folder
        For ``tensorboard --logdir``.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("TensorBoard", TensorboardLogs(folder))
