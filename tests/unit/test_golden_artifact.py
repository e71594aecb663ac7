"""An artifact that an earlier version wrote (format version 1) still loads, and gives the answers of then.

``tests/golden/v1`` was written once and is never written again: int8 vectors of a cosine model, an IVF index of which
two of three lists are probed, a ranker over two features, one user without a vector.
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
ANSWERS = json.loads((GOLDEN / "v1.answers.json").read_text())


@pytest.fixture(scope="module")
def recommender():
    return Recommender.load(GOLDEN / "v1")


@pytest.mark.parametrize("case", ANSWERS["recommend"], ids=lambda case: json.dumps(case["query"]))
def test_recommendations(recommender, case):
    query = Query(**{**case["query"], "history": tuple(case["query"].get("history", ()))})
    answer = recommender.recommend(query)
    assert (answer.item_ids, answer.source) == (case["item_ids"], case["source"])
    assert answer.scores == pytest.approx(case["scores"], rel=1e-5, abs=1e-6)


def test_similar_items(recommender):
    case = ANSWERS["similar_items"]
    answer = recommender.similar_items(case["item_id"], len(case["item_ids"]))
    assert answer.item_ids == case["item_ids"]
    assert answer.scores == pytest.approx(case["scores"], rel=1e-5)


def test_what_it_says_of_itself_in_the_words_of_today(recommender):
    manifest = Manifest.read(GOLDEN / "v1")
    assert manifest.format_version == 1 < FORMAT_VERSION
    assert manifest.branches == (BranchFacts("golden", "gnn", 6, True, 0.5, 0.5),)
    assert manifest.newcomers == "fold_in"
    assert manifest.index.dims == manifest.embedding_dim == 6
    assert recommender.info.branches == ("gnn",)


def test_its_whole_score_is_that_of_the_network(recommender):
    found = recommender.explain("item-0013", "user-0000")
    users = np.load(GOLDEN / "v1" / LAYOUT.user_vectors) * np.load(GOLDEN / "v1" / LAYOUT.user_scales)[:, None]
    expected = float(recommender.item_vectors.row(13) @ users[0])
    assert found.contributions == ()
    assert found.remainder == {"gnn": pytest.approx(expected, rel=1e-5)}
