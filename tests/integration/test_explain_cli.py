"""`gnas-serve explain`, as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_artifact import CLOSED_FORM, SEEN_PER_USER, write_blended_artifact

from gnas_serve.cli.recommend import _known
from gnas_serve.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blended_artifact(tmp_path_factory.mktemp("explain") / "artifact", branches=CLOSED_FORM)


def gnas_serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gnas_serve.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_json_adds_up_to_the_score_that_recommend_gives(artifact: Path) -> None:
    done = gnas_serve("recommend", str(artifact), "--user", "1004", "-k", "1", "--output", "json")
    best = json.loads(done.stdout)["items"][0]
    done = gnas_serve("explain", str(artifact), "--user", "1004", "--item", str(best["item_id"]), "--output", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["item_id"], found["source"]) == (best["item_id"], "user")
    assert found["model"] == {"name": "tiny", "version": "test-0"}
    total = sum(part["contribution"] for part in found["contributions"]) + sum(found["remainder"].values())
    assert total == pytest.approx(best["score"], rel=1e-5)
    assert 0 < len(found["contributions"]) <= SEEN_PER_USER
    assert {"item_id", "contribution"} == set(found["contributions"][0])


def test_text_shows_the_items_and_the_terms_that_no_item_is_due_to(artifact: Path) -> None:
    history = [argument for row in range(30) for argument in ("--history", str(2000 + row))]
    done = gnas_serve("explain", str(artifact), "--item", "2050", *history, "--history", "none")
    assert done.returncode == 0, done.stderr
    for shown in (
        "2050 for somebody with this history",
        "item 20",
        "10 more items",
        "filter",
        "two-hop",
        "popularity",
        "fold_in",
    ):
        assert shown in done.stdout
    assert "1 of 31 items of the history are unknown" in done.stderr


def test_a_user_whom_the_model_does_not_know_is_told_of(artifact: Path) -> None:
    done = gnas_serve("recommend", str(artifact), "--user", "someone", "-k", "1")
    assert done.returncode == 0
    assert "user someone is unknown to this model: answered by popularity" in done.stderr
    done = gnas_serve("recommend", str(artifact), "--user", "1004", "-k", "1")
    assert (done.returncode, done.stderr) == (0, "")


def test_ids_are_divided_by_commas_as_in_an_address(artifact: Path) -> None:
    def explained(*given: str) -> Any:
        told = [argument for one in given for argument in ("--history", one)]
        done = gnas_serve("explain", str(artifact), "--item", "2050", *told, "--output", "json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    divided = explained("2000,2001", "2002")
    assert divided == explained("2000", "2001", "2002")
    assert divided["source"] == "fold_in"
    # An id that the model knows, or is told of, with a comma is one id.
    items: Any = SimpleNamespace(items=Vocabulary.from_ids(["a", "b", "a,b"]))
    assert _known(items, ["a,b", "b,a", "new,1"], "items", {"new,1"}) == ("a,b", "b", "a", "new,1")


def test_an_unknown_item_is_a_clear_error(artifact: Path) -> None:
    done = gnas_serve("explain", str(artifact), "--item", "7")
    assert done.returncode == 2
    assert "item '7' is unknown to this model" in done.stderr
    assert not done.stdout
