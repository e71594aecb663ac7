"""The page of an export: whole, self-contained and true to the report, whatever came of the export."""

import json
import re
from dataclasses import replace
from importlib.resources import files

import pytest
from export_runs import LIMITS, PROFILE, run, without_vectors_for_taste
from page_reader import Page
from planted_checkpoint import planted_checkpoint, single_fit

from gnas_export.gates import significance
from gnas_export.report.page import render
from gnas_export.report.page.verdict import margin
from gnas_serve.errors import ExportError, QualityGateError

NARROWING = replace(PROFILE, ranker=replace(PROFILE.ranker, distil="auto", prune="auto"))
SECTIONS = ("verdict", "gates", "tradeoff", "forms", "savings", "index", "decisions", "files", "steps", "host")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return run(without_vectors_for_taste(), tmp_path_factory.mktemp("learned") / "a", NARROWING)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The report of an index of lists without a learned ranker, as it was written."""
    profile = replace(PROFILE, index="ivf", gates=replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=1.0))
    made = run(planted_checkpoint(), tmp_path_factory.mktemp("plain") / "a", profile, ranker="never")
    return json.loads((made.path / "report.json").read_text())


def section(content, name):
    return content.partition(f'id="{name}"')[2].partition("</section>")[0]


def checked(content):
    """Read a page, and hold it to what holds for every one."""
    page = Page(content)
    assert page.asks_nothing()
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert ids == list(SECTIONS)
    assert {str(attrs["href"])[1:] for tag, attrs in page.tags if tag == "a"} == set(ids)
    for tag, attrs in page.tags:
        assert tag != "svg" or attrs.get("aria-label") or attrs.get("aria-hidden") == "true"
        assert tag != "th" or attrs.get("scope") in {"col", "row"}
        assert attrs.get("tabindex") is None or attrs.get("aria-label")
        for name in ("d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "transform", "viewBox"):
            assert not re.search("nan|inf", attrs.get(name) or "", re.IGNORECASE) or tag == "meta"
    return page


def test_an_artifact_holds_its_page(learned):
    content = (learned.path / "report.html").read_text(encoding="utf-8")
    assert content == render(learned.report)
    page = checked(content)
    network, _, numeric = learned.report["decisions"]["form"]["choice"].partition("/")
    assert f"Passed. The ranker {network} in {numeric} ships." in page.text
    assert learned.manifest.version in page.text
    # A page that is altered changes nothing of the artifact, as the report.
    assert "report.html" not in json.loads((learned.path / "manifest.json").read_text())["files"]


def test_every_gate_has_its_margin(learned):
    content = section(render(learned.report), "gates")
    for gate in learned.report["gates"]:
        assert f">{gate['name']}</th>" in content
        assert margin(gate) is None or margin(gate) >= 0
    least = {"value": 0.7, "limit": 0.9, "passed": False}
    assert margin(least) == pytest.approx(-0.2)
    assert margin({**least, "value": None}) is None


def test_every_form_has_a_mark_and_a_row(learned):
    content, forms = render(learned.report), learned.report["facts"]["forms"]
    chosen = learned.report["decisions"]["form"]["choice"]
    drawn, rows = section(content, "tradeoff"), section(content, "forms")
    for name, form in forms.items():
        assert f"{name}: " in drawn
        assert f">{name}</th>" in rows
        assert f"{form['size_bytes']:,}" in rows
    assert drawn.count('class="best"') == 1
    assert f"chosen: {chosen}" in drawn
    assert drawn.count('class="limit"') == 2  # the line, and its entry in the legend
    assert rows.count('class="chosen"') == 1
    hollow = sum(bool(form["breaches"]) for form in forms.values())
    assert drawn.count("hollow") - drawn.count("hollow ones") == hollow


def test_what_was_saved_and_kept_is_told(learned):
    said = section(render(learned.report), "savings")
    savings = learned.report["facts"]["savings"]
    assert f"{savings['whole']['fp32_bytes']:,}" in said
    assert f"{100 * savings['retained']['recall@20']['value']:.1f} % of recall@20" in said


def test_without_a_learned_ranker(plain):
    content = render(plain)
    page = checked(content)
    assert "without a learned ranker, ships" in page.text
    assert "nothing was weighed" in page.text
    assert section(content, "index").count("recall@60, 16 columns ") == len(plain["facts"]["index"]["curve"])
    assert all(name in section(content, "files") for name in plain["artifact"]["files"])
    assert section(content, "steps").count('class="bar"') == len(plain["steps"])


@pytest.fixture(scope="module")
def outdone(tmp_path_factory):
    """An export whose learned ranker is not better than retrieval, which ships."""
    return run(planted_checkpoint(with_features=False), tmp_path_factory.mktemp("outdone") / "a", NARROWING)


def test_what_ships_stands_beside_the_simple_models(learned):
    said, quality = section(render(learned.report), "verdict"), learned.report["facts"]["quality"]
    for path in ("shipped", "exact_retrieval", "popularity", "baseline_item-knn", "baseline_svd"):
        for name in ("ndcg@20", "recall@20"):
            value, low, high = (quality[path][f"{name}{end}"] for end in ("", "_low", "_high"))
            assert low <= value <= high
            assert f"{value:.4f} ({low:.4f} .. {high:.4f})" in said
    assert f"{quality['shipped']['recall@20_low']:.4f} .. {quality['shipped']['recall@20_high']:.4f}</dd>" in said


def test_gates_on_a_difference_show_its_mean_and_what_it_tells(learned):
    content = section(render(learned.report), "gates")
    told = [gate for gate in learned.report["gates"] if "change" in gate]
    assert {"quality", "popularity", "fold_in", "baseline"} <= {gate["name"] for gate in told}
    for gate in told:
        change = gate["change"]
        row = content.partition(f">{gate['name']}</th>")[2].partition("</tr>")[0]
        assert f"{change['value']:+.4f} ({change['low']:+.4f} .. {change['high']:+.4f})" in row
        assert significance(change["low"], change["high"]) in row
        assert ("high end" if gate["value"] == change["high"] else "low end") in row


def test_latency_that_nobody_limited_is_said_not_to_be_measured(learned, tmp_path):
    assert "not measured, as no limit was given" in Page(render(learned.report)).text
    assert "gnas-serve bench ARTIFACT" in (learned.path / "MODEL_CARD.md").read_text()
    limited = replace(PROFILE, gates=replace(LIMITS, max_p99_us=1e9))
    made = run(planted_checkpoint(), tmp_path / "a", limited, "never")
    text = Page(render(made.report)).text
    assert "not measured" not in text
    assert "99th percentile of an answer" in text


def test_where_retrieval_ships_the_form_that_was_weighed_is_marked(outdone):
    report = outdone.report
    assert "form" not in report["decisions"]
    weighed, content = report["facts"]["weighed_form"], render(report)
    rows = section(content, "forms")
    assert rows.count('class="chosen"') == 1
    assert f">{weighed}<br>weighed against retrieval</th>" in rows
    assert f"weighed against retrieval: {weighed}" in section(content, "tradeoff")
    gains = json.loads(json.dumps(report))
    gains["facts"]["ranker_against_retrieval"]["teacher"] = {"value": -0.02, "low": -0.03, "high": -0.01}
    assert "as it was trained (fp32) is worse than uncompressed exact retrieval" in render(gains)


def test_of_repeated_decisions_and_few_users(learned):
    report = json.loads(json.dumps(learned.report))
    for form in report["facts"]["forms"].values():
        del form["latency_us"], form["times_faster"]
    assert "earlier decisions named the form" in checked(render(report)).text
    report = json.loads(json.dumps(learned.report))
    for form in report["facts"]["forms"].values():
        del form["change"], form["retained"], form["ndcg@20"]
    del report["facts"]["savings"]["retained"]
    assert "Too few users judge" in checked(render(report)).text


def test_a_gate_that_fails_is_told_first(tmp_path):
    limits = replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=0.0)
    blunt = replace(PROFILE, index="ivf", candidates=20, gates=limits)
    with pytest.raises(QualityGateError) as caught:
        run(planted_checkpoint(), tmp_path / "a", blunt, "never", report_path=tmp_path / "reports" / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["reports"]
    content = (tmp_path / "reports" / "r.html").read_text(encoding="utf-8")
    checked(content)
    said = section(content, "verdict")
    assert "Failed: gate quality. No artifact was made." in said
    assert "against a limit of 0:" in said
    assert caught.value.hint in said
    assert section(content, "gates").count('class="breached"') == 1


def test_a_failure_before_anything_was_measured(tmp_path):
    checkpoint = planted_checkpoint()
    vectors = [checkpoint.final.branches[0].user_vectors, checkpoint.final.branches[0].item_vectors]
    broken = single_fit(vectors[0] * float("nan"), vectors[1])
    with pytest.raises(ExportError):
        run(replace(checkpoint, final=broken, name="<b>&"), tmp_path / "a")
    page = checked((tmp_path / "a.report.html").read_text(encoding="utf-8"))
    assert "Failed: export." in page.text
    assert "is not finite" in page.text
    assert "Export of <b>&" in page.text


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_texts_and_marks_can_be_told_from_the_paper(theme):
    colours = {}
    for package, name in (("gnas_search.report", "page.css"), ("gnas_export.report.page", "page.css")):
        css = (files(package) / name).read_text(encoding="utf-8")
        block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[theme]
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for ink, paper in (("ink", "paper"), ("soft", "paper"), ("soft", "panel"), ("accent", "paper"), ("ink", "tint")):
        assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    for ink, paper in (("bad", "paper"), ("ink", "wrong")):
        assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    for place in range(8):
        assert contrast(colours[f"n{place}"], colours["paper"]) >= 4.5
