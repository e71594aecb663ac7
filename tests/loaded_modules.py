"""What a command loads, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

_SCRIPT = """
import json, sys
from gnas_serve.cli.app import main

first = None
for number, arguments in enumerate(json.loads(sys.argv[2])):
    try:
        main(arguments)
    except SystemExit as ended:
        assert ended.code == 0, (arguments, ended.code)
    if sys.argv[1] in sys.modules:
        first = number
        break
print(json.dumps(first), file=sys.stderr)
"""


def first_to_load(module: str, *commands: tuple[object, ...]) -> int | None:
    """Run commands one after the other in one process; give the place of the first that loaded a module, if any did."""
    asked = json.dumps([[str(argument) for argument in command] for command in commands])
    ended = subprocess.run([sys.executable, "-c", _SCRIPT, module, asked], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found: int | None = json.loads(ended.stderr.splitlines()[-1])
    return found
