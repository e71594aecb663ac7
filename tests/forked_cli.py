"""The command line many times over, each in a process of its own, without paying for BentoML's import each time.

As a program: imports it once, and becomes the command in a fork for each line of JSON that it reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class ForkedCli:
    """Runs commands; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> ForkedCli:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.communicate()

    def run(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as written:
            request = {"arguments": arguments, "folder": str(folder), "environment": environment, "written": written}
            print(json.dumps(request), file=self._process.stdin, flush=True)
            code = int(self._process.stdout.readline())
            return Ended(code, *(Path(written, name).read_text() for name in ("stdout", "stderr")))


def _become(request: dict[str, Any]) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(request["written"], name), os.O_WRONLY | os.O_CREAT), number)  # noqa: PTH118
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    main(request["arguments"])


if __name__ == "__main__":
    import bentoml

    import gnas_serve.container.image  # noqa: F401
    from gnas_serve.cli.app import main

    bentoml.bentos.get  # noqa: B018  # it is lazy: its import is what takes long

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _become(json.loads(line))
            except SystemExit as ended:
                status = int(ended.code or 0)
            except BaseException:  # noqa: BLE001  # nothing may go back into the loop of the parent
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
