"""What an artifact says of itself: provenance, checksums, model card and bill of materials of a real export."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from cli_call import call
from cyclonedx_rules import check_bill
from export_runs import PROFILE, files, run
from planted_checkpoint import blended_checkpoint, planted_checkpoint

from gnas_export.accounts.insistence import insisted
from gnas_export.accounts.inventory import lock_sha256, running_code_sha256
from gnas_export.decisions import Decisions
from gnas_export.profile import ExportProfile
from gnas_search.division import divided_users
from gnas_serve.artifact.checksums import CHECKSUMS, SIGNATURE
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.artifact.store import MANIFEST, canonical_json, is_report
from gnas_serve.errors import ConfigError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.requirements import SHIPPED, other_versions, pinned

COREUTILS = shutil.which("sha256sum")
OPENSSL = shutil.which("openssl")


@pytest.fixture(autouse=True)
def no_stated_time(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A blend with links in the profile `small`'s manner: every step but the ranker's changes something."""
    profile = replace(PROFILE, neighbours=8, gates=replace(PROFILE.gates, top_recall=0.5, quality_loss=0.2))
    return run(blended_checkpoint(), tmp_path_factory.mktemp("made") / "artifact", profile, ranker="never", seed=3)


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made.path, tmp_path / "copy")


def test_where_it_comes_from(made):
    checkpoint, read = blended_checkpoint(), Manifest.read(made.path)
    provenance = read.provenance
    assert read == made.manifest
    assert read.format_version == 3
    assert provenance.hashes["data"] == checkpoint.fingerprint
    assert provenance.hashes["code"] == running_code_sha256()
    assert provenance.hashes["lock"] == lock_sha256(provenance.lock)
    assert provenance.seeds == {"training": checkpoint.seed, "export": 3, "split": 0}
    assert provenance.architecture["spec"] == checkpoint.spec
    assert provenance.architecture["ranker"]["form"] == "retrieval"
    assert provenance.data == {"interactions": checkpoint.seen().nnz, "gate_users": 150}
    assert provenance.config["ranker_mode"] == "never"
    assert provenance.config["profile"]["neighbours"] == 8


def test_its_metrics_have_intervals_and_stay_plain_beside(made):
    provenance, quality = made.manifest.provenance, made.report["facts"]["quality"]
    assert set(provenance.metrics) == set(made.manifest.metrics) == {"ndcg@20", "recall@20", "fold_in_ndcg@20"}
    for name, measured in provenance.metrics.items():
        assert measured.value == made.manifest.metrics[name]
        assert measured.low < measured.value < measured.high
    shipped = quality["shipped"]
    assert provenance.metrics["ndcg@20"].low == pytest.approx(shipped["ndcg@20_low"])
    assert provenance.metrics["ndcg@20"].high == pytest.approx(shipped["ndcg@20_high"])
    assert {"item-knn", "svd", "popularity", "exact_retrieval"} == set(provenance.baselines)
    assert provenance.baselines["svd"]["ndcg@20"].low == quality["baseline_svd"]["ndcg@20_low"]


def test_its_scores_are_those_that_it_answers_the_gate_users_with(made):
    recommender, users = Recommender.load(made.path), divided_users(blended_checkpoint()).gate
    answers = [recommender.recommend(Query(recommender.users.id(row))) for row in users.tolist()]
    facts = made.manifest.scores
    assert facts == ScoreFacts.of(np.array([answer.scores[0] for answer in answers if answer.source == "user"]))
    assert facts.users == 150


def test_each_step_says_what_went_in_and_came_out(made):
    steps = {step.step: step for step in made.manifest.provenance.steps}
    assert list(steps) == ["compress_neighbours", "compress_tables"]
    gates = {gate["name"]: gate["value"] for gate in made.report["gates"]}
    links, tables = steps["compress_neighbours"], steps["compress_tables"]
    assert (links.before.form, links.after.form) == ("fp32", made.manifest.model["neighbours"]["form"])
    sizes = {path.name: path.stat().st_size for path in made.path.iterdir()}
    header = 128  # of an npy file
    stored = (LAYOUT.neighbour_offsets, LAYOUT.neighbour_items, LAYOUT.neighbour_values)
    assert links.after.size_bytes == sum(sizes[name] - header for name in stored) < links.before.size_bytes
    assert links.quality["recall@20"] == gates["neighbour_recall"]
    assert (tables.before.form, tables.after.form) == ("fp32", "int8")
    stored = (LAYOUT.user_vectors, LAYOUT.item_vectors, LAYOUT.user_scales, LAYOUT.item_scales)
    assert tables.after.size_bytes == sum(sizes[name] - header for name in stored) < tables.before.size_bytes
    assert tables.before.size_bytes == 4 * (300 + 240) * made.manifest.embedding_dim
    assert tables.quality["recall@60"] == gates["table_recall"]


