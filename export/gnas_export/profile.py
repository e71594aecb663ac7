"""ExportProfile: what an artifact may trade of exactness for speed and size, and how far."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from gnas_export.limits import GateLimits, count, microseconds, share
from gnas_export.ranker.plan import PRECISIONS, TEACHERS, WAYS, RankerPlan
from gnas_serve.artifact.store import canonical_json
from gnas_serve.errors import ConfigError, unknown_name

TABLES = ("fp32", "int8")
INDEXES = ("auto", "flat", "ivf-flat", "ivf", "ivf-pq")
RANKER_USES = ("auto", "never")
RANKER_MODES = ("always", "auto", "never")
MAX_CANDIDATES = 1000
# Wider vectors are searched through a projection, or exactly.
MAX_INDEXED = 128
PROJECTIONS = (32, 64, 96, 128)
MAX_NEIGHBOURS = 10_000
# In a wheel the profiles lie inside the package, in a checkout beside it.
_FOLDERS = (Path(__file__).parent / "profiles", Path(__file__).parent.parent / "profiles")


@dataclass(frozen=True)
class ExportProfile:
    """One way to make an artifact of a checkpoint.

    Attributes
    ----------
    tables
        ``"int8"`` rows with their scale (wider where the gate asks for it) or ``"fp32"``.
    index
        ``"flat"``; ``"ivf-flat"``: inverted lists of the int8 vectors that ship; ``"ivf"``: of codes of 8 bits;
        ``"ivf-pq"``: of product codes, a third of the bytes; or ``"auto"``: where there are too many numbers to be
        scanned as quickly, the quickest that is exact enough.
    projection
        Widths to try for an index over vectors of more than 128 columns; none for flat search of whatever width. With
        ``"flat"``, the narrowest that is exact enough is taken, for its size.
    neighbours
        How many links an item of a two-hop branch keeps where the head of the lists does not notice; 0 for all.
    candidates
        C: how many items the retriever hands to the ranker.
    """

    name: str
    tables: str = "int8"
    index: str = "auto"
    projection: tuple[int, ...] = (64, 128)
    neighbours: int = 0
    candidates: int = 300
    ranker: RankerPlan = field(default_factory=RankerPlan)
    gates: GateLimits = field(default_factory=GateLimits)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form, for reports."""
        return asdict(self)

    def digest(self) -> str:
        """Hash what the choices of an export depend on: all but the name and what is asked of the finished artifact."""
        content = self.to_json()
        del content["name"], content["gates"]["max_p99_us"], content["gates"]["max_artifact_bytes"]
        return hashlib.sha256(canonical_json(content)).hexdigest()

    @classmethod
    def load(cls, name: str) -> ExportProfile:
        """Read a ready profile by name, or a file that ends in ``.toml``.

        Raises
        ------
        ConfigError
            If the name is unknown, or the file names a key, a choice or a number that does not exist.
        """
        if name.endswith(".toml"):
            path = Path(name)
            if not path.is_file():
                raise ConfigError(f"{path}: no such profile file", hint="give a profile's name or an existing file")
        else:
            known = profiles()
            if name not in known:
                raise unknown_name("profile", name, known)
            path = known[name]
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:  # also of other bytes than UTF-8, or of endless numbers
            raise ConfigError(f"{path} is not TOML: {error}", hint="mend the file") from error
        return _profile(path, raw)


