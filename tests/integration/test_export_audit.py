"""What the audit finds in files, and in what the steps left in memory: nothing that ships is taken on trust."""

import random
import shutil
from copy import copy
from dataclasses import fields, replace

import faiss
import numpy as np
import onnx
import pytest
from attribute_tables import attributes_of, random_table
from export_runs import LIMITS, PROFILE, after, run
from onnx import helper
from planted_checkpoint import blended_checkpoint, planted_checkpoint
from segment_tables import telling_users

from gnas_export import pipeline
from gnas_export.decisions import Decision, Decisions
from gnas_export.retrieval import fold_in
from gnas_export.steps.audit import audit
from gnas_search.data.interactions import FeatureTable
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ExportError, ParityError
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.vocabulary import Vocabulary

# What tells of the model, and is no part of it.
_TELLING = ("model_card", "sbom", "decisions", "report", "report_page")
_OTHERS = {"lists"}  # of another kind of index than this artifact's
_FILES = [getattr(LAYOUT, field.name) for field in fields(LAYOUT) if field.name not in {*_TELLING, *_OTHERS}]


@pytest.fixture(scope="module")
def trained():
    return planted_checkpoint(num_users=200, num_items=120, with_features=False)


@pytest.fixture(scope="module")
def blend():
    return blended_checkpoint(num_users=200, num_items=120)


def with_every_table(num_users=200, num_items=800):
    """A blend with ids of text, features and attributes of both sides: no file of an artifact is missing."""
    rng = np.random.default_rng(0)
    return replace(
        telling_users(blended_checkpoint(num_users=num_users, num_items=num_items)),
        users=Vocabulary.from_ids([f"user-{row:05d}" for row in range(num_users)]),
        item_features=FeatureTable(("a", "b"), rng.random((num_items, 2)).astype(np.float32)),
        user_features=FeatureTable(("c",), rng.random((num_users, 1)).astype(np.float32)),
        item_attributes=attributes_of(random_table(random.Random(0), num_items)),
    )


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """What the audit is given of an artifact with every file: the draft, its folder, and the manifest to be."""
    folder, given = tmp_path_factory.mktemp("packed"), []
    gates = replace(LIMITS, index_recall=0.1, blend_recall=0.1, top_recall=0.1, quality_loss=1.0)
    profile = replace(PROFILE, index="ivf", gates=gates, ranker=replace(PROFILE.ranker, precision="fp32"))

    def kept(draft, made, manifest):
        given.append((draft, shutil.copytree(made, folder / "kept"), manifest))
        return audit(draft, made, manifest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline, "audit", kept)
        given_ones = {"segments": "segments", "content": "encoder"}
        asked = {name: Decision(choice, "so that there are some") for name, choice in given_ones.items()}
        decisions = Decisions(profile, "always", asked)
        run(with_every_table(), folder / "a", profile, "always", decisions)
    return given[0]


def negate(path):
    """Let a graph turn the order of its scores round."""
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Neg", ["before"], ["score"]))
    onnx.save(model, path)


def garble(path):
    """Let the smallest list of an index name one item alone."""
    index = faiss.read_index(str(path))
    lists = index.invlists
    smallest = min((n for n in range(index.nlist) if lists.list_size(n) > 1), key=lists.list_size)
    ids = faiss.rev_swig_ptr(lists.get_ids(smallest), lists.list_size(smallest))
    ids[:] = ids[0]
    faiss.write_index(index, str(path))


