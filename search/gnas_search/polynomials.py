"""Polynomials of the adjacency: what operators without weights compute, and which products and sums give one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import product

Polynomial = tuple[Fraction, ...]
"""What each power counts, from the 0th; the last is not 0."""

ONE: Polynomial = (Fraction(1),)
POLYNOMIALS: dict[str, Polynomial] = {
    "lightgcn": (Fraction(0), Fraction(1)),
    "low_pass": (Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)),
    "skip": ONE,
}
"""Of the operators without weights: the adjacency, the binomial filter ``((1 + A) / 2)^2``, and nothing."""


def multiplied(one: Polynomial, other: Polynomial) -> Polynomial:
    """Multiply two polynomials."""
    out = [Fraction(0)] * (len(one) + len(other) - 1)
    for power, factor in enumerate(one):
        if factor:
            for further, other_factor in enumerate(other):
                out[power + further] += factor * other_factor
    return tuple(out)


def added(parts: Sequence[Polynomial]) -> Polynomial:
    """Add polynomials whose coefficients are at least 0."""
    out = [Fraction(0)] * max(len(part) for part in parts)
    for part in parts:
        for power, factor in enumerate(part):
            out[power] += factor
    return tuple(out)


def scaled(one: Polynomial, factor: Fraction | int) -> Polynomial:
    """Multiply by a number."""
    return tuple(part * factor for part in one)


def at_1(one: Polynomial) -> Fraction:
    """Evaluate at 1: add the coefficients up."""
    return sum(one, Fraction(0))


def without_scale(one: Polynomial) -> Polynomial:
    """Scale to 1 at 1."""
    return scaled(one, 1 / at_1(one))


def network_polynomial(layers: Sequence[Polynomial], combination: str, include_input: bool) -> Polynomial:
    """Say what a network of such layers computes, combined by ``"last"``, ``"mean"`` or ``"sum"``."""
    reached = [ONE]
    for layer in layers:
        reached.append(multiplied(reached[-1], layer))
    if combination == "last" or not layers:
        return reached[-1]
    parts = reached[0 if include_input else 1 :]
    return scaled(added(parts), Fraction(1, len(parts)) if combination == "mean" else 1)


class Factors:
    """What products and sums of polynomials are looked for: some polynomials, none of whose coefficients is below 0.

    Parameters
    ----------
    polynomials
        Each may be used as often as wanted; the first are tried first.
    """

    def __init__(self, polynomials: Iterable[Polynomial]) -> None:
        self._polynomials = tuple(polynomials)
        whole = [_whole(one) for one in self._polynomials]
        self._places = {one: place for place, one in enumerate(whole)}
        self._parts = [_divided_by_content(one) for one in whole]
        # A multiple has multiples of the values: most are told from it by their values at a few places.
        self._values = [_values(ints) for ints, _, _ in self._parts]

    def products(self, whole: Polynomial, count: int) -> Iterator[tuple[Polynomial, ...]]:
        """Write a polynomial as a product of so many factors, in every way; their order within one is that given."""
        yield from self._products(_whole(whole), count, 0)

    def nested_sums(self, whole: Polynomial, count: int) -> Iterator[tuple[Polynomial, ...]]:
        """Write a polynomial as ``q_1 + q_1 q_2 + ... + q_1 ... q_count``, in every way."""
        yield from self._nested_sums(_whole(whole), count)

    def _products(self, whole: _Whole, count: int, first: int) -> Iterator[tuple[Polynomial, ...]]:
        if count <= 1:
            place = self._places.get(whole, -1)
            if count == 1 and place >= first:
                yield (self._polynomials[place],)
            elif count == 0 and whole == ((1,), 1):
                yield ()
            return
        for place, quotient in self._quotients(whole, first):
            for further in self._products(quotient, count - 1, place):
                yield self._polynomials[place], *further

    def _nested_sums(self, whole: _Whole, count: int) -> Iterator[tuple[Polynomial, ...]]:
        if count == 1:
            place = self._places.get(whole, -1)
            if place >= 0:
                yield (self._polynomials[place],)
            return
        for place, (ints, below) in self._quotients(whole, 0):
            rest = (ints[0] - below, *ints[1:])
            if rest[0] >= 0 and any(rest):
                for further in self._nested_sums(_reduced(rest, below), count - 1):
                    yield self._polynomials[place], *further

    def _quotients(self, whole: _Whole, first: int) -> Iterator[tuple[int, _Whole]]:
        """Divide by each factor, from the ``first`` of them, that leaves no remainder."""
        ints, content, below = _divided_by_content(whole)
        values = _values(ints)
        for place in range(first, len(self._parts)):
            if any(value % other for value, other in zip(values, self._values[place], strict=True)):
                continue
            by, by_content, by_below = self._parts[place]
            quotient = _quotient(ints, by)
            if quotient is not None:
                factor = content * by_below
                yield place, _reduced(tuple(part * factor for part in quotient), below * by_content)


_Whole = tuple[tuple[int, ...], int]
"""A polynomial as whole numbers over one denominator, without a common divisor."""


def _whole(one: Polynomial) -> _Whole:
    below = math.lcm(*(factor.denominator for factor in one))
    return tuple(int(factor * below) for factor in one), below


def _reduced(ints: tuple[int, ...], below: int) -> _Whole:
    length = max(place for place, factor in enumerate(ints) if factor) + 1
    common = math.gcd(*ints, below)
    return tuple(factor // common for factor in ints[:length]), below // common


def _divided_by_content(one: _Whole) -> tuple[tuple[int, ...], int, int]:
    ints, below = one
    content = math.gcd(*ints)
    return tuple(factor // content for factor in ints), content, below


def _values(ints: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sum(factor * place**power for power, factor in enumerate(ints)) for place in (2, 3, 7))


def _quotient(ints: tuple[int, ...], by: tuple[int, ...]) -> list[int] | None:
    """Divide where that leaves no remainder and no coefficient below 0."""
    length = len(ints) - len(by) + 1
    if length < 1:
        return None
    rest, out = list(ints), [0] * length
    for place in reversed(range(length)):
        factor, left = divmod(rest[place + len(by) - 1], by[-1])
        if left or factor < 0:
            return None
        out[place] = factor
        for power, part in enumerate(by):
            rest[place + power] -= factor * part
    return None if any(rest[: len(by) - 1]) else out


def networks(
    whole: Polynomial,
    count: int,
    combination: str,
    include_input: bool,
    factors: Factors,
    *,
    any_scale: bool,
) -> Iterator[tuple[Polynomial, ...]]:
    """Find the layers with which a network computes a polynomial: of a ``"last"`` one, in no order.

    Parameters
    ----------
    whole
        What it is to compute.
    count
        How many layers.
    combination, include_input
        As :func:`network_polynomial`.
    factors
        What a layer can be; each is 1 or 2 at 1.
    any_scale
        Whether a multiple of ``whole`` is as good.
    """
    if count == 0:
        if whole == ONE or (any_scale and len(whole) == 1):
            yield ()
        return
    value = at_1(whole)
    if combination == "last":
        for wanted in [Fraction(2**doubled) for doubled in range(count + 1)] if any_scale else [value]:
            yield from factors.products(scaled(whole, wanted / value), count)
        return
    parts = count + include_input
    sums = {_nested_at_1(signs) + include_input for signs in product((1, 2), repeat=count)}
    for wanted in sorted(sums) if any_scale else (value * (parts if combination == "mean" else 1),):
        total = scaled(whole, wanted / value)
        if include_input:
            if total[0] < 1:
                continue
            total = (total[0] - 1, *total[1:])
        if any(total):
            yield from factors.nested_sums(total, count)


def _nested_at_1(values: Sequence[int]) -> Fraction:
    total, reached = 0, 1
    for value in values:
        reached *= value
        total += reached
    return Fraction(total)
