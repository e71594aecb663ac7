"""What an artifact's makers insisted on: where their export departs from the ready profile of its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnas_export.profile import ExportProfile, profiles, ranker_mode

_OPEN = ("precision", "distil", "prune", "teacher")


def insisted(config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Give what was asked for, by options or a profile file, beside what would have been.

    Parameters
    ----------
    config
        Of a provenance: the profile with its limits, and how the learned ranker was treated.

    Returns
    -------
    list
        What, as asked for, and as in the ready profile of that name; of another name, as where nothing is said.
    """
    profile, name = config["profile"], str(config["profile"]["name"])
    usual = ExportProfile.load(name) if name in profiles() else ExportProfile(name)
    ready = usual.to_json()
    pairs = [("learned ranker", config["ranker_mode"], ranker_mode(usual, None))]
    pairs += [(f"ranker.{key}", profile["ranker"][key], ready["ranker"][key]) for key in _OPEN]
    pairs += [(f"gates.{key}", limit, ready["gates"][key]) for key, limit in profile["gates"].items()]
    return [(what, _said(asked), _said(other)) for what, asked, other in pairs if asked != other]


def _said(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
