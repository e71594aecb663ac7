"""The models of a study for ``rivals.py``: trained and measured, and when the first of them was good enough.

``python rival_study.py DATA STUDY MODEL [MODEL ...]`` trains each as ``gnas-serve train --trial MODEL`` does, scores it
on test as ``gnas-serve evaluate`` does, and prints JSON; the seconds are those of the training, both of its fits, and
not those of starting the interpreter and reading the data.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from gnas_search.data.splits import load_with_test
from gnas_search.exam import Exam
from gnas_search.held_out import report
from gnas_search.outcome import checkpoint_outcome
from gnas_search.study import Study, pick
from gnas_search.study.journal import open_journal
from gnas_search.study.metrics import metrics_path
from gnas_search.train import train_checkpoint
from gnas_serve.errors import NoViableTrialError


def first_to_reach(folder: Path, ndcg: float, started: float) -> dict[str, Any] | None:
    """Find the first model of a study with at least this validation ndcg@20.

    Parameters
    ----------
    folder
        Of the study.
    ndcg
        To be reached.
    started
        When the search began, in seconds since the epoch.

    Returns
    -------
    dict or None
        ``name``, ``ndcg``, ``command_s`` (since the search began: the interpreter's start, reading the data and every
        model tried before included) and ``model_s`` (fitting and validating that model, up to the epoch).
    """
    study = Study.load(folder)
    clocks = {trial.number: trial for trial in open_journal(folder, create=False).get_trials(deepcopy=False)}
    moments: list[dict[str, Any]] = []

    def add(name: str, reached: float, ended: float, model_s: float) -> None:
        moments.append({"name": name, "ndcg": reached, "command_s": ended - started, "model_s": model_s})

    for baseline in study.baselines:
        # The journal gives baselines no clock; the file of their metrics is written when they are measured.
        ended = metrics_path(folder, baseline.key).stat().st_mtime
        add(baseline.name, baseline.measured.ndcg.value, ended, baseline.measured.seconds)
    for trial, found in study.ranking:
        complete = clocks[trial.number].datetime_complete
        if complete is None:
            continue
        ended = complete.timestamp()
        if not found.history:
            add(trial.key, found.ndcg.value, ended, found.seconds)
        left = found.seconds
        for epoch in reversed(found.history):
            add(trial.key, epoch["ndcg"], ended, left)
            ended, left = ended - epoch["seconds"], left - epoch["seconds"]
    good = [moment for moment in moments if moment["ndcg"] >= ndcg]
    return min(good, key=lambda moment: float(moment["command_s"]), default=None)


def main(data: Path, folder: Path, models: list[str]) -> dict[str, Any]:
    """Train and measure models of a study; those that are one and the same once, those it does not have not at all."""
    study = Study.load(folder)
    dataset, test = load_with_test(data, study.header.config)
    exam = Exam(dataset, test)
    by_key: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {}
    for model in models:
        try:
            spec = pick(study, model)
        except NoViableTrialError:
            continue
        if spec.key() not in by_key:
            start = time.perf_counter()
            initial = study.warm_start.initial(spec)
            checkpoint = train_checkpoint(dataset, spec, seed=study.header.seed, initial=initial)
            train_s = time.perf_counter() - start
            metrics = report(checkpoint_outcome(exam, checkpoint), exam).known_metrics
            by_key[spec.key()] = {
                "model": spec.summary(),
                "valid_ndcg": checkpoint.metrics["ndcg@20"],
                "recall": metrics["recall@20"].value,
                "ndcg": metrics["ndcg@20"].value,
                "train_s": train_s,
            }
        found[model] = by_key[spec.key()]
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])))
