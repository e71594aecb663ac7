"""The export on planted checkpoints: what ships, what is refused, and that equal decisions give equal bytes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from export_runs import INT8, LIMITS, PROFILE, TEACHER, files, run, without_vectors_for_taste
from planted_checkpoint import blended_checkpoint, planted_checkpoint, single_fit

from gnas_export.decisions import Decisions
from gnas_export.gates import significance
from gnas_export.pipeline import AGAIN, PACKAGE, STEPS
from gnas_export.ranker.variants import NUMERIC
from gnas_export.report.page import render
from gnas_export.retrieval.index import REFINES
from gnas_search.evaluate import rank_metrics
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.cli.export import STEP_PHRASES
from gnas_serve.errors import ExportError, ParityError, QualityGateError
from gnas_serve.runtime.recommender import Query, Recommender


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """An artifact with the learned ranker, which is better here, in int8."""
    out = tmp_path_factory.mktemp("learned") / "artifact"
    return run(without_vectors_for_taste(), out, INT8)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An artifact of data on which there is nothing to learn beyond the vectors."""
    out = tmp_path_factory.mktemp("plain") / "artifact"
    return run(planted_checkpoint(with_features=False), out)


def test_auto_ships_the_ranker_where_it_is_better(learned):
    quality = learned.report["facts"]["quality"]
    assert learned.manifest.ranker.kind == "mlp"
    assert quality["shipped"]["ndcg@20"] > quality["exact_retrieval"]["ndcg@20"] * 1.1
    assert {"score_z", "log_rank", "content"} == set(learned.manifest.ranker.cross)
    assert all(gate["passed"] for gate in learned.report["gates"])
    assert {gate["name"] for gate in learned.report["gates"]} == {
        "table_recall",
        "index_recall",
        "index_top_recall",
        "onnx_parity_plain",
        "onnx_parity",
        "rank_overlap",
        "quality",
        "popularity",
        "baseline",
        "fold_in",
        "form_quality",
        "vector_parity",
        "row_parity",
        "newcomer_parity",
        "scorer_parity",
    }


def test_the_steps_say_what_became_of_the_ranker(learned):
    steps = {step.step: step for step in learned.manifest.provenance.steps}
    forms, chosen = learned.report["facts"]["forms"], learned.report["decisions"]["form"]["choice"]
    trained, formed = steps["train_ranker"], steps["choose_form"]
    assert (trained.before.form, trained.after.form) == ("retrieval", f"{TEACHER}/fp32")
    assert (formed.before, formed.after.form) == (trained.after, chosen)
    assert formed.after.size_bytes == forms[chosen]["size_bytes"] < formed.before.size_bytes
    assert trained.quality["ndcg@20"] == forms[f"{TEACHER}/fp32"]["ndcg@20"]
    assert trained.quality["ndcg@20_of_exact_retrieval"] < trained.quality["ndcg@20"]
    change = forms[chosen]["change"]
    assert [formed.quality[f"ndcg@20_change{end}"] for end in ("", "_low", "_high")] == list(change.values())
    architecture = learned.manifest.provenance.architecture["ranker"]
    assert architecture == {"kind": "mlp", "hidden": [32, 16], "precision": "int8", "form": chosen}


def test_auto_ships_the_simpler_form_where_it_is_not(plain):
    assert plain.manifest.ranker.kind == "retrieval"
    assert "not significantly better" in plain.report["decisions"]["ranker"]["reason"]
    assert plain.report["facts"]["ranker_gain"]["low"] <= 0
    assert not (plain.path / LAYOUT.ranker_items).exists()
    # The forms that did not ship are in the report all the same.
    assert set(plain.report["facts"]["forms"]) == {f"{TEACHER}/{numeric}" for numeric in NUMERIC}


def test_equal_decisions_give_equal_bytes(learned, plain, tmp_path):
    cases = [(learned, INT8, without_vectors_for_taste()), (plain, PROFILE, planted_checkpoint(with_features=False))]
    for number, (made, profile, checkpoint) in enumerate(cases):
        decisions = Decisions.read(made.path / LAYOUT.decisions, profile=profile, ranker="auto")
        again = run(checkpoint, tmp_path / str(number), profile, decisions=decisions)
        assert files(again.path) == files(made.path)
        assert {"MODEL_CARD.md", "sbom.cdx.json", "SHA256SUMS", "manifest.json"} < set(files(made.path))
        assert again.manifest == made.manifest


