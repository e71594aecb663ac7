"""Artifacts whose digests are right and whose contents are not: refused at load, never at a request."""

import json
import os
import random

import numpy as np
import pytest
from attribute_tables import attributes_of, random_table
from content_tables import encoder_of
from onnx import TensorProto, helper
from segment_tables import FACTS, random_segments
from tiny_artifact import BLEND, write_blended_artifact, write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND
from gnas_serve.artifact.store import MANIFEST, write_manifest
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

_USERS, _ITEMS, _DIM = 60, 80, 8
_GNN = {"name": "one", "kind": "gnn", "width": 8}
_LINKS = {"name": "links", "kind": "two-hop", "width": 0}


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
        (LAYOUT.fold_in, np.ones((_DIM + 1, _DIM), np.float32)),
        (LAYOUT.fold_in, np.ones(_DIM * _DIM, np.float32)),
        (LAYOUT.fold_in, np.full((_DIM + 1) * _DIM, np.inf, np.float32)),
        (LAYOUT.projection, np.ones((_DIM, 4), np.float32)),
        (LAYOUT.projection, np.ones((_DIM, _DIM), np.float32)),
        (LAYOUT.ranker_items, np.ones((_ITEMS, 4), np.uint8)),
        (LAYOUT.item_content, np.ones((_ITEMS, 4), np.float16)),
    ],
)
def test_a_wrong_array(folder, name, array):
    np.save(folder / name, array)
    _seal(folder)
    _refused(folder, "artifact")


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("kind", ["pipe", "dangling", "folder"])
@pytest.mark.parametrize(
    "name", [LAYOUT.item_scales, LAYOUT.projection, LAYOUT.ranker_items, LAYOUT.item_id_offsets, LAYOUT.index]
)
def test_no_file_in_the_place_of_one_that_it_has_not(folder, name, kind, verify):
    if kind == "pipe":
        os.mkfifo(folder / name)  # nobody writes into it: whoever opens it waits for ever
    elif kind == "dangling":
        (folder / name).symlink_to("nothing")
    else:
        (folder / name).symlink_to(folder.parent)
    with pytest.raises(IntegrityError, match=f"{name} is not in the manifest"):
        Recommender.load(folder, verify=verify)


@pytest.fixture
def segmented(tmp_path):
    return write_tiny_artifact(tmp_path / "artifact", num_items=_ITEMS, segments=(FACTS, random_segments(_ITEMS)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (LAYOUT.segment_offsets, lambda array: array[:-1]),
        (LAYOUT.segment_offsets, lambda array: array + 1),
        (LAYOUT.segment_offsets, lambda array: np.concatenate([array[:1], array[-2:0:-1], array[-1:]])),
        (LAYOUT.segment_items, lambda array: array[::-1].copy()),
        (LAYOUT.segment_items, lambda array: array + _ITEMS),
        (LAYOUT.segment_items, lambda array: array[:-1]),
        (LAYOUT.segment_counts, lambda array: array - array.max()),
        (LAYOUT.segment_counts, lambda array: array.astype(np.int64)),
        (LAYOUT.segment_counts, lambda array: array[:-1]),
        (LAYOUT.segment_totals, lambda array: array - 10),
        (LAYOUT.segment_totals, lambda array: array[:-1]),
    ],
)
def test_wrong_segments(segmented, name, change):
    np.save(segmented / name, change(np.load(segmented / name)))
    _seal(segmented)
    _refused(segmented, "segments[.]")


def test_segments_of_other_features_than_the_manifest_says(segmented):
    _seal(segmented, segments=FACTS.to_json() | {"features": FACTS.to_json()["features"][1:]})
    _refused(segmented, "segments")
    _seal(segmented, segments=FACTS.to_json() | {"prior": -1})
    _refused(segmented, "garbled")
    _seal(segmented, segments=None)
    _refused(segmented, "garbled")


@pytest.fixture
def attributed(tmp_path):
    attributes = attributes_of(random_table(random.Random(0), _ITEMS))
    return write_tiny_artifact(tmp_path / "artifact", num_items=_ITEMS, attributes=attributes)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (LAYOUT.item_attribute_numbers, lambda array: array[:, :-1]),
        (LAYOUT.item_attribute_numbers, lambda array: np.full_like(array, np.inf)),
        (LAYOUT.item_attribute_codes, lambda array: array + 100),
        (LAYOUT.item_attribute_list_offsets, lambda array: array[:, ::-1]),
        (LAYOUT.item_attribute_list_codes, lambda array: np.full_like(array, -2)),
        (LAYOUT.item_attribute_word_bytes, lambda array: np.full_like(array, 0xFF)),
        (LAYOUT.item_attribute_word_offsets, lambda array: array[:-1]),
    ],
)
def test_attributes_that_do_not_fit(attributed, name, change):
    assert Recommender.load(attributed).info.num_items == _ITEMS
    np.save(attributed / name, change(np.load(attributed / name)))
    _seal(attributed)
    _refused(attributed, "attribute|items.attributes")


