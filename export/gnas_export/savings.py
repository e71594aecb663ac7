"""What compression saves: the bytes of what is searched and scored with, beside the same in float32."""

from __future__ import annotations

from typing import Any

from gnas_export.draft import Draft
from gnas_export.forms import teacher_form
from gnas_export.retrieval import uncompressed
from gnas_export.shipped import ShippedFit
from gnas_export.tables import Tables


def saved_bytes(draft: Draft) -> dict[str, Any]:
    """Count bytes of tables, index and scorer as they ship, and without any compression.

    Uncompressed are the vectors and links in float32, exact search, which needs no index, and the ranker as it was
    trained first, where a learned one ships.

    Returns
    -------
    dict
        ``tables``, ``index``, ``scorer`` and ``whole``: each ``size_bytes`` and ``fp32_bytes``; of the whole also
        ``times_smaller``.
    """
    final = draft.final
    exact = uncompressed(final)
    teacher = draft.packed(teacher_form(draft), final) if draft.learned else draft.plain
    pairs = {
        "tables": (_table_bytes(final.tables), _table_bytes(exact.tables)),
        "index": (_index_bytes(final), _index_bytes(exact)),
        "scorer": (draft.shipping(final).size_bytes(), teacher.size_bytes()),
    }
    size, fp32 = (sum(pair[place] for pair in pairs.values()) for place in (0, 1))
    found: dict[str, Any] = {
        name: {"size_bytes": shipped, "fp32_bytes": before} for name, (shipped, before) in pairs.items()
    }
    found["whole"] = {"size_bytes": size, "fp32_bytes": fp32, "times_smaller": fp32 / size}
    return found


def _table_bytes(tables: Tables) -> int:
    arrays = [array for table in (tables.users, tables.items) for array in (table.values, table.scales)]
    if tables.neighbours is not None:
        arrays += [tables.neighbours.offsets, tables.neighbours.items, tables.neighbours.values]
    return sum(array.nbytes for array in arrays if array is not None)


def _index_bytes(fit: ShippedFit) -> int:
    if fit.index is None:
        return 0
    return fit.index.raw.nbytes + (0 if fit.index.projection is None else fit.index.projection.nbytes)
