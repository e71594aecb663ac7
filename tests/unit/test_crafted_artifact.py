"""Artifacts whose digests are right and whose contents are not: refused at load, never at a request."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND
from gnas_serve.artifact.store import MANIFEST, write_manifest
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.recommender import Recommender

_USERS, _ITEMS, _DIM = 60, 80, 8


@pytest.fixture
def folder(tmp_path):
    return write_tiny_artifact(tmp_path / "artifact", num_users=_USERS, num_items=_ITEMS, dim=_DIM)


def _seal(folder, **changes):
    """Write a manifest that is right about these very files."""
    body = json.loads((folder / MANIFEST).read_text())
    for name in ("kind", "format_version", "files", "digest"):
        del body[name]
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        (body[section] if section else body)[key] = value
    write_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, body=body)


def _refused(folder, match):
    with pytest.raises(IntegrityError, match=match):
        Recommender.load(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        (LAYOUT.user_ids, np.arange(_USERS)[::-1].copy()),
        (LAYOUT.user_ids, np.arange(_USERS + 1)),
        (LAYOUT.item_ids, np.arange(_ITEMS, dtype=np.float64)),
        (LAYOUT.item_ids, np.array(3)),
        (LAYOUT.user_vectors, np.ones((_USERS, _DIM - 1), np.float32)),
        (LAYOUT.user_vectors, np.ones((_USERS, _DIM), np.complex64)),
        (LAYOUT.item_vectors, np.full((_ITEMS, _DIM), np.nan, np.float32)),
        (LAYOUT.item_vectors, np.ones((_ITEMS, _DIM), np.int8)),
        (LAYOUT.item_counts, np.array(["many"] * _ITEMS)),
        (LAYOUT.item_counts, np.full(_ITEMS, -1, np.int32)),
        (LAYOUT.seen_items, np.full(6 * _USERS, _ITEMS, np.int32)),
        (LAYOUT.seen_items, np.zeros(6 * _USERS, np.int32)),
        (LAYOUT.seen_items, np.zeros(6 * _USERS, np.float32)),
        (LAYOUT.seen_offsets, np.zeros(_USERS + 1, np.int64)),
        (LAYOUT.fold_in, np.ones((_DIM, _DIM), np.float32)),
        (LAYOUT.ranker_items, np.ones((_ITEMS, 4), np.uint8)),
        (LAYOUT.item_content, np.ones((_ITEMS, 4), np.float16)),
    ],
)
def test_a_wrong_array(folder, name, array):
    np.save(folder / name, array)
    _seal(folder)
    _refused(folder, "artifact")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': ", b"\x80\x04N."])
@pytest.mark.parametrize("name", [LAYOUT.item_counts, LAYOUT.item_vectors, LAYOUT.ranker])
def test_a_file_of_another_kind(folder, name, content):
    (folder / name).write_bytes(content)
    _seal(folder)
    _refused(folder, name.replace(".", r"\."))


@pytest.mark.parametrize(
    "changes",
    [
        {"num_users": []},
        {"num_items": 0},
        {"embedding_dim": "8"},
        {"name": [1]},
        {"scorer": "manhattan"},
        {"index__kind": "zz"},
        {"index__kind": "ivf"},
        {"ranker__candidates": 0},
        {"ranker__candidates": True},
        {"ranker__cross": ["no such feature"]},
        {"ranker__cross": ["score", "log_rank"]},
        {"ranker": None},
    ],
)
def test_a_wrong_word_in_the_manifest(folder, changes):
    _seal(folder, **changes)
    _refused(folder, "artifact")


@pytest.mark.parametrize(("output", "rank"), [("score", 2), ("points", 1)])
def test_a_ranker_with_another_output(folder, output, rank):
    shape = helper.make_tensor("shape", TensorProto.INT64, [rank], [-1, 1][:rank])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["cross", "shape"], [output])],
        "odd",
        [helper.make_tensor_value_info("cross", TensorProto.FLOAT, ["C", 1])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (folder / LAYOUT.ranker).write_bytes(model.SerializeToString())
    _seal(folder)
    _refused(folder, "artifact")
