"""The packages that a Bento is given, pinned to what is installed here; no import of BentoML, which takes a second."""

from __future__ import annotations

import contextlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gnas_serve.errors import MissingExtraError

# BentoML adds itself. The command line's own packages (typer, rich) stay out, as the command line does.
PACKAGES = (
    "cryptography",
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
    "pyjwt",
    "uvloop",
)
SHIPPED = ("bentoml", *PACKAGES)  # with what it adds: all that a Bento requires
OPTIONAL = ("opentelemetry-exporter-otlp-proto-http",)  # a Bento gets it where the extra [tracing] is installed
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


def optional() -> dict[str, str]:
    """Give the version of each of :data:`OPTIONAL` that is installed here."""
    found = {}
    for name in OPTIONAL:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def other_versions(bill: Path) -> dict[str, tuple[str, str]]:
    """Compare the packages of an artifact's bill of materials with those that a Bento would be given here.

    Returns
    -------
    dict
        Of those that differ: name -> the version in the bill, the version here. Empty where there is no bill: artifacts
        before format version 3 have none.
    """
    if not bill.is_file():
        return {}
    components = json.loads(bill.read_bytes())["components"]
    listed = {one["name"]: one["version"] for one in components if one.get("purl", "").startswith("pkg:pypi/")}
    here = pinned(*SHIPPED)
    return {name: (said, here[name]) for name, said in listed.items() if here.get(name, said) != said}


def _installed(name: str) -> str:
    for candidate in (name, _SAME_VERSION.get(name, name)):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    raise MissingExtraError(f"{name} is not installed", hint="pip install gnas-serve")
