"""Building a Bento from an artifact, from wherever this package is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import gnas_serve
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import ConfigError, ExportError

SERVICE = "gnas_serve.service.bento:GnasServe"
ARTIFACT_PLACE = Path("build") / "artifact"
# Also in bentofile.yaml, so that `bentoml build` in a checkout makes the same Bento.
INCLUDE = ("/gnas_serve/**", "/build/artifact/**")
EXCLUDE = ("/gnas_serve/cli/",)

_TAG = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_LOG_LINES = 12
# BentoML changes the working directory, the module path and its global store while it builds: a process of its own.
_BUILD = """
import json, sys
from pathlib import Path
import bentoml
spec = json.loads(sys.argv[1])
tag = spec["name"] + ":" + spec["version"]
try:
    bento, is_new = bentoml.bentos.get(tag), False
except bentoml.exceptions.NotFound:
    bento, is_new = bentoml.bentos.build(
        spec["service"], name=spec["name"], version=spec["version"],
        include=spec["include"], exclude=spec["exclude"], build_ctx=".",
    ), True
Path(spec["result"]).write_text(json.dumps({"tag": str(bento.tag), "path": str(bento.path), "is_new": is_new}))
"""


@dataclass(frozen=True)
class BuiltBento:
    """A Bento in BentoML's store."""

    tag: str
    path: Path


def build_bento(artifact: Path, tag: str | None = None) -> BuiltBento:
    """Verify an artifact and put it into BentoML's store with the serving code and its pinned requirements.

    Parameters
    ----------
    artifact
        The artifact's folder.
    tag
        ``NAME:VERSION``, or ``NAME`` alone for the artifact's own version; the artifact's name and version
        when not given.

    Raises
    ------
    ConfigError
        If the tag is malformed or taken, or the folder is no artifact.
    IntegrityError, FormatVersionError
        If the artifact is damaged or of a newer format.
    ExportError
        If BentoML fails; its last lines are in the message.
    """
    manifest = Manifest.read(artifact)
    name, version = _parse_tag(tag, manifest)
    with tempfile.TemporaryDirectory(prefix="gnas-serve-build-") as folder:
        context = Path(folder) / "context"
        _stage(artifact, context)
        result = Path(folder) / "result.json"
        spec = {
            "service": SERVICE,
            "name": name,
            "version": version,
            "include": INCLUDE,
            "exclude": EXCLUDE,
            "result": str(result),
        }
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GNAS_")}
        # The folder of the build comes first on the module path, before an installed gnas_serve.
        environment.pop("PYTHONSAFEPATH", None)
        environment["BENTOML_DO_NOT_TRACK"] = "True"
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, json.dumps(spec)],
            cwd=context,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).strip().splitlines()[-_LOG_LINES:]
            raise ExportError("BentoML could not build the Bento:\n" + "\n".join(lines), code="bento_build")
        built = json.loads(result.read_text())
    if not built["is_new"]:
        raise ConfigError(
            f"the Bento {built['tag']} exists already",
            hint=f"give another --tag, or remove it: bentoml delete {built['tag']}",
            code="exists",
        )
    return BuiltBento(built["tag"], Path(built["path"]))


def find_bento(tag: str) -> BuiltBento | None:
    """Look a Bento up in BentoML's store; ``NAME`` alone is its latest version.

    Returns
    -------
    BuiltBento or None
        None where there is no such Bento.
    """
    import bentoml
    from bentoml.exceptions import BentoMLException

    try:
        bento = bentoml.bentos.get(tag)
    except BentoMLException:
        return None
    return BuiltBento(str(bento.tag), Path(bento.path))


def artifact_of(bento: Path) -> Path:
    """Give the artifact's folder inside a Bento's."""
    return bento / "src" / ARTIFACT_PLACE


def _stage(artifact: Path, context: Path) -> None:
    package = Path(gnas_serve.__file__).parent
    shutil.copytree(package, context / "gnas_serve", ignore=shutil.ignore_patterns("__pycache__", "cli"))
    shutil.copytree(artifact, context / ARTIFACT_PLACE)


def _parse_tag(tag: str | None, manifest: Manifest) -> tuple[str, str]:
    given_name, _, given_version = (tag or "").partition(":")
    name, version = given_name or _slug(manifest.name), given_version or _slug(manifest.version)
    for part in (name, version):
        if not _TAG.fullmatch(part):
            raise ConfigError(
                f"tag {tag!r}: {part!r} is not a name or version that BentoML takes"
                if tag
                else f"{part!r} from the artifact is not a name or version that BentoML takes",
                hint="give --tag NAME:VERSION of lower-case letters, digits, dots, dashes and underscores",
                code="invalid_tag",
            )
    return name, version


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("._-")
