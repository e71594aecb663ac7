"""Recent: what users did since the model was made, so that the next answer knows."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.segments import log_errors, require_segments
from gnas_serve.feedback.tail import replay
from gnas_serve.vocabulary import Id, Vocabulary

MAX_USERS = 100_000
MAX_ITEMS_PER_USER = 256
MAX_OUTSIDE_PER_USER = 64
"""Of the items that the model does not have: eight bytes each, some 80 MB of so many users who have all of them."""
_REMEMBERED_ROWS = 1 << 16
_NOTHING = np.empty(0, dtype=np.int64)
_NOTHING.flags.writeable = False


class Recent:
    """The items that users have from feedback, in bounded memory, for one model.

    Only what the model would have learned from as an interaction of its target event counts: of a shop that predicts
    purchases, an item that was only looked at is not seen. What the model knows already may be told again, as a whole
    log is after a restart; who asks passes over it. One thread adds at a time, any may ask.

    Parameters
    ----------
    items
        Of the model. Of others it is remembered that a user has them, for questions that tell of them.
    target_event, min_value
        What counts: every event where ``target_event`` is None, every value where ``min_value`` is. An event without a
        value counts.
    max_users, max_items_per_user, max_outside_per_user
        Of more users, those go of whom nothing was heard the longest; of more items of a user, the oldest. Items that
        the model does not have are counted apart, users of them as well: they take nobody's place.
    """

    def __init__(
        self,
        items: Vocabulary,
        *,
        target_event: str | None = None,
        min_value: float | None = None,
        max_users: int = MAX_USERS,
        max_items_per_user: int = MAX_ITEMS_PER_USER,
        max_outside_per_user: int = MAX_OUTSIDE_PER_USER,
    ) -> None:
        # A text id takes a search of some 20 us, and a log has few items many times.
        self._place = lru_cache(_REMEMBERED_ROWS)(partial(_place, items))
        self._items = items
        self._target_event = target_event
        self._min_value = min_value
        self._max_users = max_users
        self._max_items = max_items_per_user
        self._max_outside = max_outside_per_user
        # Users and the rows of each in the order in which they came; a dict is a set that has one.
        self._rows: OrderedDict[str, dict[int, None]] = OrderedDict()
        self._outside: OrderedDict[str, array[int]] = OrderedDict()  # the places of the others, the oldest first

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, events: Sequence[FeedbackEvent]) -> None:
        """Take note of events, in the order of the log."""
        for event in events:
            if self._counts(event):
                place = self._place(event.item_id)
                note = self._note if place >= 0 else self._note_outside
                note(_key(event.user_id), place)

    def of(self, user_id: Id) -> npt.NDArray[np.int64]:
        """Give the rows of the items of a user, ascending; none of somebody who did nothing."""
        rows = self._rows.get(_key(user_id))
        # A list is made in one go, whatever is added meanwhile.
        return _NOTHING if rows is None else np.array(sorted(rows), dtype=np.int64)

    def outside(self, user_id: Id, ids: Iterable[Id]) -> set[Id]:
        """Give those of some items that a user has, and the model does not."""
        places = self._outside.get(_key(user_id))
        # Not by what is remembered of items: what a caller names would crowd out what the log does.
        return set() if places is None else {one for one in ids if _place_outside(self._items, one) in places}

    def replay(self, folder: Path, count: int) -> None:
        """Take note of what a log holds: of a model that is loaded while the log is open already.

        Parameters
        ----------
        folder
            Of the log.
        count
            How many latest events are enough.

        Raises
        ------
        ConfigError, StorageError, IntegrityError, FormatVersionError
            If there is no log, or it cannot be read.
        """
        numbers = require_segments(folder)
        with log_errors(folder):
            for events in replay(folder, numbers, count):
                self.add(events)

    def _counts(self, event: FeedbackEvent) -> bool:
        if self._target_event is not None and event.event != self._target_event:
            return False
        return self._min_value is None or event.value is None or event.value >= self._min_value

    def _note(self, key: str, row: int) -> None:
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = {}
        rows.pop(row, None)
        rows[row] = None
        if len(rows) > self._max_items:
            del rows[next(iter(rows))]
        self._rows.move_to_end(key)
        if len(self._rows) > self._max_users:
            self._rows.popitem(last=False)

    def _note_outside(self, key: str, place: int) -> None:
        # A new one each time: who asks meanwhile looks at the old one.
        others = [one for one in self._outside.get(key, ()) if one != place]
        self._outside[key] = array("q", [*others, place][-self._max_outside :])
        self._outside.move_to_end(key)
        if len(self._outside) > self._max_users:
            self._outside.popitem(last=False)


def _place(items: Vocabulary, item_id: Id) -> int:
    """Give the row of an item, or of one that there is not a number below 0 that it shares with none, by all odds."""
    row = items.row(item_id)
    return row if row >= 0 else _place_outside(items, item_id)


def _place_outside(items: Vocabulary, item_id: Id) -> int:
    # The id in the type that ids have: one is a number and the other its text, and both are one item.
    digest = blake2b(repr(items.as_id(item_id)).encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest) >> 1)


def _key(user_id: Id) -> str:
    """Name a user: an integer id may be given as its decimal text."""
    return str(user_id)
