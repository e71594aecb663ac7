"""How the tests interrupt exports: in this process before a step, or for real by a signal to the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from export_runs import PROFILE, run

from gnas_export.pipeline import PACKAGE, STEPS
from gnas_export.work.workbook import Workbook

KEY = {"of": "the tests"}
NAMES = [step.__name__ for step in STEPS]
ALL = [*NAMES, PACKAGE]


class Kept:
    """One export with its work folder: what ran of it, and what was said."""

    def __init__(self, checkpoint, out, profile=PROFILE, *, stop=None, fresh=False, key=KEY, **options):
        self.ran, self.said, self.warned, self.made = [], [], [], None

        def on_step(name):
            self.ran.append(name)
            if name == stop:
                raise KeyboardInterrupt

        with Workbook.opened(out, key, fresh=fresh, say=self.said.append, warn=self.warned.append) as book:
            self.folder = book.folder
            try:
                self.made = run(checkpoint, out, profile, on_step=on_step, workbook=book, **options)
            except KeyboardInterrupt:
                assert stop is not None
        if self.ran[-1:] == [stop]:
            self.ran.pop()  # it was announced, and did not run


def command(*arguments):
    return [sys.executable, "-P", "-m", "gnas_serve.cli", *map(str, arguments)]


def signalled(arguments, phrase: str, number: signal.Signals) -> tuple[int, str]:
    """Run a command until it says a phrase on stderr, and send it a signal then."""
    process = subprocess.Popen(
        command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=dict(os.environ)
    )
    lines = []
    try:
        for line in process.stderr:
            lines.append(line)
            if phrase in line:
                process.send_signal(number)
                break
        lines.append(process.communicate(timeout=120)[1])
    finally:
        process.kill()
        process.wait()
    return process.returncode, "".join(lines)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
