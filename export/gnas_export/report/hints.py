"""What to do about an artifact that is too large or too slow, told by what it is made of."""

from __future__ import annotations

from pathlib import Path

from gnas_export.draft import Draft
from gnas_export.report.places import page_beside

_LESS = {
    "vectors": "profile small takes fewest bytes of each, a model of fewer columns has fewer of them",
    "links": "profile small keeps the 50 heaviest of each item, and `neighbours` of a profile any number",
    "index": "a flat one takes none: index = 'flat' in a profile",
    "histories": "they are of the data, and no profile makes them smaller",
    "other": "ids, counts and the maps for newcomers are of the data and the model, and no profile makes them smaller",
}


def smaller(draft: Draft, report: Path) -> str:
    """Say what to do about the bytes of an artifact.

    Parameters
    ----------
    draft
        With ``artifact_bytes`` among its facts.
    report
        Where its report will be.
    """
    part, size_bytes = _largest(draft)
    less = _LESS.get(part) or _of_the_scorer(draft)
    return f"most of it are {_named(part)}, {size_bytes:,} bytes: {less}; {_where(report)}"


def quicker(draft: Draft, report: Path) -> str:
    """Say what to do about the time of an answer; as of :func:`smaller`."""
    part, size_bytes = _largest(draft)
    narrower = " or a narrower ranker" if draft.learned else ""
    said = f"fewer candidates than {draft.candidates}{narrower} are quicker, e.g. profile fast"
    return f"{said}; most of the artifact are {_named(part)}, {size_bytes:,} bytes; {_where(report)}"


def _largest(draft: Draft) -> tuple[str, int]:
    parts: dict[str, int] = draft.facts["artifact_bytes"]["parts"]
    part = max(parts, key=lambda name: parts[name])
    return part, parts[part]


def _named(part: str) -> str:
    return "other files" if part == "other" else part


def _of_the_scorer(draft: Draft) -> str:
    if not draft.learned:
        return "it is the retriever's order, and no profile makes it smaller"
    return "a narrower ranker takes fewer, e.g. profile small or --distil always, and --ranker never almost none"


def _where(report: Path) -> str:
    return f"every run and form is in {page_beside(report) or report}"
