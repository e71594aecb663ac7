"""A ranker that is sound, and fails at questions of many candidates: it wants more memory than any machine has."""

from __future__ import annotations

import json
from pathlib import Path

from onnx import TensorProto, helper

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND
from gnas_serve.artifact.store import MANIFEST, write_manifest


def make_hungry(artifact: Path) -> Path:
    """Give an artifact such a ranker, in the place of the one that it has."""
    (artifact / LAYOUT.ranker).write_bytes(_hungry_ranker())
    body = json.loads((artifact / MANIFEST).read_text())
    for name in ("kind", "format_version", "files", "digest"):
        del body[name]
    write_manifest(artifact, kind=KIND, format_version=FORMAT_VERSION, body=body)
    return artifact


def _hungry_ranker() -> bytes:
    """Build ``score = cross[:, 0] + 0 * sum(C^9 zeros)``: 512 numbers for two candidates, a petabyte for forty."""
    constants = [
        helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("nine", TensorProto.INT64, [1], [9]),
    ]
    nodes = [
        helper.make_node("Reshape", ["cross", "flat"], ["scores"]),
        helper.make_node("Shape", ["scores"], ["count"]),
        helper.make_node("Pow", ["count", "nine"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["scores", "nothing"], ["score"]),
    ]
    inputs = [helper.make_tensor_value_info("cross", TensorProto.FLOAT, ["C", 1])]
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["C"])]
    graph = helper.make_graph(nodes, "hungry_ranker", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())
