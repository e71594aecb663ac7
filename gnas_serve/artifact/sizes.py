"""Sizes of an artifact, of one meaning wherever they are told.

*Artifact bytes* are the model's files and its decisions: what serving reads, what ``--max-artifact-bytes`` limits. What
describes the artifact (manifest, card, bill of materials, checksums, signature, reports) is apart: it states them.
"""

from __future__ import annotations

from collections.abc import Mapping

from gnas_serve.artifact.checksums import CHECKSUMS, SIGNATURE
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.store import MANIFEST

DESCRIBING = frozenset(
    {
        MANIFEST,
        LAYOUT.model_card,
        LAYOUT.sbom,
        CHECKSUMS,
        SIGNATURE,
        LAYOUT.report,
        LAYOUT.report_page,
    }
)
"""Files that are no part of artifact bytes."""

OTHER = "other"
_PARTS = {
    "vectors": (LAYOUT.user_vectors, LAYOUT.user_scales, LAYOUT.item_vectors, LAYOUT.item_scales),
    "links": (LAYOUT.neighbour_offsets, LAYOUT.neighbour_items, LAYOUT.neighbour_values),
    "index": (LAYOUT.index, LAYOUT.lists, LAYOUT.projection),
    "scorer": (LAYOUT.ranker, LAYOUT.ranker_users, LAYOUT.ranker_items, LAYOUT.item_content),
    "histories": (LAYOUT.seen_offsets, LAYOUT.seen_items),
}


def artifact_bytes(files: Mapping[str, int]) -> int:
    """Sum the bytes of the model's files and its decisions.

    Parameters
    ----------
    files
        Name -> bytes, of a folder or of a manifest; those that describe the artifact are passed over.
    """
    return sum(size for name, size in files.items() if name not in DESCRIBING)


def bytes_by_part(files: Mapping[str, int]) -> dict[str, int]:
    """Divide artifact bytes by what they are of: vectors, links, index, scorer, histories, and other files.

    Parameters
    ----------
    files
        As of :func:`artifact_bytes`, which the parts add up to.
    """
    parts = {part: sum(files.get(name, 0) for name in names) for part, names in _PARTS.items()}
    return {**parts, OTHER: artifact_bytes(files) - sum(parts.values())}
