"""A split dataset: what search and training may see, and, apart from it, the test part."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data.edge_log import EdgeLog
from gnas_search.data.interactions import DatasetConfig, DataWarning, FeatureTable
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.vocabulary import Vocabulary


@dataclass(frozen=True)
class InteractionGraph:
    """The bipartite user-item graph of one fit.

    Attributes
    ----------
    positives : (U, I) CSR, float32 ones, int32 indices, sorted
        Interactions of the target event: what the loss learns and what is masked.
    edges : (U, I) CSR, float32 ones, int32 indices, sorted
        Interactions of any event, ``positives`` included: what messages are passed along.
    log
        Of which event the edges are, and how old; None where the data says neither.
    item_features, user_features
        Of its items and users, where the data has them.
    """

    positives: sp.csr_matrix
    edges: sp.csr_matrix
    log: EdgeLog | None = None
    item_features: FeatureTable | None = None
    user_features: FeatureTable | None = None

    @property
    def num_users(self) -> int:
        """U."""
        return int(self.positives.shape[0])

    @property
    def num_items(self) -> int:
        """I."""
        return int(self.positives.shape[1])

    def pattern(self, edges: str) -> sp.csr_matrix:
        """Give the edges that a model passes messages along or is fitted to: ``"all"`` or those of the ``"target"``."""
        return self.edges if edges == "all" else self.positives


@dataclass(frozen=True)
class Dataset:
    """Everything but the test part.

    Attributes
    ----------
    users, items : Vocabulary
        Ids with an interaction (of any event) in train or validation.
    selection, final : InteractionGraph
        Train; and train + validation. Same rows.
    valid : (U, I) CSR
        Target-event interactions of the validation part, disjoint from ``selection.positives``.
    item_recency : (I,) float32 or None
        When each item was last seen in train, scaled to 0 (oldest) .. 1 (newest); None without timestamps.
    policy
        What split was applied: ``"given"``, ``"given+temporal"`` / ``"given+random"`` (validation carved from a given
        train part), ``"temporal"``, ``"random"``, ``"leave-last-out"``.
    valid_negatives : (U, I) CSR or None
        What users rated too low for a positive at the time of validation; None where nothing is rated too low.
    item_attributes
        What answers can be filtered by; None without an items file, or where it has no usable column.
    user_attributes
        What newcomers can say of themselves; None without a users file, or where it has no column that users share.
    events
        All kinds of events of the log, ascending; none where it names no events.
    """

    users: Vocabulary
    items: Vocabulary
    selection: InteractionGraph
    final: InteractionGraph
    valid: sp.csr_matrix
    item_features: FeatureTable | None
    user_features: FeatureTable | None
    item_recency: npt.NDArray[np.float32] | None
    target_event: str | None
    policy: str
    fingerprint: str
    config: DatasetConfig
    warnings: tuple[DataWarning, ...] = ()
    valid_negatives: sp.csr_matrix | None = None
    item_attributes: Attributes | None = None
    user_attributes: Attributes | None = None
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class TestPart:
    """Target-event interactions held out for `evaluate` alone.

    Attributes
    ----------
    user_ids : n external ids, ascending
    user_rows : (n,) int64
        Rows in the dataset's users, -1 for a user that occurs in test only.
    relevant : (n, I) CSR
        Test items that the dataset knows.
    num_relevant : (n,) int64
        All test items of each user, also those unknown to the dataset: the denominator of recall.
    negatives : (n, I) CSR or None
        What the same users rated too low for a positive at the time of test; None where nothing is rated too low.
    unknown_counts : (m,) int64
        How often each item that the dataset does not know occurs in test.
    """

    __test__ = False  # not a pytest class

    user_ids: list[int | str]
    user_rows: npt.NDArray[np.int64]
    relevant: sp.csr_matrix
    num_relevant: npt.NDArray[np.int64]
    negatives: sp.csr_matrix | None = None
    unknown_counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
