"""Folders that are whole or absent: verified reading and atomic writing, for checkpoints and artifacts alike.

A stored folder holds ``manifest.json``: what it is, in which format version, the SHA-256 and size of every
other file, and the digest of the manifest itself. The reports are outside of it on purpose: they hold timings and host
facts, which would break reproducibility. So are the seals of an artifact, which are of the manifest as well: see
:mod:`gnas_serve.artifact.checksums`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from gnas_serve.artifact.checksums import CHECKSUMS, checksums, is_seal, is_sealed
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ConfigError, FormatVersionError, IntegrityError, StorageError

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
# What reading and encoding a garbled manifest raises: bad JSON, infinite numbers, lone surrogates, bottomless nesting.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError)
_HINTS = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.EFBIG: "raise the limit on file sizes or choose another disk",
    errno.EIO: "the disk fails: choose another one",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EEXIST: "a file stands where a folder is needed; choose another place",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another place",
    errno.EISDIR: "a folder stands where a file is needed; remove it or choose another place",
    errno.ENOENT: "nothing can be made there, or it was removed meanwhile; choose another place",
    errno.EACCES: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOTEMPTY: "another process wrote it meanwhile; choose another output folder",
}


def canonical_json(value: object) -> bytes:
    """Encode JSON in the one form that is hashed: sorted keys, two-space indent, no NaN, newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def file_sha256(path: Path) -> str:
    """Hash a file without reading it into memory at once."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def is_report(name: str) -> bool:
    """Tell whether a file, named from its folder on, is a report and outside the manifest."""
    return name in {LAYOUT.report, LAYOUT.report_page}


def write_manifest(folder: Path, *, kind: str, format_version: int, body: dict[str, Any]) -> None:
    """Hash every file of a folder and write its manifest; after it, where its kind has them, its checksums.

    Parameters
    ----------
    folder
        Holds all files already.
    kind
        ``"checkpoint"`` or ``"artifact"``.
    format_version
        Raised whenever an older reader could misread the folder.
    body
        The rest of the manifest; JSON values.
    """
    sealed = is_sealed(kind, format_version)
    files = {
        name: {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        for name, path in _entries(folder)
        if path.is_file() and path.name != MANIFEST and not is_report(name) and not (sealed and is_seal(name))
    }
    manifest = {"kind": kind, "format_version": format_version, "files": files, **body}
    manifest["digest"] = hashlib.sha256(canonical_json(manifest)).hexdigest()
    raw = canonical_json(manifest)
    (folder / MANIFEST).write_bytes(raw)
    if sealed:
        hashes = {name: str(facts["sha256"]) for name, facts in files.items()}
        (folder / CHECKSUMS).write_bytes(_sums(hashes, raw))


def read_manifest(folder: Path, *, kind: str, format_version: int, verify: bool = True) -> dict[str, Any]:
    """Read the manifest of a stored folder and check what it says.

    Parameters
    ----------
    folder
        A checkpoint or artifact.
    kind
        What the caller expects it to be.
    format_version
        The newest version that the caller understands.
    verify
        Also hash every file; otherwise sizes alone are compared.

    Raises
    ------
    ConfigError
        If the folder does not exist or is something else.
    IntegrityError
        If anything is missing, truncated, altered, not listed or no file, or the checksums disagree with it.
    FormatVersionError
        If it is of a newer format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        reason = "is not a folder" if folder.exists() and not folder.is_dir() else "has no manifest.json"
        if not folder.exists():
            reason = "does not exist"
        raise ConfigError(f"{folder}: {reason}", hint=f"give the folder of a finished {kind}", code="not_found")
    try:
        raw = path.read_bytes()
        manifest = json.loads(raw)
        if not isinstance(manifest, dict):
            raise ValueError("not an object")  # noqa: TRY004  # one handler says what to do
        if canonical_json(manifest) != raw:
            raise ValueError("not in canonical form")
        digest = manifest.pop("digest")
        own_digest = hashlib.sha256(canonical_json(manifest)).hexdigest()
        listed = {name: (int(facts["bytes"]), str(facts["sha256"])) for name, facts in manifest["files"].items()}
        found_version = int(manifest["format_version"])
        found_kind = manifest["kind"]
    except _UNREADABLE as error:
        raise _damaged(path, f"is unreadable: {error}", kind) from error
    if own_digest != digest:
        raise _damaged(path, "does not match its own digest", kind)
    manifest["digest"] = digest
    if found_kind != kind:
        raise ConfigError(f"{folder} is no {kind} but: {found_kind}", hint=f"give a folder that holds one {kind}")
    if found_version > format_version:
        raise FormatVersionError(
            f"{path}: format version {found_version} is newer than {format_version}, the newest this gnas-serve reads",
            hint="install a newer gnas-serve, or make the folder again with this one",
        )
    sealed = is_sealed(kind, found_version)
    _check_files(folder, listed, kind, verify=verify, sealed=sealed)
    if sealed:
        _check_sums(folder / CHECKSUMS, _sums({name: sha256 for name, (_, sha256) in listed.items()}, raw), kind)
    return manifest


