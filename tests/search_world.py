"""A small space, the command line called in this process, and what it printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gnas_serve.cli.app import main

SPACE = """
[genes]
num_layers = [1, 2]
operator = ["gcn", "lightgcn"]
learning_rate = { low = 0.003, high = 0.03, log = true }
[fixed]
embedding_dim = 8
num_negatives = 32
batch_size = 64
epochs = 2
[[start]]
layers = ["lightgcn"]
edges = "target"
[filter.genes]
user_power = [0.25, 0.5]
strength = { low = 0.5, high = 5.0 }
[filter.fixed]
response = "ridge"
rank = 16
[[filter.start]]
user_power = 0.5
strength = 1.0
[two-hop.genes]
source_power = { low = 0.0, high = 1.0 }
[[two-hop.start]]
source_power = 0.5
"""
TRIALS = 8

Gnas = Callable[..., tuple[int, str, str]]


def run(*arguments: object) -> int:
    """Call a command; give its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def calling(capsys: pytest.CaptureFixture[str]) -> Gnas:
    """Give a function that calls a command: exit code, stdout, and stderr as one line."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(*arguments)
        printed = capsys.readouterr()
        return code, printed.out, " ".join(printed.err.split())

    return call


def rows(output: str, *kinds: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(output)["rows"]
    return [row for row in found if row["kind"] in kinds] if kinds else found


def trials(output: str) -> list[dict[str, Any]]:
    return [row for row in rows(output) if row["trial"] is not None]
