"""The manifests of `examples/kubernetes`, put together as `kubectl kustomize` does, as far as they use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).parents[1] / "examples" / "kubernetes"
Manifest = dict[str, Any]

# As far as it is used: https://github.com/prometheus-operator/prometheus-operator, monitoring.coreos.com/v1.
SERVICE_MONITOR = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "ServiceMonitor"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["endpoints", "selector"],
            "additionalProperties": False,
            "properties": {
                "selector": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}},
                },
                "endpoints": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "path": {"type": "string", "pattern": "^/"},
                            "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
                            "scrapeTimeout": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
                        },
                    },
                },
            },
        },
    },
}


def documents(path: Path) -> list[Manifest]:
    """Read the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def settings() -> dict[str, str]:
    """Read the variables of settings.env."""
    lines = (EXAMPLE / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def built(*, feedback: bool) -> dict[tuple[str, str], Manifest]:
    """Give what is applied, by kind and name; labels for all and the image's name are left as they stand."""
    (base,) = documents(EXAMPLE / "kustomization.yaml")
    found = [one for name in base["resources"] for one in documents(EXAMPLE / name)]
    (generated,) = base["configMapGenerator"]
    found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generated["name"]}, "data": settings()})
    if feedback:
        (component,) = documents(EXAMPLE / "feedback" / "kustomization.yaml")
        found += [one for name in component["resources"] for one in documents(EXAMPLE / "feedback" / name)]
        for one in component["patches"]:
            patch = yaml.safe_load(one["patch"])
            target = next(manifest for manifest in found if key(manifest) == key(patch))
            if patch.pop("$patch", "") == "delete":
                found.remove(target)
            else:
                _merge(target, patch)
    assert len({key(manifest) for manifest in found}) == len(found)
    return {key(manifest): manifest for manifest in found}


def key(manifest: Manifest) -> tuple[str, str]:
    """Give kind and name."""
    return manifest["kind"], manifest["metadata"]["name"]


def _merge(target: Manifest, patch: Manifest) -> None:
    for name, value in patch.items():
        if isinstance(value, dict):
            _merge(target.setdefault(name, {}), value)
        else:
            target[name] = value
