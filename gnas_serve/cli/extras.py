"""Optional dependency groups: a missing one is named, with how to install it."""

from __future__ import annotations

from importlib.util import find_spec

from gnas_serve.artifact.source_date import source_date
from gnas_serve.errors import MissingExtraError

EXTRAS = {
    "export": ("torch", "polars", "optuna", "numba", "safetensors", "scipy", "onnx"),
    "search": ("torch", "polars", "optuna", "numba", "safetensors", "scipy"),
    "tensorboard": ("tensorboard",),
    "tracing": ("opentelemetry.exporter",),
    "wandb": ("wandb",),
}


def need(extra: str) -> None:
    """Make sure that an optional dependency group is installed, and that the environment lets it be imported.

    Raises
    ------
    ConfigError
        If ``SOURCE_DATE_EPOCH`` is malformed: SciPy brings a part of NumPy that reads it, and fails by a traceback.
    MissingExtraError
        Naming the group and the first module that is absent.
    """
    source_date()
    for module in EXTRAS[extra]:
        if find_spec(module) is None:
            raise MissingExtraError(
                f"this command needs the [{extra}] extra: {module} is not installed",
                hint=f"pip install 'gnas-serve[{extra}]'",
            )
