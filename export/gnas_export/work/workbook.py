"""Workbook: the folder beside an output that holds what finished steps of an export made, until it is done."""

from __future__ import annotations

import errno
import json
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gnas_export.draft import Draft
from gnas_export.work.array_file import ArrayFile, read_record
from gnas_export.work.keeping import UNREADABLE, Keeper
from gnas_export.work.key import WorkKey
from gnas_export.work.lock import PRIVATE, check_owner, locked
from gnas_export.work.step_record import files_of, sealed, unsealed
from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.checksums import SEALS
from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.store import MANIFEST, canonical_json, file_sha256, flush, unfinished

_KEY, _LOCK = "key.json", "lock"
_OURS = re.compile(r"(\d{3}-[a-z_]+\.(json|npys)|key\.json)(\.tmp)?|lock")
_ARRAYS = re.compile(r"[0-9]{3}-[a-z_]+\.npys")
_RECORD = re.compile(r"(\d{3})-([a-z_]+)\.json")
_ARTIFACT = {*vars(LAYOUT).values(), MANIFEST, *SEALS}
_MOST = 1000  # steps, in all rounds

Steps = list[dict[str, Any]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class KeptDraft:
    """What an interrupted export left.

    Attributes
    ----------
    step
        Name of the last one that was finished.
    steps
        As the report tells them, those of earlier rounds included.
    """

    step: str
    draft: Draft
    steps: Steps


def work_folder(out: Path) -> Path:
    """Name the folder that belongs to an output."""
    return out.with_name(f".{out.name}.work")


class Workbook:
    """Keeps a draft after each step, and gives the last whole one back.

    A step is two files: a record of the whole draft, and the arrays that were not written before. Both are written
    beside their names, flushed and renamed, the record last, and the record holds the hashes of all that it needs:
    what is half there, or altered, is as if it had never been kept.

    Where the folder cannot be written the export goes on without it.

    Parameters
    ----------
    out
        The output of the export.
    key
        What kept work must have been made under.
    say, warn
        Told what people should know: of kept work that goes or goes on, and of what cannot be kept.
    """

    def __init__(self, out: Path, key: WorkKey, *, say: Say, warn: Say) -> None:
        self.folder, self._out = work_folder(out), out
        self._key, self._say, self._warn = key, say, warn
        self._lock: BinaryIO | None = None
        self._keeper: Keeper | None = None
        self._hashes: dict[str, dict[str, Any]] = {}
        self._number, self._round, self._reserve_bytes = 0, 0, 0
        self._made: list[Path] = []  # folders above it that were not there, the deepest first
        self._writes = False
        self.holds_work = False

    @classmethod
    @contextmanager
    def opened(cls, out: Path, key: WorkKey, *, fresh: bool, say: Say, warn: Say) -> Iterator[Workbook]:
        """Lock the folder of an output, made where it is absent, for one export.

        Parameters
        ----------
        fresh
            Remove what is kept.

        Raises
        ------
        ConfigError
            If another export to the same output is running.
        """
        book = cls(out, key, say=say, warn=warn)
        try:
            with book._or_without():
                book._open(fresh=fresh)
            yield book
        finally:
            book._close()

    def latest(self, blank: Draft) -> KeptDraft | None:
        """Give what the last whole record holds; None where there is none. To be asked before anything is kept.

        Records that are damaged are removed, which is said.
        """
        self._keeper, self._reserve_bytes = Keeper(blank.checkpoint), _artifact_bytes(blank.checkpoint)
        kept: KeptDraft | None = None
        if self._writes:
            with self._or_without():
                kept = self._last_whole(blank)
        self.holds_work = kept is not None
        if kept is not None:
            self._say(f"going on after {kept.step} (kept by an interrupted export)")
        return kept

    def keep(self, step: str, draft: Draft, steps: Steps) -> None:
        """Keep a draft after a step.

        Parameters
        ----------
        steps
            As the report tells them, this one included.
        """
        if not self._writes or self._keeper is None:
            return
        with self._or_without():
            name = f"{self._number:03d}-{step}"
            arrays = ArrayFile(f"{name}.npys")
            tree = self._keeper.encode(draft, lambda array: [arrays.name, arrays.put(array)])
            needed = arrays.size_bytes + self._reserve_bytes
            if (free := shutil.disk_usage(self.folder).free) < needed:
                raise OSError(f"{free:,} bytes are free, and with the artifact {needed:,} are needed")
            if arrays.size_bytes:
                temporary = self.folder / f"{arrays.name}.tmp"
                sha256 = arrays.write(temporary)
                temporary.rename(self.folder / arrays.name)
                self._hashes[arrays.name] = {"sha256": sha256, "bytes": arrays.size_bytes}
            files = {file: self._hashes[file] for file in sorted(files_of(tree))}
            record = {"key": self._key, "step": step, "steps": steps, "files": files, "draft": tree}
            replace_file(self.folder / f"{name}.json", sealed(record), synced=True)
            flush(self.folder)
            self.holds_work = True
            # Where the quality gate sent the draft back, what was kept before is of no use once this is.
            rounds = sum(one["name"] == step for one in steps)
            if rounds > self._round:
                self._clean(before=self._number)
            self._number, self._round = self._number + 1, rounds

    def remove(self) -> None:
        """Remove the folder: the export has ended, well or not, and would end so again."""
        if self._lock is None:
            return
        try:
            self._clean(before=_MOST)
            for name in (f"{_KEY}.tmp", _KEY, _LOCK):
                (self.folder / name).unlink(missing_ok=True)
            self.folder.rmdir()
        except OSError as error:
            self._warn(f"{self.folder} could not be removed: {error.strerror}; remove it by hand")
        for folder in self._made:
            with suppress(OSError):  # something else is in it by now
                folder.rmdir()
        self.holds_work = False
        self._close()

    def _open(self, *, fresh: bool) -> None:
        self._made = [folder for folder in self.folder.parents if not folder.exists()]
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise OSError(errno.EEXIST, "something else stands there")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=PRIVATE, exist_ok=True)
        check_owner(self.folder)
        strangers = sorted(path.name for path in self.folder.iterdir() if not _is_ours(path))
        if strangers:
            raise OSError(f"it holds {strangers[0]}, which no export keeps")
        self._lock = locked(self.folder / _LOCK)
        for path in unfinished(self._out):
            if {part.name for part in path.iterdir()} <= _ARTIFACT:
                shutil.rmtree(path)
                self._say(f"{path} is removed: an interrupted export was packing there")
        there = [path for path in self.folder.iterdir() if _RECORD.fullmatch(path.name)]
        reason = "--fresh" if fresh else self._changed()
        if reason:
            self._clean(before=_MOST)
            if there:
                self._say(f"what an interrupted export kept is removed: {reason}")
            replace_file(self.folder / _KEY, canonical_json(self._key), synced=True)
        self._writes = True

    def _changed(self) -> str:
        """Say what is different from when the folder was made; empty where nothing is."""
        try:
            made_under = json.loads((self.folder / _KEY).read_bytes())
            changed = [name for name, value in self._key.items() if made_under.get(name) != value]
        except (OSError, ValueError, AttributeError, RecursionError):
            return "nothing says what it was made of"
        return f"it was made with other: {', '.join(changed)}" if changed else ""

    def _last_whole(self, blank: Draft) -> KeptDraft | None:
        kept, checked = None, dict[str, str]()
        records = sorted((p for p in self.folder.iterdir() if _RECORD.fullmatch(p.name)), reverse=True)
        for path in records:
            try:
                kept = self._read(path, blank, checked)
            except (*UNREADABLE, OSError) as error:
                self._say(f"what was kept of {path.stem[4:]} is damaged ({error}): it runs again")
                path.unlink(missing_ok=True)
                continue
            self._number = int(path.name[:3]) + 1
            break
        self._clean(after=self._number)
        return kept

    def _read(self, path: Path, blank: Draft, checked: dict[str, str]) -> KeptDraft:
        record = unsealed(path.read_bytes())
        if record["key"] != self._key:
            raise ValueError(f"{path.name} is of another export")
        files = record["files"]
        for name, facts in files.items():
            if not _ARRAYS.fullmatch(name):
                raise ValueError(f"it needs {name!r}, which no export keeps")
            if name not in checked:
                checked[name] = file_sha256(self.folder / name)
            if checked[name] != facts["sha256"]:
                raise ValueError(f"{name} was altered")
        assert self._keeper is not None  # noqa: S101  # made by the only caller
        draft = self._keeper.decode(record["draft"], blank, lambda at: self._array(at, files))
        self._hashes = files
        steps = [{**one, "resumed": True} for one in record["steps"]]
        self._round = sum(one["name"] == record["step"] for one in steps)
        return KeptDraft(record["step"], draft, steps)

    def _array(self, at: Any, files: dict[str, Any]) -> Any:
        """Read an array from a file whose hash was checked, and from no other."""
        name, start = at
        if name not in files:
            raise ValueError(f"it reads {name!r}, which it does not list")
        return read_record(self.folder / name, start)

    def _clean(self, *, before: int = 0, after: int = _MOST) -> None:
        """Remove steps by their numbers, and whatever was not finished."""
        for path in self.folder.iterdir():
            if path.name[:3].isdigit() and (
                path.suffix == ".tmp" or int(path.name[:3]) < before or int(path.name[:3]) >= after
            ):
                path.unlink(missing_ok=True)

    def _close(self) -> None:
        self._writes = False
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        """Go on without the folder where the system refuses something of it, and say so, once."""
        try:
            yield
        except OSError as error:
            self._writes = False
            reason = error.strerror or str(error)
            self._warn(f"{self.folder}: {reason}; should this export be interrupted, no further step is kept")


def _is_ours(path: Path) -> bool:
    return bool(_OURS.fullmatch(path.name)) and stat.S_ISREG(path.lstat().st_mode)


def _artifact_bytes(checkpoint: Checkpoint) -> int:
    """Tell how large an artifact may get, at least: what is kept must not take its place."""
    fit = checkpoint.final
    links = [branch.neighbours for branch in fit.branches if branch.neighbours is not None]
    tables = sum(array.nbytes for branch in fit.branches for array in (branch.user_vectors, branch.item_vectors))
    return int(
        tables + sum(one.data.nbytes + one.indices.nbytes for one in (*links, checkpoint.train, checkpoint.valid))
    )
