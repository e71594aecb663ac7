"""Questions and answers: what passes between a door and the recommender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gnas_serve.errors import RequestError
from gnas_serve.vocabulary import Id

MAX_K = 1000
MAX_LIST = 1000
MAX_CANDIDATES = 10_000


@dataclass(frozen=True)
class Query:
    """One question.

    Attributes
    ----------
    user_id
        Who asks; None for somebody unknown.
    k
        How many items, 1 to :data:`MAX_K`.
    history
        Items that the caller knows the user to have: never recommended, and the basis of fold-in for a
        user without a vector. Unknown ids are passed over.
    exclude
        Items that are not wanted.
    exclude_seen
        Whether the items of the user's own past are left out.
    candidates
        What alone may be answered, each scored exactly whatever the index finds; None for the whole catalogue. Unknown
        ids are passed over.
    """

    user_id: Id | None = None
    k: int = 10
    history: tuple[Id, ...] = ()
    exclude: tuple[Id, ...] = ()
    exclude_seen: bool = True
    candidates: tuple[Id, ...] | None = None

    def check(self) -> None:
        """Check the limits.

        Raises
        ------
        RequestError
            If k or a list is outside of them.
        """
        check_k(self.k)
        for name, values, most in (
            ("history", self.history, MAX_LIST),
            ("exclude", self.exclude, MAX_LIST),
            ("candidates", self.candidates or (), MAX_CANDIDATES),
        ):
            if len(values) > most:
                raise RequestError(
                    f"{name}: {len(values)} ids given", hint=f"give at most {most}", code="list_too_long"
                )


@dataclass(frozen=True)
class Answer:
    """Ranked items, best first, at most k.

    Attributes
    ----------
    source
        How the asker was represented: ``"user"`` (own vector), ``"fold_in"`` (from the given history),
        ``"popularity"`` (nothing known), or ``"item"`` for similar items.
    """

    item_ids: list[Id]
    scores: list[float]
    source: str

    def items(self) -> list[dict[str, Any]]:
        """Lay the answer out as every door shows it: ``[{"item_id", "score", "source"}, ...]``."""
        return [
            {"item_id": item_id, "score": score, "source": self.source}
            for item_id, score in zip(self.item_ids, self.scores, strict=True)
        ]


@dataclass(frozen=True)
class ModelInfo:
    """What is being served."""

    name: str
    version: str
    profile: str
    num_users: int
    num_items: int
    embedding_dim: int
    branches: tuple[str, ...]  # the kinds of what the scores add up from
    metrics: dict[str, float]
    index: str
    ranker: str
    precision: str

    def signature(self) -> dict[str, str]:
        """Name the model as every answer does: ``{"name", "version"}``."""
        return {"name": self.name, "version": self.version}


def check_k(k: int) -> None:
    """Check the length of a list.

    Raises
    ------
    RequestError
        If it is outside 1..:data:`MAX_K`.
    """
    if not 1 <= k <= MAX_K:
        raise RequestError(f"k: {k} is outside 1..{MAX_K}", hint=f"ask for 1 to {MAX_K} items", code="invalid_k")
