"""What the learned ranker costs an export: a step of training and a list of scoring, timed, times their number."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from gnas_export.forecast.meter import seconds_of
from gnas_export.forecast.retrieval_costs import RetrievalCosts
from gnas_export.judging.quality import K, relative_change
from gnas_export.ranker.candidates import CandidateList
from gnas_export.ranker.distil import TEACHER_SHARE
from gnas_export.ranker.fitting import EPOCHS, MAX_USERS, MIN_USERS, optimizer_of, timetable, train_step
from gnas_export.ranker.lessons import INNER_SHARE, Lessons, learnable, one_thread
from gnas_export.ranker.network import RankerNetwork
from gnas_export.ranker.numeric import draw
from gnas_export.ranker.prune import EPOCHS as TUNING_EPOCHS
from gnas_export.ranker.variants import NUMERIC, Variant, planned
from gnas_export.steps.forms import CALIBRATION_LISTS, MEASURED_LISTS, TIMED_CANDIDATES, TIMED_ROUNDS
from gnas_export.steps.scoring import SCORE, collect_lists, score_lists
from gnas_search.evaluate import UserMetrics, rank_metrics

_SAMPLED_USERS = 256
_TIMED_LISTS = 64
_ATTENTION = 2.7
"""Times as long as the first network trains one that attends to histories (2.6 and 2.8 on two data sets)."""
_SCORINGS = 9
"""Of each list that a network's forms are held against torch by: five forms, torch three times, cut lists."""


@dataclass(frozen=True)
class RankerCosts:
    """Seconds of the steps of the learned ranker, and the bytes of the lists that it learns from.

    Attributes
    ----------
    lists
        How many lists there will be to learn from.
    seconds
        By the name of the step; empty where there will be no learned ranker.
    held_bytes
        Of all lists, and of what is made of them.
    """

    lists: int
    seconds: dict[str, float]
    held_bytes: int

    @classmethod
    def of(cls, retrieval: RetrievalCosts) -> RankerCosts:
        """Collect and learn from few lists."""
        draft = retrieval.draft
        users = min(len(draft.fitting), MAX_USERS)
        rng = np.random.default_rng(draft.seed)
        if draft.mode == "never" or users < MIN_USERS:
            return cls(0, {}, 0)
        some = np.sort(rng.permutation(draft.fitting)[:_SAMPLED_USERS])
        start = time.perf_counter()
        found = collect_lists(draft, draft.selection, some)
        list_s = (time.perf_counter() - start) / len(some)
        usable = learnable(found, draft.checkpoint.valid)
        count = round(users * len(usable) / len(some))
        if count < MIN_USERS or len(usable) < 2:
            return cls(0, {"train_ranker": users * list_s}, 0)
        known = _Known(retrieval, usable, count, list_s)
        seconds = {
            "train_ranker": users * list_s + known.prepared_s + known.taught_s(),
            "narrow_ranker": sum(known.trained_s(variant) for variant in known.variants[1:]),
            "draw_forms": known.drawn_s(),
            "weigh_forms": known.weighed_s(),
            "choose_form": known.timed_s(),
        }
        return cls(count, seconds, count * known.list_bytes())


