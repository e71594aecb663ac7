"""A fine-tuned model that too few can judge keeps the content encoder of the artifact before, where it is asked to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from export_resumption import Kept
from export_runs import PROFILE, files
from export_runs import run as export
from planted_checkpoint import planted_checkpoint
from report_schema import faults
from search_world import Gnas
from telling_items import telling_items

from gnas_export.decisions import Decision, Decisions
from gnas_export.retrieval.content_before import content_before
from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import ConfigError
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

TOLD = (("left", (("style", "left0 left1"),)), ("right", (("style", "right0 right1"),)))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return telling_items(planted_checkpoint(num_users=400, with_features=False))


@pytest.fixture(scope="module")
def before(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = export(checkpoint, tmp_path_factory.mktemp("before") / "a", PROFILE, ranker="never")
    assert made.manifest.content is not None
    return made


@pytest.fixture(scope="module")
def tuned(checkpoint: Checkpoint) -> Checkpoint:
    """As fine-tuning makes it, with what twenty users have done since."""
    return fine_tuned(checkpoint, 20)


def fine_tuned(old: Checkpoint, num_users: int) -> Checkpoint:
    scores = old.final.score_rows(old.seen())(np.arange(num_users))
    scores[old.seen()[:num_users].toarray() > 0] = -np.inf
    fresh = sp.lil_matrix(old.train.shape, dtype=np.float32)
    for row, best in enumerate(np.argsort(-scores, axis=1)[:, :3].tolist()):
        fresh[row, best] = 1
    lineage = {"name": old.name, "digest": "d" * 64, "fingerprint": old.fingerprint, "times": 1, "seed": 0}
    counts = {"interactions": 3 * num_users, "users": num_users, "items": 9}
    return replace(
        old,
        selection=old.final,
        train=old.seen(),
        valid=sp.csr_matrix(fresh),
        fingerprint="1" * 64,
        finetuned_from=lineage | {"fresh": counts, "left_out": dict.fromkeys(counts, 0), "weights": None},
    )


@pytest.fixture(scope="module")
def kept(before: Any, tuned: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Any:
    facts = content_before(before.path, tuned)
    return export(tuned, tmp_path_factory.mktemp("kept") / "a", PROFILE, ranker="never", content_before=facts)


def test_without_being_asked_none_ships(tuned: Checkpoint, tmp_path: Path) -> None:
    made = export(tuned, tmp_path / "a", PROFILE, ranker="never")
    assert (made.manifest.content, made.report["decisions"]["content"]["choice"]) == (None, "none")


def test_it_is_the_one_before_over_the_items_of_now_and_says_so(kept: Any, before: Any, tuned: Checkpoint) -> None:
    facts, old = kept.manifest.content, before.manifest.content
    assert facts == replace(old, kept_from=before.manifest.version)
    report = json.loads((kept.path / "report.json").read_text())
    assert faults(report) == []
    reason = report["decisions"]["content"]["reason"]
    assert report["facts"]["content"] == {"ships": True, "reason": reason, "kept_from": before.manifest.version}
    assert reason.startswith(
        f"kept from version {before.manifest.version}, as too few can judge another: 10 gate users"
    )
    card = (kept.path / "MODEL_CARD.md").read_text()
    assert f"kept from version {before.manifest.version}, which was judged: of " in card
    recommender = Recommender.load(kept.path)
    tastes = tuned.final.user_vectors[:, :2].sum(axis=1)
    for rows, first in ((np.argsort(tastes)[:10], "left"), (np.argsort(-tastes)[:10], "right")):
        asked = [Query(tuned.users.id(row), candidates=("left", "right"), item_features=TOLD) for row in rows.tolist()]
        assert [recommender.recommend(one).item_ids[0] for one in asked].count(first) >= 8


def test_it_is_kept_again_from_the_one_that_was_kept(kept: Any, before: Any, tuned: Checkpoint) -> None:
    lineage = tuned.finetuned_from
    assert lineage is not None
    again = replace(tuned, finetuned_from=lineage | {"fingerprint": tuned.fingerprint, "times": 2})
    assert content_before(kept.path, again).kept_from == before.manifest.version


def test_the_same_twice_and_after_an_interruption(kept: Any, before: Any, tuned: Checkpoint, tmp_path: Path) -> None:
    given = Decisions.read(kept.path / "decisions.json", profile=PROFILE, ranker="never")
    facts = content_before(before.path, tuned)
    again = export(tuned, tmp_path / "a", PROFILE, "never", given, content_before=facts)
    assert files(again.path) == files(kept.path)
    options: dict[str, Any] = {"ranker": "never", "content_before": facts}
    assert Kept(tuned, tmp_path / "b", stop="judge", **options).made is None
    resumed = Kept(tuned, tmp_path / "b", **options).made
    assert resumed is not None
    assert files(resumed.path) == files(kept.path)


def test_decisions_of_one_that_was_kept_want_it_given_again(kept: Any, tuned: Checkpoint, tmp_path: Path) -> None:
    given = Decisions.read(kept.path / "decisions.json", profile=PROFILE, ranker="never")
    with pytest.raises(ConfigError, match="ship a content encoder, and here none can be judged") as error:
        export(tuned, tmp_path / "a", PROFILE, "never", given)
    assert "--content-from" in error.value.hint
    assert not (tmp_path / "a").exists()


def test_those_who_can_judge_decide_all_the_same(before: Any, checkpoint: Checkpoint, tmp_path: Path) -> None:
    many = fine_tuned(checkpoint, 300)
    made = export(many, tmp_path / "a", PROFILE, "never", content_before=content_before(before.path, many))
    assert "kept from" not in made.report["decisions"]["content"]["reason"]
    none = Decisions(PROFILE, "never", {"content": Decision("none", "not wanted")})
    few = fine_tuned(checkpoint, 20)
    made = export(few, tmp_path / "b", PROFILE, "never", none, content_before=content_before(before.path, few))
    assert (made.manifest.content, made.manifest.no_content) == (None, "not wanted")


def test_attributes_that_are_gone_or_of_another_kind_are_not_read(
    before: Any, tuned: Checkpoint, tmp_path: Path
) -> None:
    assert tuned.item_attributes is not None
    columns = tuned.item_attributes.columns
    facts = content_before(before.path, tuned)
    others = Attributes({"tilt": columns["tilt"], "label": columns["label"]}, len(tuned.items))
    read = {column.name for column in facts.columns} & {"tilt", "label"}
    made = export(replace(tuned, item_attributes=others), tmp_path / "a", PROFILE, "never", content_before=facts)
    found = made.manifest.content
    assert ({column.name for column in found.columns} if found else set()) == read
    swapped = Attributes({"style": columns["tilt"]}, len(tuned.items))
    made = export(replace(tuned, item_attributes=swapped), tmp_path / "b", PROFILE, "never", content_before=facts)
    assert made.manifest.content is None
    assert made.manifest.no_content.startswith("cannot be judged: ")


def test_a_link_that_is_missing_can_be_made_again(gnas: Gnas, before: Any, tuned: Checkpoint, tmp_path: Path) -> None:
    """Of a chain of fine-tunings one was exported without the flag: what is refused then says how to go on."""
    lineage = tuned.finetuned_from
    assert lineage is not None
    later = replace(tuned, finetuned_from=lineage | {"fingerprint": tuned.fingerprint, "times": 2})
    tuned.save(tmp_path / "tuned")
    (tmp_path / "any.toml").write_text("[gates]\nbaseline_loss = 1\n")
    asked = ("export", tmp_path / "tuned", "--ranker", "never", "--profile", tmp_path / "any.toml")
    code, _, said = gnas(*asked, "--out", tmp_path / "without")
    assert (code, "artifact of the next fine-tuning has none to keep" in said) == (0, True), said
    again = "export the checkpoint that it was made of again, with --content-from of the artifact before it"
    with pytest.raises(ConfigError, match="has no content encoder: cannot be judged") as error:
        content_before(tmp_path / "without", later)
    assert again in error.value.hint
    with pytest.raises(ConfigError, match="was not made of the checkpoint that this one was fine-tuned from") as error:
        content_before(before.path, later)
    assert "where that has no content encoder, " in error.value.hint
    assert again in error.value.hint
    assert gnas(*asked, "--out", tmp_path / "with", "--content-from", before.path)[0] == 0
    assert content_before(tmp_path / "with", later).kept_from == before.manifest.version


def test_only_the_artifact_of_the_checkpoint_before_is_taken(
    gnas: Gnas, before: Any, kept: Any, tuned: Checkpoint, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="was not made of the checkpoint that this one was fine-tuned from, planted"):
        content_before(kept.path, tuned)
    with pytest.raises(ConfigError, match="this one was trained"):
        content_before(before.path, checkpoint)
    bare = export(replace(checkpoint, item_attributes=None), tmp_path / "bare", PROFILE, ranker="never")
    with pytest.raises(ConfigError, match="has no content encoder: items have no attribute") as error:
        content_before(bare.path, tuned)
    assert error.value.hint == "leave --content-from out"
    tuned.save(tmp_path / "tuned")
    (tmp_path / "any.toml").write_text("[gates]\nbaseline_loss = 1\n")
    asked = ("export", tmp_path / "tuned", "--ranker", "never", "--profile", tmp_path / "any.toml")
    code, _, said = gnas(*asked, "--out", tmp_path / "without")
    assert code == 0, said
    assert "--content-from ARTIFACT keeps that of the artifact before" in " ".join(said.split())
    code, _, said = gnas(*asked, "--out", tmp_path / "with", "--content-from", before.path)
    assert (code, "no content encoder ships" in said) == (0, False), said
    content = Manifest.read(tmp_path / "with").content
    assert isinstance(content, ContentFacts)
    assert content.kept_from == before.manifest.version
    code, out, _ = gnas("inspect", tmp_path / "with")
    assert f"(of version {content.kept_from}, whose encoder was kept)" in " ".join(out.split())
