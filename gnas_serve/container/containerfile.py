"""The text that an image is built from, and what stands in it: where things lie, as whom it runs, what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gnas_serve.errors import ConfigError

HOME = "/opt/gnas-serve"
BENTO = f"{HOME}/bento"
BILL = f"{HOME}/sbom.cdx.json"
USER = 65532  # "nonroot" of many lean images; a number, so that Kubernetes can tell that it is not root
PORTS = (3000, 3001)
PIP_SECRET = "pip"  # noqa: S105  # its name, no secret
# All that a server writes while it runs: everything else may be read-only.
SCRATCH = "/tmp"  # noqa: S108  # of the container
VARIABLES: Mapping[str, str] = {
    "BENTOML_CONTAINERIZED": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "BENTOML_HOME": f"{SCRATCH}/bentoml",  # the metrics of the workers are mapped files there
    "BENTOML_HOST": "0.0.0.0",  # noqa: S104  # a container listens everywhere
    "BENTOML_PORT": str(PORTS[0]),
    "HOME": SCRATCH,
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
# CUDA's libraries, of wheels that lie beside each other: `nvidia/cu13/lib`, `nvidia/cudnn/lib` and so on.
_CUDA_LIBRARIES = f"{HOME}/cuda"
_GPU_VARIABLES = {
    "GNAS_PROVIDER": "cuda",
    "LD_LIBRARY_PATH": _CUDA_LIBRARIES,
    "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    "NVIDIA_VISIBLE_DEVICES": "all",
}
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d+)?/)?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(rf"{_DOMAIN}{_PATH}(?:/{_PATH})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Recipe:
    """What an image is to be.

    Attributes
    ----------
    base_image
        Has Python with pip, in the version that the packages are for.
    labels
        What it says about itself.
    variables
        Of its environment, beside :data:`VARIABLES`.
    gpu
        Whether it has the ONNX Runtime with CUDA.
    """

    base_image: str
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    gpu: bool = False


def check_reference(reference: str, option: str) -> str:
    """Make sure that a text can be the name of an image.

    Raises
    ------
    ConfigError
        If it cannot.
    """
    if not _REFERENCE.fullmatch(reference):
        raise ConfigError(
            f"{option} {reference!r} is no name of an image",
            hint="give [REGISTRY/]NAME[:TAG] with a name in lower-case letters, such as registry.example.com/shop:1",
            code="invalid_image",
        )
    return reference


def containerfile(recipe: Recipe) -> str:
    """Write the Containerfile for a folder that :func:`gnas_serve.container.context.write_context` fills.

    Raises
    ------
    ConfigError
        If the base image is none, or a label or variable has a name or value that cannot stand there.
    """
    check_reference(recipe.base_image, "--base-image")
    variables = {**VARIABLES, **(_GPU_VARIABLES if recipe.gpu else {}), **recipe.variables}
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a variable", hint="build the Bento anew")
    environment = "".join(f" \\\n    {name}={_quoted(value)}" for name, value in sorted(variables.items()))
    labels = "".join(f" \\\n    {_quoted(name)}={_quoted(value)}" for name, value in sorted(recipe.labels.items()))
    check = [f"{HOME}/venv/bin/python", "-I", "-S", f"{HOME}/healthcheck.py"]
    start = [f"{HOME}/venv/bin/bentoml", "serve", BENTO]
    return f"""\
# Made by gnas-serve. In this folder: docker build --file Containerfile --tag NAME . (or podman, or buildah; these two
# with --format docker, as images in the OCI's format have no health check).
# Settings of pip, such as an index of your own, come as a secret, in no layer: --secret id={PIP_SECRET},src=pip.conf
ARG BASE_IMAGE={recipe.base_image}

FROM ${{BASE_IMAGE}} AS packages
COPY requirements.txt constraints.txt /context/
# Wheels alone: nothing is compiled. Bytecode is made once all files are there, and trusts them whatever their times:
# a server that may write nowhere could not make it, and would read all sources anew at each start. A source that does
# not compile, as packages may have for other Pythons, is none that serving loads.
RUN --mount=type=secret,id={PIP_SECRET},target=/run/secrets/{PIP_SECRET} \\
    python3 -m venv --without-pip {HOME}/venv \\
    && PIP_CONFIG_FILE=/run/secrets/{PIP_SECRET} python3 -m pip --python {HOME}/venv/bin/python install \\
    --no-cache-dir --no-compile --only-binary :all: --disable-pip-version-check --progress-bar off \\
    --requirement /context/requirements.txt --constraint /context/constraints.txt \\
    && {{ {HOME}/venv/bin/python -m compileall -qq --invalidation-mode unchecked-hash {HOME}/venv/lib \\
    || true; }}{_cuda(recipe)}
COPY bento/src/gnas_serve {BENTO}/src/gnas_serve
COPY bill.py facts.json /context/
RUN {HOME}/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash {BENTO}/src \\
    && {HOME}/venv/bin/python -I /context/bill.py /context/facts.json {HOME}/venv/lib/python3*/site-packages {BILL}

FROM ${{BASE_IMAGE}}
# From what changes least to what changes most: a new model in an old image's place is a few small layers.
{_copies(recipe)}COPY healthcheck.py {HOME}/healthcheck.py
COPY --from=packages {BENTO} {BENTO}
COPY --from=packages {BILL} {BILL}
COPY bento/src/build {BENTO}/src/build
COPY bento/README.md bento/bento.yaml {BENTO}/
ENV PATH="{HOME}/venv/bin:${{PATH}}"{environment}
LABEL{labels}
WORKDIR {HOME}
EXPOSE {" ".join(map(str, PORTS))}
USER {USER}:{USER}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD {json.dumps(check)}
ENTRYPOINT {json.dumps(start)}
CMD []
"""


def _cuda(recipe: Recipe) -> str:
    """Gather the libraries of all wheels of CUDA in one folder, by links."""
    if not recipe.gpu:
        return ""
    libraries = f"{HOME}/venv/lib/python3*/site-packages/nvidia/*/lib/*.so*"
    return f" \\\n    && mkdir {_CUDA_LIBRARIES} && ln -s {libraries} {_CUDA_LIBRARIES}/"


def _copies(recipe: Recipe) -> str:
    folders = [f"{HOME}/venv", *([_CUDA_LIBRARIES] if recipe.gpu else [])]
    return "".join(f"COPY --from=packages {folder} {folder}\n" for folder in folders)


def _quoted(text: str) -> str:
    """Write a text as one word of a Containerfile.

    Raises
    ------
    ConfigError
        If it has several lines, or other control characters.
    """
    if not text.isprintable():
        raise ConfigError(f"{text!r} cannot stand in an image's labels", hint="give plain text of one line")
    escaped = re.sub(r'(["\\$])', r"\\\1", text)
    return f'"{escaped}"'
