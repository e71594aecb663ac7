"""Tables of the page: headed for screen readers, scrolling where the window is narrow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gnas_search.report.markup import Markup, element

Cell = str | Markup


def table(
    label: str,
    columns: Sequence[tuple[str, str]],
    rows: Iterable[tuple[Sequence[Cell], str]],
) -> Markup:
    """Lay out rows, the first cell of each being its heading.

    Parameters
    ----------
    label
        What the table is of.
    columns
        Headings with the classes of their cells: ``number``, ``text`` or none.
    rows
        Cells with the class of the row, empty for none.
    """
    head = element("tr", (element("th", name, scope="col", class_=kind or None) for name, kind in columns))
    body = element("tbody", (_row(cells, columns, class_) for cells, class_ in rows))
    drawn = element("table", element("thead", head), body, class_="export")
    return element("div", drawn, class_="scroll", tabindex="0", role="group", aria_label=label)


def _row(cells: Sequence[Cell], columns: Sequence[tuple[str, str]], class_: str) -> Markup:
    drawn = [
        element("th" if place == 0 else "td", cell, scope="row" if place == 0 else None, class_=kind or None)
        for place, (cell, (_, kind)) in enumerate(zip(cells, columns, strict=True))
    ]
    return element("tr", drawn, class_=class_ or None)
