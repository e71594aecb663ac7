"""Kinds of what an artifact knows of its items and users: what a value of an attribute or a feature is."""

from __future__ import annotations

NUMBER, TEXT, WORDS = "number", "text", "words"
"""A number (also a time, in seconds since 1970, and yes and no as 1 and 0), one text, a list of texts."""
ATTRIBUTE_KINDS = (NUMBER, TEXT, WORDS)
