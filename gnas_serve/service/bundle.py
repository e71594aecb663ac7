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
from gnas_serve.artifact.checksums import SEALS, SIGNATURE
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND, Manifest
from gnas_serve.artifact.store import MANIFEST, read_manifest, storage_errors
from gnas_serve.errors import ConfigError, ExportError, GnasError, StorageError

SERVICE = "gnas_serve.service.bento:GnasServe"
ARTIFACT_PLACE = Path("build") / "artifact"
# Also in bentofile.yaml, so that `bentoml build` in a checkout makes the same Bento.
INCLUDE = ("/gnas_serve/**", "/build/artifact/**")
EXCLUDE = (
    "/build/artifact/**/report.*",  # timings and host facts, outside of the manifest
    "/gnas_serve/cli/",
    "/gnas_serve/container/",
    "/gnas_serve/kernels/src/",
    "/gnas_serve/load/",
    "/gnas_serve/runtime/benchmark.py",
    "/gnas_serve/service/bundle.py",
    "/gnas_serve/service/child.py",
    "/gnas_serve/service/launch.py",
)

_TAG = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_LOG_LINES = 12
_UNWRITABLE = 74  # EX_IOERR of sysexits.h
# BentoML changes the working directory, the module path and its global store while it builds: a process of its own.
_BUILD = """
import json, shutil, sys
from pathlib import Path
import bentoml
spec = json.loads(sys.argv[1])
tag = spec["name"] + ":" + spec["version"]
try:
    bento, is_new = bentoml.bentos.get(tag), False
except bentoml.exceptions.NotFound:
    try:
        bento, is_new = bentoml.bentos.build(
            spec["service"], name=spec["name"], version=spec["version"],
            include=spec["include"], exclude=spec["exclude"], build_ctx=".",
        ), True
    except OSError as error:
        # What copytree raises is a list of (source, target, reason).
        print(error.args[0][-1][-1] if isinstance(error, shutil.Error) else error, file=sys.stderr)
        sys.exit(spec["unwritable"])
Path(spec["result"]).write_text(json.dumps({"tag": str(bento.tag), "path": str(bento.path), "is_new": is_new}))
"""


@dataclass(frozen=True)
class BuiltBento:
    """A Bento in BentoML's store.

    Attributes
    ----------
    is_new
        False where it was there before.
    """

    tag: str
    path: Path
    is_new: bool = False


def build_bento(artifact: Path, tag: str | None = None) -> BuiltBento:
    """Verify an artifact and put it into BentoML's store with the serving code and its pinned requirements.

    A Bento of that tag that holds the same artifact already is given back as it is, with the code it was built with.

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
        If the tag is malformed or that of a Bento with another artifact, or the folder is no artifact.
    IntegrityError, FormatVersionError
        If the artifact is damaged or of a newer format.
    ExportError
        If BentoML fails; its last lines are in the message.
    StorageError
        If the disk is full, or BentoML's store is not writable.
    """
    manifest = Manifest.read(artifact)
    name, version = _parse_tag(tag, manifest)
    built = find_bento(f"{name}:{version}") or _build(artifact, name, version)
    if not built.is_new and _digest(artifact_of(built.path)) != _digest(artifact):
        raise ConfigError(
            f"the Bento {built.tag} exists already and holds another artifact, or the same with another signature",
            hint=f"give another --tag, or remove it: bentoml delete {built.tag}",
            code="exists",
        )
    return built


def _build(artifact: Path, name: str, version: str) -> BuiltBento:
    with tempfile.TemporaryDirectory(prefix="gnas-serve-build-") as folder:
        context = Path(folder) / "context"
        with storage_errors(context):
            _stage(artifact, context)
        result = Path(folder) / "result.json"
        spec = {
            "service": SERVICE,
            "name": name,
            "version": version,
            "include": INCLUDE,
            "exclude": EXCLUDE,
            "result": str(result),
            "unwritable": _UNWRITABLE,
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
        lines = (done.stdout + done.stderr).strip().splitlines()[-_LOG_LINES:]
        if done.returncode == _UNWRITABLE:
            raise StorageError(
                f"BentoML cannot write its store: {lines[-1]}",
                hint="free some space, or set BENTOML_HOME to a folder that you may write to",
            )
        if done.returncode != 0:
            raise ExportError("BentoML could not build the Bento:\n" + "\n".join(lines), code="bento_build")
        built = json.loads(result.read_text())
    return BuiltBento(built["tag"], Path(built["path"]), built["is_new"])


def find_bento(tag: str) -> BuiltBento | None:
    """Look a Bento up in BentoML's store; ``NAME`` alone is its latest version.

    Returns
    -------
    BuiltBento or None
        None where there is no such Bento, or the text is no tag.

    Raises
    ------
    StorageError
        If BentoML's store cannot be opened.
    """
    import bentoml
    from bentoml.exceptions import BentoMLException

    try:
        with storage_errors(Path(os.environ.get("BENTOML_HOME") or "~/bentoml")):  # made where it is absent
            bento = bentoml.bentos.get(tag)
    except (BentoMLException, ValueError):
        return None
    return BuiltBento(str(bento.tag), Path(bento.path))


def artifact_of(bento: Path) -> Path:
    """Give the artifact's folder inside a Bento's."""
    return bento / "src" / ARTIFACT_PLACE


def _digest(artifact: Path) -> str:
    """Give what identifies the content of an artifact and its signature; empty where it is none, or is damaged."""
    try:
        digest = str(read_manifest(artifact, kind=KIND, format_version=FORMAT_VERSION)["digest"])
    except GnasError:
        return ""
    signature = artifact / SIGNATURE
    return f"{digest} {signature.read_bytes().hex()}" if signature.is_file() else digest


def _stage(artifact: Path, context: Path) -> None:
    """Lay the context out as a checkout is, of the package's files, those of the manifest's list, and its seals."""
    package = Path(gnas_serve.__file__).parent
    sources = {
        Path("gnas_serve") / path.relative_to(package): path
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    listed = read_manifest(artifact, kind=KIND, format_version=FORMAT_VERSION, verify=False)["files"]
    seals = (name for name in SEALS if (artifact / name).is_file())
    sources |= {ARTIFACT_PLACE / name: artifact / name for name in (MANIFEST, *listed, *seals)}
    for place, source in sources.items():
        (context / place).parent.mkdir(parents=True, exist_ok=True)
        # Not copytree: it goes on after an error and reports them without their numbers.
        shutil.copyfile(source, context / place)


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
