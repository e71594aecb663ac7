"""Scribe: writes down what came of a study's trials."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from functools import cached_property

from optuna.trial import FrozenTrial, TrialState

from gnas_search.architecture import ArchitectureSpec
from gnas_search.slots import Result
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN, BranchSpec, kind_of
from gnas_search.strategies.tally import interrupted_numbers
from gnas_search.study import records
from gnas_search.study.finalists import to_be_kept
from gnas_search.study.measurement import Measurement
from gnas_search.study.metrics import save_metrics
from gnas_search.study.own_journal import end_trial
from gnas_search.study.records import Trial
from gnas_search.study.recovery import try_again, values_of
from gnas_search.study.workshop import Workshop


class Scribe:
    """Ends trials in the journal: each once, whatever interrupts it.

    Parameters
    ----------
    shop
        Of the run.
    space
        Restricted to its data.
    """

    def __init__(self, shop: Workshop, space: SearchSpace) -> None:
        self._shop = shop
        self._journal = shop.journal
        self._space = space

    @cached_property  # when the first network ends: to read the whole study for each would slow them a little more
    def _networks(self) -> list[tuple[str, Measurement]]:
        """What the networks were worth, with their keys; best first, and of equals the earlier."""
        return [(trial.key, found) for trial, found in self._shop.study().ranking if trial.kind == GNN]

    def duplicate(self, number: int, twin: FrozenTrial) -> None:
        """End a trial whose model another one measured, or is about to."""
        values = twin.values if twin.state == TrialState.COMPLETE else None
        end_trial(self._journal, number, values, {records.DUPLICATE_OF: twin.number})

    def failed(self, number: int, reason: str) -> None:
        """End a trial that came to nothing."""
        end_trial(self._journal, number, None, {records.REASON: reason})

    def measured(
        self,
        number: int,
        spec: BranchSpec,
        result: Result,
        costs: Mapping[str, float] | None = None,
        infeasible: str = "",
    ) -> Measurement:
        """End a trial with what its slot found.

        Parameters
        ----------
        number, spec
            Of the trial.
        result
            Of its slot; not empty.
        costs
            Of serving it, where they were measured.
        infeasible
            Why the model is infeasible, now that it was weighed and timed; empty where it is not.
        """
        measured = Measurement.of_result(result, spec, seed=self._shop.seed, costs=costs)
        if not infeasible and kind_of(spec) == GNN and result.fit is not None:
            kept = to_be_kept(_with(self._networks, spec.key(), measured))
            if spec.key() in kept:
                self._shop.kept.keep(spec.key(), result.fit, beside=kept)
        if not infeasible and isinstance(spec, ArchitectureSpec) and result.weights is not None:
            self._shop.weights.keep(spec, measured.quality.value, result.weights)
        save_metrics(self._shop.folder, spec.key(), result.users, synced=False)  # a sync is longer than all of this
        # Of an end that was cut short a measurement alone must not be left: it would be one of a feasible model.
        facts = {**({records.INFEASIBLE: infeasible} if infeasible else {}), records.MEASURED: measured.to_json()}
        names = self._shop.header.objectives.names
        values = values_of(measured, self._journal, names, is_infeasible=bool(infeasible))
        end_trial(self._journal, number, values, facts)
        if kind_of(spec) == GNN and not infeasible:
            self._networks = _with(self._networks, spec.key(), measured)
        return measured

    def interrupted(self, number: int) -> None:
        """Close a trial that did not come to its end, or whose end was lost, and queue its point again."""
        try_again(self._journal, self._space, number)

    def read(self, number: int, spec: BranchSpec | None = None, measured: Measurement | None = None) -> Trial:
        """Give a trial as it is written; of what is at hand of it, nothing is read."""
        interrupted = number in interrupted_numbers(self._journal)
        frozen = self.frozen(number)
        return records.read_trial(frozen, interrupted=interrupted, writer_alive=True, spec=spec, measured=measured)

    def frozen(self, number: int) -> FrozenTrial:
        """Give a trial as the journal has it now."""
        return self._journal.get_trials(deepcopy=False)[number]


def _with(networks: list[tuple[str, Measurement]], key: str, measured: Measurement) -> list[tuple[str, Measurement]]:
    """Rank one more network, behind those that are worth the same."""
    ranked = networks.copy()
    insort(ranked, (key, measured), key=lambda network: -network[1].quality.value)
    return ranked
