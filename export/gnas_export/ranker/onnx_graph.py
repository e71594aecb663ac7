"""Networks as ONNX graphs: a dynamic number of candidates, nothing of this machine inside.

Written node by node. torch's exporter gave the same nodes, and its import and its two seconds for each graph were half
of a small export; :class:`gnas_export.ranker.network.SplitNetwork` is what every graph is held against.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from gnas_export.ranker.network import SplitWeights
from gnas_serve.errors import ExportError

OPSET = 20
_IR_VERSION = 10
_PRODUCER = "gnas-serve"
SECOND, SECOND_BIAS = "weights.second", "weights.second_bias"
"""The product of the hidden layers, which has int8 forms."""
_COUNT = "C"  # the name of the dynamic dimension

Node = tuple[str, tuple[str, ...], str, dict[str, Any]]
"""Operator, inputs, output, attributes."""


@cache
def retrieval_graph() -> bytes:
    """Draw the simplest ranker, ``score @ weight + bias``, which keeps the retriever's order.

    Its one cross feature is ``score``.
    """
    nodes: list[Node] = [
        ("MatMul", ("cross", "weight"), "product", {}),
        ("Add", ("product", "bias"), "sum", {}),
        ("Squeeze", ("sum", "axis"), "score", {}),
    ]
    constants: dict[str, npt.NDArray[Any]] = {
        "weight": np.ones((1, 1), np.float32),
        "bias": np.zeros(1, np.float32),
        "axis": np.ones(1, np.int64),
    }
    return _drawn(nodes, constants, {"cross": (_COUNT, 1, np.dtype(np.float32))})


def split_graph(weights: SplitWeights, item_dtype: np.dtype[np.generic]) -> bytes:
    """Draw the learned ranker, fp32: :class:`gnas_export.ranker.network.SplitNetwork`, node by node.

    Parameters
    ----------
    weights
        From :meth:`gnas_export.ranker.network.TrainedRanker.split`.
    item_dtype
        Of the stored item rows: uint8, float16 or float32.
    """
    is_stored_exactly = item_dtype == np.float32
    item = "item" if is_stored_exactly else "item.wide"
    widened: list[Node] = [] if is_stored_exactly else [("Cast", ("item",), item, {"to": TensorProto.FLOAT})]
    nodes: list[Node] = [
        ("Gemm", ("user", "weights.user", "weights.user_bias"), "query", {}),  # (1, H)
        # The query is the bias of this product: added to the items by itself it takes one more pass over (C, H), which
        # is a seventh of the time of a narrow network at C = 300, a quarter at 1000.
        ("Gemm", ("cross", "weights.cross", "query"), "cross.query", {}),
        *widened,
        ("Add", (item, "cross.query"), "first.sum", {}),
        ("Relu", ("first.sum",), "first", {}),  # (C, H)
        ("MatMul", ("first", SECOND), "second.product", {}),
        ("Add", ("second.product", SECOND_BIAS), "second.sum", {}),
        ("Relu", ("second.sum",), "second", {}),  # (C, H2)
        # Rows times transposed matrices, as in torch.
        ("Gemm", ("weights.wide", "cross", "weights.wide_bias"), "wide", {"transB": 1}),  # (1, C)
        ("Gemm", ("weights.last", "second", "wide"), "row", {"transB": 1}),
        ("Squeeze", ("row", "axis"), "score", {}),
    ]
    constants = {
        f"weights.{name}": np.ascontiguousarray(values, dtype=np.float32) for name, values in vars(weights).items()
    }
    exact = np.dtype(np.float32)
    inputs: dict[str, tuple[int | str, int, np.dtype[Any]]] = {
        "cross": (_COUNT, weights.cross.shape[0], exact),
        "user": (1, weights.user.shape[0], exact),
        "item": (_COUNT, weights.cross.shape[1], item_dtype),
    }
    return _drawn(nodes, {**constants, "axis": np.zeros(1, np.int64)}, inputs)


def _drawn(
    nodes: list[Node],
    constants: dict[str, npt.NDArray[Any]],
    inputs: dict[str, tuple[int | str, int, np.dtype[Any]]],
) -> bytes:
    """Write nodes as a graph whose output is ``score``."""
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), (rows, columns))
        for name, (rows, columns, dtype) in inputs.items()
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, takes, [gives], name=gives, **attributes) for kind, takes, gives, attributes in nodes],
        "ranker",
        given,
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, (_COUNT,))],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return serialised(helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION))


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
