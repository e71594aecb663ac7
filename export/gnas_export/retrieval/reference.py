"""The yardstick of every label gate: what some tables answer by exact search, in the retriever's own numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_export.retrieval.shipped import known_users
from gnas_export.retrieval.tables import Lists, Tables, exact_lists
from gnas_search.fit import Fit
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.neighbours import Links
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import SeenItems

# Products of matrices round differently by place: the best few more are scored again, one by one.
_MARGIN = 12


class _Found:
    """Proposes what a search in blocks has found."""

    exhaustive = True

    def __init__(self) -> None:
        self.rows = np.empty(0, dtype=np.int64)

    def propose(
        self,
        query: npt.NDArray[np.float32],  # noqa: ARG002  # an Index is asked so
        count: int,  # noqa: ARG002
        excluded: npt.NDArray[np.integer],  # noqa: ARG002
        links: Links | None = None,  # noqa: ARG002
    ) -> npt.NDArray[np.int64]:
        return self.rows


def exact_answers(
    fit: Fit,
    tables: Tables,
    seen: SeenItems,
    counts: npt.NDArray[np.int32],
    user_rows: npt.NDArray[np.int64],
    count: int,
) -> Lists:
    """Answer as a server with these tables, flat search and no learned ranker would, much quicker.

    Parameters
    ----------
    fit
        Whose tables they are: it tells which users are known; popularity answers the others.
    counts : (I,) int32
    user_rows : (n,)
    count
        How many items per user.
    """
    found = _Found()
    retriever = Retriever(tables.items, found, tables.neighbours)
    answers = []
    proposals = exact_lists(tables, seen, user_rows, count + _MARGIN)
    known = known_users(fit, seen, user_rows)
    popular = iter(popular_answers(counts, seen, user_rows[~known], count))
    for user_row, found.rows, is_known in zip(user_rows.tolist(), proposals, known, strict=True):
        past = seen.of(user_row).astype(np.int64)
        if not is_known:
            answers.append(next(popular))
        elif len(found.rows) == 0:
            answers.append(found.rows)  # of a user who has everything already
        else:
            # Asking for no more than was found: the retriever would take a shorter list for an index that ran dry.
            some = retriever.retrieve(tables.users.row(user_row), past, min(count, len(found.rows)), past)
            answers.append(some.rows)
    return answers


def popular_answers(
    counts: npt.NDArray[np.int32], seen: SeenItems, user_rows: npt.NDArray[np.integer], count: int
) -> Lists:
    """Answer by popularity, as serving does for users of whom nothing is known; what they have is left out.

    Parameters
    ----------
    counts : (I,) int32
    user_rows : (n,)
    count
        How many items per user.
    """
    popularity = Popularity(counts)
    return [popularity.retrieve(count, seen.of(user_row).astype(np.int64))[0] for user_row in user_rows.tolist()]