def test_facts_of_attributes_that_no_export_writes(attributed):
    _seal(attributed, attributes=[{"name": "x", "kind": "number", "num_words": 3}])
    _refused(attributed, "attribute 'x'")


def test_a_file_of_attributes_is_missing(attributed):
    (attributed / LAYOUT.item_attribute_codes).unlink()
    _seal(attributed)
    _refused(attributed, r"items\.attributes\.codes\.npy")


_TABLES = {LAYOUT.neighbour_offsets, LAYOUT.neighbour_items, LAYOUT.neighbour_values, LAYOUT.projection}


@pytest.fixture
def encoded(tmp_path):
    table = attributes_of(random_table(random.Random(1), _ITEMS))
    return write_tiny_artifact(
        tmp_path / "encoded", num_users=_USERS, num_items=_ITEMS, dim=_DIM, attributes=table, content=encoder_of
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (LAYOUT.content_offsets, lambda array: array[:-1]),
        (LAYOUT.content_offsets, lambda array: np.concatenate([array[:1], array[-2:0:-1], array[-1:]])),
        (LAYOUT.content_items, lambda array: array + _ITEMS),
        (LAYOUT.content_items, lambda array: array - _ITEMS),
        (LAYOUT.content_items, np.zeros_like),
        (LAYOUT.content_items, lambda array: array[:-1]),
        (LAYOUT.content_values, lambda array: array * np.float32(1e30)),
        (LAYOUT.content_values, lambda array: -array),
        (LAYOUT.content_values, lambda array: array.astype(np.float64)),
        (LAYOUT.content_rarity, lambda array: array * np.float32(np.nan)),
        (LAYOUT.content_rarity, lambda array: array[:-1]),
        (LAYOUT.content_word_bytes, lambda array: np.full_like(array, 0xFF)),
        (LAYOUT.content_word_offsets, lambda array: array[:-1]),
    ],
)
def test_a_wrong_table_of_content(encoded, name, change):
    np.save(encoded / name, change(np.load(encoded / name)), allow_pickle=False)
    _seal(encoded)
    _refused(encoded, "content")


def test_a_term_of_content_that_tells_something_and_no_item_has(encoded):
    offsets = np.load(encoded / LAYOUT.content_offsets)
    first = int(np.flatnonzero(np.diff(offsets))[0])
    gone = np.arange(offsets[first], offsets[first + 1])
    offsets[first + 1 :] -= len(gone)
    np.save(encoded / LAYOUT.content_offsets, offsets, allow_pickle=False)
    for name in (LAYOUT.content_items, LAYOUT.content_values):
        np.save(encoded / name, np.delete(np.load(encoded / name), gone), allow_pickle=False)
    _seal(encoded)
    _refused(encoded, "a term that no item has")


@pytest.mark.parametrize("name", ["no such attribute", "category"])
def test_an_encoder_of_what_is_no_attribute_of_that_kind(encoded, name):
    columns = json.loads((encoded / MANIFEST).read_text())["content"]["columns"]
    number = next(one for one in columns if one["kind"] == "number")
    for one in columns:
        if one["name"] == name:
            one["name"] = number["name"]
    number["name"] = name
    _seal(encoded, content__columns=columns)
    with pytest.raises(IntegrityError, match=name):
        Recommender.load(encoded, verify=False)


def test_a_table_of_content_whose_numbers_vanish_answers(encoded):
    values = np.load(encoded / LAYOUT.content_values)
    np.save(encoded / LAYOUT.content_values, np.zeros_like(values), allow_pickle=False)
    _seal(encoded)
    recommender = Recommender.load(encoded)
    kinds = recommender.info.attribute_types
    told = (("new", tuple((name, "1" if kinds[name] == "words" else 1.0) for name in recommender.info.item_features)),)
    answer = recommender.recommend(Query(candidates=("new",), item_features=told))
    assert answer.item_ids == ["new"]


@pytest.fixture
def blend(tmp_path):
    return write_blended_artifact(tmp_path / "artifact", num_users=_USERS, num_items=_ITEMS, projected=True)


