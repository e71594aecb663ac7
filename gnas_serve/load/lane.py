"""Lane: one connection to a server, which carries one request at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gnas_serve.vocabulary import Id

REPLY_LIMIT_S = 10.0
"""How long a reply may take; the limit of the doors themselves, when nothing else is set."""
TIMEOUT, UNREACHABLE, CLOSED, UNSENT = "timeout", "unreachable", "closed", "unsent"
"""Ends without a reply: none in time, no connection, a connection that ended, no free connection until the end."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes
    ----------
    status
        The door's own word (``"200"``, ``"503"``, ``"OK"``, ``"RESOURCE_EXHAUSTED"``), or one of those above.
    body
        As it came.
    """

    status: str
    body: bytes = b""

    @property
    def is_answer(self) -> bool:
        """Whether the question was answered."""
        return self.status in {"200", "OK"}


@dataclass(frozen=True, slots=True)
class Items:
    """What an answer says.

    Attributes
    ----------
    item_ids
        Best first.
    version
        Of the model that answered.
    """

    item_ids: list[Id]
    version: str


class Lane(Protocol):
    """One connection; opened when it is first asked, and again after it was closed."""

    async def ask(self, question: bytes) -> Reply:
        """Send a question, and wait for its reply."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


class Door(Protocol):
    """One protocol of one server.

    Attributes
    ----------
    protocol
        ``"http"`` or ``"grpc"``.
    address
        Where it is, for people.
    """

    protocol: str
    address: str

    def lane(self) -> Lane:
        """Make a lane."""
        ...

    def question(self, user_id: Id, k: int) -> bytes:
        """Write a question for the best ``k`` items of one user, as it goes over the wire."""
        ...

    def read(self, body: bytes) -> Items:
        """Read an answer.

        Raises
        ------
        ValueError
            If it is no answer of this protocol.
        """
        ...
