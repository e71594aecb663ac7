"""Markup: HTML and SVG as nested calls; whatever is not markup already is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_VOID = frozenset({"meta", "br", "col"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Escape a text for any place in a page; what no page may hold (control characters, halves of pairs) is marked."""
    return Markup(html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)))


def element(name: str, /, *children: object, **attributes: str | float | bool | None) -> Markup:
    """Make an element.

    Parameters
    ----------
    name
        Of the element.
    children
        Texts, which are escaped, markup, iterables of these, and None, which is nothing.
    attributes
        An underscore is a hyphen, one at the end is dropped (``class_``); None leaves the attribute out, True gives
        it no value.
    """
    said = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in _VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{joined(*children)}</{name}>")


def joined(*children: object) -> Markup:
    """Put markup and texts one after the other."""
    return Markup("".join(_child(child) for child in children))


def _child(child: object) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escaped(child)
    if isinstance(child, Iterable):
        return joined(*child)
    return escaped(str(child))


def _attribute(key: str, value: str | float | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is False:
        return ""
    if value is True:
        return f" {name}"
    text = number(value) if isinstance(value, int | float) else str(value)
    return f' {name}="{escaped(text)}"'


def number(value: float) -> str:
    """Write a coordinate: two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else str(int(value))
