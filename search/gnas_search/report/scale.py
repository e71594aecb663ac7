"""Scales: from values to places along an axis, and the ticks between."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_LEAST = 1e-9
_ROOM = 44.0


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic scale.

    Attributes
    ----------
    low, high
        Of the values; ``low < high``, and above 0 where it is logarithmic, zeros left aside.
    start, end
        Places of the two.
    log
        Whether equal ratios are equally long.
    room
        Of a logarithmic scale: what of it, from its start, is left for zeros.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    room: float = 0.0

    @classmethod
    def over(
        cls, values: Iterable[float], start: float, end: float, *, log: bool = False, margin: float = 0.05
    ) -> Scale:
        """Fit a scale around values, with a margin at both ends; no or equal values give a scale around them."""
        found = list(values) or [1.0]
        room = math.copysign(_ROOM, end - start) if log and min(found) == 0 else 0.0
        low, high = min(value for value in found if value or not room), max(found)
        if log:
            width = math.log(high / low) if high > low else 1.0
            factor = math.exp(width * margin)
            return cls(low / factor, high * factor, start, end, log=True, room=room)
        width = high - low
        if width < _LEAST * max(1.0, abs(low), abs(high)):  # equal, as far as a scale can tell
            width, margin = max(1.0, abs(low), abs(high)) * 0.02, 0.5
        return cls(low - width * margin, high + width * margin, start, end)

    def __call__(self, value: float) -> float:
        """Give the place of a value."""
        if self.room and value == 0:
            return self.start + self.room / 3
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + self.room + part * (self.end - self.start - self.room)

    def ticks(self, wanted: int = 6) -> list[float]:
        """Give round values within the scale, about so many."""
        if not self.log:
            return _steps(self.low, self.high, wanted)
        return [0.0] * bool(self.room) + _powers(self.low, self.high, wanted)


def _steps(low: float, high: float, wanted: int) -> list[float]:
    rough = (high - low) / max(1, wanted)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Two steps of 5,000 may leave out an axis of 4,300.
    return [count * step for count in range(first, last + 1)] or _steps(low, high, 2 * wanted)


def _powers(low: float, high: float, wanted: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) <= wanted * 1.5:
            break
    step = max(1, math.ceil(len(found) / (wanted * 1.5)))
    return found[::step] if len(found) > 2 else _steps(low, high, wanted)


def figure(value: float) -> str:
    """Write a value for people, three digits or so: ``0.0875``, ``12.5``, ``1.2 M``."""
    size = abs(value)
    if size == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    # Rounded first: 999,600 is 1 M, not 1000 k.
    size = size if size < 1000 else float(f"{size:.0f}") if size < 9999.5 else float(f"{size:.3g}")
    for unit, power in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if size >= power:
            return f"{value / (1e3 if unit == 'k' else power):.3g} {unit}"
    if size >= 999.5:
        return f"{value:.0f}"
    return f"{value:.3g}" if size >= 1e-4 else f"{value:.1e}"


def duration(seconds: float) -> str:
    """Write a time for people: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
