"""The command line many times over, each in a process of its own, without paying for large imports each time.

As a program, ``python forked_cli.py MODULE:MAIN MODULE...``: imports those once, computes nothing, and becomes
the command in a fork for each line of JSON that it reads.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
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
    """Runs commands; a context manager.

    Parameters
    ----------
    modules
        What the commands would import.
    main
        Of another program than `gnas-serve`: a function of its arguments.
    """

    def __init__(self, *modules: str, main: str = "gnas_serve.cli.app:main") -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, main, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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


def _become(main: Callable[[list[str]], None], request: dict[str, Any]) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(request["written"], name), os.O_WRONLY | os.O_CREAT), number)  # noqa: PTH118
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    main(request["arguments"])
    raise SystemExit(0)


if __name__ == "__main__":
    name, _, function = sys.argv[1].partition(":")
    main = getattr(importlib.import_module(name), function)
    for module in sys.argv[2:]:
        importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _become(main, json.loads(line))
            except SystemExit as ended:
                status = int(ended.code or 0)
            except BaseException:  # noqa: BLE001  # nothing may go back into the loop of the parent
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
