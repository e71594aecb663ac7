"""Networks as ONNX graphs: MatMul and Add, a dynamic number of candidates, nothing of this machine inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from gnas_export.network import SplitNetwork, SplitWeights
from gnas_serve.errors import ExportError

OPSET = 20
_PRODUCER = "gnas-serve"


class RetrievalScorer(nn.Module):
    """The simplest ranker: ``score @ weight + bias``, which keeps the retriever's order."""

    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(1, 1))
        self.register_buffer("bias", torch.zeros(1))

    def forward(self, cross: Tensor) -> Tensor:
        """Score candidates: (C, 1) -> (C,)."""
        return (torch.matmul(cross, self.weight) + self.bias).squeeze(1)


@cache
def retrieval_graph() -> bytes:
    """Export the simplest ranker; its one cross feature is ``score``."""
    return _export(RetrievalScorer(), {"cross": torch.ones(3, 1)}, dynamic=("cross",))


def split_graph(weights: SplitWeights, item_dtype: np.dtype[np.generic]) -> bytes:
    """Export the learned ranker, fp32.

    Parameters
    ----------
    weights
        From :meth:`gnas_export.network.TrainedRanker.split`.
    item_dtype
        Of the stored item rows: uint8, float16 or float32.
    """
    drawn, names = _drawn_once(item_dtype.name)
    model = onnx.load_model_from_string(drawn)
    for tensor in model.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(numpy_helper.from_array(getattr(weights, names[tensor.name]), tensor.name))
    widths = {"cross": weights.cross.shape[0], "user": weights.user.shape[0], "item": weights.cross.shape[1]}
    for one in model.graph.input:
        one.type.tensor_type.shape.dim[1].dim_value = widths[one.name]
    return serialised(model)


@cache
def _drawn_once(item_dtype: str) -> tuple[bytes, dict[str, str]]:
    """Export the network with other weights, once: the exporter takes two seconds, and widths change no node.

    Returns
    -------
    bytes
        The graph.
    dict
        Which of the graph's constants is which of the weights.
    """
    users, crossed, hidden, second = 5, 4, 7, 3
    rng = np.random.default_rng(0)
    shapes = {
        "user": (users, hidden),
        "user_bias": (hidden,),
        "cross": (crossed, hidden),
        "second": (hidden, second),
        "second_bias": (second,),
        "last": (1, second),
        "wide": (1, crossed),
        "wide_bias": (1,),
    }
    weights = SplitWeights(**{name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()})
    inputs = {
        "cross": torch.ones(3, crossed),
        "user": torch.ones(1, users),
        "item": torch.from_numpy(np.ones((3, hidden), dtype=item_dtype)),
    }
    raw = _export(SplitNetwork(weights), inputs, dynamic=("cross", "item"))
    names = {
        tensor.name: name
        for tensor in onnx.load_model_from_string(raw).graph.initializer
        for name, values in vars(weights).items()
        if np.array_equal(numpy_helper.to_array(tensor), values)
    }
    if sorted(names.values()) != sorted(shapes):
        raise ExportError("the ranker's ONNX graph lacks some of its weights", hint="check the version of torch")
    return raw, names


def _export(module: nn.Module, inputs: dict[str, Tensor], *, dynamic: tuple[str, ...]) -> bytes:
    candidates = torch.export.Dim("C", min=1, max=100_000)
    shapes = tuple({0: candidates} if name in dynamic else {} for name in inputs)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=["score"],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ExportError("torch gave no ONNX program", hint="check the versions of torch and onnxscript")
    return serialised(program.model_proto)


def serialised(model: onnx.ModelProto) -> bytes:
    """Write a graph so that equal weights give equal bytes: no stack traces, paths or versions of the tools.

    Raises
    ------
    ExportError
        If onnx finds the graph invalid.
    """
    model.producer_name, model.producer_version, model.doc_string = _PRODUCER, "", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name, graph.doc_string = "ranker", ""
    del graph.metadata_props[:]
    parts: tuple[Any, ...] = (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info)
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
    # Shapes of intermediate values are inferred again wherever they are needed.
    del graph.value_info[:]
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the ranker's ONNX graph is invalid: {error}", hint="report this as a bug") from error
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about its own internals off the console."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
