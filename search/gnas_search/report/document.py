"""The document around a report: one HTML file with its style within, which asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from gnas_search.report.markup import Markup, element

BEGINNING = "<!doctype html>\n"
_HERE = Path(__file__).parent

Section = tuple[str, str, list[object]]
"""Id, title, and what stands in it."""


def section(id_: str, title: str, content: list[object]) -> Markup:
    """Make a section with its heading."""
    return element("section", element("h2", title), content, id=id_)


def contents(sections: Iterable[Section]) -> Markup:
    """List the sections with links to them."""
    links = (element("a", title, href=f"#{id_}") for id_, title, _ in sections)
    return element("nav", links, aria_label="sections")


def document(title: str, body: Markup, styles: Sequence[str] = ()) -> str:
    """Give the whole document.

    Parameters
    ----------
    title
        Of the window.
    body
        All that is to be seen.
    styles
        CSS beside that of every report.
    """
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "sort.js"))
    style = "".join((style, *styles))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    return BEGINNING + element("html", head, element("body", body, element("script", Markup(script))), lang="en")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