def test_an_index_is_a_step(tmp_path):
    limits = replace(PROFILE.gates, index_recall=0.95, top_recall=0.95, quality_loss=0.1)
    made = run(planted_checkpoint(num_items=2000), tmp_path / "a", replace(PROFILE, index="ivf", gates=limits), "never")
    (step,) = (step for step in made.manifest.provenance.steps if step.step == "build_index")
    assert (step.before.form, step.before.size_bytes, step.after.form) == ("flat", 0, "ivf")
    assert step.quality["recall@60"] == made.manifest.index.recall
    files_of_index = sum((made.path / name).stat().st_size for name in (LAYOUT.index, LAYOUT.projection))
    assert step.after.size_bytes == files_of_index - 128


def test_no_time_and_no_host_is_in_what_is_hashed(made):
    for name, raw in files(made.path).items():
        if name.endswith((".json", ".md")):
            text = raw.decode()
            assert not re.search(r"seconds|latency|_us\b|20\d\d-\d\d-\d\d", text), name
            assert made.report["host"]["system"] not in text


@pytest.mark.skipif(COREUTILS is None, reason="sha256sum is not installed")
def test_coreutils_find_it_whole(made):
    done = subprocess.run([COREUTILS, "--check", "--strict", CHECKSUMS], cwd=made.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {line.removesuffix(": OK") for line in done.stdout.splitlines()} == {
        path.name for path in made.path.iterdir() if path.name != CHECKSUMS and not is_report(path.name)
    }


def test_the_card(made):
    card = (made.path / LAYOUT.model_card).read_text()
    provenance = made.manifest.provenance
    assert card.startswith("# ")
    for fact in (
        f"version `{made.manifest.version}`",
        "| users | 300 |",
        "| items | 240 |",
        f"| interactions of the target event | {provenance.data['interactions']:,} |",
        blended_checkpoint().fingerprint,
        f"({provenance.metrics['ndcg@20'].low:.4f} .. {provenance.metrics['ndcg@20'].high:.4f})",
        f"| svd | {provenance.baselines['svd']['ndcg@20'].value:.4f} ",
        "| table_recall |",
        "| compress_tables | fp32,",
        "| ranker | retrieval, fp32, 60 candidates |",
        provenance.hashes["code"],
        "sha256sum -c SHA256SUMS",
    ):
        assert fact in card, fact
    assert not re.search(r"item-\d", card)  # no ids
    assert max(map(len, re.findall(r"\n{3,}", card)), default=0) == 0


def test_a_model_without_labels_has_a_card_that_says_so(tmp_path):
    made = run(planted_checkpoint(valid_per_user=0), tmp_path / "a", ranker="never")
    assert made.manifest.provenance.metrics == {}
    assert "Not measured: too few" in (made.path / LAYOUT.model_card).read_text()
    check_bill(json.loads((made.path / LAYOUT.sbom).read_text()))


def test_the_bill_of_materials(made):
    raw = (made.path / LAYOUT.sbom).read_bytes()
    bill = json.loads(raw)
    assert canonical_json(bill) == raw
    check_bill(bill)
    libraries = {one["name"]: one for one in bill["components"] if one["type"] == "library"}
    assert {name: one["version"] for name, one in libraries.items()} == pinned(*SHIPPED)
    assert libraries["numpy"]["purl"] == f"pkg:pypi/numpy@{pinned('numpy')['numpy']}"
    (model,) = (one for one in bill["components"] if one["type"] == "machine-learning-model")
    assert (model["name"], model["version"]) == (made.manifest.name, made.manifest.version)
    listed = json.loads((made.path / MANIFEST).read_text())["files"]
    hashes = {one["name"]: one["hashes"][0]["content"] for one in model["components"]}
    described = {LAYOUT.model_card, LAYOUT.sbom}
    assert hashes == {name: facts["sha256"] for name, facts in listed.items() if name not in described}
    (metric,) = (
        one for one in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] if one["type"] == "ndcg@20"
    )
    assert float(metric["confidenceInterval"]["lowerBound"]) == made.manifest.provenance.metrics["ndcg@20"].low
    assert "timestamp" not in bill["metadata"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bill: bill.update(specVersion="1.5"),
        lambda bill: bill.update(serialNumber="urn:uuid:of whoever"),
        lambda bill: bill.update(more=1),
        lambda bill: bill["components"].append(bill["components"][1]),
        lambda bill: bill["components"][1].update(type="package"),
        lambda bill: bill["components"][1].update(purl="pkg:pypi/a b@1"),
        lambda bill: bill["components"][0]["properties"].append({"name": "users", "value": 3}),
        lambda bill: bill["components"][0]["modelCard"].update(metrics=[]),
        lambda bill: bill["dependencies"].append({"ref": "nobody"}),
    ],
)
def test_the_rules_find_what_breaks_them(made, spoil):
    bill = json.loads((made.path / LAYOUT.sbom).read_bytes())
    spoil(bill)
    with pytest.raises((AssertionError, KeyError)):
        check_bill(bill)