def _sums(hashes: dict[str, str], manifest: bytes) -> bytes:
    return checksums({**hashes, MANIFEST: hashlib.sha256(manifest).hexdigest()})


def _check_sums(path: Path, expected: bytes, kind: str) -> None:
    if not path.is_file():
        raise _damaged(path, "is missing", kind)
    if path.stat().st_size != len(expected) or path.read_bytes() != expected:
        raise _damaged(path, f"was altered: it does not agree with {MANIFEST}", kind)


def stored_kind(folder: Path) -> str:
    """Tell what a stored folder says it is, ``"checkpoint"`` or ``"artifact"``, before it is read and verified.

    Raises
    ------
    ConfigError
        If the folder does not exist or was not written by gnas-serve.
    IntegrityError
        If its manifest is unreadable.
    """
    path = folder / MANIFEST
    if not path.is_file():
        reason = "has no manifest.json" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder}: {reason}", hint="give the folder of a checkpoint or artifact", code="not_found")
    try:
        kind: str = json.loads(path.read_bytes())["kind"]
    except _UNREADABLE as error:
        raise _damaged(path, "is unreadable", "folder") from error
    return kind


def _check_files(folder: Path, listed: dict[str, tuple[int, str]], kind: str, *, verify: bool, sealed: bool) -> None:
    for name, (size_bytes, sha256) in listed.items():
        if not _is_inside(name):
            raise _damaged(folder / MANIFEST, f"names a file outside of its folder: {name!r}", kind)
        path = folder / name
        if not path.is_file():
            raise _damaged(path, "is missing", kind)
        if path.stat().st_size != size_bytes:
            raise _damaged(path, f"has {path.stat().st_size} bytes where {size_bytes} were written", kind)
        if verify and file_sha256(path) != sha256:
            raise _damaged(path, "was altered: its SHA-256 is not the manifest's", kind)
    for name, path in _entries(folder):
        if path.is_dir() and not path.is_symlink():
            continue
        permitted = name == MANIFEST or is_report(name) or (sealed and is_seal(name))
        if name not in listed and not permitted:
            raise _damaged(path, "is not in the manifest", kind)
        # A file may be a link into a store of blobs: it is its content that is listed.
        if not path.is_file():
            raise _damaged(path, "is no file: a pipe, or a link that leads to none", kind)


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give all that a folder holds, files and whatever else, by the names of a manifest."""
    return ((path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*")))


def _is_inside(name: str) -> bool:
    """Tell whether a name in a manifest is one that :func:`write_manifest` writes: plain, relative, downwards."""
    path = PurePosixPath(name)
    is_plain = str(path) == name and name != "." and not {"\\", "\0"} & set(name)
    return is_plain and not path.is_absolute() and ".." not in path.parts


def _damaged(path: Path, what: str, kind: str) -> IntegrityError:
    return IntegrityError(f"{path} {what}", hint=f"make or copy the {kind} again")


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Write a folder so that it is either whole or absent.

    Yields a temporary folder beside ``target``; when the block ends well it and its files are flushed to disk
    and it is renamed to ``target``. When the block fails nothing is left.

    Raises
    ------
    ConfigError
        If ``target`` exists.
    StorageError
        If the disk is full or the place is not writable.
    """
    if target.exists() or target.is_symlink():
        raise ConfigError(f"{target} already exists", hint="choose another output folder or remove it", code="exists")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    # Named before it is made: a signal that comes as it is made leaves nothing either.
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    try:
        with storage_errors(target):
            temporary.mkdir(mode=0o700)
            yield temporary
            temporary.chmod(0o755)
            # Its names too, not the files' bytes alone: a crash may otherwise leave the folder without some of them.
            for path in (*temporary.rglob("*"), temporary):
                if path.is_file() or path.is_dir():
                    flush(path)
            temporary.rename(target)
            flush(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def unfinished(target: Path) -> list[Path]:
    """Find what :func:`atomic_folder` left beside a target where its process was killed.

    To be asked where nobody else is writing that target: the folder of one who is looks the same.
    """
    left = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}")  # as above
    beside = target.parent.iterdir() if target.parent.is_dir() else ()
    return sorted(path for path in beside if left.fullmatch(path.name) and path.is_dir() and not path.is_symlink())


@contextmanager
def storage_errors(target: Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing ``target`` into one clear error."""
    try:
        yield
    except OSError as error:
        if error.errno not in _HINTS:
            raise
        reason = str(error.strerror)
        if error.errno == errno.ENOENT and error.filename is not None:  # it may be another one
            reason += f": {os.fsdecode(error.filename)}"
        raise StorageError(f"cannot write {target}: {reason}", hint=_HINTS[error.errno]) from error


def flush(path: Path) -> None:
    """Write a file's bytes, or a folder's names, through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
