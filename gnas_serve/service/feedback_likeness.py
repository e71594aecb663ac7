"""What feedback has that the data of a model does not: kinds of events, and ids of another type.

It is kept all the same. A log outlives models, guests may have ids of text where customers have numbers, and a kind of
event that is new today is one that the next training can read. But nothing that is served makes anything of it, and a
name that was misspelt would be found out weeks later: so whoever sends it is told.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gnas_serve.plain_text import MAX_LISTED, counted
from gnas_serve.runtime.told_values import named, shown
from gnas_serve.vocabulary import Vocabulary

if TYPE_CHECKING:
    from gnas_serve.feedback.event import FeedbackEvent
    from gnas_serve.runtime.recommender import Recommender

FIELDS = ("event", "user_id", "item_id")


@dataclass(frozen=True)
class Unlike:
    """What of some events is unlike the data.

    Attributes
    ----------
    warnings
        A line for each thing, for people; none where all is alike.
    counts
        How many events, by the field that is unlike.
    """

    warnings: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


class Likeness:
    """Holds events against the data of a model.

    Parameters
    ----------
    recommender
        The model. One that does not say which kinds its data has takes every kind.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._kinds = frozenset(recommender.manifest.data.get("events") or ())
        self._users = None if recommender.users.is_text else recommender.users
        self._items = None if recommender.items.is_text else recommender.items

    def unlike(self, events: Sequence[tuple[FeedbackEvent, bool]]) -> Unlike:
        """Find what is unlike the data.

        Parameters
        ----------
        events
            Each with whether its caller named its kind; else it has the usual one.
        """
        counts: dict[str, int] = {}
        warnings: list[str] = []
        if self._kinds:
            others = [(event.event, is_named) for event, is_named in events if event.event not in self._kinds]
            if others:
                counts["event"] = len(others)
                warnings += self._of_kinds(others)
        for name, vocabulary in (("user_id", self._users), ("item_id", self._items)):
            if vocabulary is None:
                continue
            texts = [one for event, _ in events if isinstance(one := _id_of(event, name, vocabulary), str)]
            if texts:
                counts[name] = len(texts)
                warnings.append(
                    f"{name}: {shown(texts[0])} is text, the model's data has integers ({len(texts)} such): kept, for "
                    "data that has text alone"
                )
        return Unlike(tuple(warnings), counts)

    def _of_kinds(self, others: Sequence[tuple[str, bool]]) -> list[str]:
        kinds = sorted({kind for kind, is_named in others if is_named})
        told = [self._of_kind(kind) for kind in kinds[:MAX_LISTED]]
        if more := len(kinds) - len(told):
            kept = "it is" if more == 1 else "they are"
            told.append(f"event: and {counted(more, 'more kind')} that the model's data does not have: kept as {kept}")
        taken = [kind for kind, is_named in others if not is_named]
        if taken:
            unnamed = f"{counted(len(taken), 'event', 'name')} no kind, taken as {shown(taken[0])}"
            told.append(f"event: {unnamed}, which {self._is_none()}: kept as it is")
        return told

    def _of_kind(self, kind: str) -> str:
        near = difflib.get_close_matches(kind, sorted(self._kinds), n=1, cutoff=0.7)
        meant = f" (is {shown(near[0])} meant?)" if near else ""
        return f"event: {shown(kind)} {self._is_none()}{meant}: kept as it is"

    def _is_none(self) -> str:
        return f"is none of those of the model's data, {named(sorted(self._kinds))}"


def _id_of(event: FeedbackEvent, name: str, vocabulary: Vocabulary) -> int | str:
    return vocabulary.as_id(event.user_id if name == "user_id" else event.item_id)
