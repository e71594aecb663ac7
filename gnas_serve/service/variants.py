"""Variants: the models in one worker, and who is answered by which."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from gnas_serve.runtime.query import Query

if TYPE_CHECKING:  # BentoML's parent process imports this module and never loads a model
    from gnas_serve.runtime.recommender import Recommender

STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class Variant:
    """A model, and how its answers are signed.

    Attributes
    ----------
    signature
        ``{"name", "version"}``; while a canary runs, ``"variant"`` as well, and ``"propensity"``: the share of the
        users who get it. The draw is over users, not over requests.
    """

    recommender: Recommender
    signature: dict[str, Any]


@dataclass(frozen=True)
class Variants:
    """What is served at one moment; a change makes another one, so that every request sees a whole.

    Attributes
    ----------
    stable, canary
        The latter where one runs.
    weight, salt
        Of the canary.
    shadow
        Is asked, and nobody is told.
    alone
        While a canary runs, the stable model as it answers whom no canary could have answered: always.
    """

    stable: Variant
    canary: Variant | None = None
    weight: float = 0.0
    salt: str = ""
    shadow: Recommender | None = None
    alone: Variant | None = None

    @classmethod
    def of(
        cls,
        stable: Recommender,
        canary: Recommender | None = None,
        *,
        weight: float = 0.0,
        salt: str = "",
        shadow: Recommender | None = None,
    ) -> Variants:
        """Sign each model as its answers will be."""
        if canary is None:
            return cls(Variant(stable, stable.info.signature()), shadow=shadow)
        signed = stable.info.signature() | {"variant": STABLE, "propensity": 1.0 - weight}
        other = canary.info.signature() | {"variant": CANARY, "propensity": weight}
        always = Variant(stable, signed | {"propensity": 1.0})
        return cls(Variant(stable, signed), Variant(canary, other), weight, salt, shadow, always)

    def choose(self, query: Query) -> Variant:
        """Find who answers: for the same user always the same, as long as the canary is the same.

        Who does not say who it is is told apart by the history, and without one is answered by the stable model.
        """
        if self.canary is None or self.alone is None:
            return self.stable
        asker = query.user_id if query.user_id is not None else ",".join(map(str, query.history))
        if asker == "":
            return self.alone
        return self.canary if position(self.salt, asker) < self.weight else self.stable


def position(salt: str, asker: object) -> float:
    """Give an asker's place in 0..1, even over askers, and another one for another salt.

    References
    ----------
    RFC 7693, BLAKE2: keyed, so that no table of positions holds for two salts.
    """
    digest = blake2b(str(asker).encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big") / 2**64
