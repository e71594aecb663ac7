"""The folder that an image is built from: a Containerfile and all that it copies, nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gnas_serve import __version__
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND, Manifest
from gnas_serve.artifact.source_date import stamp, stated_time
from gnas_serve.artifact.store import canonical_json, read_manifest, storage_errors
from gnas_serve.container.containerfile import BILL, Recipe, containerfile
from gnas_serve.container.pins import constraints, requirements_of
from gnas_serve.errors import ConfigError, IntegrityError
from gnas_serve.service.bundle import ARTIFACT_PLACE, BuiltBento, artifact_of

CONTAINERFILE = "Containerfile"
# Half a second quicker than the one in Python, which is everywhere.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Files of this package that run in an image, one of them while it is built.
_SCRIPTS = ("bill.py", "healthcheck.py")
# What it is served from; the rest of a Bento is for BentoML's own images.
_OF_BENTO = ("README.md", "bento.yaml", "src/gnas_serve", f"src/{ARTIFACT_PLACE.as_posix()}")


def recipe_of(bento: BuiltBento, base_image: str, labels: Mapping[str, str], *, gpu: bool) -> Recipe:
    """Decide what the image of a Bento is to be.

    Parameters
    ----------
    bento
        From BentoML's store.
    base_image
        As of :class:`Recipe`.
    labels
        Further ones, which have the last word.
    gpu
        As of :class:`Recipe`.

    Raises
    ------
    ConfigError
        If a label is no word, or ``SOURCE_DATE_EPOCH`` is none.
    IntegrityError
        If the Bento or the artifact in it is damaged.
    """
    artifact = artifact_of(bento.path)
    manifest = Manifest.read(artifact)
    digest = read_manifest(artifact, kind=KIND, format_version=FORMAT_VERSION, verify=False)["digest"]
    for name in labels:
        if not name or not name.isprintable() or " " in name:
            raise ConfigError(f"{name!r} is no name of a label", hint="give --label NAME=VALUE")
    purpose = f"Recommendations by {manifest.name} {manifest.version} over HTTP and gRPC"
    own = {
        "org.opencontainers.image.base.name": base_image,
        "org.opencontainers.image.description": purpose,
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.version": manifest.version,
        "gnas-serve.artifact.digest": f"sha256:{digest}",
        "gnas-serve.bento": bento.tag,
        "gnas-serve.flavour": "gpu" if gpu else "cpu",
        "gnas-serve.sbom": BILL,
        "gnas-serve.version": __version__,
    }
    if (moment := stated_moment(manifest)) is not None:
        own["org.opencontainers.image.created"] = moment
    return Recipe(base_image, {**own, **labels}, _variables(bento.path), gpu)


def stated_moment(manifest: Manifest) -> str | None:
    """Give the moment that an image states: that of ``SOURCE_DATE_EPOCH``, else its artifact's; None where none is."""
    return stated_time() or manifest.created


def write_context(bento: BuiltBento, recipe: Recipe, folder: Path) -> None:
    """Fill a folder with what an image is built from.

    Files and folders may be read by everybody, whatever they were in BentoML's store: who serves is not who builds.

    Parameters
    ----------
    folder
        Is there, and empty.

    Raises
    ------
    ConfigError, IntegrityError
        As :func:`recipe_of`, and if the Bento's list of packages is unreadable.
    StorageError
        If the disk is full.
    """
    manifest = Manifest.read(artifact_of(bento.path), verify=False)
    requirements = requirements_of(bento.path, gpu=recipe.gpu)
    texts = {
        CONTAINERFILE: containerfile(recipe),
        "requirements.txt": _lines(requirements),
        "constraints.txt": _lines(constraints(requirements)),
        "facts.json": canonical_json(_facts(manifest, artifact_of(bento.path), recipe)).decode(),
    }
    with storage_errors(folder):
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name in _SCRIPTS:
            shutil.copyfile(Path(__file__).parent / name, folder / name)
        for name in _OF_BENTO:
            _copy(bento.path / name, folder / "bento" / name)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        stamp(folder)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder with what is in it; what is a link becomes what it leads to."""
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return
    for path in sorted(source.iterdir()):
        if path.name != "__pycache__":
            _copy(path, target / path.name)


def _facts(manifest: Manifest, artifact: Path, recipe: Recipe) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "base_image": recipe.base_image,
        "model": _model(manifest, artifact),
        "tools": {"type": "application", "name": "gnas-serve", "version": __version__},
    }
    if (moment := stated_moment(manifest)) is not None:
        facts["timestamp"] = moment
    return facts


def _model(manifest: Manifest, artifact: Path) -> dict[str, Any]:
    """Take the model from the artifact's bill; of artifacts before format version 3, which have none, name it alone."""
    path = artifact / LAYOUT.sbom
    if path.is_file():
        for one in json.loads(path.read_bytes())["components"]:
            if one["type"] == "machine-learning-model":
                found: dict[str, Any] = one
                return found
    return {"type": "machine-learning-model", "bom-ref": "model", "name": manifest.name, "version": manifest.version}


def _variables(bento: Path) -> dict[str, str]:
    """Read the variables that the service asks for."""
    path = bento / "bento.yaml"
    try:
        described = yaml.load(path.read_text(encoding="utf-8"), _YAML)  # noqa: S506  # a safe one
        return {str(one["name"]): str(one["value"]) for one in described.get("envs", ())}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, UnicodeError) as error:
        raise IntegrityError(f"{path} is unreadable: {error}", hint="build the Bento anew") from error


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
