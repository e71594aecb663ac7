"""How large a branch's scores are, as a function of the history's length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MOST_POWER = 1.5


def spread_of(sizes: Floats, lengths: npt.NDArray[np.integer], *, per_history: bool) -> tuple[float, float]:
    """Fit ``size = spread * n ** power`` on a logarithmic scale.

    A sum over a longer history is larger, by a power that differs from branch to branch. Dividing by it lets one weight
    serve all users, and newcomers too: nothing but the length of the history is asked for.

    Parameters
    ----------
    sizes : (m,)
        Root mean square of each user's scores; users with 0 are passed over.
    lengths : (m,)
        n of each user.
    per_history
        Whether the branch's scores are sums over a history; else the power is 0.

    Returns
    -------
    spread : float
        Above 0; 1 where no user has any score.
    power : float
        Within 0..1.5.
    """
    usable = sizes > 0
    if not usable.any():
        return 1.0, 0.0
    logs, n = np.log(sizes[usable]), np.log(np.maximum(lengths[usable], 1.0))
    power = 0.0
    if per_history and n.std() > 1e-3:
        power = float(np.clip(np.cov(n, logs)[0, 1] / n.var(ddof=1), 0.0, _MOST_POWER))
    return float(np.exp((logs - power * n).mean())), power
