"""What the audit finds in files, and in what the steps left in memory: nothing that ships is taken on trust."""

import random
from dataclasses import replace

import faiss
import numpy as np
import onnx
import pytest
from attribute_tables import attributes_of, random_table
from export_runs import LIMITS, PROFILE, after, run
from onnx import helper
from planted_checkpoint import blended_checkpoint, planted_checkpoint

from gnas_export import pipeline
from gnas_export.retrieval import fold_in
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ExportError, ParityError
from gnas_serve.runtime.seen import SeenItems


@pytest.fixture(scope="module")
def trained():
    return planted_checkpoint(num_users=200, num_items=120, with_features=False)


@pytest.fixture(scope="module")
def blend():
    return blended_checkpoint(num_users=200, num_items=120)


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
    def turn(folder):
        model = onnx.load(folder / LAYOUT.ranker)
        last = model.graph.node[-1]
        last.output[0] = "before"
        model.graph.node.append(helper.make_node("Neg", ["before"], ["score"]))
        onnx.save(model, folder / LAYOUT.ranker)

    written(monkeypatch, turn)
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

    def garble(folder):
        index = faiss.read_index(str(folder / LAYOUT.index))
        lists = index.invlists
        smallest = min((n for n in range(index.nlist) if lists.list_size(n) > 1), key=lists.list_size)
        ids = faiss.rev_swig_ptr(lists.get_ids(smallest), lists.list_size(smallest))
        ids[:] = ids[0]
        faiss.write_index(index, str(folder / LAYOUT.index))

    written(monkeypatch, garble)
    refused(planted_checkpoint(num_users=200, num_items=800), tmp_path / "a", "index_parity", profile)
