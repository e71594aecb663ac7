"""What supernets list of the table's space, kept as data, so that the strategies that rest on them are replayed too.

``python tests/bench/shortlists.py`` trains supernets on ml-100k from :data:`SEEDS`, for each strategy that has one, as
a search with ``--trials`` does, and keeps in ``table/`` what each lists, the seconds it took, and those that a
training of the table takes meanwhile. What is there already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from table import FOLDER, architectures, network_space

from gnas_search.data.dataset import Dataset
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.splits import load_dataset
from gnas_search.evaluate import validation_of
from gnas_search.selection import fit_selected
from gnas_search.strategies import SHARING_STRATEGIES
from gnas_search.strategies.shortlist import Listed, Shortlist
from gnas_search.supernet import SUPERNETS, Survey

SEEDS = range(10)
_TIMED = 8
"""Trainings that are timed beside each supernet."""
FILE = FOLDER / "shortlists.json"


@dataclass(frozen=True)
class Lists:
    """The supernets of a strategy.

    Attributes
    ----------
    shortlists
        Of one supernet each.
    trials
        How many trainings of the table take as long as a supernet: what a replay charges for it.
    """

    shortlists: tuple[Shortlist, ...]
    trials: int


def read_lists(strategy: str) -> Lists:
    """Read what is kept of a strategy.

    Raises
    ------
    SystemExit
        If a supernet is missing.
    """
    kept = [one for one in _kept() if one["strategy"] == strategy]
    if len(kept) < len(SEEDS):
        raise SystemExit(f"{strategy} has {len(kept)} of {len(SEEDS)} supernets: run shortlists.py")
    shortlists = tuple(
        Shortlist(tuple(Listed(point, worth) for point, worth in one["listed"]), seconds=one["seconds"]) for one in kept
    )
    return Lists(shortlists, max(1, round(float(np.median([one["seconds"] / one["training_s"] for one in kept])))))


def _kept() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else []


def training_s(dataset: Dataset, seed: int) -> float:
    """Give the mean seconds of trainings of networks drawn from the table."""
    every = list(architectures(network_space()).values())
    drawn = np.random.default_rng(seed).choice(len(every), _TIMED, replace=False)
    began = time.perf_counter()
    for place in drawn:
        fit_selected(every[place], dataset.selection, validation_of(dataset), seed=seed)
    return (time.perf_counter() - began) / _TIMED


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=Path(os.environ.get("GNAS_REAL_DATA", "../shared/data")))
    given = options.parse_args()
    dataset = load_dataset(given.data / "ml-100k", DatasetConfig())
    validation = validation_of(dataset)
    kept = _kept()
    for strategy in SHARING_STRATEGIES:
        for seed in SEEDS:
            if any(one["strategy"] == strategy and one["seed"] == seed for one in kept):
                continue
            began = time.perf_counter()
            answer = SUPERNETS[strategy](Survey(network_space(), dataset.selection, validation, seed))
            took = time.perf_counter() - began
            kept.append(
                {
                    "strategy": strategy,
                    "seed": seed,
                    "epochs": answer.epochs,
                    "ranked": answer.ranked,
                    "seconds": round(took, 1),
                    "training_s": round(training_s(dataset, seed), 2),
                    "listed": [[one.point, round(one.worth, 6)] for one in answer.listed],
                }
            )
            FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            print(f"{strategy}, seed {seed}: {kept[-1]['epochs']} epochs, {kept[-1]['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
