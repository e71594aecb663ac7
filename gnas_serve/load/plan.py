"""LoadPlan: how a server is asked: by how many callers or at which rate, for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gnas_serve.errors import ConfigError

MAX_CONNECTIONS = 1024
MAX_REQUESTS = 10_000_000
MAX_DURATION_S = 600.0


@dataclass(frozen=True)
class LoadPlan:
    """One measurement.

    Attributes
    ----------
    concurrency
        Of a closed loop: so many callers, each with a connection of its own, each asking again when it is answered.
    rate
        Of an open loop: so many requests per second on average, whether the server keeps up or not; None for a closed
        loop. Requests arrive independently of each other (a Poisson process), as those of many users do.
    duration_s, warm_up_s
        Seconds of what is counted, and of the same load before it, which is not.
    requests
        Count so many at most; None for as many as there are.
    seed
        Of the arrivals and of the draw of users.
    """

    concurrency: int = 8
    rate: float | None = None
    duration_s: float = 10.0
    warm_up_s: float = 2.0
    requests: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= MAX_CONNECTIONS:
            raise ConfigError(f"{self.concurrency} connections", hint=f"ask with 1 to {MAX_CONNECTIONS}")
        for name, value, least in (("duration", self.duration_s, 1e-3), ("warm-up", self.warm_up_s, 0.0)):
            if not least <= value <= MAX_DURATION_S:
                raise ConfigError(f"a {name} of {value:g} s", hint=f"at most {MAX_DURATION_S:g} s can be measured")
        if self.requests is not None and not 1 <= self.requests <= MAX_REQUESTS:
            raise ConfigError(f"{self.requests} requests", hint=f"count 1 to {MAX_REQUESTS}")
        if self.rate is not None and not (0 < self.rate < math.inf and self.rate * self.length_s <= MAX_REQUESTS):
            raise ConfigError(
                f"a rate of {self.rate:g} requests per second for {self.length_s:g} s",
                hint=f"a rate above 0, and at most {MAX_REQUESTS} requests in all",
            )

    @property
    def length_s(self) -> float:
        """Seconds with the warm-up."""
        return self.warm_up_s + self.duration_s
