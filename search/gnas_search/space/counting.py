"""How many networks a space has: bodies that are equal count once, without being listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_search.bodies import SUMMED, Setting
from gnas_search.polynomials import ONE, Polynomial

_PRIMES = (2_147_483_647, 2_147_483_629, 2_147_483_587)
_PLACES = (1_103_515_245, 1_284_865_837, 69_069_069)
"""A polynomial is told from others by its values at these places, modulo these primes: by some 90 bits."""

_Values = npt.NDArray[np.int64]
"""(n, 2, 3): of n polynomials the values at the places, and at 1, modulo each prime."""
_MODULI = np.array(_PRIMES)


@dataclass(frozen=True)
class Alphabet:
    """The layers that a space has, no two of them equal.

    Attributes
    ----------
    size
        How many.
    polynomials
        Those among them that are polynomials of the adjacency.
    """

    size: int
    polynomials: Collection[Polynomial]

    @property
    def skips(self) -> bool:
        """Whether a plain skip is among them."""
        return ONE in self.polynomials


@dataclass(frozen=True)
class Shapes:
    """What bodies a space has beside their layers.

    Attributes
    ----------
    counts
        Numbers of layers.
    combinations
        Their combinations.
    inputs
        The values of ``include_input``.
    """

    counts: tuple[int, ...]
    combinations: tuple[str, ...]
    inputs: tuple[bool, ...]

    def with_input(self, count: int, *, skips: bool) -> bool:
        """Tell whether so many layers are combined with their input: said so, or by a skip as the first of them."""
        return (True in self.inputs and count in self.counts) or (
            False in self.inputs and skips and count >= 1 and count + 1 in self.counts
        )

    def alone(self, count: int) -> bool:
        """Tell whether so many layers are combined without their input."""
        return False in self.inputs and count in self.counts

    @property
    def deepest(self) -> int:
        """The most layers."""
        return max(self.counts)

    def padded(self, count: int, *, skips: bool) -> bool:
        """Tell whether there are bodies of so many layers, skips left aside."""
        return count in self.counts or (skips and any(other > count for other in self.counts))

    def single(self, *, skips: bool) -> bool:
        """Tell whether a combination other than the last output is of one layer's output alone."""
        if False not in self.inputs:
            return False
        several = set(self.combinations) - {"last"}
        return (bool(several) and 1 in self.counts) or ("max" in several and self.padded(1, skips=skips))

    def others(self, setting: Setting) -> set[str]:
        """List the combinations of more than one part, equal ones once."""
        same = {"sum": "mean"} if setting.any_scale else {}
        return {same.get(one, one) for one in self.combinations} - {"last"}


def count_noisy(shapes: Shapes, letters: int, setting: Setting) -> int:
    """Count bodies with layers where training adds something to the output of each, so that each counts."""
    total = 0
    for count in shapes.counts:
        ways = {("last", False)} if "last" in shapes.combinations else set()
        for combination in shapes.others(setting):
            for include_input in shapes.inputs:
                ways.add(("last", False) if count == 1 and not include_input else (combination, include_input))
        total += len(ways) * letters**count if count else 0
    return total


def count_plain(shapes: Shapes, alphabet: Alphabet, setting: Setting) -> int:
    """Count bodies that are more than one polynomial."""
    size, skips = alphabet.size, alphabet.skips
    rest = size - len(alphabet.polynomials)
    total = 0
    for combination in shapes.others(setting) - {"max"}:
        # One polynomial where all layers are and they are added up; nothing where all are skips.
        merged = len(alphabet.polynomials) if combination in SUMMED else 0
        idle = skips and (combination == "attention" or (combination == "concat" and setting.repeats_idle))
        for count in range(1, shapes.deepest + 1):
            if shapes.with_input(count, skips=skips):
                total += size**count - merged**count - idle
            if count > 1 and shapes.alone(count):
                total += (size - skips) * size ** (count - 1)
                total -= (merged - skips) * merged ** (count - 1) if merged else 0
    for count in range(1, shapes.deepest + 1) if "max" in shapes.combinations else ():
        padded = shapes.padded(count, skips=skips)
        ways = int(True in shapes.inputs and padded)
        ways |= int(False in shapes.inputs and skips and any(other > count for other in shapes.counts))
        ways += int(count > 1 and False in shapes.inputs and padded)
        total += ways * (size - skips) ** count
    chains, covered = _chains(shapes, alphabet, setting) if "last" in shapes.combinations else (0, False)
    return total + chains + (rest if shapes.single(skips=skips) and not covered else 0)


