"""One thing that `gnas-serve doctor` looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True)
class Check:
    """What was found.

    Attributes
    ----------
    name
        Of what was looked at.
    state
        ``missing``: without it nothing can be served here; ``warning``: it may be in the way.
    said
        What was found, in one line.
    hint
        What to do about it; empty where all is well.
    facts
        The same in figures.
    """

    name: str
    state: State
    said: str
    hint: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {"state": self.state, "said": self.said, "hint": self.hint, "facts": dict(self.facts)}
