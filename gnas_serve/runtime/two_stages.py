"""The two stages of an answer: retrieve candidates, rank them, and go on in the retriever's order beyond."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.asker import Asker
from gnas_serve.runtime.explain import Explainer, Explanation
from gnas_serve.runtime.lookup import Who
from gnas_serve.runtime.parts import Parts
from gnas_serve.runtime.pool import Pool
from gnas_serve.runtime.query import MAX_K
from gnas_serve.runtime.seen import united
from gnas_serve.runtime.stages import Staged
from gnas_serve.runtime.topk import top_k
from gnas_serve.vocabulary import Id, Vocabulary

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


class Ranked(NamedTuple):
    """What the two stages found: items of the catalogue alone.

    Attributes
    ----------
    rows, scores : (n,)
        As ranked, the best first.
    retrieved : (m,) float32
        The retrieval scores of all that was retrieved, m >= n.
    """

    rows: _Rows
    scores: _Floats
    retrieved: _Floats

    @property
    def stand_ins(self) -> _Rows:
        """Known items to tell the rows apart by: themselves."""
        return self.rows

    def laid_out(self, rows: _Rows, items: Vocabulary, _source: str) -> tuple[list[Id], _Rows, None]:
        """Give the ids of some of the rows, those that the catalogue has (all), and no source but that of the asker."""
        return items.ids(rows), rows, None

    def explanation(self, who: Who, row: int, explainer: Explainer) -> Explanation:
        """Say where the score of one of the rows comes from."""
        return explainer.explain(who.asker, who.crowd, row)


def ranked(parts: Parts, candidates: int, who: Who, pool: Pool, count: int) -> Staged[Ranked]:
    """Retrieve, rank, and keep the best ``count``; of somebody of whom nothing is known, the most popular.

    Parameters
    ----------
    parts
        Of the artifact.
    candidates
        How many the ranker was trained on.
    who
        Asks.
    pool
        What may be answered.
    count
        At least 1; beyond ``candidates`` the list goes on in the retriever's order.

    Returns
    -------
    Ranked
        Of at most ``count`` items.
    """
    asker = who.asker
    if asker is None:
        rows, scores = who.crowd.retrieve(count, pool.excluded, pool.allowed)
        yield "retrieve"
        return Ranked(rows, scores, scores)
    found = parts.retriever.retrieve(asker.vector, asker.history, candidates, pool.excluded, pool.allowed)
    yield "retrieve"
    if len(found.rows) == 0:
        return Ranked(found.rows, found.scores, found.scores)
    scores = parts.ranker.score(who.user_row, asker.history, found, who.described)
    best = top_k(scores, count)
    rows, scores = found.rows.take(best), scores.take(best)
    yield "rank"
    if count > candidates == len(rows):
        return _continued(parts, asker, pool, Ranked(rows, scores, found.scores), count)
    return Ranked(rows, scores, found.scores)


def _continued(parts: Parts, asker: Asker, pool: Pool, head: Ranked, count: int) -> Ranked:
    """Lengthen a list beyond the candidates that the ranker was trained on, in the retriever's order.

    The ranker's features are relative to its list: ranking a longer one would change the head of the answer. For the
    same reason as many are retrieved whatever the count is: an approximate index proposes by its own order.
    """
    past = united(pool.excluded, np.sort(head.rows))
    more = parts.retriever.retrieve(asker.vector, asker.history, MAX_K - len(head.rows), past, pool.allowed)
    if len(more.rows) == 0:
        return head
    # One descending scale: the retriever's scores go on where the ranker's end.
    shifted = (head.scores[-1] + np.minimum(more.scores - more.scores[0], 0.0)).astype(np.float32)
    return Ranked(
        np.concatenate([head.rows, more.rows])[:count],
        np.concatenate([head.scores, shifted])[:count],
        np.concatenate([head.retrieved, more.scores])[:count],
    )
