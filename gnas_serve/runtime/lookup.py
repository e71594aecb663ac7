"""From the ids of a question to rows, and what to say of ids that the model does not know."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gnas_serve.errors import ItemNotFoundError, UserNotFoundError
from gnas_serve.runtime.asker import Asker
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.parts import Parts
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.seen import RecentItems, united
from gnas_serve.vocabulary import Id, Vocabulary

NOTHING = np.empty(0, dtype=np.int64)


class Who(NamedTuple):
    """One asker in rows: -1 for a user whom the model does not know."""

    user_row: int
    past: npt.NDArray[np.integer]  # as the model has seen it, and what came since
    history: npt.NDArray[np.int64]
    asker: Asker | None  # None where nothing is known: popularity is the answer
    crowd: Popularity  # that of the segments that the asker is in, else that of everybody
    described: npt.NDArray[np.float32] | None  # what a ranker reads of a newcomer's features; None where of none
    unknown_items: int  # ids of the history that the model does not know

    @property
    def source(self) -> str:
        """How the asker is represented, as an answer says it."""
        return self.crowd.source if self.asker is None else self.asker.source


def who_asks(query: Query, parts: Parts, heard: RecentItems | None) -> Who:
    """Find what the model knows of the asker of a question.

    Parameters
    ----------
    heard
        What users have had since the model was made; None where nobody listens.

    Raises
    ------
    RequestError
        If a feature is unknown.
    UserNotFoundError, ItemNotFoundError
        If the user, or an item of the history, of a strict question is unknown.
    """
    user_row = -1 if query.user_id is None else parts.users.row(query.user_id)
    if query.strict and user_row < 0 and query.user_id is not None:
        raise unknown_user(query.user_id)
    past = parts.seen.of(user_row)
    history, unknown, recent = NOTHING, 0, NOTHING
    if query.history:
        history, unknown = known_rows(parts.items, query.history, strict=query.strict)
    if heard is not None and query.user_id is not None:
        recent = heard.of(query.user_id)
    asker = parts.askers.represent(user_row, past, history, recent)
    crowd = parts.segments.of(query.user_features) if query.user_features else parts.segments.everybody
    described = parts.encoder.row(query.user_features if user_row < 0 else ())
    later = united(past, recent) if len(recent) else past
    return Who(user_row, later, history, asker, crowd, described, unknown)


def known_rows(items: Vocabulary, ids: tuple[Id, ...], *, strict: bool) -> tuple[npt.NDArray[np.int64], int]:
    """Give the ascending rows of the items that the model knows, and how many ids it does not.

    Raises
    ------
    ItemNotFoundError
        If it does not know one of a strict question.
    """
    if not ids:
        return NOTHING, 0
    rows = items.rows(ids)
    known = rows[rows >= 0]
    unknown = len(ids) - len(known)
    if strict and unknown:
        raise unknown_item(ids[int(np.argmax(rows < 0))])
    return np.unique(known), unknown


def item_row(items: Vocabulary, item_id: Id) -> int:
    """Give the row of one item.

    Raises
    ------
    ItemNotFoundError
        If the model does not know it.
    """
    row = items.row(item_id)
    if row < 0:
        raise unknown_item(item_id)
    return row


def unknown_item(item_id: Id) -> ItemNotFoundError:
    """Say of an item that there is none."""
    return ItemNotFoundError(f"item {item_id!r} is unknown to this model", hint="ask for an item of its catalogue")


def unknown_user(user_id: Id) -> UserNotFoundError:
    """Say of a user that there is none."""
    return UserNotFoundError(f"user {user_id!r} is unknown to this model", hint="ask for a user it was trained with")
