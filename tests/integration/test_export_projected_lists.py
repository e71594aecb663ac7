"""A projection of wide vectors, scanned in lists that hold it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from export_runs import LIMITS, PROFILE, run
from planted_checkpoint import blended_checkpoint

from gnas_export.decisions import Decision, Decisions
from gnas_serve import kernels
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND
from gnas_serve.artifact.store import MANIFEST, write_manifest
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

AUTO = replace(PROFILE, index="auto", gates=replace(LIMITS, blend_recall=0.85, top_recall=0.95, quality_loss=0.1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    blend = blended_checkpoint(num_items=800, filter_dim=140, gnn_dim=8, events_per_user=20)
    given = Decisions(AUTO, "never", {"index": Decision("ivf-flat-128", "by hand")})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gnas_export.steps.indexing.FLAT_UP_TO", 0)
        return run(blend, tmp_path_factory.mktemp("projected") / "a", AUTO, ranker="never", decisions=given)


def test_what_ships(made):
    index = made.manifest.index
    assert (index.kind, index.dims, made.manifest.embedding_dim) == ("ivf-flat", 128, 149)
    assert {gate["name"]: gate["passed"] for gate in made.report["gates"]}["index_parity"]
    lists = InvertedLists.load(made.path / LAYOUT.lists)
    assert lists.projected.values.shape == (800, 128)
    assert np.load(made.path / LAYOUT.projection).shape == (149, 128)


def test_answers_are_the_same_without_compiled_kernels(made):
    recommender = Recommender.load(made.path)
    asked = [Query(user_id=one, k=20) for one in recommender.users.ids(range(40))]
    found = [recommender.recommend(query) for query in asked]
    with kernels.using("numpy"):
        plain = [Recommender.load(made.path).recommend(query) for query in asked]
    assert [(one.item_ids, one.scores) for one in found] == [(one.item_ids, one.scores) for one in plain]


def lists_of(count, width):
    def changed(lists):
        table = lists.projected
        return replace(lists, projected=EmbeddingTable(table.values[:count, :width].copy(), table.scales[:count]))

    return changed


@pytest.mark.parametrize(
    "change",
    [lambda lists: replace(lists, projected=None), lists_of(799, 128), lists_of(800, 127)],
    ids=["none", "of fewer items", "narrower"],
)
def test_lists_without_the_projection_that_is_asked(made, tmp_path, change):
    folder = shutil.copytree(made.path, tmp_path / "copy")
    lists = change(InvertedLists.load(folder / LAYOUT.lists))
    (folder / LAYOUT.lists).write_bytes(lists.to_bytes().tobytes())
    body = json.loads((folder / MANIFEST).read_text())
    for name in ("kind", "format_version", "files", "digest"):
        del body[name]
    write_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, body=body)
    with pytest.raises(IntegrityError, match="inverted lists"):
        Recommender.load(folder)
