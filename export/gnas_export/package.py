"""Write an artifact: its files, its manifest, and nothing that differs between equal models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_export.retrieval.shipped import ShippedFit
from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest, RankerFacts
from gnas_serve.artifact.store import canonical_json, file_sha256, is_report
from gnas_serve.runtime.tables import Tables

VERSION_DIGITS = 12


@dataclass(frozen=True)
class PackedRanker:
    """The ranker in one form, with the tables that it reads.

    Attributes
    ----------
    items : (I, H) uint8, float16 or float32, or None for the retrieval form
    users : (U, F) float32, or None
    content : (I, F) float16, or None
    """

    graph: bytes
    facts: RankerFacts
    items: npt.NDArray[np.generic] | None = None
    users: npt.NDArray[np.float32] | None = None
    content: npt.NDArray[np.float16] | None = None

    def size_bytes(self) -> int:
        """Give what this form adds to the artifact."""
        return len(self.graph) + sum(t.nbytes for t in (self.items, self.users, self.content) if t is not None)


def shipped_tables(checkpoint: Checkpoint, shipped: ShippedFit, ranker: PackedRanker) -> Tables:
    """Gather the tables that ship, as serving opens them."""
    return Tables(
        users=checkpoint.users,
        items=checkpoint.items,
        user_vectors=shipped.tables.users,
        item_vectors=shipped.tables.items,
        counts=shipped.counts,
        seen=shipped.seen,
        fold_in=shipped.fold_in,
        neighbours=shipped.tables.neighbours,
        projection=None if shipped.index is None else shipped.index.projection,
        ranker_users=ranker.users,
        ranker_items=ranker.items,
        item_content=ranker.content,
        attributes=checkpoint.item_attributes,
        segments=shipped.segments,
        content=shipped.content,
    )


def arrays_of(tables: Tables) -> dict[str, npt.NDArray[np.generic]]:
    """Lay tables out as the arrays that are stored, by the names of their files."""
    neighbours, attributes = tables.neighbours, tables.attributes
    arrays: dict[str, npt.NDArray[np.generic] | None] = {
        LAYOUT.user_ids: tables.users.values,
        LAYOUT.user_id_offsets: tables.users.offsets,
        LAYOUT.item_ids: tables.items.values,
        LAYOUT.item_id_offsets: tables.items.offsets,
        LAYOUT.user_vectors: tables.user_vectors.values,
        LAYOUT.user_scales: tables.user_vectors.scales,
        LAYOUT.item_vectors: tables.item_vectors.values,
        LAYOUT.item_scales: tables.item_vectors.scales,
        LAYOUT.item_counts: tables.counts,
        LAYOUT.seen_offsets: tables.seen.offsets,
        LAYOUT.seen_items: tables.seen.items,
        LAYOUT.fold_in: tables.fold_in,
        LAYOUT.neighbour_offsets: None if neighbours is None else neighbours.offsets,
        LAYOUT.neighbour_items: None if neighbours is None else neighbours.items,
        LAYOUT.neighbour_values: None if neighbours is None else neighbours.values,
        LAYOUT.projection: tables.projection,
        LAYOUT.ranker_items: tables.ranker_items,
        LAYOUT.ranker_users: tables.ranker_users,
        LAYOUT.item_content: tables.item_content,
        **({} if attributes is None else attributes.stored()),
        **({} if tables.segments is None else tables.segments.stored()),
        **({} if tables.content is None else tables.content.stored()),
    }
    return {name: array for name, array in arrays.items() if array is not None}


def write_files(folder: Path, checkpoint: Checkpoint, shipped: ShippedFit, ranker: PackedRanker) -> None:
    """Write every file that serving reads, the manifest apart."""
    for name, array in arrays_of(shipped_tables(checkpoint, shipped, ranker)).items():
        write_array(folder / name, array)
    if shipped.index is not None:
        (folder / shipped.index.file).write_bytes(shipped.index.raw.tobytes())
    (folder / LAYOUT.ranker).write_bytes(ranker.graph)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Name the version after the content and write the manifest, last.

    Returns
    -------
    Manifest
        With its version.
    """
    named = versioned(manifest, file_hashes(folder), {})
    named.write(folder)
    return named


def file_hashes(folder: Path) -> dict[str, str]:
    """Hash the files of an artifact in the making: name -> SHA-256."""
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if not is_report(path.name)}


def versioned(manifest: Manifest, hashes: Mapping[str, str], requirements: Mapping[str, str]) -> Manifest:
    """Name the version after the content: the model's files, what is said of them, and what serving is to be given.

    So artifacts that differ in a byte differ in their version, and those that do not have the same.
    """
    content = {"files": dict(hashes), "manifest": manifest.to_json(), "requirements": dict(requirements)}
    return replace(manifest, version=hashlib.sha256(canonical_json(content)).hexdigest()[:VERSION_DIGITS])


def write_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Write an npy file.

    ``np.save`` reports a full disk as an OSError without an error number; plain writes keep it.
    """
    array = np.ascontiguousarray(array)
    header: dict[str, Any] = np.lib.format.header_data_from_array_1_0(array)
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        if array.size:
            stream.write(array.reshape(-1).view(np.uint8).data)
