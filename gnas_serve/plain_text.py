"""Text of others (ids, names, paths) as it may be shown: what would steer a terminal or turn a line is spelled out."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LISTED = 20

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))  # C0, DEL and C1
_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # that show letters in another order than they have
_SPELLED = {code: f"\\x{code:02x}" for code in _CONTROLS} | {code: f"\\u{code:04x}" for code in _DIRECTIONS}
_SPELLED_IN_LINES = {code: spelled for code, spelled in _SPELLED.items() if code != ord("\n")}


def plain_text(text: str, *, keep_newlines: bool = False) -> str:
    r"""Spell out control characters and those that override the direction of text, as ``\x1b`` and ``\u202e``.

    Parameters
    ----------
    keep_newlines
        Where a message may have several lines.
    """
    return text.translate(_SPELLED_IN_LINES if keep_newlines else _SPELLED)


def counted(count: int, one: str, verb: str = "") -> str:
    """Count things, as ``1 user`` and ``1,200 users``.

    Parameters
    ----------
    one
        What a single one is called; several have an ``s`` more.
    verb
        What they do, as of several; a single one ``has`` where several ``have``, ``is`` where they ``are``, and has an
        ``s`` more else.
    """
    if not verb:
        return f"{count:,} {one}{'' if count == 1 else 's'}"
    single = {"have": "has", "are": "is"}.get(verb, f"{verb}s")
    return f"{counted(count, one)} {single if count == 1 else verb}"


def listed(names: Sequence[str], most: int = MAX_LISTED) -> str:
    """List some names, and say how many others there are: ``a, b and 3 more``."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
