"""The packages that a Bento is given, pinned to what is installed here; no import of BentoML, which takes a second."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from gnas_serve.errors import MissingExtraError

# BentoML adds itself. The command line's own packages (typer, rich) stay out, as the command line does.
PACKAGES = (
    "faiss-cpu",
    "grpcio",
    "grpcio-health-checking",
    "grpcio-reflection",
    "httptools",
    "numpy",
    "onnxruntime",
    "prometheus-client",
    "protobuf",
    "pydantic",
    "uvloop",
)
SHIPPED = ("bentoml", *PACKAGES)  # with what it adds: all that a Bento requires
# The GPU flavour is four times the size and runs the CPU provider at the same speed: images take the plain one
# in the version of whichever is installed here.
_SAME_VERSION = {"onnxruntime": "onnxruntime-gpu"}


def pinned(*names: str) -> dict[str, str]:
    """Give the version of some packages as an image is given them.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    return {name: _installed(name) for name in names}


def _installed(name: str) -> str:
    for candidate in (name, _SAME_VERSION.get(name, name)):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    raise MissingExtraError(f"{name} is not installed", hint="pip install gnas-serve")
