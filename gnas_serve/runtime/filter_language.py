"""The language of filters: from an expression to a tree. Recursive descent, nothing of it is ever evaluated as code.

::

    either     := every ("or" every)*
    every      := negation ("and" negation)*
    negation   := "not" negation | "(" either ")" | comparison
    comparison := NAME ("==" | "!=" | "<" | "<=" | ">" | ">=") VALUE
                | NAME ["not"] "in" "[" VALUE ("," VALUE)* "]"
                | NAME "has" TEXT
                | NAME "is" ["not"] "null"
    NAME       := a letter or _, then letters, digits, "_", "." and "-"; or any name in `back quotes`
    VALUE      := a number, "text" or 'text', true, false

Keywords are the same in capitals.
"""

from __future__ import annotations

from dataclasses import dataclass

from gnas_serve.errors import RequestError
from gnas_serve.runtime.filter_tokens import (
    END,
    KEYWORD,
    NAME,
    NUMBER,
    SYMBOL,
    TEXT,
    Token,
    invalid_filter,
    tokens,
)

MAX_COMPARISONS = 100
MAX_DEPTH = 32
ORDERS = ("<", "<=", ">", ">=")
EQUAL, IN, HAS, IS_NULL = "==", "in", "has", "is null"

Value = float | str | bool


@dataclass(frozen=True)
class Comparison:
    """One attribute held against values.

    Attributes
    ----------
    name
        Of the attribute.
    operator
        ``"=="``, one of :data:`ORDERS`, ``"in"``, ``"has"`` or ``"is null"``; the others are a :class:`Not` of these.
    values
        One of most operators, any number of ``"in"``, none of ``"is null"``.
    position
        Of the name in the expression, from 1.
    """

    name: str
    operator: str
    values: tuple[Value, ...]
    position: int


@dataclass(frozen=True)
class Not:
    """What passes where its term does not."""

    term: Node


@dataclass(frozen=True)
class Every:
    """What passes where all of its terms do."""

    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    """What passes where one of its terms does."""

    terms: tuple[Node, ...]


Node = Comparison | Not | Every | Either


def parse(expression: str) -> Node:
    """Read an expression.

    Raises
    ------
    RequestError
        With code ``"invalid_filter"``, if it is none, or over a limit: 2,000 characters (so a list has fewer than 1,000
        values), 100 comparisons, 32 levels of parentheses and ``not``. The message names the character and what was
        expected there.
    """
    return _Parser(tokens(expression)).parse()


class _Parser:
    def __init__(self, words: tuple[Token, ...]) -> None:
        self._words = words
        self._at = 0
        self._comparisons = 0

    def parse(self) -> Node:
        node = self._either(0)
        if self._word.kind != END:
            raise self._expected("and, or, or the end")
        return node

    @property
    def _word(self) -> Token:
        return self._words[self._at]

    def _next(self) -> Token:
        word = self._word
        self._at += 1
        return word

    def _take(self, kind: str, value: str) -> bool:
        found = self._word.kind == kind and self._word.value == value
        self._at += found
        return found

    def _expected(self, what: str) -> RequestError:
        return invalid_filter(self._word.position, f"expected {what}, found {self._word.shown}")

    def _either(self, depth: int) -> Node:
        terms = [self._every(depth)]
        while self._take(KEYWORD, "or"):
            terms.append(self._every(depth))
        return terms[0] if len(terms) == 1 else Either(tuple(terms))

    def _every(self, depth: int) -> Node:
        terms = [self._negation(depth)]
        while self._take(KEYWORD, "and"):
            terms.append(self._negation(depth))
        return terms[0] if len(terms) == 1 else Every(tuple(terms))

    def _negation(self, depth: int) -> Node:
        position = self._word.position
        negated = self._take(KEYWORD, "not")
        if not negated and not self._take(SYMBOL, "("):
            return self._comparison()
        if depth == MAX_DEPTH:
            raise invalid_filter(position, f"more than {MAX_DEPTH} levels of parentheses and not", "flatten it")
        if negated:
            return Not(self._negation(depth + 1))
        node = self._either(depth + 1)
        if not self._take(SYMBOL, ")"):
            raise self._expected("and, or, or )")
        return node

    def _comparison(self) -> Node:
        if self._word.kind != NAME:
            raise self._expected("the name of an attribute, not, or (")
        name = self._next()
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise invalid_filter(name.position, f"more than {MAX_COMPARISONS} comparisons", "use in [...] for lists")
        if self._take(KEYWORD, "is"):
            negated = self._take(KEYWORD, "not")
            if not self._take(KEYWORD, "null"):
                raise self._expected("null" if negated else "null or not null")
            unknown = _compared(name, IS_NULL)
            return Not(unknown) if negated else unknown
        if self._take(KEYWORD, "not"):
            if not self._take(KEYWORD, "in"):
                raise self._expected("in")
            return Not(_compared(name, IN, *self._list()))
        if self._take(KEYWORD, "in"):
            return _compared(name, IN, *self._list())
        if self._take(KEYWORD, "has"):
            if self._word.kind != TEXT:
                raise self._expected("a text in quotes")
            return _compared(name, HAS, self._next().value)
        for operator in (EQUAL, "!=", *ORDERS):
            if self._take(SYMBOL, operator):
                if operator == "!=":
                    return Not(_compared(name, EQUAL, self._value()))
                return _compared(name, operator, self._value())
        raise self._expected("one of == != < <= > >= in, not in, has, is")

    def _value(self) -> Value:
        word = self._word
        if word.kind in {NUMBER, TEXT}:
            return self._next().value
        for value in (True, False):
            if self._take(KEYWORD, str(value).lower()):
                return value
        if word.value == "null" and word.kind == KEYWORD:
            raise invalid_filter(word.position, "nothing compares with null", "write: is null, or: is not null")
        raise self._expected("a number, a text in quotes, true or false")

    def _list(self) -> tuple[Value, ...]:
        if not self._take(SYMBOL, "["):
            raise self._expected("[")
        values = [self._value()]
        while self._take(SYMBOL, ","):
            values.append(self._value())
        if not self._take(SYMBOL, "]"):
            raise self._expected(", or ]")
        return tuple(values)


def _compared(name: Token, operator: str, *values: Value) -> Comparison:
    return Comparison(str(name.value), operator, values, name.position)
