"""ONNX Runtime sessions as serving needs them: one thread, no spinning, scaled by workers instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from gnas_serve.errors import IntegrityError

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


def open_session(model: Path | bytes) -> Any:  # onnxruntime has no types
    """Open an ONNX model on one CPU thread.

    Raises
    ------
    IntegrityError
        If ONNX Runtime refuses the model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # A spinning worker burns the core that the next request needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
    except SESSION_ERRORS as error:
        where = "model" if isinstance(model, bytes) else str(model)
        raise IntegrityError(
            f"{where} is not a usable ONNX model: {error}", hint="make or copy the artifact again"
        ) from error