@pytest.mark.parametrize("name", [LAYOUT.model_card, LAYOUT.sbom, CHECKSUMS, MANIFEST])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "removed", "emptied"])
def test_damage_is_found(copy, capsys, name, damage):
    raw = bytearray((copy / name).read_bytes())
    if damage == "flipped":
        raw[len(raw) // 2] ^= 1
    changed = {"truncated": raw[: len(raw) // 2], "emptied": b""}.get(damage, raw)
    (copy / name).write_bytes(changed)
    if damage == "removed":
        (copy / name).unlink()
    # A folder without a manifest is no artifact at all.
    assert call("verify", copy) == (2 if (name, damage) == (MANIFEST, "removed") else 8)
    captured = capsys.readouterr()
    assert name in captured.err
    assert "Traceback" not in captured.err


def test_inspect_shows_it(made, capsys):
    assert call("inspect", made.path) == 0
    said = capsys.readouterr().out
    provenance = made.manifest.provenance
    for fact in (*provenance.hashes.values(), "compress_tables", "export 3, split 0, training 0", "sbom.cdx.json"):
        assert fact in said, fact
    ndcg = provenance.metrics["ndcg@20"]
    assert f"{ndcg.value:.4f} ({ndcg.low:.4f} .. {ndcg.high:.4f})" in said
    assert call("inspect", made.path, "--output", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["scores"] == made.manifest.scores.to_json()
    assert shown["provenance"] == json.loads((made.path / MANIFEST).read_text())["provenance"]
    assert (shown["created"], shown["signed"], shown["format_version"]) == (None, False, 3)


def test_diff_names_what_differs(made, tmp_path, capsys):
    profile = replace(PROFILE, tables="fp32", gates=replace(PROFILE.gates, quality_loss=0.2))
    checkpoint = replace(blended_checkpoint(), spec={"baseline": "another"}, seed=7, fingerprint="c" * 64)
    other = run(checkpoint, tmp_path / "other", profile, "never", seed=4)
    assert call("diff", made.path, other.path, "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    sections = found["sections"]
    assert sections["data"] == {"data.fingerprint": [blended_checkpoint().fingerprint, "c" * 64]}
    assert sections["config"]["profile.tables"] == ["int8", "fp32"]
    assert sections["seeds"] == {"training": [0, 7], "export": [3, 4]}
    assert sections["architecture"]["spec.baseline"] == [None, "another"]
    assert sections["lock"] == sections["code"] == {}
    assert sections["steps"]["compress_tables.after.form"] == ["int8", None]
    assert "ndcg@20.low" in found["metrics"]
    assert found["size_bytes"][0] != found["size_bytes"][1]
    assert not any(name.startswith("model.spec") for name in sections["model"])
    assert call("diff", other.path, made.path, "--output", "json") == 0
    mirrored = json.loads(capsys.readouterr().out)["sections"]["steps"]
    only_here = [name for name in sections["steps"] if sections["steps"][name][1] is None]
    assert [name for name in mirrored if mirrored[name][0] is None] == only_here  # in one order, run after run
    assert call("diff", made.path, other.path) == 0
    said = capsys.readouterr().out
    assert all(f" {section} " in said for section in ("config", "seeds", "architecture", "steps", "metrics", "bytes"))


def test_diff_names_other_code_and_packages(made, copy, capsys):
    manifest = Manifest.read(copy)
    provenance = manifest.provenance
    hashes, lock = {**provenance.hashes, "code": "d" * 64}, {**provenance.lock, "numpy": "1.0"}
    replace(manifest, provenance=replace(provenance, hashes=hashes, lock=lock)).write(copy)
    assert call("diff", made.path, copy, "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["same"]  # though every file is equal
    assert found["files"] == {}
    assert found["sections"]["code"] == {"sha256": [provenance.hashes["code"], "d" * 64]}
    assert found["sections"]["lock"] == {"numpy": [provenance.lock["numpy"], "1.0"]}


# The stated moment.


_MORE = {"export": [], "train": ["--study", "S"], "evaluate": ["D"]}


def exported(checkpoint, out, **options):
    profile = replace(PROFILE, tables="fp32")
    return run(checkpoint, out, profile, "never", Decisions(profile, "never"), **options)


def test_the_stated_moment_is_every_time(tmp_path, monkeypatch):
    checkpoint = planted_checkpoint()
    without = exported(checkpoint, tmp_path / "without")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    made = [exported(checkpoint, tmp_path / name) for name in ("a", "b")]
    for one in made:
        assert {path.stat().st_mtime for path in (one.path, *one.path.iterdir())} == {1700000000}
        assert one.manifest.created == "2023-11-14T22:13:20Z"
        bill = json.loads((one.path / LAYOUT.sbom).read_text())
        check_bill(bill)
        assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
        assert "Made at 2023-11-14T22:13:20Z" in (one.path / LAYOUT.model_card).read_text()
    assert files(made[0].path) == files(made[1].path)
    describing = {MANIFEST, CHECKSUMS, LAYOUT.model_card, LAYOUT.sbom}
    changed = {name for name, raw in files(without.path).items() if raw != files(made[0].path)[name]}
    assert changed == describing
    assert without.manifest.created is None
    assert without.manifest.version != made[0].manifest.version


def test_the_card_says_what_was_insisted_on(tmp_path, capsys):
    planted_checkpoint().save(tmp_path / "checkpoint")
    plain = ("export", tmp_path / "checkpoint", "--profile", "small")
    limits = ("--ranker", "never", "--min-ann-recall", "0.5", "--max-artifact-bytes", 2_000_000)
    assert call(*plain, "--out", tmp_path / "insisted", *limits) == 0
    card = (tmp_path / "insisted" / LAYOUT.model_card).read_text()
    for row in (
        "| learned ranker | never | auto |",
        "| gates.index_recall | 0.5 | 0.98 |",
        "| gates.blend_recall | 0.5 | 0.8 |",
        "| gates.max_artifact_bytes | 2,000,000 | none |",
    ):
        assert row in card
    assert "what `train` said is of all of them" in card
    assert insisted({"profile": ExportProfile.load("exact").to_json(), "ranker_mode": "never"}) == []
    forced = replace(ExportProfile("own"), ranker=replace(ExportProfile("own").ranker, distil="always"))
    assert insisted({"profile": forced.to_json(), "ranker_mode": "always"}) == [
        ("learned ranker", "always", "auto"),
        ("ranker.distil", "always", "auto"),
    ]


def test_a_malformed_moment_is_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2023-11-14")
    steps = []
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH is '2023-11-14'"):
        exported(planted_checkpoint(), tmp_path / "a", on_step=steps.append)
    assert (steps, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize("command", ["export", "train", "evaluate"])
def test_a_malformed_moment_is_no_traceback_of_what_is_imported(tmp_path, command):
    """In a process of its own: NumPy reads the variable, too, where SciPy is imported for the first time."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "yesterday"}
    arguments = [command, "A", *([] if command == "evaluate" else ["--out", str(tmp_path / "out")]), *_MORE[command]]
    done = subprocess.run(
        [sys.executable, "-m", "gnas_serve.cli", *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "SOURCE_DATE_EPOCH is 'yesterday'" in done.stderr
    assert "Traceback" not in done.stderr


# Signed as it is made.


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_an_export_that_signs(tmp_path, capsys):
    key, public, checkpoint = tmp_path / "key.pem", tmp_path / "key.pub", tmp_path / "checkpoint"
    subprocess.run([OPENSSL, "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run([OPENSSL, "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    planted_checkpoint().save(checkpoint)
    arguments = ("--profile", "exact", "--sign-key", key)
    assert call("export", checkpoint, "--out", tmp_path / "a", *arguments) == 0
    assert call("verify", tmp_path / "a", "--key", public) == 0
    report = json.loads((tmp_path / "a" / LAYOUT.report).read_text())
    assert report["artifact"]["files"][SIGNATURE] == 64
    capsys.readouterr()
    # A signature is of no hashed file: the same export without it is the same artifact.
    assert call("export", checkpoint, "--out", tmp_path / "b", "--profile", "exact") == 0
    unsigned = files(tmp_path / "b")
    assert files(tmp_path / "a") == {**unsigned, SIGNATURE: (tmp_path / "a" / SIGNATURE).read_bytes()}


def test_a_bento_of_other_packages_than_the_bill_lists_is_told(made, tmp_path):
    bill = json.loads((made.path / LAYOUT.sbom).read_text())
    assert other_versions(made.path / LAYOUT.sbom) == {}
    for component in bill["components"]:
        if component["name"] == "numpy":
            component["version"] = "1.0"
    (tmp_path / "sbom.json").write_text(json.dumps(bill))
    assert other_versions(tmp_path / "sbom.json") == {"numpy": ("1.0", pinned("numpy")["numpy"])}
    assert other_versions(tmp_path / "none.json") == {}
