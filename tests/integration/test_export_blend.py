"""Models of several branches: exported without special cases, exact where exactness is asked for."""

import json
from dataclasses import replace

import numpy as np
import pytest
from export_runs import LIMITS, PROFILE, files, run
from planted_checkpoint import blended_checkpoint, planted_checkpoint

from gnas_export.decisions import Decision, Decisions
from gnas_export.draft import Draft
from gnas_export.gates import at_least
from gnas_export.profile import ExportProfile
from gnas_export.steps.compression import compress_neighbours, compress_tables
from gnas_export.steps.indexing import build_index
from gnas_export.steps.judgement import less_compressed
from gnas_export.steps.users import choose_users
from gnas_search.evaluate import rank_metrics
from gnas_search.fit import Branch, Fit
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import IndexFacts, Manifest
from gnas_serve.cli.app import main
from gnas_serve.errors import ExportError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.topk import top_k

EXACT = ExportProfile.load("exact")
EXACT = replace(EXACT, gates=replace(EXACT.gates, baseline_loss=1.0))
LENIENT = replace(LIMITS, blend_recall=0.85, top_recall=0.95, quality_loss=0.1)
PROJECTED = replace(PROFILE, index="ivf", gates=LENIENT)


def wide_blend():
    """More columns than an index is built over."""
    return blended_checkpoint(num_items=800, filter_dim=140, gnn_dim=8, events_per_user=20)


@pytest.fixture(scope="module")
def projected(tmp_path_factory):
    return run(wide_blend(), tmp_path_factory.mktemp("projected") / "artifact", PROJECTED, ranker="never")


def answers(path, users, k=20):
    recommender = Recommender.load(path)
    ids = recommender.users.ids(users)
    return [recommender.items.rows(recommender.recommend(Query(user_id=user_id, k=k)).item_ids) for user_id in ids]


@pytest.mark.parametrize("links", [0, 12])
def test_the_exact_profile_gives_the_lists_of_the_fit(tmp_path, links):
    blend = blended_checkpoint(links=links)
    made = run(blend, tmp_path / "a", EXACT, ranker="never")
    users, histories = np.arange(len(blend.users)), blend.seen()
    scores = blend.final.score_rows(histories)(users)
    scores[histories.toarray() > 0] = -np.inf
    expected = [top_k(row, 20) for row in scores]
    found = answers(made.path, users)
    assert np.mean([np.array_equal(a, b) for a, b in zip(found, expected, strict=True)]) > 0.99
    # What rounding exchanges is worth nothing.
    for row, some, best in zip(scores, found, expected, strict=True):
        assert row[some] == pytest.approx(row[best], rel=1e-5)
    relevant = planted_checkpoint(seed=1).valid
    ndcg = [rank_metrics(lists, relevant).mean()[1] for lists in (found, expected)]
    assert ndcg[0] == pytest.approx(ndcg[1], abs=1e-6)
    change = next(gate for gate in made.report["gates"] if gate["name"] == "quality")
    assert change["value"] == 0
    assert np.load(made.path / LAYOUT.item_vectors).dtype == np.float32
    assert (made.path / LAYOUT.neighbour_values).exists() == bool(links)


def test_a_wide_blend_is_searched_through_a_projection(projected):
    index = projected.manifest.index
    assert (index.kind, index.dims) == ("ivf", 128)
    assert projected.report["decisions"]["index"]["choice"] == "ivf-128"
    assert np.load(projected.path / LAYOUT.projection).shape == (149, 128)
    tried = {point["dims"] for point in index.curve}
    assert tried == {64, 128}, "the narrower one was tried and missed"
    assert index.curve[-1]["top_recall"] >= 0.95
    limits = {gate["name"]: gate["limit"] for gate in projected.report["gates"]}
    assert (limits["index_recall"], limits["index_top_recall"]) == (LENIENT.blend_recall, LENIENT.top_recall)


def test_parity_of_a_compressed_blend(projected):
    """int8 vectors, float16 links and the projection together lose next to nothing of the checkpoint."""
    blend = wide_blend()
    users, histories = np.arange(len(blend.users)), blend.seen()
    scores = blend.final.score_rows(histories)(users)
    scores[histories.toarray() > 0] = -np.inf
    heads = [top_k(row, 20) for row in scores]
    shared = [np.isin(best, some).mean() for best, some in zip(heads, answers(projected.path, users), strict=True)]
    assert np.mean(shared) > 0.9
    quality = projected.report["facts"]["quality"]
    assert quality["shipped"]["ndcg@20"] == pytest.approx(quality["exact_retrieval"]["ndcg@20"], rel=0.02)


