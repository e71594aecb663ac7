"""What compression saves: the bytes of what is searched and scored with, beside the same in float32."""

from __future__ import annotations

from typing import Any

from gnas_export.draft import Draft
from gnas_export.steps.paths import teacher_form
from gnas_export.steps.users import uncompressed


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
        "tables": (final.tables.size_bytes, exact.tables.size_bytes),
        "index": (0 if final.index is None else final.index.size_bytes, 0),
        "scorer": (draft.shipping(final).size_bytes(), teacher.size_bytes()),
    }
    size, fp32 = (sum(pair[place] for pair in pairs.values()) for place in (0, 1))
    found: dict[str, Any] = {
        name: {"size_bytes": shipped, "fp32_bytes": before} for name, (shipped, before) in pairs.items()
    }
    found["whole"] = {"size_bytes": size, "fp32_bytes": fp32, "times_smaller": fp32 / size}
    return found
