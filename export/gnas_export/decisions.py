"""Decisions: choices that rest on measurement, written down so that another export can repeat them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnas_export.profile import PROJECTIONS, ExportProfile
from gnas_export.ranker.variants import is_form
from gnas_serve.artifact.store import canonical_json
from gnas_serve.errors import ConfigError

FORMAT_VERSION = 2
FORM = "form"
_LONGEST_REASON = 2_000  # characters
# Timings of one machine repeat to about a tenth; less than that is a tie.
NEAR = 1.10
CLEARLY_FASTER = 0.80
CHOICES = {
    "neighbours": ("fp32", "fp16", "pruned"),
    "tables": ("fp32", "fp16", "int8"),
    "index": (
        "flat",
        "ivf-flat",
        "ivf",
        "ivf-pq",
        *(f"{kind}-{dims}" for kind in ("ivf-flat", "ivf") for dims in PROJECTIONS),
    ),
    "ranker": ("mlp", "retrieval"),
    "fold_in": ("map", "popularity"),
    "segments": ("segments", "popularity"),
    "content": ("encoder", "none"),
}


@dataclass(frozen=True)
class Decision:
    """One choice and what it rests on.

    Attributes
    ----------
    choice
        One of :data:`CHOICES`; of a form of the ranker its network and its numbers.
    reason
        What it rests on, in one line. Never a time: decisions are hashed with the artifact, and equal choices make
        equal artifacts. The times are in the report.
    """

    choice: str
    reason: str


@dataclass(frozen=True)
class Form:
    """One measured form of the same thing.

    Attributes
    ----------
    name
        As decisions name it.
    size_bytes, latency_us
        What it costs.
    """

    name: str
    size_bytes: int
    latency_us: float


class Decisions:
    """The decisions of one export: taken while it runs, or given by an earlier one and repeated.

    They are bound to what they were taken under, not to a checkpoint: a pipeline that trains the same model on newer
    data may well repeat them, and every gate measures the new one all the same.

    Parameters
    ----------
    profile, ranker
        What they are taken under; given ones must have been taken under the same, key by key.
    given
        Decisions of an earlier export by name.
    """

    def __init__(self, profile: ExportProfile, ranker: str, given: dict[str, Decision] | None = None) -> None:
        self.profile = profile
        self.ranker = ranker
        self._given = dict(given or {})
        self.taken: dict[str, Decision] = {}

    @property
    def repeated(self) -> dict[str, Decision]:
        """Those that were given, whether they were needed yet or not."""
        return dict(self._given)

    def given(self, name: str) -> Decision | None:
        """Look up a decision to repeat, and take it; None where this export has to decide."""
        decision = self._given.get(name)
        if decision is not None:
            self.taken[name] = decision
        return decision

    def take(self, name: str, choice: str, reason: str) -> Decision:
        """Write a decision down."""
        self.taken[name] = Decision(choice, reason)
        return self.taken[name]

    def drop(self, name: str) -> None:
        """Forget a decision that turned out not to matter."""
        self._given.pop(name, None)
        self.taken.pop(name, None)

    def revised(self, forced: dict[str, Decision]) -> Decisions:
        """Start again with some choices forced: what was timed stays, what follows from data is decided anew."""
        timed = {name: decision for name, decision in self.taken.items() if name in {"index", "form"}}
        return Decisions(self.profile, self.ranker, {**self._given, **timed, **forced})

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        # Also those given but not needed here: a repeated export holds the same file as the one it repeats.
        known = {**self._given, **self.taken}
        return {
            "format_version": FORMAT_VERSION,
            "profile": self.profile.name,
            "profile_digest": self.profile.digest(),
            "ranker": self.ranker,
            "decisions": {name: {"choice": d.choice, "reason": d.reason} for name, d in known.items()},
        }

    def write(self, path: Path) -> None:
        """Write them as ``decisions.json``."""
        path.write_bytes(canonical_json(self.to_json()))

    @classmethod
    def read(cls, path: Path, *, profile: ExportProfile, ranker: str) -> Decisions:
        """Read the decisions of an earlier export, to repeat them.

        Raises
        ------
        ConfigError
            If the file is absent or is something else, holds a reason that is no line of text, or was written under
            another profile, another content of the same profile, or another ranker mode.
        """
        if not path.is_file():
            raise ConfigError(f"{path}: no such decisions file", hint="give the decisions.json of an artifact")
        try:
            raw = json.loads(path.read_bytes())
            version = raw["format_version"]
            made_under = {key: raw[key] for key in ("profile", "ranker", "profile_digest")}
            given = {name: Decision(entry["choice"], entry["reason"]) for name, entry in raw["decisions"].items()}
            known = version == FORMAT_VERSION and all(_is_known(name, d.choice) for name, d in given.items())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = f"it is no JSON: {error}" if isinstance(error, ValueError) else "it holds something else"
            raise ConfigError(f"{path} is no decisions file: {reason}", hint="give an artifact's file") from error
        for name, decision in given.items():
            if (fault := _fault(decision.reason)) is not None:
                raise ConfigError(
                    f"{path}: decisions.{name}.reason {fault}", hint="give the decisions.json of an artifact"
                )
        if not known:
            raise ConfigError(
                f"{path} holds a decision that this version does not know", hint="export without --decisions"
            )
        for field, value in {"profile": profile.name, "ranker": ranker}.items():
            if made_under[field] != value:
                raise ConfigError(
                    f"{path} was decided under {field} {made_under[field]!r}, this export has {value!r}",
                    hint="use the same settings, or export without --decisions",
                )
        if made_under["profile_digest"] != profile.digest():
            raise ConfigError(
                f"{path} was decided under another content of profile {profile.name!r}: it was edited since",
                hint="restore the profile, or export without --decisions",
            )
        return cls(profile, ranker, given)


def quickest(forms: list[Form]) -> Form:
    """Choose a form by the tie rules.

    The smallest form within 10 % of the fastest; where a still smaller one exists, being faster is worth the size only
    from 20 % on.
    """
    fastest = min(form.latency_us for form in forms)
    near = min((form for form in forms if form.latency_us <= NEAR * fastest), key=_size)
    smallest = min(forms, key=_size)
    return near if near.latency_us <= CLEARLY_FASTER * smallest.latency_us else smallest


def _size(form: Form) -> tuple[int, float]:
    return form.size_bytes, form.latency_us


def _is_known(name: str, choice: str) -> bool:
    return is_form(choice) if name == FORM else choice in CHOICES[name]


def _fault(reason: object) -> str | None:
    """Say what is wrong with a reason, which reports and the artifact repeat word for word; None where nothing is."""
    if not isinstance(reason, str):
        return f"is no text but {str(reason)[:40]}"
    if len(reason) > _LONGEST_REASON:
        return f"has {len(reason):,} characters, more than {_LONGEST_REASON:,}"
    if reason.splitlines() not in ([], [reason]):
        return "is more than one line"
    try:
        reason.encode()
    except UnicodeEncodeError as error:
        return f"holds {reason[error.start]!a}, half of a character"
    return None
