"""`gnas-serve containerize` for tests, where it finds no engine but theirs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from forked_cli import Ended, ForkedCli


class Command:
    """Runs the command where no program is found but those of a folder."""

    def __init__(self, cli: ForkedCli, home: Path, folder: Path) -> None:
        self._cli = cli
        self.programs = folder / "programs"
        self.programs.mkdir(exist_ok=True)
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
        self.environment = {**kept, "BENTOML_HOME": str(home), "PATH": str(self.programs)}

    def __call__(self, *arguments: object, **variables: str) -> Ended:
        words = ["containerize", *map(str, arguments)]
        done = self._cli.run(words, self._folder, {**self.environment, **variables})
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def result(self, *arguments: object, **variables: str) -> dict[str, Any]:
        done = self(*arguments, "--output", "json", **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]