def altered(values):
    """Change one number of an array in its midst by the least that is a number: no type, shape or order breaks."""
    changed = values.copy()
    known = np.flatnonzero(np.isfinite(values))
    place = np.unravel_index(known[len(known) // 2], values.shape)
    step = 1 if np.issubdtype(values.dtype, np.integer) else np.spacing(values[place])
    changed[place] = values[place] - step if values[place] == np.iinfo(np.uint8).max else values[place] + step
    return changed


@pytest.mark.parametrize("name", _FILES)
def test_no_file_of_the_model_is_taken_on_trust(packed, tmp_path, name):
    draft, folder, manifest = packed
    folder = shutil.copytree(folder, tmp_path / "copy")
    assert all(gate.passed for gate in audit(draft, folder, manifest))
    gate = {LAYOUT.index: "index_parity", LAYOUT.ranker: "scorer_parity"}.get(name, "row_parity")
    if name == LAYOUT.index:
        garble(folder / name)
    elif name == LAYOUT.ranker:
        negate(folder / name)
    else:
        np.save(folder / name, altered(np.load(folder / name)))
    found = {one.name: one for one in audit(draft, folder, manifest)}[gate]
    assert not found.passed
    if gate == "row_parity":
        assert found.remark.endswith(f": {name}")


@pytest.mark.parametrize(("field", "name"), [("users", LAYOUT.ranker_users), ("content", LAYOUT.item_content)])
def test_what_the_ranker_is_told_is_made_of_the_checkpoint_again(packed, tmp_path, field, name):
    """Of other rows in memory the files are a true copy, and wrong."""
    draft, folder, manifest = packed
    turned = getattr(draft.plan, field)[::-1].copy()
    other, folder = copy(draft), shutil.copytree(folder, tmp_path / "copy")
    other.plan = replace(draft.plan, **{field: turned})
    np.save(folder / name, turned)
    (found,) = (gate for gate in audit(other, folder, manifest) if gate.name == "row_parity")
    assert found.remark.endswith(f": {name}")


def written(monkeypatch, change):
    """Let the files be changed once all are written."""
    write = pipeline.write_files

    def both(folder, *given):
        write(folder, *given)
        change(folder)

    monkeypatch.setattr(pipeline, "write_files", both)


def refused(checkpoint, out, gate, profile=PROFILE):
    with pytest.raises(ParityError, match=f"gate {gate}") as error:
        run(checkpoint, out, profile, ranker="never")
    assert error.value.exit_code == 5
    assert not out.exists()


def test_sound_artifacts_pass(trained, blend, tmp_path):
    for name, checkpoint in (("one", trained), ("blend", blend)):
        made = run(checkpoint, tmp_path / name, replace(PROFILE, tables="int8"), ranker="never")
        gates = {gate["name"]: gate["value"] for gate in made.report["gates"]}
        assert gates["vector_parity"] <= 1.01
        assert gates["newcomer_parity"] < 0.1
        assert gates["row_parity"] == gates["scorer_parity"] == 0


def test_a_plain_ranker_that_turns_the_order_round(trained, tmp_path, monkeypatch):
    written(monkeypatch, lambda folder: negate(folder / LAYOUT.ranker))
    refused(trained, tmp_path / "a", "scorer_parity")


@pytest.mark.parametrize("factor", [4, 128, 1024])
def test_coarse_codes_do_not_allow_themselves_coarseness(trained, tmp_path, monkeypatch, factor):
    def coarsen(folder):
        codes, scales = (np.load(folder / name) for name in (LAYOUT.item_vectors, LAYOUT.item_scales))
        np.save(folder / LAYOUT.item_vectors, np.rint(codes / np.float32(factor)).astype(np.int8))
        np.save(folder / LAYOUT.item_scales, scales * np.float32(factor))

    written(monkeypatch, coarsen)
    refused(trained, tmp_path / "a", "vector_parity", replace(PROFILE, tables="int8"))


@pytest.mark.parametrize("name", ["item_features", "user_features", "item_recency"])
def test_attributes_that_are_no_numbers_are_refused_before_any_work(name, tmp_path):
    checkpoint = planted_checkpoint(num_users=200, num_items=120)
    given = getattr(checkpoint, name)
    values = (given if name == "item_recency" else given.values).copy()
    values[5] = np.nan
    spoiled = replace(checkpoint, **{name: values if name == "item_recency" else replace(given, values=values)})
    with pytest.raises(ExportError, match="row 5 are no finite numbers") as error:
        run(spoiled, tmp_path / "a", ranker="always")
    assert error.value.exit_code == 5


@pytest.mark.parametrize("name", ["one", "blend"])
def test_newcomers_who_are_turned_away(name, trained, blend, tmp_path, monkeypatch):
    after(
        monkeypatch, "judge", lambda draft: setattr(draft, "final", replace(draft.final, fold_in=-draft.final.fold_in))
    )
    refused(trained if name == "one" else blend, tmp_path / "a", "newcomer_parity")


def test_a_map_that_is_turned_wrongly(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(fold_in, "turned_users", lambda block, _: -block)
    refused(trained, tmp_path / "a", "newcomer_parity", replace(PROFILE, tables="int8"))


def test_counts_and_histories_are_those_of_the_checkpoint(trained, tmp_path, monkeypatch):
    def forget(draft):
        seen = draft.final.seen
        draft.final = replace(draft.final, seen=SeenItems(np.zeros_like(seen.offsets), seen.items[:0].copy()))

    with monkeypatch.context() as patched:
        after(patched, "judge", forget)
        refused(trained, tmp_path / "a", "row_parity")
    after(monkeypatch, "judge", lambda d: setattr(d, "final", replace(d.final, counts=d.final.counts[::-1].copy())))
    refused(trained, tmp_path / "b", "row_parity")


@pytest.mark.parametrize(
    "name",
    [
        LAYOUT.item_attribute_numbers,
        LAYOUT.item_attribute_codes,
        LAYOUT.item_attribute_list_codes,
        LAYOUT.item_attribute_word_bytes,
    ],
)
def test_attributes_are_those_of_the_checkpoint(trained, tmp_path, monkeypatch, name):
    attributes = attributes_of(random_table(random.Random(0), 120))
    checkpoint = replace(trained, item_attributes=attributes)
    made = run(checkpoint, tmp_path / "sound", ranker="never")
    assert made.manifest.attributes == attributes.facts()

    def alter(folder):
        array = np.load(folder / name)
        place = np.argmax(array.ravel() == np.nanmax(array))
        array.ravel()[place] = 0
        np.save(folder / name, array)

    written(monkeypatch, alter)
    refused(checkpoint, tmp_path / "a", "row_parity")


def test_unknown_numbers_are_not_other_numbers(trained, tmp_path, monkeypatch):
    checkpoint = replace(trained, item_attributes=attributes_of({"price": [None, *range(119)]}))

    def tell(folder):
        np.save(folder / LAYOUT.item_attribute_numbers, np.arange(120.0)[None])

    written(monkeypatch, tell)
    refused(checkpoint, tmp_path / "a", "row_parity")


def test_lists_of_the_index_that_nobody_was_asked_to_visit(tmp_path, monkeypatch):
    gates = replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=1.0, baseline_loss=1.0)
    profile = replace(PROFILE, index="ivf", candidates=20, gates=gates)

    written(monkeypatch, lambda folder: garble(folder / LAYOUT.index))
    refused(planted_checkpoint(num_users=200, num_items=800), tmp_path / "a", "index_parity", profile)


def test_lists_of_vectors_that_are_others_than_were_tuned(tmp_path, monkeypatch):
    gates = replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=1.0, baseline_loss=1.0)
    profile = replace(PROFILE, index="ivf-flat", candidates=20, gates=gates)

    def exchange(folder):
        lists = InvertedLists.load(folder / LAYOUT.lists)
        assigned = lists.assigned.copy()
        assigned[[0, 1]] = (assigned[[0, 1]] + 1) % len(lists.centroids)
        (folder / LAYOUT.lists).write_bytes(replace(lists, assigned=assigned).to_bytes().tobytes())

    written(monkeypatch, exchange)
    refused(planted_checkpoint(num_users=200, num_items=800), tmp_path / "a", "index_parity", profile)