def test_equal_decisions_give_equal_bytes(projected, tmp_path):
    decisions = Decisions.read(projected.path / LAYOUT.decisions, profile=PROJECTED, ranker="never")
    again = run(wide_blend(), tmp_path / "a", PROJECTED, ranker="never", decisions=decisions)
    assert files(again.path) == files(projected.path)
    assert again.manifest.version == projected.manifest.version
    unprompted = run(wide_blend(), tmp_path / "b", PROJECTED, ranker="never")
    assert files(unprompted.path) == files(projected.path)


@pytest.mark.parametrize(("ivf_us", "own", "given"), [(10.0, "ivf", "flat"), (90.0, "flat", "ivf-flat")])
def test_an_index_that_this_machine_would_not_take_is_repeated(monkeypatch, ivf_us, own, given):
    monkeypatch.setattr("gnas_export.steps.indexing.FLAT_UP_TO", 0)
    monkeypatch.setattr("gnas_export.steps.indexing.PQ_AT_LEAST", 10_000)
    us = {"flat": 100.0, "ivf-flat": 95.0, "ivf": ivf_us}
    monkeypatch.setattr("gnas_export.steps.indexing._latencies", lambda *_: us)
    checkpoint, profile = planted_checkpoint(num_users=200, num_items=800), replace(PROFILE, gates=LENIENT)

    def chosen(decisions):
        draft = Draft(checkpoint, profile, "never", 0, Decisions(profile, "never", decisions))
        for step in (choose_users, compress_neighbours, compress_tables, build_index):
            step(draft)
        assert (draft.final.index is None) == (draft.index.kind == "flat")
        return draft.index.kind, draft.decisions.to_json()["decisions"]["index"]

    kind, decision = chosen({})
    assert (kind, decision["choice"]) == (own, own)
    kind, decision = chosen({"index": Decision(given, "by hand")})
    assert (kind, decision) == (given, {"choice": given, "reason": "by hand"})


def test_a_repeated_index_that_misses_gives_way_to_flat(tmp_path):
    wanted = Decisions(PROJECTED, "never", {"index": Decision("ivf-64", "by hand")})
    strict = replace(PROJECTED, gates=replace(LENIENT, blend_recall=1.0))
    made = run(wide_blend(), tmp_path / "a", strict, ranker="never", decisions=wanted)
    assert made.manifest.index.kind == "flat"
    assert "ivf-64 reaches recall@60" in made.report["decisions"]["index"]["reason"]
    assert not (made.path / LAYOUT.projection).exists()


def test_all_columns_are_indexed_where_no_projection_is_exact_enough(tmp_path):
    careful = replace(PROJECTED, projection=(32,), gates=replace(LENIENT, top_recall=0.9))
    made = run(wide_blend(), tmp_path / "a", careful, ranker="never")
    assert made.report["decisions"]["index"]["choice"] == "ivf"
    assert (made.manifest.embedding_dim, made.manifest.index.dims) == (149, 160)
    assert {point["dims"] for point in made.manifest.index.curve} == {32, 160}
    flat = run(wide_blend(), tmp_path / "b", replace(careful, index="flat"), ranker="never")
    assert flat.manifest.index.kind == "flat"
    assert "ivf-32 reaches recall@60" in flat.report["decisions"]["index"]["reason"]


def test_flat_takes_the_narrowest_projection_that_is_exact_enough(tmp_path):
    small = replace(PROFILE, index="flat", gates=replace(LENIENT, blend_recall=0.5, top_recall=0.5))
    made = run(wide_blend(), tmp_path / "a", small, ranker="never")
    assert made.report["decisions"]["index"]["choice"] == "ivf-64"
    without = run(wide_blend(), tmp_path / "b", replace(small, projection=()), ranker="never")
    assert without.manifest.index.kind == "flat"
    narrow = run(blended_checkpoint(), tmp_path / "c", small, ranker="never")
    assert (narrow.manifest.index.kind, narrow.manifest.index.dims) == ("flat", 33)


def test_odd_widths_are_padded_for_the_index(tmp_path):
    made = run(blended_checkpoint(num_items=800), tmp_path / "a", PROJECTED, ranker="never")
    assert (made.manifest.embedding_dim, made.manifest.index.dims) == (33, 48)
    assert made.report["decisions"]["index"]["choice"] == "ivf"
    assert np.array_equal(np.load(made.path / LAYOUT.projection), np.eye(33, 48, dtype=np.float32))


