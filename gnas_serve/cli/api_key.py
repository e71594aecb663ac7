"""`gnas-serve api-key`: a key for a caller of the service."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from gnas_serve.cli.console import Output, OutputOption, emit
from gnas_serve.errors import ConfigError


def api_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the caller: letters, digits and . _ @ -")],
    output: OutputOption = Output.text,
) -> None:
    """Draw a key for a caller, and print it with the line to add to the file that GNAS_API_KEYS names.

    The key is shown this once and kept nowhere: the line holds its hash.
    """
    from gnas_serve.service.auth import digest_of, new_key

    if not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", name):
        raise ConfigError(f"{name!r} is no name for a caller", hint="give 1 to 64 letters, digits and . _ @ -")
    key = new_key()
    line = f"{name} {digest_of(key)}"
    emit({"name": name, "key": key, "line": line}, f"key, for the caller: {key}\nline, for the file: {line}", output)
