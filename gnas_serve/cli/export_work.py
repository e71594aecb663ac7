"""What an interrupted export kept: gone on with by the same command, which is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gnas_serve.cli.console import diagnostics, warn

if TYPE_CHECKING:
    from gnas_export.work.key import WorkKey
    from gnas_export.work.workbook import Workbook


@contextmanager
def kept_work(out: Path, key: WorkKey, *, fresh: bool) -> Iterator[Workbook]:
    """Open the work folder of an output; where the block ends with work kept, say how to go on.

    Parameters
    ----------
    out
        The artifact's folder.
    key
        What the work rests on.
    fresh
        Begin anew.
    """
    from gnas_export.work.workbook import Workbook

    console = diagnostics()
    with Workbook.opened(
        out, key, fresh=fresh, say=lambda told: console.print(f"export: {told}"), warn=warn
    ) as workbook:
        try:
            yield workbook
        finally:
            if workbook.holds_work:
                console.print(f"export: what is finished is in {workbook.folder}: the same command goes on with it")