def test_links_are_pruned_as_far_as_the_heads_allow(tmp_path):
    blend = blended_checkpoint(links=40)
    few = replace(PROFILE, neighbours=10, gates=replace(LENIENT, top_recall=0.5))
    made = run(blend, tmp_path / "a", few, ranker="never")
    assert made.manifest.model["neighbours"] == {"form": "pruned", "links": 2400}
    assert len(np.load(made.path / LAYOUT.neighbour_items)) == 2400
    assert made.report["facts"]["neighbours"]["ndcg_change_low"]["pruned"] is not None
    strict = replace(few, gates=replace(few.gates, top_recall=0.999))
    kept = run(blend, tmp_path / "b", strict, ranker="never")
    assert kept.manifest.model["neighbours"]["form"] == "fp16"
    assert "pruned has recall@20" in kept.report["decisions"]["neighbours"]["reason"]
    assert "breaches the recall limit" in kept.report["decisions"]["neighbours"]["reason"]
    assert np.load(kept.path / LAYOUT.neighbour_values).dtype == np.float16
    assert len(np.load(kept.path / LAYOUT.neighbour_items)) > 2400


def test_links_too_small_for_float16_stay_float32(tmp_path):
    blend = blended_checkpoint()

    def faint(fit):
        return replace(fit, branches=tuple(branch.weighted(1e-8) for branch in fit.branches))

    made = run(
        replace(blend, selection=faint(blend.selection), final=faint(blend.final)), tmp_path / "a", PROFILE, "never"
    )
    assert made.manifest.model["neighbours"]["form"] == "fp32"
    assert made.manifest.model["tables"] == "int8"


def test_the_ranker_sees_every_branch(tmp_path):
    made = run(blended_checkpoint(), tmp_path / "a", ranker="always")
    assert made.manifest.ranker.cross == ("score_z", "log_rank", *(f"branch_z.{place}" for place in range(4)))
    assert len(Recommender.load(made.path).recommend(Query(user_id=1000, k=5)).item_ids) == 5


def test_a_filter_answers_newcomers_as_it_answers_its_own_users(tmp_path):
    blend = blended_checkpoint()

    def alone(fit):
        return Fit(fit.branches[:1], 0)

    made = run(
        replace(blend, selection=alone(blend.selection), final=alone(blend.final)), tmp_path / "a", EXACT, "never"
    )
    metrics = made.manifest.metrics
    assert metrics["fold_in_ndcg@20"] == pytest.approx(metrics["ndcg@20"], abs=1e-6)
    recommender = Recommender.load(made.path)
    past = tuple(recommender.items.ids(blend.seen()[0].indices))
    own, folded = (recommender.recommend(query) for query in (Query(user_id=1000), Query(history=past)))
    assert (own.source, folded.source) == ("user", "fold_in")
    assert own.item_ids == folded.item_ids


def test_a_filter_without_a_map_of_its_own_gets_one(tmp_path):
    """As a blend that was compressed into one pair of vectors."""
    blend = blended_checkpoint()

    def bare(fit):
        first = fit.branches[0]
        return Fit((Branch(first.facts, first.user_vectors, first.item_vectors),), 0)

    made = run(
        replace(blend, selection=bare(blend.selection), final=bare(blend.final)), tmp_path / "a", PROFILE, "never"
    )
    assert np.load(made.path / LAYOUT.fold_in).shape == (25 * 24,)
    assert made.manifest.metrics["fold_in_ndcg@20"] > 0.5 * made.manifest.metrics["ndcg@20"]


def test_fits_of_different_branches_are_refused(tmp_path):
    blend = blended_checkpoint()
    fewer = replace(blend, selection=Fit(blend.selection.branches[:3], 0))
    with pytest.raises(
        ExportError, match=r"selection fit has filter \+ gnn \+ popularity, the final fit .* \+ two-hop"
    ):
        run(fewer, tmp_path / "a")


def test_links_that_are_not_finite_are_refused_with_a_report(tmp_path):
    blend = blended_checkpoint()
    blend.final.two_hop.neighbours.data[5] = np.nan
    with pytest.raises(ExportError, match="branch two hops: a link of item row"):
        run(blend, tmp_path / "a")
    assert json.loads((tmp_path / "a.report.json").read_text())["error"]["code"] == ExportError.code


