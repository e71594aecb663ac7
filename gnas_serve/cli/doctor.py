"""`gnas-serve doctor`: what is here to serve with."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from gnas_serve.cli.check import Check
from gnas_serve.cli.console import Output, OutputOption, emit
from gnas_serve.errors import MissingExtraError

_STYLES = {"ok": "green", "warning": "yellow", "missing": "bold red"}


def doctor(
    http_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port that the HTTP door is to have.")] = 3000,
    grpc_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port that the gRPC door is to have.")] = 3001,
    output: OutputOption = Output.text,
) -> None:
    """Look at what is here to serve with: packages, ONNX Runtime, kernels, cores, memory, ports, what builds images.

    Nothing is changed, and nothing is asked of the network. Where something is missing to serve, this ends with exit 9.
    """
    from gnas_serve.cli import installation, machine

    checks = (
        machine.check_python(),
        installation.check_packages(),
        installation.check_onnx_runtime(),
        installation.check_kernels(),
        installation.check_extras(),
        machine.check_threads(),
        machine.check_memory(),
        machine.check_temporary(),
        machine.check_ports(http_port, grpc_port),
        machine.check_store(),
        machine.check_builders(),
    )
    missing = [check for check in checks if check.state == "missing"]
    result = {"can_serve": not missing, "checks": {check.name: check.to_json() for check in checks}}
    emit(result, _table(checks), output)
    if missing:
        raise MissingExtraError(
            f"nothing can be served here: {'; '.join(f'{check.name}: {check.said}' for check in missing)}",
            hint="; ".join(check.hint for check in missing),
            code="cannot_serve",
        )


def _table(checks: tuple[Check, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    for check in checks:
        table.add_row(Text(check.state, _STYLES[check.state]), check.name, check.said)
        if check.hint:
            table.add_row("", "", Text(check.hint, "dim"))
    return table
