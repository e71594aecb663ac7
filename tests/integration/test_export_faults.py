"""Faults planted between a trained model and its artifact: each is caught by its gate, with its exit code."""

import hashlib
import io
import json
import shutil
from dataclasses import replace

import faiss
import numpy as np
import onnx
import pytest
import torch
from cli_call import call
from export_runs import without_vectors_for_taste
from onnx import numpy_helper
from segment_tables import telling_users

from gnas_export import pipeline
from gnas_export.ranker import numeric
from gnas_export.ranker.variants import FP32
from gnas_export.retrieval.index import build_ivf, index_bytes
from gnas_export.retrieval.rounding import vector_rounding
from gnas_export.retrieval.turning import Turns
from gnas_export.steps import forms, indexing, narrowing
from gnas_export.work.workbook import work_folder
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION
from gnas_serve.artifact.store import MANIFEST, canonical_json
from gnas_serve.errors import StorageError
from gnas_serve.runtime.embeddings import EmbeddingTable

PROFILE = """
index = "ivf"
candidates = 60
[ranker]
use = "auto"
hidden = [32, 16]
students = [[8, 4]]
keep = 0.5
distil = "{distil}"
prune = "never"
precision = "{precision}"
[gates]
index_recall = 0.9
top_recall = 0.9
quality_loss = 0.1
form_loss = 0.05
baseline_loss = 1.0
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "checkpoint"
    telling_users(without_vectors_for_taste(num_items=600)).save(path)
    return path


@pytest.fixture(scope="module")
def finished(checkpoint, tmp_path_factory):
    """Give the work of an export whose steps are done and whose files found no room: precision -> its folder."""

    def full(*_):
        raise StorageError("cannot write: No space left on device")

    folders = {}
    for precision in ("fp32", "int8"):
        folder = tmp_path_factory.mktemp(precision)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(pipeline, "write_files", full)
            assert exporting(checkpoint, folder, precision=precision) == 10
        folders[precision] = work_folder(folder / "a")
    return folders


def exporting(checkpoint, folder, *, distil="never", precision="fp32"):
    profile = folder / "test.toml"
    profile.write_text(PROFILE.format(distil=distil, precision=precision))
    return call("export", checkpoint, "--out", folder / "a", "--profile", profile, "--ranker", "always")


@pytest.fixture
def exported(checkpoint, finished, tmp_path, capsys):
    """Export, and give the exit code, what was said and the report.

    Of finished work the steps before ``begin`` are gone on after: those that a fault of a later one does not touch.
    """

    def run(distil="never", precision="fp32", begin=None):
        if begin is not None:
            kept = shutil.copytree(finished[precision], work_folder(tmp_path / "a"))
            steps = [step.__name__ for step in pipeline.STEPS]
            for record in kept.glob("[0-9]*"):
                if int(record.name[:3]) >= [*steps, pipeline.PACKAGE].index(begin):
                    record.unlink()
        capsys.readouterr()
        code = exporting(checkpoint, tmp_path, distil=distil, precision=precision)
        place = tmp_path / "a" / LAYOUT.report if code == 0 else tmp_path / "a.report.json"
        said = capsys.readouterr().err
        assert place.exists(), said
        assert ("going on after" in said) == (begin is not None)
        return code, said, json.loads(place.read_text())

    return run


def breached(report):
    return [gate["name"] for gate in report["gates"] if not gate["passed"]]


def scaled(graph, factor):
    """Multiply all weights of a graph."""
    model = onnx.load_model_from_string(graph)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(factor), tensor.name))
    return model.SerializeToString()


def damaging(monkeypatch, file, change):
    """Let one file of the artifact be changed once all are written; what was weighed before was sound."""
    write = pipeline.write_files

    def written(folder, *given):
        write(folder, *given)
        (folder / file).write_bytes(change((folder / file).read_bytes()))

    monkeypatch.setattr(pipeline, "write_files", written)


def swapped(raw):
    """Exchange two rows of an npy file."""
    table = np.load(io.BytesIO(raw))
    table[[3, 40]] = table[[40, 3]]
    changed = io.BytesIO()
    np.save(changed, table)
    return changed.getvalue()


def test_without_a_fault_it_ships(exported):
    code, said, report = exported(begin="package")
    assert code == 0, said
    assert report["decisions"]["segments"]["choice"] == "segments"
    passed = {gate["name"] for gate in report["gates"] if gate["passed"]}
    assert {"vector_parity", "row_parity", "index_parity", "scorer_parity", "onnx_parity"} <= passed
    assert "C = 1, 7, 60" in next(gate["remark"] for gate in report["gates"] if gate["name"] == "scorer_parity")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_weights_that_change_after_the_export_from_torch(exported, monkeypatch, precision):
    damaging(monkeypatch, LAYOUT.ranker, lambda graph: scaled(graph, 1.05))
    code, said, report = exported(precision=precision, begin="package")
    assert (code, breached(report)) == (5, ["scorer_parity"])
    assert "gate scorer_parity" in said


def test_weights_that_change_while_the_graph_is_drawn(exported, monkeypatch):
    draw = forms.draw

    def changed(*given):
        drawings = draw(*given)
        exact = drawings[FP32]
        return {**drawings, FP32: replace(exact, graph=scaled(exact.graph, 1.05))}

    monkeypatch.setattr(forms, "draw", changed)
    code, _, report = exported(begin="draw_forms")
    assert (code, breached(report)) == (5, ["onnx_parity"])


def test_a_student_whose_graph_is_not_its_network_is_not_merely_left_out(exported, monkeypatch):
    draw = forms.draw

    def changed(ranker, *given):
        drawings = draw(ranker, *given)
        if ranker.network.widths != (8, 4):
            return drawings
        exact = drawings[FP32]
        return {**drawings, FP32: replace(exact, graph=scaled(exact.graph, 1.05))}

    monkeypatch.setattr(forms, "draw", changed)
    code, said, report = exported(distil="auto")
    assert (code, breached(report)) == (5, ["onnx_parity"])
    assert "of distilled-8x4 from torch" in said


@pytest.mark.parametrize(
    ("file", "gate"),
    [
        (LAYOUT.item_vectors, "vector_parity"),
        (LAYOUT.user_vectors, "vector_parity"),
        (LAYOUT.item_counts, "row_parity"),
        (LAYOUT.ranker_items, "row_parity"),
        (LAYOUT.fold_in, "row_parity"),
    ],
)
def test_a_row_that_goes_to_the_place_of_another(exported, monkeypatch, tmp_path, file, gate):
    damaging(monkeypatch, file, swapped)
    code, _, report = exported(begin="package")
    assert code == 5
    assert gate in breached(report)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("file", [name for name in vars(LAYOUT).values() if name.startswith("segments.")])
def test_a_segment_that_is_not_what_its_users_have(exported, monkeypatch, file):
    def one_more(raw):
        table = np.load(io.BytesIO(raw))
        table[1] += 1
        changed = io.BytesIO()
        np.save(changed, table)
        return changed.getvalue()

    damaging(monkeypatch, file, one_more)
    code, _, report = exported(begin="package")
    assert (code, breached(report)) == (5, ["row_parity"])
    assert file in next(gate["remark"] for gate in report["gates"] if gate["name"] == "row_parity")


def test_ids_in_another_order_are_told(exported, monkeypatch):
    damaging(monkeypatch, LAYOUT.item_ids, swapped)
    code, _, report = exported(begin="package")
    assert (code, breached(report)) == (5, ["row_parity"])
    assert LAYOUT.item_ids in next(gate["remark"] for gate in report["gates"] if gate["name"] == "row_parity")


@pytest.mark.parametrize("quantiser", ["quantise", "quantise_dynamically"])
def test_a_quantiser_that_silently_does_nothing(exported, monkeypatch, quantiser):
    monkeypatch.setattr(numeric, quantiser, lambda graph, *_: graph)
    code, said, _ = exported(precision="int8", begin="draw_forms")
    assert code == 5
    assert "no node that ONNX Runtime executes in int8" in said


def test_an_index_file_over_other_vectors(exported, monkeypatch):
    def other(raw):
        index = faiss.deserialize_index(np.frombuffer(raw, np.uint8))
        vectors = np.random.default_rng(0).standard_normal((index.ntotal, index.d)).astype(np.float32)
        return index_bytes(build_ivf(vectors, seed=0)).tobytes()

    damaging(monkeypatch, LAYOUT.index, other)
    code, _, report = exported(begin="package")
    assert (code, breached(report)) == (5, ["index_parity"])


def test_an_index_that_is_built_over_other_vectors_gives_way_to_exact_search(exported, monkeypatch):
    monkeypatch.setattr(indexing, "build_ivf", lambda vectors, seed: build_ivf(vectors[::-1], seed=seed))
    code, _, report = exported()
    assert (code, report["decisions"]["index"]["choice"]) == (0, "flat")
    assert "below 0.9" in report["decisions"]["index"]["reason"]


@pytest.mark.parametrize(("distil", "ending"), [("always", 6), ("auto", 0)])
def test_a_student_that_is_made_worse(exported, monkeypatch, distil, ending):
    teach = narrowing.distilled

    def spoiled(*given, **options):
        fitted = teach(*given, **options)
        with torch.no_grad():
            for weight in (fitted.ranker.network.last, fitted.ranker.network.wide):
                weight.neg_()
        return fitted

    monkeypatch.setattr(narrowing, "distilled", spoiled)
    code, _, report = exported(distil=distil)
    assert code == ending
    assert ("form_quality" in breached(report)) == (distil == "always")
    if distil == "auto":
        assert report["decisions"]["form"]["choice"].startswith("teacher")


def test_a_vector_that_is_no_number_hides_no_other():
    table = np.ones((4, 3), np.float32)
    exact = table.copy()
    table[1, 0] = np.nan
    assert vector_rounding(EmbeddingTable(table), exact, np.arange(4), Turns(())) == float("inf")


@pytest.fixture(scope="module")
def artifact(checkpoint, finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(finished["fp32"], work_folder(folder / "a"))
    assert exporting(checkpoint, folder) == 0
    return {path.name: path.read_bytes() for path in (folder / "a").iterdir()}


def _flipped(raw):
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]


def _newer(raw):
    """Give the manifest that a newer version would have written: sound, but of another format."""
    manifest = json.loads(raw) | {"format_version": FORMAT_VERSION + 1}
    del manifest["digest"]
    manifest["digest"] = hashlib.sha256(canonical_json(manifest)).hexdigest()
    return canonical_json(manifest)


@pytest.mark.parametrize("command", ["verify", "serve", "recommend"])
@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        (LAYOUT.user_vectors, lambda raw: raw[:-1], LAYOUT.user_vectors),
        (LAYOUT.ranker, _flipped, LAYOUT.ranker),
        (LAYOUT.item_counts, _flipped, LAYOUT.item_counts),
        (MANIFEST, _newer, "newer"),
    ],
)
def test_damage_after_the_export_is_exit_8(artifact, tmp_path, capsys, command, file, damage, said):
    for name, raw in artifact.items():
        (tmp_path / name).write_bytes(damage(raw) if name == file else raw)
    further = {"recommend": ("--user", "1"), "serve": ("--http-port", "38477")}.get(command, ())
    assert call(command, tmp_path, *further) == 8
    assert said in capsys.readouterr().err
