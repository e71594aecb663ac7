"""Study: what was searched and found, read from its folder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import optuna

from gnas_search.architecture import ArchitectureSpec
from gnas_search.evaluate import UserMetrics
from gnas_search.strategies.strategy import interrupted_numbers
from gnas_search.study.header import StudyHeader
from gnas_search.study.journal import is_locked, open_journal
from gnas_search.study.records import Baseline, Measurement, Trial, read_trial
from gnas_search.study.verdict import Verdict, decide
from gnas_serve.artifact.arrays import read_array
from gnas_serve.errors import ConfigError, IntegrityError, NoViableTrialError, unknown_name

BASELINE_PREFIX = "baseline."
_METRICS = "metrics"
VERDICT = "verdict"
BEST_GNN = "best-gnn"


class Study:
    """The state of a study at the time it was read.

    Parameters
    ----------
    folder
        Holds ``study.json``, ``journal.log`` and ``metrics/``.
    header
        What it is about.
    journal
        The Optuna study behind it.
    """

    def __init__(self, folder: Path, header: StudyHeader, journal: optuna.Study) -> None:
        self.folder = folder
        self.header = header
        self._journal = journal

    @classmethod
    def load(cls, folder: Path) -> Study:
        """Read a study; it may be running.

        Raises
        ------
        ConfigError, IntegrityError, FormatVersionError
            As :meth:`StudyHeader.read` and :func:`open_journal`.
        """
        header = StudyHeader.read(folder)
        return cls(folder, header, open_journal(folder, create=False))

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial, in the order drawn; without the points that wait for a first or second try."""
        alive, stopped = is_locked(self.folder), interrupted_numbers(self._journal)
        try:
            read = (
                read_trial(frozen, interrupted=frozen.number in stopped, writer_alive=alive)
                for frozen in self._journal.get_trials(deepcopy=False)
            )
            return tuple(trial for trial in read if trial.state != "waiting")
        except (KeyError, TypeError, ConfigError) as error:
            raise IntegrityError(f"{self.folder}: a trial is unreadable: {error}", hint="search again") from error

    @cached_property
    def baselines(self) -> tuple[Baseline, ...]:
        """The simple models, best first."""
        attributes = self._journal.user_attrs
        read = [
            Baseline(name.removeprefix(BASELINE_PREFIX), raw["servable"], Measurement.from_json(raw["measured"]))
            for name, raw in attributes.items()
            if name.startswith(BASELINE_PREFIX)
        ]
        return tuple(sorted(read, key=lambda baseline: (-baseline.measured.ndcg.value, baseline.name)))

    @cached_property
    def ranking(self) -> tuple[tuple[Trial, Measurement], ...]:
        """The complete and the cut trials with what was measured, best first; duplicates left out."""
        measured = [(t, t.measured) for t in self.trials if t.state in {"complete", "cut"} and t.measured is not None]
        return tuple(sorted(measured, key=lambda pair: (-pair[1].ndcg.value, pair[0].number)))

    def per_user(self, name: str) -> UserMetrics:
        """Read the validation metrics per user of a baseline (its name) or trial (its key).

        Raises
        ------
        IntegrityError
            If their file is missing or damaged.
        """
        path = metrics_path(self.folder, name)
        try:
            recall, ndcg = read_array(path, (np.float32,), (2, None)).astype(np.float64)
        except IntegrityError as error:
            reason = error.message.removeprefix(f"{path} ")
            raise IntegrityError(
                f"{path} is missing or damaged: it {reason}", hint="restore it, or search again"
            ) from error
        return UserMetrics(recall=recall, ndcg=ndcg)

    @cached_property
    def verdict(self) -> Verdict:
        """Which model to ship.

        Raises
        ------
        NoViableTrialError
            If none is usable.
        """
        gnn = next((trial for trial, _ in self.ranking), None)
        simple = next((baseline for baseline in self.baselines if baseline.servable), None)
        other = next((baseline for baseline in self.baselines if not baseline.servable), None)
        names = [gnn.key] if gnn is not None else []
        names += [baseline.name for baseline in (simple, other) if baseline is not None]
        found = {name: self.per_user(name).ndcg for name in names}
        if len({len(ndcg) for ndcg in found.values()}) > 1:
            raise IntegrityError(
                f"{self.folder / _METRICS}: the models were measured on different numbers of users",
                hint="restore the files, or search again",
            )
        return decide(
            None if gnn is None else (gnn, found[gnn.key]),
            None if simple is None else (simple, found[simple.name]),
            unservable=None if other is None else (other, found[other.name]),
            seed=self.header.seed,
        )

    @property
    def best_servable(self) -> float | None:
        """The highest ndcg@20 of what could ship; None where nothing is measured."""
        servable = [baseline.measured for baseline in self.baselines if baseline.servable]
        return max((m.ndcg.value for m in (*servable, *(m for _, m in self.ranking))), default=None)

    def pick(self, selector: str) -> ArchitectureSpec | str:
        """Choose a model of the study to train.

        Parameters
        ----------
        selector
            ``"verdict"``, ``"best-gnn"``, the name of a baseline, or the number or key of a trial.

        Returns
        -------
        ArchitectureSpec or str
            An architecture, or the name of a baseline.

        Raises
        ------
        ConfigError
            If the study has no such trial, or it was not measured.
        NoViableTrialError
            If there is no usable model to be the verdict, or no measured trial to be the best.
        """
        if selector == VERDICT:
            selector = self.verdict.name
        elif selector == BEST_GNN:
            if not self.ranking:
                raise NoViableTrialError(
                    f"{self.folder}: no trial is complete", hint="search on: the same command goes on with the study"
                )
            selector = self.ranking[0][0].key
        if any(baseline.name == selector for baseline in self.baselines):
            return selector
        for trial in self.trials:
            if selector in (str(trial.number), trial.key) and trial.spec is not None:
                if trial.key in {measured.key for measured, _ in self.ranking}:
                    return trial.spec
                if selector == str(trial.number):
                    raise ConfigError(
                        f"trial {selector} is {trial.state}{': ' if trial.reason else ''}{trial.reason}",
                        hint="choose a complete one: see `gnas-serve study leaderboard`",
                    )
        numbers = [str(trial.number) for trial, _ in self.ranking]
        raise unknown_name("trial", selector, [VERDICT, BEST_GNN, *(b.name for b in self.baselines), *numbers])


def metrics_path(folder: Path, name: str) -> Path:
    """Say where the metrics per user of a model lie."""
    return folder / _METRICS / f"{name}.npy"
