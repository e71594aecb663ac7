"""What retrieval costs an export: its first steps, run for few users, and what each further user takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gnas_export.draft import Draft
from gnas_export.forecast.meter import Reading, metered, seconds_of
from gnas_export.judging.quality import Jury, K
from gnas_export.retrieval.reference import exact_answers
from gnas_export.retrieval.tables import exact_lists
from gnas_export.steps.compression import compress_neighbours, compress_tables
from gnas_export.steps.indexing import build_index
from gnas_export.steps.scoring import draw_plain_ranker
from gnas_export.steps.users import choose_users, fit_fold_ins

FEW = 64
"""Users of whom the steps are really run."""


@dataclass(frozen=True)
class RetrievalCosts:
    """The draft after its first steps, and what its users take.

    Attributes
    ----------
    draft
        With tables and index as they will be, chosen by few users.
    readings
        Of each step, as it was run.
    jury
        All users who will judge.
    probes
        How many users will probe.
    answer_s, list_s, candidates_s, ask_s, fold_in_s
        Seconds per user: of an exact answer; of an exact list of candidates; of candidates by the index that ships; of
        a served answer, and of one from a history alone.
    opening_s
        Of writing one fit's files and opening them.
    """

    draft: Draft
    readings: dict[str, Reading]
    jury: Jury
    probes: int
    answer_s: float
    list_s: float
    candidates_s: float
    ask_s: float
    fold_in_s: float
    opening_s: float

    @classmethod
    def of(cls, draft: Draft) -> RetrievalCosts:
        """Run the steps before the learned ranker, of few users."""
        readings = {}

        def run(step: Callable[[Draft], None]) -> None:
            _, readings[step.__name__] = metered(lambda: step(draft))

        run(choose_users)
        jury, probes = draft.jury, len(draft.probes)
        # By few users no interval would be narrow enough: without judges the forms are chosen by recall alone.
        draft.jury = Jury(jury.users[:0], jury.relevant[:0], jury.seed)
        draft.probes = draft.probes[:FEW]
        for step in (compress_neighbours, compress_tables, build_index, fit_fold_ins, draw_plain_ranker):
            run(step)
        some = Jury(jury.users[:FEW], jury.relevant[:FEW], jury.seed)
        count, fit = max(1, len(some.users)), draft.selection
        asked = max(1, len(draft.probes))
        retriever = fit.retriever()

        def candidates() -> None:
            for row in draft.probes.tolist():
                history = fit.seen.of(row).astype(np.int64)
                retriever.retrieve(fit.tables.users.row(row), history, draft.candidates, history)

        with draft.rehearse(fit, draft.plain) as recommender:
            ask = seconds_of(lambda: some.served(recommender), repeats=2)
            fold_in = seconds_of(lambda: some.folded_in(recommender, fit.seen), repeats=2)
        return cls(
            draft,
            readings,
            jury,
            probes,
            answer_s=seconds_of(
                lambda: exact_answers(fit.exact, fit.tables, fit.seen, fit.counts, some.users, K), repeats=2
            )
            / count,
            list_s=seconds_of(lambda: exact_lists(fit.tables, fit.seen, draft.probes, draft.candidates), repeats=2)
            / asked,
            candidates_s=seconds_of(candidates, repeats=2) / asked,
            ask_s=ask / count,
            fold_in_s=fold_in / count,
            opening_s=seconds_of(lambda: _opened(draft)),
        )

    def seconds(self, step: str) -> float:
        """Forecast one of the steps that were run, of all users."""
        judged = 0 if self.jury.too_small else len(self.jury.users)
        probed = max(0, self.probes - FEW)
        forms = {name: len(self.draft.facts.get(name, {}).get("recall", ())) for name in ("neighbours", "tables")}
        curve = len(self.draft.index.curve)
        further = {
            "compress_neighbours": judged * self.answer_s + forms["neighbours"] * (probed + judged) * self.list_s,
            "compress_tables": probed * self.list_s * (1 + forms["tables"]) + judged * self.answer_s * forms["tables"],
            "build_index": probed * (self.list_s + curve * self.candidates_s) if curve else 0.0,
        }
        return self.readings[step].seconds + further.get(step, 0.0)


def _opened(draft: Draft) -> None:
    with draft.rehearse(draft.selection, draft.plain):
        pass
