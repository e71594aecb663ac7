"""When the requests of an open loop are to start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def poisson_arrivals(rate: float, length_s: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw the times of a Poisson process.

    Parameters
    ----------
    rate
        Mean arrivals per second.
    length_s
        Seconds that it lasts.
    rng
        What draws.

    Returns
    -------
    (n,) float64
        Ascending seconds from 0 to ``length_s``.
    """
    # Given their number, the times of a Poisson process are as independent draws in order.
    times = rng.uniform(0.0, length_s, rng.poisson(rate * length_s))
    times.sort()
    return times
