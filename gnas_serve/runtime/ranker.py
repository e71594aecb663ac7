"""Second stage: the ONNX scorer over the retrieved candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.errors import ProviderError
from gnas_serve.runtime.providers import CPU, PROVIDERS
from gnas_serve.runtime.ranker_features import (
    check_cross,
    content_similarity,
    cross_features,
    history_features,
    relative_popularity,
)
from gnas_serve.runtime.retriever import Candidates
from gnas_serve.runtime.session import RUN_FAULTS, SESSION_ERRORS

_REFUSALS: tuple[type[Exception], ...] = (ProviderError, *SESSION_ERRORS)

_OUTPUT = ["score"]


class Ranker:
    """Scores candidates with an ONNX model; what the model takes decides what is computed.

    Parameters
    ----------
    session
        An ONNX Runtime session with the input ``cross`` (C, X) and, for a learned ranker, ``user`` (1, D) and
        ``item`` (C, H); output ``score`` (C,).
    cross
        Names of the cross features, in input order.
    counts : (I,) int32
        Interactions per item.
    num_parts
        P, the number of branches that score a pair.
    user_table : (U, F) float32, optional
        Attributes of the known users.
    item_table : (I, H) uint8, float16 or float32, optional
        The items' part of the first layer, precomputed.
    content : (I, F) float16, optional
        Unit-length item attributes, where ``content`` is a cross feature.
    """

    def __init__(
        self,
        session: Any,  # onnxruntime has no types
        cross: tuple[str, ...],
        counts: npt.NDArray[np.int32],
        *,
        num_parts: int,
        user_table: npt.NDArray[np.float32] | None = None,
        item_table: npt.NDArray[np.generic] | None = None,
        content: npt.NDArray[np.floating] | None = None,
    ) -> None:
        inputs = {node.name for node in session.get_inputs()}
        if "cross" not in inputs or not inputs <= {"cross", "user", "item"}:
            raise ValueError(f"ranker inputs {sorted(inputs)}: expected cross, and user and item for a learned ranker")
        if ("item" in inputs) != (item_table is not None):
            raise ValueError("a ranker takes `item` exactly where the artifact has an item table")
        if ("content" in cross) != (content is not None):
            raise ValueError("a ranker takes `content` exactly where the artifact has item attributes")
        check_cross(cross, num_parts)
        self._session = session
        # What InferenceSession.run calls once it has looked at its arguments: the same at every request, 3 us of it.
        self._run = getattr(session, "_sess", session).run
        self._cross = cross
        self._num_parts = num_parts
        self._popularity = relative_popularity(counts)
        self._usual_count = float(counts.mean())
        self._takes_user = "user" in inputs
        self._user_table = user_table
        self._item_table = item_table
        self._content = content

    def score(
        self,
        user_row: int,
        history: npt.NDArray[np.integer],
        candidates: Candidates,
        described: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Score the candidates of one user.

        Parameters
        ----------
        user_row
            -1 for somebody who is not in the table of users.
        history : (h,) item rows
        candidates
            C of them.
        described : (F,) float32, optional
            What would be in that table of somebody who is not.

        Returns
        -------
        (C,) float32

        Raises
        ------
        ProviderError
            If what it computes on fails.
        """
        rows = candidates.rows
        similarity = None if self._content is None else content_similarity(self._content, history, rows)
        cross = cross_features(self._cross, candidates.scores, candidates.parts, similarity)
        feed: dict[str, npt.NDArray[np.generic]] = {"cross": cross}
        if self._takes_user:
            feed["user"] = self.user_input(user_row, history, described)[None, :]
        if self._item_table is not None:
            feed["item"] = self._item_table.take(rows, axis=0)
        try:
            result: npt.NDArray[np.float32] = self._run(_OUTPUT, feed, None)[0]
        except RUN_FAULTS as error:
            where = self._session.get_providers()[0]
            raise ProviderError(f"{where} failed to rank: {error}", hint="is there memory left?") from error
        return result

    def try_out(self, num_users: int) -> None:
        """Ask once, to find out at load and not at the first request that model and tables do not fit.

        Raises
        ------
        ValueError
            If ONNX Runtime refuses the inputs, or the output is not one finite score per candidate.
        ProviderError
            If a device fails.
        """
        rows = np.array([0, len(self._popularity) - 1])
        scores = np.array([1.0, 0.5], dtype=np.float32)
        parts = np.tile(scores[:, None] / np.float32(self._num_parts), self._num_parts)
        for user_row in {-1, num_users - 1}:
            try:
                found = self.score(user_row, rows[:1], Candidates(rows, scores, parts))
            except _REFUSALS as error:
                if isinstance(error, ProviderError) and self._session.get_providers()[0] != PROVIDERS[CPU]:
                    raise  # a device is to blame before the model is
                raise ValueError(f"the ranker does not take its inputs: {error.__cause__ or error}") from error
            if found.shape != (2,) or found.dtype != np.float32 or not np.isfinite(found).all():
                raise ValueError(f"the ranker gives {found.dtype} {found.shape} for two candidates")

    def user_input(
        self,
        user_row: int,
        history: npt.NDArray[np.integer],
        described: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Assemble the user's part of the input: history features, then attributes (zeros where unknown), (D,)."""
        past = history_features(self._popularity.take(history), self._usual_count)
        if self._user_table is None:
            return past
        if user_row >= 0:
            described = self._user_table[user_row]
        elif described is None:
            described = np.zeros(self._user_table.shape[1], np.float32)
        return np.concatenate([past, described])
