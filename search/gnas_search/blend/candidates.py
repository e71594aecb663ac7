"""CandidateScores: the scores of several branches for the items that any of them would recommend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.blend.assembly import PER_HISTORY_KINDS, history_lengths
from gnas_search.blend.spread import spread_of
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import ScoreRows, Validation
from gnas_search.fit import Branch, Fit
from gnas_search.specs import BranchSpec, Share, kind_of

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

_PER_BRANCH = 100
"""Candidates that each branch proposes for a user: five times the list that is measured. Weights by the likelihood of
more are drawn to what never enters a list (with 200: ndcg@20 of other users -.4 % on Gowalla, -.6 % on Tmall, +.3 % on
Last.fm, -.1 % on MovieLens-1M; standard errors of .2 to .5 %), with fewer they become noisy."""
_PENALTY = 1e-3
"""Of the squared weights, beside a likelihood of about 5 nats per user: it decides only between equals."""


@dataclass(frozen=True)
class CandidateScores:
    """Standardised scores of candidate items; rows of one user lie together.

    Attributes
    ----------
    shares
        One per branch, with weight 1 and the spread that its scores are divided by.
    scores : (n, B) float32
        One column per branch.
    hits : (n,) bool
        Whether the candidate is a held-out item of its user.
    offsets : (m + 1,) int64
        Where each user's rows begin.
    num_relevant : (m,) int64
        Held-out items of each user, candidates or not.
    k
        Length of the list that counts.
    """

    shares: tuple[Share, ...]
    scores: Floats
    hits: npt.NDArray[np.bool_]
    offsets: Places
    num_relevant: npt.NDArray[np.int64]
    k: int

    @classmethod
    def collect(
        cls,
        specs: Sequence[BranchSpec],
        branches: Sequence[Branch],
        graph: InteractionGraph,
        validation: Validation,
    ) -> CandidateScores:
        """Score what each branch would recommend to the validation users by every branch.

        Parameters
        ----------
        specs, branches
            The models and their fits to ``graph``.
        graph, validation
            What they were fitted to and are compared by.
        """
        per_history = [branch.facts.kind in PER_HISTORY_KINDS for branch in branches]
        every_length = [history_lengths(spec, graph) for spec in specs]
        singles = [
            Fit((branch.per_history(0.0, lengths) if divided else branch,), 0).score_rows(graph.positives)
            for branch, lengths, divided in zip(branches, every_length, per_history, strict=True)
        ]
        scores, hits, offsets, num_relevant = _candidates(singles, validation)
        shares = []
        for place, (spec, divided) in enumerate(zip(specs, per_history, strict=True)):
            lengths_here = every_length[place][validation.users]
            spread, power = spread_of(_sizes(scores[:, place], offsets), lengths_here, per_history=divided)
            shares.append(Share(spec, 1.0, spread, power))
            scale = spread * np.maximum(lengths_here, 1) ** power
            scores[:, place] /= np.repeat(scale, np.diff(offsets)).astype(np.float32)
        return cls(tuple(shares), scores, hits, offsets, num_relevant, validation.k)

    @classmethod
    def of_blend(
        cls, shares: Sequence[Share], branches: Sequence[Branch], histories: sp.csr_matrix, validation: Validation
    ) -> CandidateScores:
        """Score by the branches of a blend that is made, whose spreads and powers stay: its weights are taken out.

        Parameters
        ----------
        shares, branches
            Of the blend, no weight being 0; the weights are folded into the branches.
        histories : (U, I) CSR
            What the branches are asked with.
        validation
            By whom they are compared.
        """
        singles = [
            Fit((branch.weighted(1.0 / share.weight),), 0).score_rows(histories)
            for share, branch in zip(shares, branches, strict=True)
        ]
        scores, hits, offsets, num_relevant = _candidates(singles, validation)
        return cls(tuple(replace(s, weight=1.0) for s in shares), scores, hits, offsets, num_relevant, validation.k)

    def fit_weights(self, branches: Sequence[int], users: Places | None) -> npt.NDArray[np.float64]:
        """Maximise the likelihood of the held-out items among the candidates, under weights that are not negative.

        Held-out items that nobody proposes are left out: no weights bring them into a list, yet under the likelihood
        of all items they would flatten every score. And each user's scores by a closed form are brought to one size
        first: what shared links add up to has a heavy tail, and a likelihood answers the few users whose scores are
        huge by weighing the branch down for all (ndcg@20 of two branches on Gowalla's validation: .127 without, .130
        with, .131 by direct search). The problem is convex: there is one answer, no step size to choose. Going on from
        it to the most of a smooth ndcg (ApproxNDCG; Qin, Liu & Li, 2010) lost .1 to .6 % on Gowalla's other users.

        Parameters
        ----------
        branches
            Columns to weigh.
        users
            Places of the users to learn from; None for all.

        Returns
        -------
        (len(branches),) float64
            Of standardised scores: their size is how peaked the likelihood wants the scores to be.
        """
        chosen = np.arange(len(self.num_relevant)) if users is None else users
        x, hits, starts = self._of(branches, chosen[self._found[chosen] > 0])
        lengths = np.diff(starts)
        if len(lengths) == 0:
            return np.zeros(len(branches))
        for column, branch in enumerate(branches):
            if kind_of(self.shares[branch].spec) in PER_HISTORY_KINDS:
                sizes = _sizes(x[:, column], starts)
                x[:, column] /= np.repeat(np.where(sizes > 0, sizes, 1.0), lengths)
        shares = hits / np.repeat(np.add.reduceat(hits, starts[:-1], dtype=np.float64), lengths)
        wanted = x.T @ shares / len(lengths)  # (B,)

        def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
            logits = x @ weights
            logits -= np.repeat(np.maximum.reduceat(logits, starts[:-1]), lengths)
            odds = np.exp(logits)
            totals = np.add.reduceat(odds, starts[:-1])
            chances = odds / np.repeat(totals, lengths)
            value = (np.log(totals).sum() - (shares * logits).sum()) / len(lengths)
            gradient = x.T @ chances / len(lengths) - wanted
            return value + _PENALTY * weights @ weights, gradient + 2.0 * _PENALTY * weights

        from scipy.optimize import minimize  # a tenth of a second, which whoever blends nothing need not wait

        start = np.full(len(branches), 1.0 / len(branches))
        solved = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(branches))
        return np.asarray(solved.x, dtype=np.float64)

    def ndcg(self, branches: Sequence[int], weights: npt.NDArray[np.float64], users: Places) -> npt.NDArray[np.float64]:
        """Measure ndcg@k of the weighted sum among the candidates, user by user: (len(users),)."""
        x, hits, starts = self._of(branches, users)
        totals = x @ weights
        lengths = np.diff(starts)
        lines = np.repeat(np.arange(len(lengths)), lengths)
        order = np.lexsort((-totals, lines))
        ranks = np.arange(len(order)) - np.repeat(starts[:-1], lengths)  # lines are in order: ranks within each user
        gains = np.where(hits[order] & (ranks < self.k), 1.0 / np.log2(ranks + 2.0), 0.0)
        discounts = np.cumsum(1.0 / np.log2(np.arange(self.k) + 2.0))
        ideal = discounts[np.minimum(self.num_relevant[users], self.k) - 1]
        ndcg: npt.NDArray[np.float64] = np.add.reduceat(gains, starts[:-1]) / ideal
        return ndcg

    def cross_fitted(self, branches: Sequence[int], halves: tuple[Places, Places]) -> npt.NDArray[np.float64]:
        """Measure each half of the users by weights fitted on the other: ndcg@k per user."""
        found = np.empty(len(self.num_relevant))
        for fitted_on, measured_on in (halves, halves[::-1]):
            found[measured_on] = self.ndcg(branches, self.fit_weights(branches, fitted_on), measured_on)
        return found

    @cached_property
    def _found(self) -> npt.NDArray[np.int64]:
        """Held-out items of each user among the candidates."""
        return np.add.reduceat(self.hits, self.offsets[:-1], dtype=np.int64)

    def _of(
        self, branches: Sequence[int], users: Places
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], Places]:
        starts, stops = self.offsets[users], self.offsets[users + 1]
        lengths = stops - starts
        places = np.repeat(stops - np.cumsum(lengths), lengths) + np.arange(lengths.sum())
        columns = self.scores[np.ix_(places, np.asarray(branches, dtype=np.int64))].astype(np.float64)
        return columns, self.hits[places], np.concatenate([[0], np.cumsum(lengths)])


def _candidates(
    singles: Sequence[ScoreRows], validation: Validation
) -> tuple[Floats, npt.NDArray[np.bool_], Places, npt.NDArray[np.int64]]:
    """Score what each branch would recommend by every branch: scores, hits, offsets and numbers of relevant items."""
    num_items = validation.relevant.shape[1]
    columns: list[Floats] = []
    hits: list[npt.NDArray[np.bool_]] = []
    lengths: list[npt.NDArray[np.int64]] = []
    relevant_counts: list[npt.NDArray[np.int64]] = []
    for rows, relevant, masked in validation.blocks():
        every = [score(rows) for score in singles]  # B times (b, I)
        chosen = np.zeros(every[0].shape, dtype=bool)
        count = min(_PER_BRANCH, num_items)
        lines = np.repeat(np.arange(len(rows)), np.diff(masked.indptr))
        for scores in every:
            unseen = scores.copy()
            unseen[lines, masked.indices] = -np.inf
            best = np.argpartition(unseen, -count, axis=1)[:, -count:]
            np.put_along_axis(chosen, best, values=True, axis=1)
        chosen[lines, masked.indices] = False
        held_out = np.zeros_like(chosen)
        held_out[np.repeat(np.arange(len(rows)), np.diff(relevant.indptr)), relevant.indices] = True
        columns.append(np.stack([scores[chosen] for scores in every], axis=1))
        hits.append(held_out[chosen])
        lengths.append(chosen.sum(axis=1))
        relevant_counts.append(np.diff(relevant.indptr).astype(np.int64))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return np.concatenate(columns), np.concatenate(hits), offsets, np.concatenate(relevant_counts)


def _sizes(scores: npt.NDArray[np.floating], offsets: Places) -> npt.NDArray[np.float64]:
    """Give the root mean square of each user's scores."""
    squares = np.add.reduceat(np.square(scores, dtype=np.float64), offsets[:-1])
    return np.sqrt(squares / np.diff(offsets))
