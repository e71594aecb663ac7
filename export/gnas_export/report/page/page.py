"""The page: one HTML file that asks nothing of any network and works without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gnas_export.report.page.background import decisions, host, sizes, steps
from gnas_export.report.page.form_rows import form_rows, saved
from gnas_export.report.page.index_curve import index_curve
from gnas_export.report.page.tradeoff import tradeoff
from gnas_export.report.page.verdict import gates, verdict
from gnas_search.report.document import contents, document, section
from gnas_search.report.markup import element, joined

_STYLE = Path(__file__).parent / "page.css"


def render(report: dict[str, Any]) -> str:
    """Give the report of an export as one HTML document, passed or not, as far as the export came.

    Parameters
    ----------
    report
        From :func:`gnas_export.report.contents.build_report`, or a ``report.json`` as it was read.
    """
    sections = (
        ("verdict", "Verdict", verdict(report)),
        ("gates", "Gates", gates(report)),
        ("tradeoff", "Quality and latency", tradeoff(report)),
        ("forms", "Forms of the ranker", form_rows(report)),
        ("savings", "What compression saves", saved(report)),
        ("index", "Index", index_curve(report)),
        ("decisions", "Decisions", decisions(report)),
        ("files", "Files", sizes(report)),
        ("steps", "Steps", steps(report)),
        ("host", "Where it was measured", host(report)),
    )
    title = f"Export of {report['checkpoint']['name']}"
    body = joined(
        element("header", element("h1", title), contents(sections)),
        element("main", (section(*one) for one in sections)),
        element(
            "footer",
            f"gnas-serve {report['host']['gnas_serve']}, {report['schema']}. Quality is measured on held-out items "
            "of validation users, by whom forms and blends are chosen; the test part is untouched.",
        ),
    )
    return document(title, body, [_STYLE.read_text(encoding="utf-8")])
