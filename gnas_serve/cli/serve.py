"""`gnas-serve build` and `serve`: an artifact as a Bento, and as a running server."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnas_serve.cli.console import Output, OutputOption, emit, warn

if TYPE_CHECKING:
    from gnas_serve.service.launch import Doors, Server, Target
    from gnas_serve.service.settings import Stated

_HANGUP = getattr(signal, "SIGHUP", None)
_SIGNALS = (signal.SIGTERM, signal.SIGINT, *([] if _HANGUP is None else [_HANGUP]))


def build(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="Folder of an exported artifact.")],
    tag: Annotated[
        str | None,
        typer.Option(metavar="NAME:VERSION", help="Tag of the Bento; the artifact's name and version when not given."),
    ] = None,
    output: OutputOption = Output.text,
) -> None:
    """Make a Bento of an artifact, in BentoML's store; one that holds the same artifact already is kept."""
    from gnas_serve.artifact.layout import LAYOUT
    from gnas_serve.service.bundle import build_bento
    from gnas_serve.service.requirements import other_versions

    bento = build_bento(artifact, tag)
    for name, (listed, given) in other_versions(artifact / LAYOUT.sbom).items():
        warn(f"the artifact's bill of materials lists {name} {listed}, this Bento has {given}: export where you build")
    kept = "" if bento.is_new else f" (already built; to build it anew, first: bentoml delete {bento.tag})"
    following = f"next: gnas-serve serve {bento.tag}   or: gnas-serve containerize {bento.tag}"
    text = f"{bento.tag}{kept}\n{bento.path}\n{following}"
    emit({"tag": bento.tag, "path": str(bento.path), "built": bento.is_new}, text, output)


def serve(
    target: Annotated[str, typer.Argument(metavar="ARTIFACT|BENTO_TAG", help="An artifact's folder or a Bento's tag.")],
    http_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the HTTP door.")] = 3000,
    grpc_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Port of the gRPC door.", show_default="GNAS_GRPC_PORT, else 3001"),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="IP address to listen on; 0.0.0.0 for every one.",
            show_default="127.0.0.1; of the gRPC door GNAS_GRPC_HOST, else the same",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Processes that share both ports.", show_default="GNAS_WORKERS, else 1"),
    ] = None,
    output: OutputOption = Output.text,
) -> None:
    """Serve an artifact or a Bento over HTTP and gRPC, until Ctrl-C or SIGTERM; both drain. SIGHUP: read it again.

    What is on stdout says that both doors are ready, where they are and what is served; the server's log is on stderr.
    """
    from types import FrameType

    from gnas_serve.cli.terminal import Terminal
    from gnas_serve.service.launch import Server, find_target
    from gnas_serve.service.settings import Settings, stated

    made = stated()
    doors = doors_of(made, host, http_port, grpc_port, workers)
    doors.check()
    found = find_target(target, verify=made["verify"].value if "verify" in made else Settings.verify)
    _warn_of_another(made.get("artifact"), found)
    server = Server(found, doors)
    terminal = Terminal()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        # The server is in a session of its own, and must not outlive the terminal that started it.
        if number == _HANGUP and not terminal.is_gone():
            server.renew()
        else:
            server.stop()

    previous = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        with server:
            if server.wait_until_ready():
                _tell(server, output)
            server.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def doors_of(
    made: Mapping[str, Stated], host: str | None, http_port: int, grpc_port: int | None, workers: int | None
) -> Doors:
    """Give the doors: a flag that is given has the last word, then come the settings that were made."""
    from gnas_serve.service.launch import Doors

    def said(name: str, flag: int | str | None, default: Any) -> Any:
        if flag is not None:
            return flag
        return made[name].value if name in made else default

    return Doors(
        Doors.host if host is None else host,
        http_port,
        said("grpc_port", grpc_port, Doors.grpc_port),
        said("workers", workers, Doors.workers),
        said("grpc_host", host, None),
    )


def _warn_of_another(setting: Stated | None, found: Target) -> None:
    if setting is not None and setting.value.resolve() != found.artifact.resolve():
        warn(f"{setting.where}={setting.value} is passed over: what is named on the command line is served")


def _tell(server: Server, output: Output) -> None:
    """Say that both doors are ready, and what is served: of versions, what their deployment says."""
    from gnas_serve.cli.served_versions import served_artifact, served_versions

    target, doors, versions = server.target, server.doors, server.settings.versions
    served = served_artifact(target.manifest) if versions is None else served_versions(versions, target.artifact)
    if served.warning is not None:
        warn(served.warning)
    text = f"serving {served.text}: {doors.url} and gRPC {doors.grpc_target}"
    emit({"http": doors.url, "grpc": doors.grpc_target, **served.fields}, text, output)