def test_equal_choices_give_equal_bytes_without_repeating_them(plain, tmp_path):
    """Whatever the clock said: no time stands in what is hashed."""
    again = run(planted_checkpoint(with_features=False), tmp_path / "a")
    assert files(again.path) == files(plain.path)
    assert again.report["facts"]["forms"] != plain.report["facts"]["forms"]


def test_decisions_are_followed(learned, tmp_path):
    raw = json.loads((learned.path / LAYOUT.decisions).read_text())
    raw["decisions"]["form"] = {"choice": f"{TEACHER}/fp32", "reason": "by hand"}
    raw["profile_digest"] = PROFILE.digest()
    (tmp_path / "d.json").write_text(json.dumps(raw))
    decisions = Decisions.read(tmp_path / "d.json", profile=PROFILE, ranker="auto")
    made = run(without_vectors_for_taste(), tmp_path / "a", decisions=decisions)
    assert made.report["decisions"]["form"] == {"choice": f"{TEACHER}/fp32", "reason": "by hand"}
    assert "latency_us" not in made.report["facts"]["forms"][f"{TEACHER}/fp32"]
    assert made.manifest.ranker.precision == "fp32"
    assert np.load(made.path / LAYOUT.ranker_items).dtype == np.float32
    assert made.manifest.version != learned.manifest.version


def test_the_stated_metric_is_what_the_shipped_path_gives(plain, tmp_path):
    """The manifest's ndcg is that of the selection fit; exporting that fit as the final one must reproduce it."""
    checkpoint = planted_checkpoint(with_features=False)
    nobody = sp.csr_matrix(checkpoint.valid.shape, dtype=np.float32)
    as_final = replace(checkpoint, final=checkpoint.selection, valid=nobody)
    recommender = Recommender.load(run(as_final, tmp_path / "a", ranker="never").path)
    judged = plain.report["facts"]["users"]["gate"]
    from gnas_search.division import divided_users

    gate = divided_users(checkpoint).gate
    assert len(gate) == judged
    lists = [
        recommender.items.rows(recommender.recommend(Query(user_id=recommender.users.id(int(row)), k=20)).item_ids)
        for row in gate
    ]
    assert rank_metrics(lists, checkpoint.valid[gate]).mean()[1] == pytest.approx(
        plain.manifest.metrics["ndcg@20"], abs=1e-9
    )


def test_never_trains_nothing(tmp_path):
    made = run(without_vectors_for_taste(), tmp_path / "a", ranker="never")
    assert made.manifest.ranker.kind == "retrieval"
    assert "forms" not in made.report["facts"]


def test_always_ships_it_though_no_better(tmp_path):
    made = run(planted_checkpoint(with_features=False), tmp_path / "a", ranker="always")
    assert made.manifest.ranker.kind == "mlp"
    reason = made.report["decisions"]["ranker"]["reason"]
    gain = made.report["facts"]["ranker_against_retrieval"]["shipped"]
    figures = f"{gain['value']:+.4f} ({gain['low']:+.4f} .. {gain['high']:+.4f})"
    users = made.report["facts"]["users"]["gate"]
    found = significance(gain["low"], gain["high"])
    assert found != "significantly better"
    assert reason == f"asked for; ndcg@20 against uncompressed exact retrieval {figures}: {found}, {users} gate users"
    quality = made.report["facts"]["quality"]
    assert gain["value"] == pytest.approx(quality["shipped"]["ndcg@20"] - quality["exact_retrieval"]["ndcg@20"])
    said = f"(`--ranker always`): ndcg@20 against uncompressed exact retrieval {figures}, {found}."
    assert said in (made.path / "MODEL_CARD.md").read_text()
    assert f"(--ranker always): ndcg@20 against uncompressed exact retrieval {figures}, {found}." in render(made.report)
    (gate,) = (gate for gate in made.report["gates"] if gate["name"] == "quality")
    assert gate["against"] == "the uncompressed path with the ranker"
    assert gate["value"] == gate["change"]["low"]
    answer = Recommender.load(made.path).recommend(Query(user_id=1000, k=5))
    assert len(answer.item_ids) == 5