def count_polynomials(shapes: Shapes, polynomials: Collection[Polynomial], setting: Setting) -> tuple[int, bool]:
    """Count bodies that are one polynomial, and say whether the one without layers is among them too."""
    skips = ONE in polynomials
    idle = {"attention", "max"} | ({"concat"} if setting.repeats_idle else set())
    empty = 0 in shapes.counts or (skips and shapes.deepest > 0 and bool(idle & set(shapes.combinations)))
    if not polynomials or not shapes.deepest:
        return 0, empty
    letters = _values(polynomials)
    found = [letters] if shapes.single(skips=skips) else []
    product, nested = letters, letters
    for count in range(1, shapes.deepest + 1):
        if count > 1:
            product = _times(letters, product)
            nested = _times(letters, (nested + 1) % _MODULI)
        if count not in shapes.counts:
            continue
        found += [product] if "last" in shapes.combinations else []
        for include_input in shapes.inputs:
            total = (nested + 1) % _MODULI if include_input else nested
            found += [total] if "sum" in shapes.combinations else []
            if "mean" in shapes.combinations:
                share = [pow(count + include_input, -1, prime) for prime in _PRIMES]
                found.append(total * np.array(share) % _MODULI)
    if not found:
        return 0, empty
    keys = _keys(np.concatenate(found), setting)
    keys = keys[_first(keys)[0]]
    nothing = (keys == 1).all(axis=1)
    return int((~nothing).sum()), empty or bool(nothing.any())


def _chains(shapes: Shapes, alphabet: Alphabet, setting: Setting) -> tuple[int, bool]:
    """Count what ``"last"`` makes of layers that are no polynomials, with products of polynomials around them.

    Returns
    -------
    total
        How many.
    covered
        Whether each such layer by itself is among them.
    """
    rest = alphabet.size - len(alphabet.polynomials)
    inner, final = (_lengths(alphabet.polynomials, shapes.deepest, one) for one in (Setting(), setting))
    total, before = 0, {1: 1}  # so many chains by the numbers of layers, as bits, that they can have
    for others in range(1, shapes.deepest + 1):
        before = _joined(before, inner)
        wanted = sum(1 << (count - others) for count in shapes.counts if count >= others)
        total += rest**others * sum(ways for lengths, ways in _joined(before, final).items() if lengths & wanted)
    return total, shapes.padded(1, skips=alphabet.skips)


def _lengths(polynomials: Collection[Polynomial], most: int, setting: Setting) -> Counter[int]:
    """Count the products of up to ``most`` polynomials, by the numbers of factors, as bits, that they can have."""
    keys, bits = [np.ones((1, len(_PRIMES)), dtype=np.int64)], [np.ones(1, dtype=np.int64)]
    if polynomials:
        letters = _values(polynomials)
        product = letters
        for count in range(1, most):
            keys.append(_keys(product, setting))
            bits.append(np.full(len(product), 1 << count))
            product = _times(letters, product)
    _, places = _first(np.concatenate(keys))
    lengths = np.zeros(places.max() + 1, dtype=np.int64)
    np.bitwise_or.at(lengths, places, np.concatenate(bits))
    return Counter(lengths.tolist())


def _joined(one: dict[int, int], other: dict[int, int]) -> Counter[int]:
    found: Counter[int] = Counter()
    for lengths, ways in one.items():
        for further, more in other.items():
            reached = 0
            for place in range(further.bit_length()):
                reached |= (lengths << place) if further >> place & 1 else 0
            found[reached] += ways * more
    return found


def _values(polynomials: Collection[Polynomial]) -> _Values:
    def at(one: Polynomial, place: int, prime: int) -> int:
        powers = (
            factor.numerator * pow(factor.denominator, -1, prime) * pow(place, power, prime)
            for power, factor in enumerate(one)
        )
        return sum(powers) % prime

    return np.array(
        [
            [
                [at(one, place, prime) for place, prime in zip(places, _PRIMES, strict=True)]
                for places in (_PLACES, (1, 1, 1))
            ]
            for one in polynomials
        ],
        dtype=np.int64,
    )


def _times(one: _Values, other: _Values) -> _Values:
    """Multiply each with each, equal ones once."""
    every: _Values = (one[:, None] * other[None] % _MODULI).reshape(-1, 2, len(_PRIMES))
    different: _Values = every[_first(every[:, 0])[0]]
    return different


def _keys(values: _Values, setting: Setting) -> npt.NDArray[np.int64]:
    """Give what tells polynomials apart: (n, 3)."""
    if not setting.any_scale:
        return values[:, 0]
    _, one, places = np.unique(values[:, 1, 0], return_index=True, return_inverse=True)
    at_1 = values[one, 1].tolist()
    inverse = np.array([[pow(value, -1, prime) for value, prime in zip(row, _PRIMES, strict=True)] for row in at_1])
    scaled: _Values = values[:, 0] * inverse[places] % _MODULI
    return scaled


def _first(keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the places of different rows, and for each row which of them it is."""
    order = np.lexsort(keys.T)
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    which = np.empty(len(keys), dtype=np.int64)
    which[order] = np.cumsum(new) - 1
    return order[new], which