class _Known:
    """What was timed on few lists."""

    def __init__(self, retrieval: RetrievalCosts, usable: list[CandidateList], count: int, list_s: float) -> None:
        draft = retrieval.draft
        self._draft, self._list_s = draft, list_s
        self._judges = 0 if retrieval.jury.too_small else len(retrieval.jury.users)
        self._jury = retrieval.jury
        wanted = round(_TIMED_LISTS / (1.0 - INNER_SHARE)) + 1
        self._lists = (usable * (wanted // len(usable) + 1))[:wanted]
        self._inputs = draft.plan.item_inputs(draft.selection.counts)
        valid = draft.checkpoint.valid
        prepare = partial(Lessons.of, self._lists, valid, self._inputs, seed=draft.seed)
        self.lessons = prepare()
        self._inner = max(1, round(INNER_SHARE * count))
        self._learned = count - self._inner
        self.prepared_s = seconds_of(prepare) * count / wanted
        self.variants = planned(draft.profile.ranker)
        self._networks = {variant.name: self._network(variant) for variant in self.variants}
        self._drawings = {}
        self._draw_s = []
        # The first draws each kind of graph, the others fill it.
        for variant in (self.variants[0], self.variants[-1]):
            trained = self.lessons.trained(self._networks[variant.name])
            start = time.perf_counter()
            self._drawings[variant.name] = draw(trained, self._inputs, self._lists)
            self._draw_s.append(time.perf_counter() - start)
        ends = (self.variants[0], self.variants[-1])
        self._run_s = [self._scored_s(variant) for variant in ends]
        self._rows_s = [self._made_s(variant) for variant in ends]

    def _network(self, variant: Variant) -> RankerNetwork:
        column = self._draft.plan.cross.index(SCORE)
        generator = torch.Generator().manual_seed(self._draft.seed)
        network = RankerNetwork(self.lessons.widths, variant.hidden, column, generator)
        with torch.no_grad():
            network.last.normal_(generator=generator)  # no training: what is timed shall not be all zeros
        return network

    def trained_s(self, variant: Variant) -> float:
        """Forecast the training of one network: of a narrower one, what its parent thinks of every list included."""
        network, lessons = self._networks[variant.name], self.lessons
        optimizer = optimizer_of(network)
        size, batches, epochs = timetable(self._learned, TUNING_EPOCHS if variant.is_pruned else EPOCHS)
        places = torch.arange(size) % len(lessons.labels)
        held = len(lessons.inner_labels)
        with one_thread():
            step_s = seconds_of(lambda: train_step(network, lessons, places, lessons.labels, optimizer), repeats=5)
            if variant.parent:
                parent = self._networks[variant.parent]
                thought_s = seconds_of(lambda: lessons.softened(parent, TEACHER_SHARE), repeats=3)
                likelihood = partial(lessons.inner_likelihood, network, lessons.inner_labels)
                judged_s = seconds_of(likelihood, repeats=3) / held
                passes = 2 if variant.is_pruned else 1  # what each unit gives is looked at as well
                before_s = passes * thought_s * (self._learned + self._inner) / (len(lessons.labels) + held)
            else:
                judged_s, before_s = seconds_of(lambda: lessons.inner_ndcg(network), repeats=3) / held, 0.0
        return before_s + epochs * batches * step_s + (epochs + 1) * self._inner * judged_s

    def taught_s(self) -> float:
        """Forecast the training of the first network, and of one that attends to histories where that may teach it."""
        return self.trained_s(self.variants[0]) * (1.0 + _ATTENTION * (self._draft.profile.ranker.teacher != "mlp"))

    def drawn_s(self) -> float:
        """Forecast drawing the forms and holding them against their networks."""
        first, others = self._draw_s
        lists = CALIBRATION_LISTS + MEASURED_LISTS
        scored = sum(self._between(self._run_s, variant) for variant in self.variants)
        drawn = first + (len(self.variants) - 1) * others + self._all_rows_s()
        return lists * self._list_s + drawn + MEASURED_LISTS * _SCORINGS * scored

    def weighed_s(self) -> float:
        """Forecast scoring the judging users' lists with every form, and measuring what they would get."""
        tops = [one.rows[:K] for one in self._lists]
        relevant = self._draft.checkpoint.valid[[one.user_row for one in self._lists]]
        per_list = seconds_of(lambda: rank_metrics(tops, relevant, k=K), repeats=2) / len(tops)
        forms = len(NUMERIC) * len(self.variants)
        scored = len(NUMERIC) * sum(self._between(self._run_s, variant) for variant in self.variants)
        return self._judges * (self._list_s + scored + forms * per_list) + self._all_rows_s()

    def timed_s(self) -> float:
        """Forecast the timing of the forms, and the intervals of what each changes."""
        lengths = sum(max(0.3, count / self._draft.candidates) for count in {*TIMED_CANDIDATES, self._draft.candidates})
        turns = len(NUMERIC) * sum(self._between(self._run_s, variant) for variant in self.variants)
        turns = turns * TIMED_ROUNDS * lengths + 2 * self._all_rows_s()  # once for their size
        if not self._judges:
            return turns
        some = np.random.default_rng(0).random((2, self._judges))
        one, other = (UserMetrics(values, values) for values in some)
        changes = seconds_of(lambda: relative_change(self._jury, one, other), repeats=2)
        return turns + len(NUMERIC) * len(self.variants) * changes

    def list_bytes(self) -> int:
        """Count what a list takes as it is collected and as tensors: with labels, and what is taught of it."""
        one = self._lists[0]
        length, cross = one.cross.shape
        return int(length * (8 + 4 + 4 * cross) + length * (8 + 1 + 4 * cross + 4 + 8) + 4 * len(one.user))

    def _scored_s(self, variant: Variant) -> float:
        """Time the mean form of a network, per list."""
        drawings = self._drawings[variant.name]
        taken = 0.0
        for drawing in drawings.values():
            rows = drawing.items.rows(self._inputs)
            taken += seconds_of(partial(score_lists, drawing.graph, self._lists, rows), repeats=2)
        return taken / len(drawings) / len(self._lists)

    def _made_s(self, variant: Variant) -> float:
        """Time the rows of all items, of the mean form of a network."""
        drawings = self._drawings[variant.name].values()
        return sum(seconds_of(partial(one.items.rows, self._inputs)) for one in drawings) / len(drawings)

    def _all_rows_s(self) -> float:
        return len(NUMERIC) * sum(self._between(self._rows_s, variant) for variant in self.variants)

    def _between(self, ends: list[float], variant: Variant) -> float:
        """Interpolate between the widest and the narrowest network."""
        widest, narrowest = (one.hidden[0] * one.hidden[1] for one in (self.variants[0], self.variants[-1]))
        most, least = ends
        if widest == narrowest:
            return most
        share = (variant.hidden[0] * variant.hidden[1] - narrowest) / (widest - narrowest)
        return least + (most - least) * share
