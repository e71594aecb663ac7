"""ONNX Runtime sessions as serving needs them: one thread, no spinning, scaled by workers instead; or on CUDA."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from gnas_serve.errors import IntegrityError, MissingExtraError
from gnas_serve.runtime.providers import CPU, PROVIDERS

# ONNX Runtime has no common base for its errors.
SESSION_ERRORS: tuple[type[Exception], ...] = tuple(
    getattr(_state, name)
    for name in (
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoSuchFile",
        "NotImplemented",
        "RuntimeException",
    )
)

# What fails at a request though the model and its inputs are sound: a device that is gone or has no memory left. Which
# of these names there are depends on the version.
RUN_FAULTS: tuple[type[Exception], ...] = tuple(
    getattr(_state, name)
    for name in ("DeviceReset", "EPFail", "EngineError", "Fail", "RuntimeException")
    if hasattr(_state, name)
)

# y = -x, one float: an ONNX model, opset 13, IR version 8. The package `onnx` is not there where there is only serving.
TRIAL_MODEL = (
    b"\x08\x08:2\n\x0b\n\x01x\x12\x01y\x22\x03Neg\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01"
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)


def open_session(model: Path | bytes, provider: str = CPU) -> Any:  # onnxruntime has no types
    """Open an ONNX model, on one CPU thread or on CUDA.

    Parameters
    ----------
    model
        A file or its content.
    provider
        One of :data:`gnas_serve.runtime.providers.PROVIDERS`.

    Raises
    ------
    IntegrityError
        If ONNX Runtime refuses the model.
    MissingExtraError
        If the provider cannot be used here: ONNX Runtime would fall back to the CPU without an error.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # A spinning worker burns the core that the next request needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    wanted = [PROVIDERS[provider]] if provider == CPU else [PROVIDERS[provider], PROVIDERS[CPU]]
    try:
        with redirect_stdout(sys.stderr):  # where ONNX Runtime prints that it falls back
            session = ort.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=_known(wanted)
            )
    except SESSION_ERRORS as error:
        where = "model" if isinstance(model, bytes) else str(model)
        raise IntegrityError(
            f"{where} is not a usable ONNX model: {error}", hint="make or copy the artifact again"
        ) from error
    active: list[str] = session.get_providers()
    if active[0] != wanted[0]:
        raise MissingExtraError(
            f"the ranker is to compute on {provider}, and ONNX Runtime gives {', '.join(active)}",
            hint="needs onnxruntime-gpu, its CUDA and cuDNN, and a device; `gnas-serve doctor` says what there is",
            code="provider",
        )
    return session


def _known(wanted: list[str]) -> list[str]:
    """Leave out what this build of ONNX Runtime does not have: it would warn, and what is active is checked anyway."""
    return [name for name in wanted if name in ort.get_available_providers()]