def test_without_gate_users_the_label_gates_are_skipped(tmp_path):
    made = run(planted_checkpoint(valid_per_user=0), tmp_path / "a")
    skipped = [gate for gate in made.manifest.gates if gate["value"] is None]
    assert {gate["name"] for gate in skipped} == {"quality", "popularity", "baseline", "fold_in"}
    assert "0 gate users" in skipped[0]["remark"]
    assert made.manifest.metrics == {}
    assert made.manifest.scores is None
    with pytest.raises(ExportError, match="no ranker can be trained"):
        run(planted_checkpoint(valid_per_user=0), tmp_path / "b", ranker="always")
    assert not (tmp_path / "b").exists()


def test_a_tiny_catalogue(tmp_path):
    made = run(planted_checkpoint(num_users=3, num_items=4, events_per_user=2, valid_per_user=1, dim=2), tmp_path / "a")
    assert made.manifest.ranker.candidates == 4
    assert Recommender.load(made.path).recommend(Query(user_id=1000, k=10)).item_ids


def test_tables_widen_until_retrieval_does_not_notice(tmp_path):
    strict = replace(PROFILE, gates=replace(LIMITS, table_recall=1.0, quality_loss=0.02))
    made = run(planted_checkpoint(), tmp_path / "a", strict, ranker="never")
    assert made.manifest.model["tables"] in {"fp16", "fp32"}
    assert not (made.path / LAYOUT.item_scales).exists()
    assert made.report["facts"]["tables"]["recall"]["int8"] < 1.0


def test_compression_is_given_up_where_quality_asks_for_it(tmp_path, monkeypatch):
    """A learned ranker magnifies small differences; where none is allowed, nothing stays compressed."""
    # Whatever a busy machine finds quick: the exact form would give nothing up.
    monkeypatch.setattr("gnas_export.steps.forms.quickest", lambda forms: min(forms, key=lambda form: form.size_bytes))
    # A form that loses is passed over before; here the gate at the end has to find it.
    monkeypatch.setattr("gnas_export.steps.forms.lossy_forms", lambda _: set())
    strict = replace(PROFILE, gates=replace(LIMITS, quality_loss=0.0, rank_overlap=0.5, form_loss=1.0))
    checkpoint = planted_checkpoint(hidden_taste=3.0, num_users=200)
    made = run(checkpoint, tmp_path / "a", strict, ranker="always")
    assert [step["name"] for step in made.report["steps"]].count("train_ranker") > 1
    assert made.manifest.model["tables"] != "int8"
    assert made.report["decisions"]["form"]["choice"] == f"{TEACHER}/fp32"
    reason = made.report["decisions"]["form"]["reason"]
    assert "ndcg@20 changes by -" in reason
    assert "over the quality limit of 0 %" in reason
    decisions = Decisions.read(made.path / LAYOUT.decisions, profile=strict, ranker="always")
    again = run(checkpoint, tmp_path / "b", strict, ranker="always", decisions=decisions)
    assert files(again.path) == files(made.path)
    assert len(again.report["steps"]) == len(STEPS)


def test_an_index_that_misses_gives_way_to_flat(tmp_path):
    strict = replace(PROFILE, index="ivf", gates=replace(LIMITS, index_recall=1.0, quality_loss=0.02))
    made = run(planted_checkpoint(num_items=2000), tmp_path / "a", strict, ranker="never")
    assert made.manifest.index.kind == "flat"
    assert made.manifest.index.curve
    assert "below 1" in made.report["decisions"]["index"]["reason"]
    assert not (made.path / LAYOUT.index).exists()


@pytest.mark.parametrize(("kind", "refines"), [("ivf-flat", (1,)), ("ivf", (1,)), ("ivf-pq", REFINES)])
def test_an_index_that_the_profile_insists_on(tmp_path, kind, refines):
    profile = replace(PROFILE, index=kind, gates=replace(LIMITS, index_recall=0.95, top_recall=0.95, quality_loss=0.1))
    made = run(planted_checkpoint(num_items=2000), tmp_path / "a", profile, ranker="never")
    assert made.manifest.index.kind == kind
    assert made.manifest.index.refine in refines
    assert made.manifest.index.recall >= 0.95
    limits = {gate["name"]: gate["limit"] for gate in made.report["gates"]}
    assert (limits["index_recall"], limits["index_top_recall"]) == (0.95, 0.95)
    assert len(Recommender.load(made.path).recommend(Query(user_id=1000, k=20)).item_ids) == 20


