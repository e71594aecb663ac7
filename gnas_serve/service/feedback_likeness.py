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

from gnas_serve.plain_text import plain_text
from gnas_serve.vocabulary import Vocabulary

if TYPE_CHECKING:
    from gnas_serve.feedback.event import FeedbackEvent
    from gnas_serve.runtime.recommender import Recommender

FIELDS = ("event", "user_id", "item_id")
_MAX_NAMED = 20
_MAX_SHOWN = 40


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

    def unlike(self, events: Sequence[FeedbackEvent]) -> Unlike:
        """Find what is unlike the data."""
        counts: dict[str, int] = {}
        warnings: list[str] = []
        if self._kinds:
            others = [one.event for one in events if one.event not in self._kinds]
            if others:
                counts["event"] = len(others)
                warnings += [self._of_kind(kind) for kind in sorted(set(others))[:_MAX_NAMED]]
        for name, vocabulary in (("user_id", self._users), ("item_id", self._items)):
            if vocabulary is None:
                continue
            texts = [one for event in events if isinstance(one := _id_of(event, name, vocabulary), str)]
            if texts:
                counts[name] = len(texts)
                warnings.append(
                    f"{name}: {_shown(texts[0])} is text, the model's data has integers ({len(texts)} such): kept, for "
                    "data that has text alone"
                )
        return Unlike(tuple(warnings), counts)

    def _of_kind(self, kind: str) -> str:
        near = difflib.get_close_matches(kind, sorted(self._kinds), n=1, cutoff=0.7)
        meant = f" (is {_shown(near[0])} meant?)" if near else ""
        known = ", ".join(plain_text(one[:_MAX_SHOWN]) for one in sorted(self._kinds)[:_MAX_NAMED])
        return f"event: {_shown(kind)} is none of those of the model's data, {known}{meant}: kept as it is"


def _id_of(event: FeedbackEvent, name: str, vocabulary: Vocabulary) -> int | str:
    return vocabulary.as_id(event.user_id if name == "user_id" else event.item_id)


def _shown(text: str) -> str:
    return repr(plain_text(text[:_MAX_SHOWN]))