@pytest.mark.parametrize("name", sorted(_TABLES))
def test_a_table_of_a_blend_is_missing(blend, name):
    (blend / name).unlink()
    _seal(blend)
    _refused(blend, name.replace(".", r"\."))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (LAYOUT.neighbour_offsets, lambda array: array[:-1]),
        (LAYOUT.neighbour_offsets, lambda array: array + 1),
        (LAYOUT.neighbour_offsets, lambda array: array[::-1] - array[-1]),
        (LAYOUT.neighbour_offsets, lambda array: np.r_[0, array[-1] + 9, array[2:]]),
        (LAYOUT.neighbour_offsets, lambda array: array.astype(np.int32)),
        (LAYOUT.neighbour_items, lambda array: np.full_like(array, _ITEMS)),
        (LAYOUT.neighbour_items, lambda array: np.full_like(array, -1)),
        (LAYOUT.neighbour_items, np.zeros_like),
        (LAYOUT.neighbour_items, lambda array: array[:-1]),
        (LAYOUT.neighbour_values, lambda array: -array),
        (LAYOUT.neighbour_values, lambda array: np.full_like(array, np.nan)),
        (LAYOUT.neighbour_values, lambda array: np.full_like(array, np.inf)),
        (LAYOUT.neighbour_values, lambda array: array.astype(np.float64)),
        (LAYOUT.neighbour_values, lambda array: array[:, None]),
        (LAYOUT.projection, lambda array: array[:-1]),
        (LAYOUT.projection, lambda array: array[:, :1]),
        (LAYOUT.projection, lambda array: array * np.float32(np.nan)),
        (LAYOUT.fold_in, lambda array: array[:-1]),
        (LAYOUT.user_scales, lambda array: array[:, :2]),
        (LAYOUT.item_scales, lambda array: array[:, 0]),
        (LAYOUT.item_scales, lambda array: array * np.float32(np.nan)),
    ],
)
def test_a_wrong_table_of_a_blend(tmp_path, name, change):
    folder = write_blended_artifact(
        tmp_path / "artifact", num_users=_USERS, num_items=_ITEMS, projected=True, tables="int8"
    )
    np.save(folder / name, change(np.load(folder / name)))
    _seal(folder)
    _refused(folder, "artifact")


def test_an_artifact_of_format_version_1_with_another_scorer(folder):
    body = json.loads((folder / MANIFEST).read_text())
    for name in ("kind", "format_version", "files", "digest", "branches", "newcomers"):
        del body[name]
    del body["index"]["dims"]
    fold_in = np.load(folder / LAYOUT.fold_in).reshape(_DIM + 1, _DIM)
    np.save(folder / LAYOUT.fold_in, fold_in)
    for scorer in ("dot", "cosine"):
        write_manifest(folder, kind=KIND, format_version=1, body={**body, "scorer": scorer})
        assert Recommender.load(folder).info.branches == ("gnn",)
    for wrong in ({"scorer": "manhattan"}, {}, {"scorer": "dot", "index": None}):
        write_manifest(folder, kind=KIND, format_version=1, body={**body, **wrong})
        _refused(folder, "artifact")


def test_a_blend_is_whole_before_it_is_spoilt(blend):
    assert Recommender.load(blend).info.branches == tuple(branch.kind for branch in BLEND)


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
        {"newcomers": "manhattan"},
        {"newcomers": None},
        {"branches": []},
        {"branches": None},
        {"branches": ["gnn"]},
        {"branches": [{"name": "one", "kind": "magic", "width": 8}]},
        {"branches": [{"name": "one", "kind": "gnn", "width": 7}]},
        {"branches": [{"name": "one", "kind": "gnn", "width": 8.0}]},
        {"branches": [{"name": "one", "kind": "gnn", "width": 8, "item_power": 1e9}]},
        {"branches": [{"name": "one", "kind": "gnn", "width": 8, "unit_length": 1}]},
        {"branches": [{"name": "one", "kind": "gnn", "width": 8, "weight": 1}]},
        {"branches": [_GNN, {"name": "two", "kind": "two-hop", "width": 0}]},
        {"branches": [_GNN, _LINKS, _LINKS]},
        {"index__kind": "zz"},
        {"index__kind": "ivf"},
        {"index__dims": 4},
        {"index__dims": None},
        {"index__refine": 0},
        {"ranker__kind": "magic"},
        {"ranker__precision": "int4"},
        {"ranker__candidates": 0},
        {"ranker__candidates": True},
        {"ranker__cross": ["no such feature"]},
        {"ranker__cross": ["score", "log_rank"]},
        {"ranker__cross": ["branch_z.1"]},
        {"ranker__cross": ["branch_z.-1"]},
        {"ranker__cross": ["branch_z.00"]},
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
