"""The bill of materials of an artifact: the model, file by file, and the packages that serve it, in CycloneDX 1.6.

See https://cyclonedx.org/docs/1.6/json/ for what each field means.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from gnas_serve import __version__
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.provenance import Measured
from gnas_serve.artifact.store import canonical_json
from gnas_serve.container.bill import NAMESPACE, SPEC_VERSION, package

_SERVED, _MODEL = "served-model", "model"


def bill_of_materials(manifest: Manifest, hashes: Mapping[str, str], requirements: Mapping[str, str]) -> dict[str, Any]:
    """Describe an artifact and what serves it.

    Parameters
    ----------
    manifest
        With its version.
    hashes
        SHA-256 of each file of the model, by name.
    requirements
        Version of each package that serving is given, by name. What these depend on is not listed, which the bill says.

    Returns
    -------
    dict
        JSON values. Equal arguments give equal values, the serial number among them; a time stands in it only where
        the manifest states one.
    """
    packages = [package(name, requirements[name]) for name in sorted(requirements)]
    references = [one["bom-ref"] for one in packages]
    metadata: dict[str, Any] = {
        "component": {
            "type": "application",
            "bom-ref": _SERVED,
            "name": manifest.name,
            "version": manifest.version,
            "description": "A recommender: one artifact and the packages that serve it",
        },
        "tools": {"components": [{"type": "application", "name": "gnas-serve", "version": __version__}]},
    }
    if manifest.created is not None:
        metadata["timestamp"] = manifest.created
    bill: dict[str, Any] = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": metadata,
        "components": [_model(manifest, hashes), *packages],
        "dependencies": [
            {"ref": _SERVED, "dependsOn": [_MODEL, *references]},
            {"ref": _MODEL},
        ],
        # The packages are direct requirements; what they bring is chosen when an image is built.
        "compositions": [
            {"aggregate": "complete", "assemblies": [_MODEL]},
            {"aggregate": "incomplete", "dependencies": [_SERVED]},
        ],
    }
    return {**bill, "serialNumber": uuid.uuid5(NAMESPACE, canonical_json(bill).decode()).urn}


def _model(manifest: Manifest, hashes: Mapping[str, str]) -> dict[str, Any]:
    files = [
        {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": hashes[name]}]}
        for name in sorted(hashes)
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": manifest.name,
        "version": manifest.version,
        "components": files,
        "properties": [
            {"name": f"gnas-serve:{name}", "value": value} for name, value in sorted(_properties(manifest).items())
        ],
        "modelCard": _card(manifest),
    }


def _properties(manifest: Manifest) -> dict[str, str]:
    index, ranker = manifest.index, manifest.ranker
    found = {
        "profile": manifest.profile,
        "tables": str(manifest.model.get("tables", "")),
        "index": index.kind,
        "ranker": ranker.kind,
        "ranker:precision": ranker.precision,
        "ranker:candidates": str(ranker.candidates),
        "embedding-dim": str(manifest.embedding_dim),
        "users": str(manifest.num_users),
        "items": str(manifest.num_items),
    }
    if manifest.provenance is not None:
        found |= {f"hash:{name}": value for name, value in manifest.provenance.hashes.items()}
        found |= {f"seed:{name}": str(value) for name, value in manifest.provenance.seeds.items()}
        found["interactions"] = str(manifest.provenance.data["interactions"])
    return found


def _card(manifest: Manifest) -> dict[str, Any]:
    card: dict[str, Any] = {
        "modelParameters": {
            "task": "recommendation",
            "architectureFamily": "sum of branches",
            "modelArchitecture": " + ".join(branch.kind for branch in manifest.branches),
            "datasets": [
                {
                    "type": "dataset",
                    "name": "interactions",
                    "contents": {
                        "properties": [
                            {"name": "gnas-serve:fingerprint", "value": str(manifest.data.get("fingerprint", ""))}
                        ]
                    },
                }
            ],
            "inputs": [{"format": "user id, or item ids of a history"}],
            "outputs": [{"format": "item ids with scores"}],
        },
        "considerations": {
            "useCases": ["Ranking the items of one catalogue for its users"],
            "technicalLimitations": [
                "Items and interactions after training are unknown to it",
                "Scores order the items of one answer and are not comparable between answers",
            ],
        },
    }
    if manifest.provenance is not None and manifest.provenance.metrics:
        card["quantitativeAnalysis"] = {
            "performanceMetrics": [_metric(name, found) for name, found in manifest.provenance.metrics.items()]
        }
    return card


def _metric(name: str, found: Measured) -> dict[str, Any]:
    metric: dict[str, Any] = {"type": name, "value": repr(found.value), "slice": "gate users, validation"}
    if found.low is not None and found.high is not None:
        metric["confidenceInterval"] = {"lowerBound": repr(found.low), "upperBound": repr(found.high)}
    return metric
