"""`gnas-serve schema`: the published form of what other programs read."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Annotated

import typer

from gnas_serve.cli.console import Output, OutputOption, emit
from gnas_serve.errors import unknown_name

SCHEMAS = {"report": ("gnas_export", "report/report.schema.json")}
"""Name -> package and file. The file is read as data: no extra is needed for it."""


def schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="report: the report.json of an export.")],
    output: OutputOption = Output.text,
) -> None:
    """Print the JSON schema (draft 2020-12) of a file that gnas-serve writes."""
    if name not in SCHEMAS:
        raise unknown_name("schema", name, SCHEMAS)
    package, file = SCHEMAS[name]
    text = (files(package) / file).read_text(encoding="utf-8")
    emit(json.loads(text), text.rstrip("\n"), output)