def test_a_catalogue_too_small_for_product_codes(tmp_path):
    made = run(planted_checkpoint(), tmp_path / "a", replace(PROFILE, index="ivf-pq"), ranker="never")
    assert made.manifest.index.kind == "flat"
    assert "too few for product codes" in made.report["decisions"]["index"]["reason"]


def test_product_codes_are_tried_beside_bytes(tmp_path):
    profile = replace(PROFILE, gates=replace(LIMITS, index_recall=0.9, top_recall=0.9, quality_loss=0.1))
    with_codes = run(planted_checkpoint(num_items=12_000), tmp_path / "a", profile, ranker="never")
    sizes = with_codes.report["facts"]["index"]["size_bytes"]
    assert set(sizes) == {"ivf-flat", "ivf", "ivf-pq"}
    assert sizes["ivf-flat"] < sizes["ivf-pq"] < sizes["ivf"]  # the first holds no vectors


def test_lists_of_vectors_that_are_no_int8_are_not_made_and_that_is_said(tmp_path):
    wide = replace(PROFILE, index="ivf-flat", tables="fp32")
    made = run(planted_checkpoint(num_items=2000), tmp_path / "a", wide, ranker="never")
    assert made.manifest.index.kind == "flat"
    assert "vectors of int8 are scanned in lists, and these are fp32" in made.report["decisions"]["index"]["reason"]


@pytest.mark.parametrize(
    ("profile", "ranker", "changes", "failure", "gate"),
    [
        # A blunt index that loses more than the quality gate allows.
        (
            replace(
                PROFILE,
                index="ivf",
                candidates=20,
                gates=replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=0.001),
            ),
            "never",
            {"num_items": 2000},
            QualityGateError,
            "quality",
        ),
        (
            replace(PROFILE, gates=replace(LIMITS, parity=0.0, quality_loss=0.1)),
            "always",
            {},
            ParityError,
            "onnx_parity",
        ),
        (
            replace(INT8, gates=replace(LIMITS, rank_overlap=1.0, quality_loss=0.1)),
            "always",
            {"hidden_taste": 3.0},
            QualityGateError,
            "rank_overlap",
        ),
        # A student is asked for, and is allowed to be no worse than its teacher at all.
        (
            replace(
                PROFILE,
                ranker=replace(PROFILE.ranker, distil="always"),
                gates=replace(LIMITS, form_loss=0.0, quality_loss=0.5),
            ),
            "always",
            {"hidden_taste": 3.0},
            QualityGateError,
            "form_quality",
        ),
        # No form of the ranker is near enough to the exact network.
        (
            replace(PROFILE, gates=replace(LIMITS, rank_overlap=1.01, quality_loss=0.1)),
            "always",
            {},
            QualityGateError,
            "rank_overlap",
        ),
    ],
)
def test_a_breached_gate_leaves_the_report_alone(tmp_path, profile, ranker, changes, failure, gate):
    with pytest.raises(failure, match=f"gate {gate}:"):
        run(planted_checkpoint(**changes), tmp_path / "a", profile, ranker=ranker)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.report.html", "a.report.json"]
    report = json.loads((tmp_path / "a.report.json").read_text())
    assert not report["passed"]
    assert report["error"]["code"] == failure.code
    assert [found["name"] for found in report["gates"] if not found["passed"]] == [gate]
    assert {"quality", "popularity", "index_recall"} <= {found["name"] for found in report["gates"]}


def test_a_model_worse_than_popularity_is_refused(tmp_path):
    checkpoint = planted_checkpoint(num_items=400)
    rng = np.random.default_rng(0)
    # Everybody's held-out item is the most popular one, and the vectors know nothing of it.
    popular = np.zeros(checkpoint.valid.shape, np.float32)
    popular[:, 7] = 1
    train = checkpoint.train.toarray()
    train[:, 7] = 0
    train[:100, 7] = 1
    popular[:100, 7] = 0
    worthless = single_fit(*(rng.standard_normal((count, 8)) for count in checkpoint.train.shape))
    bad = replace(
        checkpoint, train=sp.csr_matrix(train), valid=sp.csr_matrix(popular), selection=worthless, final=worthless
    )
    with pytest.raises(QualityGateError, match="gate popularity:"):
        run(bad, tmp_path / "a", replace(PROFILE, tables="fp32"), ranker="never")
    # The same as a popularity model is not held against itself.
    counts = single_fit(np.ones((300, 1)), rng.random((400, 1)), "popularity")
    made = run(replace(bad, selection=counts, final=counts), tmp_path / "b", ranker="never")
    assert {"popularity", "fold_in"}.isdisjoint(gate["name"] for gate in made.report["gates"])


