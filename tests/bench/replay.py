"""Strategies replay the table of trained architectures: how much of its best they miss after so many trials.

``python tests/bench/replay.py`` lets every strategy search ``table/`` over many seeds. A model that was drawn before
costs no trial, and after some in a row a point is drawn at random, as in a study. *Regret* is what the mean ndcg@20
over the table's seeds, of the architecture that a search holds for its best, is below that of the best there is. With
``--noise`` a search is told the ndcg of one seed, drawn at random for each architecture, and its regret is still that
of the mean. Strategies that rest on a supernet have one of ``shortlists.py``, and are charged as many trials as it
took the time of, worth what chance is.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from scipy.stats import mannwhitneyu
from shortlists import read_lists
from table import SEEDS, architectures, network_space, read_table

from gnas_search.space.points import random_point
from gnas_search.specs import GNN
from gnas_search.strategies import SHARING_STRATEGIES, STRATEGIES, make_strategy
from gnas_search.strategies.tally import FAMILY
from gnas_search.study.draws import LOST

TRIALS = (10, 20, 40, 80)
DECIDED_AT = 40
_DRAWS = 20
"""Times as many draws as trials, duplicates among them, end a search."""

_SILENT = optuna.logging.WARNING

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """What every architecture is worth.

    Attributes
    ----------
    values : key -> (seeds,)
        Best ndcg@20 over the epochs of each training; 0 where it failed.
    """

    values: dict[str, Floats]

    @classmethod
    def read(cls) -> Table:
        found: dict[str, dict[int, float]] = {key: {} for key in architectures(network_space())}
        for line in read_table():
            if line["key"] in found:
                found[line["key"]][line["seed"]] = max(line.get("ndcg", [0.0]))
        missing = [key for key, values in found.items() if len(values) < len(SEEDS)]
        if missing:
            raise SystemExit(f"the table lacks {len(missing)} of {len(found)} architectures: run table.py")
        return cls({key: np.array([values[seed] for seed in SEEDS]) for key, values in found.items()})

    @property
    def best(self) -> float:
        return max(float(values.mean()) for values in self.values.values())


def search(table: Table, name: str, seed: int, *, noise: bool) -> tuple[Floats, float]:
    """Let a strategy search the table; give its regret after each of :data:`TRIALS`, and seconds per draw."""
    space = network_space()
    strategy = make_strategy(name, GNN, space, seed)
    study = optuna.create_study(direction="maximize")
    charged = 0
    if name in SHARING_STRATEGIES:
        lists = read_lists(name)
        lists.shortlists[seed % len(lists.shortlists)].write(study, name)
        charged = lists.trials
    rng = np.random.default_rng([seed, 1])
    told: dict[str, float] = {}
    best_told, held = -1.0, ""
    means = {key: float(values.mean()) for key, values in table.values.items()}
    # Before its first trial a search has nothing: it could do no better than to take any.
    regrets: list[float] = [table.best - sum(means.values()) / len(means)] * sum(count <= charged for count in TRIALS)
    started, draws = time.perf_counter(), 0
    repeats = 0
    while charged + len(told) < TRIALS[-1] and draws < _DRAWS * TRIALS[-1]:
        draws += 1
        lost = repeats >= LOST
        point = random_point(strategy.rng(study), space.genes) if lost else strategy.propose(study)
        study.enqueue_trial(point, user_attrs={FAMILY: GNN})
        trial = study.ask(dict(space.genes))
        key = space.to_spec(trial.params).key()
        repeats += 1
        if key not in told:
            repeats = 0
            values = table.values[key]
            told[key] = float(values[rng.integers(len(values))] if noise else values.mean())
            if told[key] > best_told:
                best_told, held = told[key], key
            if charged + len(told) in TRIALS:
                regrets.append(table.best - means[held])
        study.tell(trial, told[key])
    seconds = (time.perf_counter() - started) / draws
    regrets += [table.best - means[held]] * (len(TRIALS) - len(regrets))
    return np.array(regrets), seconds


def measure(pool: Executor, table: Table, name: str, seeds: int, *, noise: bool) -> dict[str, Any]:
    """Replay one strategy over many seeds."""
    one = partial(search, table, name, noise=noise)
    found = list(pool.map(one, range(seeds)))
    regrets = np.stack([regret for regret, _ in found])  # (seeds, trials)
    return {"regrets": regrets, "draw_ms": float(np.median([seconds for _, seconds in found])) * 1e3}


def summary(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Give by strategy the quartiles of regret after each of :data:`TRIALS`, and p against random."""
    place = TRIALS.index(DECIDED_AT)
    chance = np.asarray(found["random"]["regrets"])[:, place]
    told = {}
    for name, one in found.items():
        regrets = np.asarray(one["regrets"])
        low, middle, high = np.quantile(regrets, [0.25, 0.5, 0.75], axis=0).round(4).tolist()
        p = None if name == "random" else float(mannwhitneyu(regrets[:, place], chance, alternative="less").pvalue)
        told[name] = {"low": low, "median": middle, "high": high, "p": p, "draw_ms": round(one["draw_ms"], 1)}
        told[name]["seeds"] = len(regrets)
    return told


def markdown(told: dict[str, dict[str, Any]]) -> str:
    """Write a summary, best first at :data:`DECIDED_AT` trials."""
    place = TRIALS.index(DECIDED_AT)
    heads = " | ".join(f"{count} trials" for count in TRIALS)
    lines = [
        f"| strategy | {heads} | p against random at {DECIDED_AT} | ms per draw | seeds |",
        f"|---|{'---|' * len(TRIALS)}---|---|---|",
    ]
    for name, one in sorted(told.items(), key=lambda pair: (pair[1]["median"][place], pair[1]["p"] or 0.0)):
        columns = zip(one["median"], one["low"], one["high"], strict=True)
        cells = [f"{middle:.4f} ({low:.4f} .. {high:.4f})" for middle, low, high in columns]
        p = "" if one["p"] is None else f"{one['p']:.1g}" if one["p"] < 0.1 else f"{one['p']:.2f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {p} | {one['draw_ms']:.1f} | {one['seeds']} |")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--strategies", nargs="+", choices=sorted(STRATEGIES), default=sorted(STRATEGIES))
    options.add_argument("--seeds", type=int, default=200)
    options.add_argument("--noise", action="store_true", help="tell a search the ndcg of one seed")
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--json", type=Path, help="where to write the summary")
    given = options.parse_args()
    table = Table.read()
    means = np.array([values.mean() for values in table.values.values()])
    spread = np.std([values - values.mean() for values in table.values.values()]) * np.sqrt(
        len(SEEDS) / (len(SEEDS) - 1)
    )
    print(f"{len(means)} architectures, ndcg@20 {means.min():.4f} .. {means.max():.4f}, between seeds {spread:.4f}")
    found = {}
    with ProcessPoolExecutor(given.processes, initializer=optuna.logging.set_verbosity, initargs=(_SILENT,)) as pool:
        for name in dict.fromkeys(["random", *given.strategies]):
            found[name] = measure(pool, table, name, given.seeds, noise=given.noise)
            print(f"{name}: {np.median(found[name]['regrets'], axis=0).round(4).tolist()}", flush=True)
    told = summary(found)
    print(markdown(told))
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
