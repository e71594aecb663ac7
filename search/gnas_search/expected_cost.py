"""What a training is expected to cost, for whoever says or keeps it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Forecast:
    """The expected cost of a training.

    Attributes
    ----------
    epoch_s
        Seconds per epoch, validation excluded.
    peak_bytes
        Most memory of the whole process.
    """

    epoch_s: float
    peak_bytes: int

    @property
    def epoch_said(self) -> str:
        """The seconds per epoch for people: two digits, or all before the point."""
        leading = math.floor(math.log10(self.epoch_s)) if self.epoch_s > 0 else 0
        return f"{self.epoch_s:.{max(0, 1 - leading)}f}"
