"""Fewer bits for the ranker's graph: its large product in int8 (u8 activations, s8 weights), or weights in float16."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from gnas_export.ranker.network import SplitWeights
from gnas_export.ranker.onnx_graph import SECOND, SECOND_BIAS, serialised
from gnas_serve.errors import ExportError

Floats = npt.NDArray[np.float32]

_QUANTISED_OPS = frozenset({"DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QLinearMatMul"})


def first_layer_peak(weights: SplitWeights, feeds: list[dict[str, npt.NDArray[Any]]]) -> float:
    """Find the largest activation of the first layer on real candidate lists; activations start at 0.

    Parameters
    ----------
    feeds
        Inputs ``cross``, ``user`` and ``item`` of real requests.
    """
    peak = 0.0
    for feed in feeds:
        query = feed["user"] @ weights.user + weights.user_bias  # (1, H)
        first = feed["item"].astype(np.float32) + query + feed["cross"] @ weights.cross  # (C, H)
        peak = max(peak, float(first.max()))
    return max(peak, 1e-6)


def quantise(graph: bytes, weights: SplitWeights, peak: float) -> bytes:
    """Put the product of the two hidden layers into int8.

    The other products stay fp32: one is a vector of the request, one a handful of cross inputs whose precision is
    the order itself, one a single output column. The output of the int8 product is not requantised.

    Parameters
    ----------
    graph
        The fp32 graph of :func:`gnas_export.ranker.onnx_graph.split_graph`.
    weights
        Its weights.
    peak
        From :func:`first_layer_peak`.

    Raises
    ------
    ExportError
        If the graph has no such product.
    """
    model = onnx.load_model_from_string(graph)
    product = _hidden_product(model)
    activation = product.input[0]
    codes, scale = _weight_codes(weights)
    # ONNX Runtime fuses MatMul + Add into a float Gemm before it looks for integer products (1.31: no node would be
    # int8); it leaves MatMul - negative bias alone.
    bias = next(node for node in model.graph.node if SECOND_BIAS in node.input)
    added: dict[str, npt.NDArray[Any]] = {
        "first.scale": np.array(peak / 255.0, dtype=np.float32),
        "first.zero": np.array(0, dtype=np.uint8),
        "second.codes": codes,
        "second.scale": scale,
        "second.zero": np.zeros(codes.shape[1], dtype=np.int8),
        "second.negative_bias": -weights.second_bias,
    }
    _replace_constants(model, {SECOND, SECOND_BIAS}, added)
    bias.op_type = "Sub"
    bias.input[0], bias.input[1] = product.output[0], "second.negative_bias"
    place = list(model.graph.node).index(product)
    nodes = [
        helper.make_node("QuantizeLinear", [activation, "first.scale", "first.zero"], ["first.codes"]),
        helper.make_node("DequantizeLinear", ["first.codes", "first.scale", "first.zero"], ["first.dequantised"]),
        helper.make_node(
            "DequantizeLinear", ["second.codes", "second.scale", "second.zero"], ["second.dequantised"], axis=1
        ),
    ]
    for offset, node in enumerate(nodes):
        model.graph.node.insert(place + offset, node)
    product.input[0], product.input[1] = "first.dequantised", "second.dequantised"
    return serialised(model)


def quantise_dynamically(graph: bytes, weights: SplitWeights) -> bytes:
    """Put the product of the two hidden layers into int8, with a scale of the activations of each list's own.

    Parameters
    ----------
    graph
        The fp32 graph of :func:`gnas_export.ranker.onnx_graph.split_graph`.
    weights
        Its weights.

    Raises
    ------
    ExportError
        If the graph has no such product.
    """
    model = onnx.load_model_from_string(graph)
    product = _hidden_product(model)
    codes, scale = _weight_codes(weights)
    _replace_constants(model, {SECOND}, {"second.codes": codes, "second.scale": scale})
    activation, output = product.input[0], product.output[0]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", [activation], ["first.codes", "first.scale", "first.zero"]),
        helper.make_node("MatMulInteger", ["first.codes", "second.codes", "first.zero"], ["second.integers"]),
        helper.make_node("Cast", ["second.integers"], ["second.steps"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["first.scale", "second.scale"], ["second.step"]),
        helper.make_node("Mul", ["second.steps", "second.step"], [output]),
    ]
    place = list(model.graph.node).index(product)
    model.graph.node.remove(product)
    for offset, node in enumerate(nodes):
        model.graph.node.insert(place + offset, node)
    return serialised(model)


def halved(graph: bytes) -> bytes:
    """Store the weights of a graph as float16; they are calculated with as float32.

    A CPU has no products of float16: ONNX Runtime widens them when a session begins, once.
    """
    model = onnx.load_model_from_string(graph)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(_array(tensor).astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    for place, cast in enumerate(casts):
        model.graph.node.insert(place, cast)
    return serialised(model)


def quantised_nodes(graph: bytes) -> int:
    """Count the integer products that ONNX Runtime really executes, after its own rewriting of the graph."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        optimised = onnx.load(path)
    return sum(node.op_type in _QUANTISED_OPS for node in optimised.graph.node)


def _hidden_product(model: onnx.ModelProto) -> onnx.NodeProto:
    """Find the product of the hidden layers."""
    nodes = [node for node in model.graph.node if node.op_type == "MatMul" and SECOND in node.input]
    if len(nodes) != 1:
        raise ExportError("the ranker's graph has no product of its hidden layers", hint="report this as a bug")
    return nodes[0]


def _weight_codes(weights: SplitWeights) -> tuple[npt.NDArray[np.int8], Floats]:
    """Quantise the product of the hidden layers, with a scale per unit of the second: (H, H2), (H2,)."""
    scale = np.maximum(np.abs(weights.second).max(axis=0) / 127.0, 1e-12).astype(np.float32)
    return np.clip(np.rint(weights.second / scale), -127, 127).astype(np.int8), scale


def _replace_constants(model: onnx.ModelProto, gone: set[str], added: dict[str, npt.NDArray[Any]]) -> None:
    for tensor in [one for one in model.graph.initializer if one.name in gone]:
        model.graph.initializer.remove(tensor)
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in added.items())


def _array(tensor: onnx.TensorProto) -> Floats:
    array: Floats = numpy_helper.to_array(tensor)
    return array