def test_vectors_that_are_not_finite_are_refused_with_a_report(tmp_path):
    checkpoint = planted_checkpoint()
    checkpoint.final.branches[0].item_vectors[3, 0] = np.nan
    with pytest.raises(ExportError, match="branch planted gnn: the item vector of row 3"):
        run(checkpoint, tmp_path / "a", report_path=tmp_path / "reports" / "r.json")
    report = json.loads((tmp_path / "reports" / "r.json").read_text())
    assert report["steps"] == []
    assert not (tmp_path / "a").exists()


def test_every_step_is_said(tmp_path):
    seen = []
    run(planted_checkpoint(), tmp_path / "a", ranker="never", on_step=seen.append)
    assert seen == [*(step.__name__ for step in STEPS), PACKAGE]
    assert set(STEP_PHRASES) == {*seen, AGAIN}


def test_steps_that_have_nothing_to_do_are_not_announced(tmp_path):
    seen, idle = [], []
    made = run(planted_checkpoint(), tmp_path / "a", ranker="never", on_step=seen.append, on_idle=idle.append)
    of_the_ranker = ["train_ranker", "narrow_ranker", "draw_forms", "weigh_forms", "choose_form", "choose_ranker"]
    # The model has no links, the data no features of users and no attributes of items.
    assert idle == ["compress_neighbours", *of_the_ranker, "choose_segments", "choose_content"]
    assert seen == [*(step.__name__ for step in STEPS if step.__name__ not in idle), PACKAGE]
    assert [step["name"] for step in made.report["steps"]] == [step.__name__ for step in STEPS]
    # Repeated, they are right already: nothing is timed, and nobody weighs the ranker against retrieval.
    checkpoint = without_vectors_for_taste()
    first = run(checkpoint, tmp_path / "b")
    idle.clear()
    given = Decisions.read(first.path / "decisions.json", profile=PROFILE, ranker="auto")
    run(checkpoint, tmp_path / "c", decisions=given, on_idle=idle.append)
    described = ["choose_segments", "choose_content"]
    assert idle == ["compress_neighbours", "narrow_ranker", "choose_form", "choose_ranker", *described]


def test_what_nobody_can_judge_and_what_learned_nothing_is_not_announced_either(tmp_path, monkeypatch):
    idle = []
    run(planted_checkpoint(valid_per_user=0), tmp_path / "a", ranker="never", on_idle=idle.append)
    assert idle[-4:] == ["choose_fold_in", "choose_segments", "choose_content", "judge"]
    monkeypatch.setattr("gnas_export.ranker.fitting._kept_epoch", lambda _: 0)
    monkeypatch.setattr("gnas_export.ranker.fitting._FEW_STEPS", 0)
    idle.clear()
    profile = replace(PROFILE, ranker=replace(PROFILE.ranker, distil="auto"))
    made = run(planted_checkpoint(with_features=False), tmp_path / "b", profile, on_idle=idle.append)
    assert idle == ["compress_neighbours", "narrow_ranker", "choose_segments", "choose_content"]
    assert set(made.report["facts"]["ranker_training"]) == {TEACHER}


def test_links_are_announced_where_there_are_some(tmp_path):
    idle = []
    run(
        blended_checkpoint(),
        tmp_path / "a",
        replace(PROFILE, gates=replace(LIMITS, quality_loss=1.0)),
        ranker="never",
        on_idle=idle.append,
    )
    assert "compress_neighbours" not in idle


def test_users_without_a_vector_are_answered_by_popularity(tmp_path):
    checkpoint = planted_checkpoint()
    for fit in (checkpoint.final, checkpoint.selection):
        fit.branches[0].user_vectors[:50] = 0
    made = run(checkpoint, tmp_path / "a", ranker="never")
    assert Recommender.load(made.path).recommend(Query(user_id=1000, k=3)).source == "popularity"


def test_the_manifest_says_how_the_split_was_made(plain):
    assert set(Manifest.read(plain.path).data) == {"config", "fingerprint", "policy", "target_event"}
