"""The accounts of an artifact: its version, model card, bill of materials, manifest and checksums, in this order."""

from __future__ import annotations

from pathlib import Path

from gnas_export.accounts.model_card import model_card
from gnas_export.accounts.sbom import bill_of_materials
from gnas_export.package import file_hashes, versioned
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.sizes import artifact_bytes
from gnas_serve.artifact.store import canonical_json
from gnas_serve.service.requirements import SHIPPED, pinned


def write_accounts(folder: Path, manifest: Manifest) -> Manifest:
    """Write all that describes an artifact beside the files that serving reads.

    The card and the bill of materials name the version, so that it is of the other files; the manifest hashes all of
    them, and the checksums the manifest as well.

    Returns
    -------
    Manifest
        With its version.
    """
    hashes, requirements = file_hashes(folder), pinned(*SHIPPED)
    size_bytes = artifact_bytes({path.name: path.stat().st_size for path in folder.iterdir()})
    named = versioned(manifest, hashes, requirements)
    (folder / LAYOUT.model_card).write_bytes(model_card(named, size_bytes).encode())
    (folder / LAYOUT.sbom).write_bytes(canonical_json(bill_of_materials(named, hashes, requirements)))
    named.write(folder)
    return named
