"""What users' features cost an export: the segments, counted as they will be, and answers from them, timed on few."""

from __future__ import annotations

from dataclasses import dataclass

from gnas_export.draft import Draft
from gnas_export.forecast.meter import seconds_of
from gnas_export.judging.quality import K
from gnas_export.judging.segments import PRIORS, WEIGHTS, choosing_users
from gnas_export.retrieval.segments import fixed_features, said_by, segment_table
from gnas_serve.artifact.segment_facts import SegmentFacts
from gnas_serve.runtime.segments import Segments

_FEW = 16


@dataclass(frozen=True)
class SegmentCosts:
    """Seconds of the step, and bytes of what ships if it does; none of data without features of users."""

    seconds: float = 0.0
    size_bytes: int = 0

    @classmethod
    def of(cls, draft: Draft, judges: int) -> SegmentCosts:
        """Count the segments, and answer a few of the users who choose.

        Parameters
        ----------
        draft
            With both fits and ``fitting``.
        judges
            How many users judge; each is asked twice.
        """
        checkpoint, attributes = draft.checkpoint, draft.checkpoint.user_attributes
        features = fixed_features(checkpoint)
        if attributes is None or not any(feature.values for feature in features):
            return cls()
        facts = SegmentFacts(features, PRIORS[0], WEIGHTS[0])
        table = segment_table(facts, attributes, checkpoint.seen())
        counting_s = seconds_of(lambda: segment_table(facts, attributes, checkpoint.seen()), repeats=1)
        users = choosing_users(draft.fitting, len(checkpoint.items), draft.seed)
        segments, seen = Segments(facts, table, draft.final.counts), draft.selection.seen
        some = users[:_FEW].tolist()

        def answer() -> None:
            for row in some:
                segments.of(said_by(attributes, row)).retrieve(K, seen.of(row).astype("int64"))

        answer_s = seconds_of(answer, repeats=2) / max(1, len(some))
        pairs = len(PRIORS) * len(WEIGHTS)
        asked = pairs * len(users) + 2 * judges
        return cls(3 * counting_s + asked * answer_s, 0 if table is None else table.size_bytes)
