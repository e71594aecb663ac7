"""The bill of materials of an image, in CycloneDX 1.6: the model, and every Python package that really is in it.

Run as a file of its own while an image is built, by the Python that will serve: it needs nothing but ``packaging``,
which BentoML brings. See https://cyclonedx.org/docs/1.6/json/ for what each field means.
"""

from __future__ import annotations

import json
import platform
import sys
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

SPEC_VERSION = "1.6"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/docs/1.6/json/")
_IMAGE, _PYTHON = "image", "python"


def package(name: str, version: str) -> dict[str, Any]:
    """Describe a Python package."""
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{quote(version, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "scope": "required"}


def bill_of_image(facts: dict[str, Any], installed: list[Distribution]) -> dict[str, Any]:
    """Describe an image.

    Parameters
    ----------
    facts
        ``model``, its component in the artifact's bill; ``base_image``; ``tools``, the component of what made the
        image; and ``timestamp`` where one is stated.
    installed
        The packages that are in it. What else the base image has is not listed, which the bill says.

    Returns
    -------
    dict
        JSON values. Equal arguments give equal values.
    """
    model = facts["model"]
    packages = {_key(one.metadata["Name"]): package(one.metadata["Name"], one.version) for one in installed}
    references = {key: one["bom-ref"] for key, one in packages.items()}
    edges = {key: _needs(one) & set(packages) for one in installed for key in (_key(one.metadata["Name"]),)}
    python = {"type": "platform", "bom-ref": _PYTHON, "name": "python", "version": platform.python_version()}
    metadata: dict[str, Any] = {
        "component": {
            "type": "container",
            "bom-ref": _IMAGE,
            "name": model["name"],
            "version": model["version"],
            "description": "A recommender: one artifact and what serves it",
            "properties": [{"name": "gnas-serve:base-image", "value": facts["base_image"]}],
        },
        "tools": {"components": [facts["tools"]]},
    }
    if "timestamp" in facts:
        metadata["timestamp"] = facts["timestamp"]
    bill: dict[str, Any] = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": metadata,
        "components": [model, python, *(packages[key] for key in sorted(packages))],
        "dependencies": [
            {"ref": _IMAGE, "dependsOn": [model["bom-ref"], _PYTHON, *sorted(references.values())]},
            *(
                {"ref": references[key], "dependsOn": sorted(references[need] for need in edges[key])}
                for key in sorted(packages)
            ),
        ],
        # The system's packages of the base image are in no list of ours.
        "compositions": [
            {"aggregate": "complete", "assemblies": [model["bom-ref"]]},
            {"aggregate": "incomplete", "assemblies": [_IMAGE]},
        ],
    }
    return {**bill, "serialNumber": uuid.uuid5(NAMESPACE, _text(bill)).urn}


def _needs(one: Distribution) -> set[str]:
    from packaging.requirements import Requirement

    wanted = (Requirement(line) for line in one.requires or [])
    return {_key(each.name) for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})}


def _key(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    _given, _packages, _out = map(Path, sys.argv[1:])
    _found = list(distributions(path=[str(_packages)]))
    _out.write_text(_text(bill_of_image(json.loads(_given.read_bytes()), _found)), encoding="utf-8")
