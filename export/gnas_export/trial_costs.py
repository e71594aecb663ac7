"""What a model of a search costs to serve: its retrieval is exported as an artifact would be, weighed and timed."""

from __future__ import annotations

from collections.abc import Mapping

from gnas_export.decisions import Decisions
from gnas_export.draft import Draft
from gnas_export.judging.latency import measured
from gnas_export.profile import ExportProfile
from gnas_export.retrieval.tables import branch_bytes
from gnas_export.steps.compression import compress_neighbours, compress_tables
from gnas_export.steps.indexing import build_index
from gnas_export.steps.scoring import draw_plain_ranker
from gnas_export.steps.users import choose_users, fit_fold_ins
from gnas_search.checkpoint import Checkpoint
from gnas_search.data.dataset import Dataset
from gnas_search.fit import Fit

PROFILE = "balanced"
"""What `export` makes unless it is told otherwise; without a learned ranker, which is the same for all models."""
_RUNS = 2  # a busy moment of the machine spoils one
_STEPS = (choose_users, compress_neighbours, compress_tables, build_index, fit_fold_ins, draw_plain_ranker)


class ExportedCosts:
    """Exports each model that it is given, without its gates, and measures it: a :class:`~gnas_search.study.CostMeter`.

    Parameters
    ----------
    dataset
        Of the search.
    seed
        Of samples and of the users asked for.
    """

    def __init__(self, dataset: Dataset, *, seed: int = 0) -> None:
        self._dataset = dataset
        self._seed = seed
        self._profile = ExportProfile.load(PROFILE)

    def __call__(self, fit: Fit) -> Mapping[str, float]:
        """Measure ``artifact_bytes``, ``table_bytes`` and ``latency_us``.

        That is all files, vectors and links alone, and the median request of one thread for 10 items.

        Raises
        ------
        ExportError
            If the model cannot be exported or timed.
        StorageError
            If there is no room for its files.
        """
        # The one fit that a search makes stands for both of a checkpoint: what it costs is the same.
        checkpoint = Checkpoint.of(self._dataset, name="trial", spec={}, selection=fit, final=fit, seed=self._seed)
        decisions = Decisions(self._profile, "never")
        draft = Draft(checkpoint, self._profile, "never", self._seed, decisions)
        for step in _STEPS:
            step(draft)
        with draft.written(draft.final, draft.plain) as folder:
            size_bytes = sum(path.stat().st_size for path in folder.iterdir())
            latency_us = min(measured(folder, seed=self._seed)["p50_us"] for _ in range(_RUNS))
        table_bytes = sum(branch_bytes(branch, draft.final.tables) for branch in draft.final.exact.branches)
        return {"artifact_bytes": float(size_bytes), "table_bytes": float(table_bytes), "latency_us": latency_us}
