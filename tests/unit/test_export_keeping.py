"""What may be kept of a draft, and what kept work rests on."""

from dataclasses import replace

import numpy as np
import pytest
from attribute_tables import attributes_of
from planted_checkpoint import planted_checkpoint

from gnas_export.decisions import Decision, Decisions
from gnas_export.draft import Draft
from gnas_export.profile import ExportProfile
from gnas_export.ranker.candidates import plan_features
from gnas_export.work.array_file import ArrayFile, read_record
from gnas_export.work.keeping import UNREADABLE, Keeper
from gnas_export.work.key import work_key
from gnas_serve.artifact.content_facts import ContentColumn, ContentFacts
from gnas_serve.artifact.encoding_facts import WordsEncoding

PROFILE = ExportProfile("test")


@pytest.fixture(scope="module")
def checkpoint():
    return planted_checkpoint(num_users=60, num_items=40)


def draft_of(checkpoint):
    return Draft(checkpoint, PROFILE, "never", 0, Decisions(PROFILE, "never"))


def test_facts_come_back_as_they_were(checkpoint):
    facts = {
        "numbers": [1, 0.1, 1e-300, float("inf"), -0.0, True, None, np.float32(0.1), np.int64(7)],
        "nested": {"$": "no tag", "pair": (1, "two")},
    }
    draft = draft_of(checkpoint)
    draft.facts = facts
    tree = Keeper(checkpoint).encode(draft, list)
    found = Keeper(checkpoint).decode(tree, draft_of(checkpoint), list).facts
    assert repr(found) == repr(facts)
    assert [type(one) for one in found["numbers"]] == [type(one) for one in facts["numbers"]]


def test_a_plan_of_features_comes_back(checkpoint, tmp_path):
    told = replace(checkpoint, user_attributes=attributes_of({"age": checkpoint.user_features.values[:, 0].tolist()}))
    draft = draft_of(told)
    draft.plan = plan_features(told)
    (encoding,) = draft.plan.encodings
    draft.plan = replace(draft.plan, encodings=(encoding, WordsEncoding("region", None, ("a",), (1,))))
    file = ArrayFile("a.npys")
    tree = Keeper(told).encode(draft, file.put)
    file.write(tmp_path / file.name)
    found = Keeper(told).decode(tree, draft_of(told), lambda at: read_record(tmp_path / file.name, at)).plan
    assert found.encodings == draft.plan.encodings


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), ValueError, lambda: None])
def test_what_the_table_does_not_have_is_refused(checkpoint, value):
    draft = draft_of(checkpoint)
    draft.facts = {"odd": value}
    with pytest.raises(TypeError, match="cannot be kept"):
        Keeper(checkpoint).encode(draft, ArrayFile("a").put)


@pytest.mark.parametrize(
    "tree",
    [
        {"checkpoint": None},
        {"facts": {"$": "value", "type": "Path", "fields": {}}},
        {"facts": {"$": "eval"}},
        {"lists": {}},
    ],
)
def test_another_tree_is_refused(checkpoint, tree):
    with pytest.raises(UNREADABLE):
        Keeper(checkpoint).decode(tree, draft_of(checkpoint), list)


def test_arrays_come_back_in_the_layout_that_they_had(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [
        rng.random((5, 3)).astype(np.float32),
        np.asfortranarray(rng.random((5, 3))),
        rng.integers(0, 9, (4, 6))[:, ::2],
        np.empty((0, 4), np.float16),
        np.array([True, False]),
    ]
    file = ArrayFile("a.npys")
    starts = [file.put(array) for array in arrays]
    file.write(tmp_path / file.name)
    assert (tmp_path / file.name).stat().st_size == file.size_bytes
    for array, start in zip(arrays, starts, strict=True):
        found = read_record(tmp_path / file.name, start)
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)
        assert found.ctypes.data % 64 == 0 or not found.size
    assert read_record(tmp_path / file.name, starts[1]).flags.f_contiguous
    with pytest.raises(ValueError, match="magic"):
        read_record(tmp_path / file.name, 8)


def test_whatever_decides_the_bytes_changes_the_key(checkpoint, tmp_path):
    for name, trained in (("a", checkpoint), ("b", replace(checkpoint, seed=1))):
        trained.save(tmp_path / name)
    given = {"profile": PROFILE, "ranker": "never", "seed": 0, "decisions": Decisions(PROFILE, "never")}
    key = work_key(tmp_path / "a", **given)
    assert key == work_key(tmp_path / "a", **given)

    def changed(folder="a", **options):
        other = work_key(tmp_path / folder, **{**given, **options})
        return [name for name in key if key[name] != other[name]]

    assert changed("b") == ["checkpoint"]
    assert changed(seed=1) == ["seed"]
    assert changed(profile=replace(PROFILE, gates=replace(PROFILE.gates, max_p99_us=9.0))) == ["profile"]
    assert changed(ranker="auto") == ["ranker mode"]
    flat = Decisions(PROFILE, "never", {"index": Decision("flat", "by hand")})
    assert changed(decisions=flat) == ["decisions"]
    kept = ContentFacts((ContentColumn("style", "text", 1.0, num_words=2),), 40, 2.0, 0.5, 3.0, {}, "v1")
    assert changed(content_before=kept) == ["content encoder of the model before"]


def test_arrays_are_not_written_through_a_link(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "a.npys").symlink_to(tmp_path / "mine")
    arrays = ArrayFile("a.npys")
    start = arrays.put(np.arange(5))
    arrays.write(tmp_path / "a.npys")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    np.testing.assert_array_equal(read_record(tmp_path / "a.npys", start), np.arange(5))
