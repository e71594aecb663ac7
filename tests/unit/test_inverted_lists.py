"""The file of an index that holds no vectors, and artifacts that have one."""

import io
import json

import numpy as np
import pytest
from tiny_artifact import list_bytes, write_tiny_artifact

from gnas_serve import kernels
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND
from gnas_serve.artifact.store import MANIFEST, write_manifest
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

ITEMS, DIM, LISTS = 80, 8, 5


@pytest.fixture
def folder(tmp_path):
    return write_tiny_artifact(tmp_path / "artifact", num_items=ITEMS, dim=DIM, lists=LISTS, scanned=True)


def test_lists_come_back_as_they_were_written():
    vectors = np.random.default_rng(0).standard_normal((ITEMS, DIM)).astype(np.float32)
    lists = InvertedLists.from_bytes(np.frombuffer(list_bytes(vectors, LISTS), np.uint8))
    again = InvertedLists.from_bytes(lists.to_bytes())
    for name in ("assigned", "centroids", "scales"):
        assert np.array_equal(getattr(lists, name), getattr(again, name))
    rows, starts = lists.in_order()
    assert sorted(rows.tolist()) == list(range(ITEMS))
    for one in range(LISTS):
        mine = rows[starts[one] : starts[one + 1]]
        assert (lists.assigned[mine] == one).all()
        assert (np.diff(mine) > 0).all()


def test_answers_are_those_of_flat_search_where_all_lists_are_probed(folder, tmp_path):
    flat = Recommender.load(write_tiny_artifact(tmp_path / "flat", num_items=ITEMS, dim=DIM, scanned=True))
    found = Recommender.load(folder)
    for query in (Query(1003), Query(1004, k=80, exclude_seen=False), Query(history=(2001, 2009), k=7)):
        one, other = found.recommend(query), flat.recommend(query)
        assert (one.item_ids, one.scores) == (other.item_ids, other.scores)


def test_answers_are_the_same_without_compiled_kernels(folder):
    queries = [Query(1000 + row, k=15) for row in range(30)]
    compiled = [Recommender.load(folder).recommend(query) for query in queries]
    with kernels.using("numpy"):
        recommender = Recommender.load(folder)
        plain = [recommender.recommend(query) for query in queries]
    assert [(one.item_ids, one.scores) for one in compiled] == [(one.item_ids, one.scores) for one in plain]


def npy(*arrays):
    raw = b""
    for array in arrays:
        header = np.lib.format.header_data_from_array_1_0(array)
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, header)
        raw += stream.getvalue() + array.tobytes()
    return raw


ASSIGNED = (np.arange(ITEMS) % LISTS).astype(np.uint16)
CENTROIDS, SCALES = np.ones((LISTS, DIM), np.int8), np.ones((LISTS, 1), np.float32)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        npy(ASSIGNED),
        npy(ASSIGNED, CENTROIDS, SCALES)[:-1],
        npy(ASSIGNED, CENTROIDS, SCALES) + b"x",
        npy(ASSIGNED.astype(np.int64), CENTROIDS, SCALES),
        npy(ASSIGNED + 1, CENTROIDS, SCALES),
        npy(ASSIGNED[:-1], CENTROIDS, SCALES),
        npy(ASSIGNED, CENTROIDS[:, :-1], SCALES),
        npy(ASSIGNED, CENTROIDS[:-1], SCALES),
        npy(ASSIGNED, CENTROIDS, np.ones((LISTS, 2), np.float32)),
        npy(ASSIGNED, CENTROIDS, SCALES * np.float32(np.nan)),
        npy(ASSIGNED, CENTROIDS.astype(np.uint8), SCALES),
        npy(ASSIGNED[:, None], CENTROIDS, SCALES),
    ],
)
def test_damaged_lists_are_refused_at_load(folder, content):
    assert content != npy(ASSIGNED, CENTROIDS, SCALES)
    (folder / LAYOUT.lists).write_bytes(content)
    seal(folder)
    with pytest.raises(IntegrityError, match=r"inverted lists|artifact"):
        Recommender.load(folder)


def test_lists_that_are_right_are_taken(folder):
    (folder / LAYOUT.lists).write_bytes(npy(ASSIGNED, CENTROIDS, SCALES))
    seal(folder)
    assert len(Recommender.load(folder).recommend(Query(1003)).item_ids) == 10


def test_absent_lists(folder):
    (folder / LAYOUT.lists).unlink()
    seal(folder)
    with pytest.raises(IntegrityError, match="inverted lists"):
        Recommender.load(folder)


def test_lists_of_vectors_that_are_no_int8(folder, tmp_path):
    floats = write_tiny_artifact(tmp_path / "floats", num_items=ITEMS, dim=DIM)
    (floats / LAYOUT.lists).write_bytes((folder / LAYOUT.lists).read_bytes())
    seal(floats, index={"kind": "ivf-flat", "dims": DIM, "nprobe": 2, "recall": 1.0, "refine": 1, "curve": []})
    with pytest.raises(IntegrityError, match="not of 80 int8 vectors"):
        Recommender.load(floats)


def seal(folder, **changes):
    body = json.loads((folder / MANIFEST).read_text())
    for name in ("kind", "format_version", "files", "digest"):
        del body[name]
    write_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, body=body | changes)
