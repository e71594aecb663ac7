"""`gnas-serve api-key`: a key for a caller of the service."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from gnas_serve.cli.console import Output, OutputOption, emit
from gnas_serve.errors import ConfigError


def api_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the caller: letters, digits and . _ @ -")],
    append: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Add the line to this file of keys, which is made where there is none, and print the key alone.",
        ),
    ] = None,
    output: OutputOption = Output.text,
) -> None:
    """Draw a key for a caller, and print it with the line for the file that GNAS_API_KEYS or GNAS_ADMIN_KEYS names.

    The key is shown this once and kept nowhere: the line holds its hash.
    """
    from gnas_serve.service.auth import digest_of, new_key

    if not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", name):
        raise ConfigError(f"{name!r} is no name for a caller", hint="give 1 to 64 letters, digits and . _ @ -")
    key = new_key()
    line = f"{name} {digest_of(key)}"
    text = f"key, for the caller: {key}\nline, for the file: {line}"
    if append is not None:
        _append(append, name, line)
        text = key
    emit({"name": name, "key": key, "line": line}, text, output)


def _append(path: Path, name: str, line: str) -> None:
    """Add a line to a file of keys; who else may read a file that was there already is its owner's to say."""
    from gnas_serve.artifact.store import storage_errors
    from gnas_serve.service.auth import digests_in

    with storage_errors(path):
        if path.exists() and name in digests_in(path):
            raise ConfigError(f"{path}: {name} has a key already", hint="give another name, or remove that line first")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            before = file.readall()
            end = b"" if not before or before.endswith(b"\n") else b"\n"
            file.write(end + line.encode() + b"\n")
