"""`gnas-serve containerize`: a Bento as a container image."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gnas_serve.cli.arguments import output_path
from gnas_serve.cli.console import Output, OutputOption, diagnostics, emit


class EngineName(StrEnum):
    """What builds the image."""

    auto = "auto"
    buildah = "buildah"
    docker = "docker"
    podman = "podman"


class Flavour(StrEnum):
    """Which ONNX Runtime is in the image."""

    cpu = "cpu"
    gpu = "gpu"


def containerize(
    tag: Annotated[str, typer.Argument(metavar="BENTO_TAG", help="Tag of a Bento, as `gnas-serve build` prints it.")],
    image_tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:VERSION", help="Name of the image, more than once for more; the Bento's tag when not given."
        ),
    ] = None,
    base_image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="What it is built on: has Python and pip. The slim image of this Python when not given.",
        ),
    ] = None,
    flavour: Annotated[Flavour, typer.Option(help="gpu: with onnxruntime-gpu, CUDA and cuDNN.")] = Flavour.cpu,
    engine: Annotated[
        EngineName, typer.Option(help="auto: the first that works of docker, podman and buildah.")
    ] = EngineName.auto,
    pip_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A pip.conf for the build, such as an index of your own; it stays in no layer."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A further label; more than once for more.")
    ] = None,
    engine_option: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="A further word for the engine's build: --engine-option=--network=host"),
    ] = None,
    context: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            parser=output_path,
            help="Write what it is built from into a new folder, and build nothing.",
        ),
    ] = None,
    output: OutputOption = Output.text,
) -> None:
    """Make a container image of a Bento: lean, without torch, compilers or root, all of it read-only but /tmp.

    Needs docker, podman or buildah; --context FOLDER needs none.
    """
    from gnas_serve.container.containerfile import check_reference
    from gnas_serve.container.context import recipe_of
    from gnas_serve.container.engines import ENGINES, choose_engine
    from gnas_serve.container.image import Build, build_image, keep_context, shown
    from gnas_serve.errors import ConfigError
    from gnas_serve.service.bundle import find_bento

    bento = find_bento(tag)
    if bento is None:
        raise ConfigError(
            f"{tag!r} is not the tag of a Bento",
            hint="give what `gnas-serve build ARTIFACT` printed; `bentoml list` shows all",
            code="not_found",
        )
    names = tuple(check_reference(name, "--image-tag") for name in image_tag or [bento.tag])
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    base = check_reference(base_image or f"docker.io/library/python:{python}-slim", "--base-image")
    further = _labels(label or [])
    # With a context it is for the command that is shown: nothing is run.
    shown_engine = EngineName.docker if engine is EngineName.auto else engine
    chosen = choose_engine(engine) if context is None else ENGINES[shown_engine]
    build = Build(chosen, names, pip_config, tuple(engine_option or ()))
    build.check()
    recipe = recipe_of(bento, base, further, gpu=flavour is Flavour.gpu)
    facts = {"bento": bento.tag, "images": list(names), "base_image": base, "flavour": flavour.value}
    if context is not None:
        command = shown(build.command(bento, context.absolute()))
        keep_context(bento, recipe, context)
        emit({**facts, "context": str(context), "command": command}, f"{context}\nnext: {command}", output)
        return
    console = diagnostics()
    identity = build_image(bento, recipe, build, console.print)
    gpus = "--gpus all " if flavour is Flavour.gpu else ""
    run = f"{chosen.name} run {gpus}--read-only --tmpfs /tmp -p 3000:3000 -p 3001:3001 {names[0]}"
    following = "" if chosen.name == "buildah" else f"\nnext: {run}"
    emit({**facts, "engine": chosen.name, "id": identity}, "\n".join(names) + following, output)


def _labels(given: list[str]) -> dict[str, str]:
    from gnas_serve.errors import ConfigError

    found = {}
    for text in given:
        name, is_there, value = text.partition("=")
        if not is_there:
            raise ConfigError(f"--label {text!r} has no value", hint="give --label NAME=VALUE")
        found[name] = value
    return found