def profiles() -> dict[str, Path]:
    """Find the ready profiles: name -> file."""
    folder = next(folder for folder in _FOLDERS if folder.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def ranker_mode(profile: ExportProfile, asked: str | None) -> str:
    """Decide how the learned ranker is treated: ``"auto"``, ``"always"`` or ``"never"``.

    Raises
    ------
    ConfigError
        If the mode is unknown, or ``"always"`` is asked of a profile that has no learned ranker.
    """
    if asked is not None and asked not in RANKER_MODES:
        raise unknown_name("ranker mode", asked, RANKER_MODES)
    if profile.ranker.use == "never":
        if asked == "always":
            raise ConfigError(
                f"profile {profile.name} has no learned ranker, but --ranker always asks for one",
                hint="choose another profile, e.g. balanced",
            )
        return "never"
    return asked or "auto"


def _profile(path: Path, raw: dict[str, Any]) -> ExportProfile:
    _check_keys(path, "", raw, {f.name for f in fields(ExportProfile)} - {"name"})
    plan_raw = _table(path, raw, "ranker", {f.name for f in fields(RankerPlan)})
    limits_raw = _table(path, raw, "gates", {f.name for f in fields(GateLimits)})
    default = RankerPlan()
    plan = RankerPlan(
        use=_choice(path, "ranker.use", plan_raw.get("use", default.use), RANKER_USES),
        hidden=_hidden(path, "ranker.hidden", plan_raw.get("hidden", list(default.hidden))),
        teacher=_choice(path, "ranker.teacher", plan_raw.get("teacher", default.teacher), TEACHERS),
        students=_students(path, plan_raw.get("students", [list(hidden) for hidden in default.students])),
        keep=share(f"{path}: ranker.keep", plan_raw.get("keep", default.keep)),
        distil=_choice(path, "ranker.distil", plan_raw.get("distil", default.distil), WAYS),
        prune=_choice(path, "ranker.prune", plan_raw.get("prune", default.prune), WAYS),
        precision=_choice(path, "ranker.precision", plan_raw.get("precision", default.precision), PRECISIONS),
    )
    latency, size_bytes = (limits_raw.pop(name, None) for name in ("max_p99_us", "max_artifact_bytes"))
    limits = GateLimits(
        **{key: share(f"{path}: gates.{key}", value) for key, value in limits_raw.items()},
        max_p99_us=None if latency is None else microseconds(f"{path}: gates.max_p99_us", latency),
        max_artifact_bytes=None if size_bytes is None else count(f"{path}: gates.max_artifact_bytes", size_bytes),
    )
    candidates = raw.get("candidates", ExportProfile.candidates)
    if not _is_int(candidates) or not 1 <= candidates <= MAX_CANDIDATES:
        raise ConfigError(f"{path}: candidates = {candidates!r}", hint=f"give a number from 1 to {MAX_CANDIDATES}")
    neighbours = raw.get("neighbours", ExportProfile.neighbours)
    if not _is_int(neighbours) or not 0 <= neighbours <= MAX_NEIGHBOURS:
        raise ConfigError(f"{path}: neighbours = {neighbours!r}", hint=f"give 0 for all, at most {MAX_NEIGHBOURS}")
    return ExportProfile(
        name=path.stem,
        tables=_choice(path, "tables", raw.get("tables", ExportProfile.tables), TABLES),
        index=_choice(path, "index", raw.get("index", ExportProfile.index), INDEXES),
        projection=_projection(path, raw.get("projection", list(ExportProfile.projection))),
        neighbours=neighbours,
        candidates=candidates,
        ranker=plan,
        gates=limits,
    )


def _check_keys(path: Path, table: str, raw: dict[str, Any], known: set[str]) -> None:
    for key in raw:
        if key not in known:
            error = unknown_name("key", f"{table}{key}", [f"{table}{name}" for name in known])
            raise ConfigError(f"{path}: {error.message}", hint=error.hint, code="unknown_key")


def _table(path: Path, raw: dict[str, Any], name: str, known: set[str]) -> dict[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name} is not a table", hint=f"write it as [{name}]")
    _check_keys(path, f"{name}.", table, known)
    return table


def _choice(path: Path, key: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigError(f"{path}: {key} = {value!r}", hint=f"one of: {', '.join(known)}")
    return str(value)


def _students(path: Path, value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list):
        raise ConfigError(
            f"{path}: ranker.students = {value!r}", hint="give a list of widths, e.g. [[32, 16]]; [] for none"
        )
    return tuple(_hidden(path, "ranker.students", hidden) for hidden in value)


def _hidden(path: Path, key: str, value: object) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(_is_int(width) and 1 <= width <= 1024 for width in value):
        return value[0], value[1]
    raise ConfigError(f"{path}: {key} = {value!r}", hint="give two widths from 1 to 1024, e.g. [128, 64]")


def _projection(path: Path, value: object) -> tuple[int, ...]:
    if isinstance(value, list) and all(_is_int(dims) and dims in PROJECTIONS for dims in value):
        return tuple(sorted(set(value)))
    known = ", ".join(map(str, PROJECTIONS))
    raise ConfigError(f"{path}: projection = {value!r}", hint=f"give a list of widths among {known}; [] for none")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
