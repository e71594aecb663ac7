"""What is installed: the packages of serving and of each extra, and what ONNX Runtime really computes with."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gnas_serve.cli.check import Check
from gnas_serve.cli.extras import EXTRAS
from gnas_serve.errors import GnasError, IntegrityError
from gnas_serve.runtime.providers import CUDA, PROVIDERS
from gnas_serve.service.requirements import SHIPPED

# Both put their files into the same folder: whichever came last wins, and removing one breaks the other.
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
# Native code that an old system may refuse to load, though the package is there. (BentoML's import takes a second.)
_NATIVE = ("faiss", "grpc", "httptools", "numpy")


def check_packages() -> Check:
    """Find the packages that serving needs, in the versions that it was made for."""
    found = {name: _version(name) for name in (*SHIPPED, *RUNTIMES)}
    facts = {name: text for name, text in found.items() if text is not None}
    wanted = [name for name in SHIPPED if name not in RUNTIMES and not (name == "uvloop" and sys.platform == "win32")]
    wrong = {name: "is not installed" for name in wanted if found[name] is None}
    wrong |= {name: f"{found[name]} is not {asked}" for name, asked in _asked().items() if not _meets(name, asked)}
    for module in _NATIVE:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            wrong.setdefault(module, f"cannot be loaded: {error}")
    said = "; ".join(f"{name} {what}" for name, what in wrong.items())
    if wrong:
        return Check("packages", "missing", said, "pip install gnas-serve, into an environment of its own", facts)
    return Check("packages", "ok", f"all {len(wanted)} that serving needs beside ONNX Runtime", facts=facts)


def check_onnx_runtime() -> Check:
    """Open a session as serving does, calculate with it, and read what it runs on.

    ``get_available_providers`` lists what a wheel was built with, whether or not it works here: what a session has
    once it is made is what counts.
    """
    installed = {name: text for name in RUNTIMES if (text := _version(name)) is not None}
    facts: dict[str, Any] = {"installed": installed, "available": [], "active": [], "cuda": False}
    try:
        import numpy as np
        import onnxruntime as ort

        from gnas_serve.runtime.session import TRIAL_MODEL, open_session

        session = open_session(TRIAL_MODEL)
        (answer,) = session.run(None, {"x": np.ones(1, np.float32)})
    except (ImportError, OSError, AttributeError, IntegrityError) as error:
        # What is left of two that overwrote each other may lack anything.
        hint = f"pip uninstall {' '.join(RUNTIMES)}, then pip install gnas-serve"
        return Check("onnxruntime", "missing", f"cannot be used: {error}", hint, facts)
    facts |= {"available": ort.get_available_providers(), "active": session.get_providers()}
    if answer.tolist() != [-1.0]:
        return Check("onnxruntime", "missing", f"-1 is calculated as {answer.tolist()}", "install it again", facts)
    ort.set_default_logger_severity(4)  # else what cannot be loaded is told in paragraphs
    try:
        open_session(TRIAL_MODEL, CUDA)
        facts["cuda"] = True
    except GnasError as error:
        facts["cuda_error"] = error.message
    said, hint = f"{ort.__version__}, active: {', '.join(facts['active'])}", ""
    if len(installed) > 1:
        said = f"{' and '.join(installed)} are both installed, and overwrite each other's files"
        hint = f"pip uninstall {' '.join(RUNTIMES)}, then install one of them"
    elif facts["cuda"]:
        said += "; CUDA works: GNAS_PROVIDER=cuda"
    elif PROVIDERS[CUDA] in facts["available"] and _has_device():
        said += "; there is a CUDA device, and it cannot be used"
        hint = "install the CUDA and cuDNN that this onnxruntime-gpu was built for"
    elif PROVIDERS[CUDA] in facts["available"]:
        said += "; CUDA is built in, and there is no device"
    return Check("onnxruntime", "warning" if hint else "ok", said, hint, facts)


def check_kernels() -> Check:
    """Find out what scans vectors and assembles the ranker's inputs."""
    from gnas_serve import kernels

    computed_by = kernels.described()
    facts = {"computed_by": computed_by, "compiled": kernels.native is not None}
    if kernels.native is not None:
        return Check("kernels", "ok", f"compiled, for {computed_by}", facts=facts)
    facts["absence"] = kernels.absence
    said = f"{kernels.absence}: numpy does their work, to equal answers, several times slower over lists of vectors"
    return Check(
        "kernels", "warning", said, "where a C compiler and Python's headers are, install gnas-serve again", facts
    )


def check_extras() -> Check:
    """Find which extras are installed."""
    absent = {extra: [module for module in modules if find_spec(module) is None] for extra, modules in EXTRAS.items()}
    facts = {extra: {"installed": not modules, "absent": modules} for extra, modules in absent.items()}
    there = [extra for extra, modules in absent.items() if not modules]
    not_there = [extra for extra, modules in absent.items() if modules]
    said = "; ".join(
        f"{words}: {', '.join(names)}" for words, names in (("installed", there), ("not installed", not_there)) if names
    )
    return Check("extras", "ok", said, facts=facts)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _asked() -> dict[str, str]:
    """Give the versions that this installation asks for; nothing where it runs from a folder."""
    try:
        from packaging.requirements import Requirement

        lines = requires("gnas-serve") or []
    except (ImportError, PackageNotFoundError):
        return {}
    asked = [Requirement(line) for line in lines]
    return {
        one.name: str(one.specifier)
        for one in asked
        if one.name not in RUNTIMES and (one.marker is None or one.marker.evaluate({"extra": ""}))
    }


def _meets(name: str, asked: str) -> bool:
    """Tell whether a package is new enough; one that is absent is told elsewhere."""
    from packaging.specifiers import SpecifierSet

    found = _version(name)
    return found is None or SpecifierSet(asked).contains(found, prereleases=True)


def _has_device() -> bool:
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()
