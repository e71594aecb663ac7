"""Artifacts of every format version still load, and give the answers of when they were written.

``tests/golden`` holds one per version, never written again. ``v1``: int8 vectors of a cosine model, an IVF index of
which two of three lists are probed, a ranker over two features, one user without a vector. Later ones are of
``tests/golden_artifact.py``: a blend of four branches with links, an IVF index and a learned ranker.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, Manifest
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
ANSWERS = {version: json.loads((GOLDEN / f"{version}.answers.json").read_text()) for version in VERSIONS}
CASES = [
    pytest.param(version, case, id=f"{version}-{json.dumps(case['query'])}")
    for version, answers in ANSWERS.items()
    for case in answers["recommend"]
]


@pytest.fixture(scope="module")
def loaded():
    return {version: Recommender.load(GOLDEN / version) for version in VERSIONS}


@pytest.fixture(scope="module")
def recommender(loaded):
    return loaded["v1"]


def test_there_is_one_of_every_version():
    assert [f"v{version}" for version in range(1, FORMAT_VERSION + 1)] == VERSIONS
    for version in VERSIONS:
        assert f"v{Manifest.read(GOLDEN / version).format_version}" == version


@pytest.mark.parametrize(
    ("version", "case"), CASES, ids=lambda part: part if isinstance(part, str) else json.dumps(part["query"])
)
def test_recommendations(loaded, version, case):
    lists = {name: tuple(value) for name, value in case["query"].items() if isinstance(value, list)}
    answer = loaded[version].recommend(Query(**{**case["query"], **lists}))
    assert (answer.item_ids, answer.source) == (case["item_ids"], case["source"])
    assert answer.scores == pytest.approx(case["scores"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
def test_similar_items(loaded, version):
    case = ANSWERS[version]["similar_items"]
    answer = loaded[version].similar_items(case["item_id"], len(case["item_ids"]))
    assert answer.item_ids == case["item_ids"]
    assert answer.scores == pytest.approx(case["scores"], rel=1e-5)


def test_what_it_says_of_itself_in_the_words_of_today(recommender):
    manifest = Manifest.read(GOLDEN / "v1")
    assert manifest.format_version == 1 < FORMAT_VERSION
    assert manifest.branches == (BranchFacts("golden", "gnn", 6, True, 0.5, 0.5),)
    assert manifest.newcomers == "fold_in"
    assert manifest.index.dims == manifest.embedding_dim == 6
    assert recommender.info.branches == ("gnn",)


def test_its_score_is_that_of_the_network_whose_shares_are_approximate(recommender):
    found = recommender.explain("item-0013", "user-0000")
    users = np.load(GOLDEN / "v1" / LAYOUT.user_vectors) * np.load(GOLDEN / "v1" / LAYOUT.user_scales)[:, None]
    expected = float(recommender.item_vectors.row(13) @ users[0])
    assert found.score == pytest.approx(expected, rel=1e-5)
    assert set(found.remainder) == {"gnn"}
    assert not found.exact


def test_what_the_versions_say_of_where_they_come_from():
    assert [Manifest.read(GOLDEN / version).provenance for version in ("v1", "v2")] == [None, None]
    manifest = Manifest.read(GOLDEN / "v3")
    assert [step.step for step in manifest.provenance.steps] == [
        "compress_neighbours",
        "compress_tables",
        "build_index",
        "train_ranker",
        "choose_form",
    ]
    assert {name: found.value for name, found in manifest.provenance.metrics.items()} == manifest.metrics
    for name in (LAYOUT.model_card, LAYOUT.sbom):
        assert manifest.version in (GOLDEN / "v3" / name).read_text()
