"""What a filter expression is made of: names, numbers, texts, keywords and symbols."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from gnas_serve.errors import RequestError
from gnas_serve.plain_text import plain_text

MAX_CHARACTERS = 2000
NAME, NUMBER, TEXT, KEYWORD, SYMBOL, END = "name", "number", "text", "keyword", "symbol", "end"
KEYWORDS = ("and", "or", "not", "in", "has", "is", "null", "true", "false")
INVALID_FILTER = "invalid_filter"
_SYNTAX_HINT = 'write it like: price < 20 and category in ["bags", "shoes"] and not tags has "sale"'
_MAX_SHOWN = 40

_PATTERN = re.compile(
    r"""
      (?P<name>[A-Za-z_][A-Za-z0-9_.-]*)
    | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_.])
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<quoted>`(?:[^`]|``)+`)
    | (?P<symbol>==|!=|<=|>=|[<>()\[\],])
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANKS = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "/": "/", "n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class Token:
    """One word of an expression.

    Attributes
    ----------
    kind
        One of the constants above.
    value
        The name or text without quotes, the number, the keyword in lower case, the symbol; ``""`` at the end.
    shown
        As it stands in the expression, shortened: for messages.
    position
        Of its first character, from 1.
    """

    kind: str
    value: str | float
    shown: str
    position: int


def invalid_filter(position: int, what: str, hint: str = _SYNTAX_HINT) -> RequestError:
    """Build the error for an expression that is wrong at some character.

    Returns
    -------
    RequestError
        With code ``"invalid_filter"``, to be raised by the caller.
    """
    return RequestError(f"filter, character {position}: {what}", hint=hint, code=INVALID_FILTER)


def shown(text: str) -> str:
    """Quote a piece of an expression for a message: what cannot be printed spelled out, and not too long."""
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")


def written(name: str) -> str:
    """Write the name of an attribute as an expression may: in back quotes where it needs them."""
    match = _PATTERN.fullmatch(name)
    is_plain = match is not None and match.lastgroup == "name" and name.lower() not in KEYWORDS
    return name if is_plain else plain_text(f"`{name.replace('`', '``')}`")


def tokens(expression: str) -> tuple[Token, ...]:
    """Divide an expression into its words; the last one is its end.

    Raises
    ------
    RequestError
        With code ``"invalid_filter"``, if it is too long, or a character begins no word.
    """
    if len(expression) > MAX_CHARACTERS:
        raise RequestError(
            f"filter: {len(expression)} characters, at most {MAX_CHARACTERS} may be",
            hint="shorten it; a long list of ids belongs into candidates",
            code=INVALID_FILTER,
        )
    found: list[Token] = []
    at = _skip_blanks(expression, 0)
    while at < len(expression):
        match = _PATTERN.match(expression, at)
        if match is None:
            raise _no_token(expression, at)
        found.append(_token(match))
        at = _skip_blanks(expression, match.end())
    return (*found, Token(END, "", "the end", len(expression) + 1))


def _skip_blanks(expression: str, at: int) -> int:
    match = _BLANKS.match(expression, at)
    return at if match is None else match.end()


def _token(match: re.Match[str]) -> Token:
    text, position = match[0], match.start() + 1
    if match.lastgroup == "number":
        number = float(text)
        if not math.isfinite(number):
            raise invalid_filter(position, f"{shown(text)} is too large for a number")
        return Token(NUMBER, number, shown(text), position)
    if match.lastgroup == "text":
        return Token(TEXT, _unescaped(text[1:-1], position), shown(text), position)
    if match.lastgroup == "quoted":
        return Token(NAME, text[1:-1].replace("``", "`"), shown(text), position)
    if match.lastgroup == "name":
        word = text.lower()
        is_keyword = word in KEYWORDS
        return Token(KEYWORD if is_keyword else NAME, word if is_keyword else text, shown(text), position)
    return Token(SYMBOL, text, shown(text), position)


def _unescaped(text: str, position: int) -> str:
    def character(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPES:
            raise invalid_filter(
                position + 1 + match.start(),
                f"unknown escape {shown(match[0])} in a text",
                "known are \\\\ \\\" \\' \\/ \\n \\t \\r and \\u with four digits",
            )
        return _ESCAPES[escape]

    plain = _ESCAPE.sub(character, text)
    try:  # two escapes may be the halves of one character, as in JSON
        return plain.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise invalid_filter(position, f"{shown(text)} holds half a character") from None


def _no_token(expression: str, at: int) -> RequestError:
    character, position = expression[at], at + 1
    if character in "\"'":
        return invalid_filter(position, "a text that begins here has no end", f"close it with {character}")
    if character == "`":
        return invalid_filter(position, "a name that begins here has no end, or is empty", "close it with `")
    if character == "=":
        return invalid_filter(position, "expected ==, found =", "to compare, write ==")
    if character in "0123456789.+-":
        return invalid_filter(position, f"{shown(expression[at : at + _MAX_SHOWN + 1])} begins with no number")
    return invalid_filter(position, f"{shown(character)} begins no name, value or operator")
