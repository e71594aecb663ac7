"""A trail: what the access log and the trace tell of one request, gathered while it is answered."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from gnas_serve.runtime.stages import StageClock, Staged
from gnas_serve.vocabulary import Id

if TYPE_CHECKING:
    from opentelemetry.context import Context

_MOST_TIMED = 8  # questions of one request whose stages are in its trace: a batch has up to 256
_Found = TypeVar("_Found")


class Trail:
    """What is known of one request.

    Parameters
    ----------
    context
        In which it is traced; None where it is not.

    Attributes
    ----------
    questions
        How many it asked.
    version, source
        Of the last one: the artifact that answered, and how the asker was represented.
    clocks
        Of the first questions of one that is traced.
    """

    __slots__ = ("_user_id", "clocks", "context", "questions", "source", "version")

    def __init__(self, context: Context | None = None) -> None:
        self.context = context
        self.questions = 0
        self._user_id: Id | None = None
        self.version = ""
        self.source = ""
        self.clocks: list[StageClock] = []

    @property
    def user_id(self) -> Id | None:
        """Whom it was about; None where nobody was named, or it asked several questions."""
        return self._user_id if self.questions == 1 else None

    def noted(self, user_id: Id | None, version: str) -> None:
        """Take note of one question."""
        self.questions += 1
        self._user_id, self.version = user_id, version

    def clock(self) -> StageClock | None:
        """Give a clock for the next question, if the request is traced and there is room for its stages."""
        if self.context is None or len(self.clocks) >= _MOST_TIMED:
            return None
        self.clocks.append(StageClock())
        return self.clocks[-1]


CURRENT: ContextVar[Trail | None] = ContextVar("gnas_serve_trail", default=None)
"""Of the request that the running task answers; None where nobody follows it."""


def followed(staged: Staged[_Found]) -> Staged[_Found]:
    """Let what happens in stages be told of the request that the running task answers, wherever they are taken."""
    trail = CURRENT.get()
    return staged if trail is None else _taking_up(trail, staged)


def _taking_up(trail: Trail, staged: Staged[_Found]) -> Staged[_Found]:
    CURRENT.set(trail)
    return (yield from staged)
