"""What a command shows: its one result on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType


class Output(StrEnum):
    """The form of a command's result."""

    text = "text"
    json = "json"


OutputOption = Annotated[Output, typer.Option("--output", help="Form of the result on stdout.")]


def diagnostics() -> Console:
    """Give the console for progress, warnings and logs (stderr)."""
    return Console(stderr=True, soft_wrap=not sys.stderr.isatty())


def emit(result: dict[str, Any], text: RenderableType, output: Output) -> None:
    """Print the result of a command: one JSON object, or the same for people."""
    if output is Output.json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, allow_nan=False) + "\n")
        sys.stdout.flush()
    else:
        Console(soft_wrap=not sys.stdout.isatty()).print(text, highlight=False)


def warn(message: str) -> None:
    """Say something odd that does not stop the work."""
    diagnostics().print(f"[yellow]warning:[/yellow] {message}", highlight=False)
