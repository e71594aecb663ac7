"""What a server that is ready serves: the artifact that was named, or what the deployment of the versions says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import ConfigError
from gnas_serve.service.deployment import STATE, DeploymentFile


@dataclass(frozen=True)
class ServedVersions:
    """What is served, to be told.

    Attributes
    ----------
    text
        For people.
    fields
        ``model``, and of versions ``canary`` and ``shadow`` where there are any, as JSON.
    warning
        Of an artifact that was named and is not what everybody gets; None where it is.
    """

    text: str
    fields: dict[str, Any] = field(default_factory=dict)
    warning: str | None = None


def served_artifact(manifest: Manifest) -> ServedVersions:
    """Tell of a server of one artifact."""
    return ServedVersions(f"{manifest.name} {manifest.version}", {"model": _model(manifest)})


def served_versions(folder: Path, artifact: Path) -> ServedVersions:
    """Tell of a server of versions, whose deployment goes on where it was left, whatever artifact is named.

    Parameters
    ----------
    folder
        Of the versions.
    artifact
        What was named on the command line.

    Raises
    ------
    IntegrityError
        If the deployment is garbled.
    ConfigError
        If it names an artifact that there is not.
    """
    file = DeploymentFile(folder)
    deployment = file.read()

    def model(name: str) -> dict[str, Any]:
        return {**_model(Manifest.read(file.path_of(name), verify=False)), "artifact": name}

    fields: dict[str, Any] = {"model": model(deployment.stable)}
    said = [_told(fields["model"])]
    if deployment.canary is not None:
        canary = deployment.canary
        fields["canary"] = {**model(canary.artifact), "weight": canary.weight}
        said.append(f"canary for {100 * canary.weight:g}% of the users {_told(fields['canary'])}")
    if deployment.shadow is not None:
        fields["shadow"] = model(deployment.shadow)
        said.append(f"shadow {_told(fields['shadow'])}")
    return ServedVersions(", ".join(said), fields, _warning(file, deployment.stable, artifact))


def _warning(file: DeploymentFile, stable: str, artifact: Path) -> str | None:
    try:
        named = file.name_of(artifact)
    except ConfigError:
        wish = f"put it into {file.folder}"
        named = None
    else:
        wish = f"send {json.dumps({'stable': named})} to /v1/admin/deployment"
    if named == stable:
        return None
    state = file.folder / STATE
    return (
        f"{artifact} is not the stable version: {state} says that {stable!r} is, which goes on from the last start;"
        f" to change that, {wish}, or stop, remove {state} and start again"
    )


def _model(manifest: Manifest) -> dict[str, Any]:
    return {"name": manifest.name, "version": manifest.version}


def _told(model: dict[str, Any]) -> str:
    return f"{model['name']} {model['version']} ({model['artifact']})"