@pytest.mark.parametrize(("index", "gives"), [("auto", True), ("flat", True), ("ivf", False), ("ivf-pq", False)])
def test_exact_search_is_what_is_given_back_last(index, gives):
    """Of wide vectors a profile that asks for flat search is given a projection, and does not insist on it."""
    profile = replace(PROFILE, index=index)
    draft = Draft(blended_checkpoint(), profile, "never", 0, Decisions(profile, "never"))
    draft.width, draft.links, draft.index = "fp32", "fp32", IndexFacts("ivf", 128)
    draft.gates = [at_least("quality", -0.2, -0.1, "")]
    forced = less_compressed(draft)
    assert (forced is not None) == gives
    if forced is not None:
        assert forced.given("index").choice == "flat"


def test_links_are_given_back_where_quality_alone_is_breached():
    blend = blended_checkpoint()
    draft = Draft(blend, PROFILE, "never", 0, Decisions(PROFILE, "never"))
    draft.width, draft.links, draft.index = "int8", "pruned", IndexFacts("flat", 33)
    draft.gates = [at_least("quality", -0.2, -0.1, "")]
    forced = less_compressed(draft)
    assert {name: forced.given(name).choice for name in ("tables", "neighbours")} == {
        "tables": "fp16",
        "neighbours": "fp16",
    }
    assert "int8 vectors, pruned links, flat index: ndcg@20 changes by -0.2" in forced.given("tables").reason
    draft.width, draft.links = "fp32", "fp32"
    assert less_compressed(draft) is None


def test_pruned_links_that_cost_too_much_are_given_back(tmp_path):
    """The labels are asked: of a model that is links alone, one link per item is not enough."""
    blend = blended_checkpoint(links=40)

    def links_alone(fit):
        return Fit((fit.branches[2].weighted(0.001), fit.branches[3]), 0)

    sparse = replace(blend, selection=links_alone(blend.selection), final=links_alone(blend.final))
    few = replace(PROFILE, neighbours=1, gates=replace(LIMITS, table_recall=0.0, top_recall=0.0, quality_loss=0.01))
    made = run(sparse, tmp_path / "a", few, "never")
    assert made.manifest.model["neighbours"]["form"] == "fp16"
    assert "pruned has recall@20" in made.report["decisions"]["neighbours"]["reason"]
    assert "(breaches the quality limit of 1 %)" in made.report["decisions"]["neighbours"]["reason"]
    assert Recommender.load(made.path).recommend(Query(user_id=1000, k=3)).source == "user"


def test_inspect_shows_the_branches(projected, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(projected.path), "--output", "json"])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert [branch["kind"] for branch in said["branches"]] == ["filter", "gnn", "popularity", "two-hop"]
    assert said["newcomers"] == "fold_in"
    with pytest.raises(SystemExit):
        main(["inspect", str(projected.path)])
    text = " ".join(capsys.readouterr().out.split())
    assert "filter (140 columns) + gnn (8 columns) + popularity (1 columns) + two-hop" in text
    assert "ivf over 128 columns" in text


def test_the_report_says_what_every_branch_takes(projected):
    branches = projected.report["facts"]["branches"]
    assert [(branch["kind"], branch["width"]) for branch in branches] == [
        ("filter", 140),
        ("gnn", 8),
        ("popularity", 1),
        ("two-hop", 0),
    ]
    stored = projected.report["artifact"]["files"]
    names = [name for name in stored if "vectors" in name or "scales" in name or name.startswith("neighbours")]
    # The headers of the npy files are the only bytes that no branch accounts for.
    assert (
        0 < sum(stored[name] for name in names) - sum(branch["size_bytes"] for branch in branches) <= 128 * len(names)
    )
    assert Manifest.read(projected.path).branches[0].item_power == 1.0


def test_a_learned_ranker_over_a_projection_ships_what_it_was_trained_on(tmp_path):
    made = run(wide_blend(), tmp_path / "a", PROJECTED, ranker="always")
    assert made.manifest.ranker.kind == "mlp"
    stated = made.report["facts"]["quality"]["shipped"]["ndcg@20"]
    assert stated > made.report["facts"]["quality"]["popularity"]["ndcg@20"]


def test_product_codes_of_wide_vectors_are_not_made_and_that_is_said(tmp_path):
    made = run(wide_blend(), tmp_path / "a", replace(PROJECTED, index="ivf-pq"), ranker="never")
    assert made.manifest.index.kind == "flat"
    assert "ivf-pq is made of up to 128 columns" in made.report["decisions"]["index"]["reason"]
