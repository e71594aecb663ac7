"""What a Bento's image holds: a slim Python and the pinned packages that serving needs, nothing else."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from bentoml.images import Image

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
# The GPU flavour is four times the size and runs the CPU provider at the same speed: images take the plain one
# in the version of whichever is installed here.
_SAME_VERSION = {"onnxruntime": "onnxruntime-gpu"}


def lean_image() -> Image:
    """Describe the image: unlocked but fully pinned, on the slim image of the Python that is running.

    Raises
    ------
    MissingExtraError
        If a package that would be pinned is not installed.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    # distro="none": BentoML's own set-up of a Debian image installs compilers and doubles its size.
    image = Image(base_image=f"python:{python}-slim", distro="none", lock_python_packages=False)
    return image.python_packages(*(f"{name}=={_installed(name)}" for name in PACKAGES))


def _installed(name: str) -> str:
    for candidate in (name, _SAME_VERSION.get(name, name)):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    raise MissingExtraError(f"{name} is not installed", hint="pip install gnas-serve")
