"""How well shared weights rank architectures: those of the table by a supernet, beside what training made of each.

``python tests/bench/supernet_rank.py --strategy one-shot --seed 0`` trains a supernet on ml-100k over the table's space
and measures, with its weights, every architecture of the table that it covers: all of its operators, depths and
combinations, and under ``one-shot`` its scorers, at the loss and the dims that ``--loss`` and ``--dim`` say. It prints
Kendall's tau between these figures and the table's mean ndcg@20, of all and of the better half, and the regret of the
best by shared weights. What DARTS lists it names with the places that the table gives them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from replay import Table
from scipy.stats import kendalltau
from table import SPACE, network_space

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import Dataset
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.splits import load_dataset
from gnas_search.evaluate import validation_of
from gnas_search.space import NetworkSpace
from gnas_search.supernet import Survey
from gnas_search.supernet.choices import Choices, mixed_choices, path_choices
from gnas_search.supernet.choices import Path as Way
from gnas_search.supernet.darts import discretised, train_mixture
from gnas_search.supernet.network import SharedNetwork
from gnas_search.supernet.one_shot import train_paths
from gnas_search.supernet.ranking import shared_worth


def space_at(loss: str, dim: int, epochs: int) -> NetworkSpace:
    """Give the table's space with the setting that a supernet has: a loss, a width, and so many epochs."""
    space = network_space()
    start = replace(space.starts[0], loss=loss, embedding_dim=dim, epochs=epochs)
    return replace(space, starts=(start,), fixed={**space.fixed, "epochs": epochs})


def ways(choices: Choices) -> dict[str, Way]:
    """List the paths of a supernet by the key of their network; of equal networks the first."""
    found: dict[str, Way] = {}
    for values in product(*choices.values.values()):
        way = choices.path(dict(zip(choices.values, values, strict=True)))
        if choices.covers(way.spec):
            found.setdefault(_key(way.spec), way)
    return found


def _key(spec: ArchitectureSpec) -> str:
    return replace(spec, epochs=SPACE["fixed"]["epochs"]).key()  # however long the supernet is trained


def trained(
    dataset: Dataset, space: NetworkSpace, strategy: str, seed: int
) -> tuple[SharedNetwork, Choices, list[str]]:
    """Train a supernet on the training part of a dataset; give it, what it covers, and what DARTS lists, by key."""
    survey = Survey(space, dataset.selection, validation_of(dataset), seed)
    if strategy == "one-shot":
        choices = path_choices(space)
        return train_paths(choices, survey)[0], choices, []
    choices = mixed_choices(space)
    network, mixture, _ = train_mixture(choices, survey)
    return network, choices, [_key(one.path.spec) for one in discretised(network, mixture, survey)]


def shared(
    network: SharedNetwork, choices: Choices, dataset: Dataset, keys: Iterable[str] | None = None
) -> dict[str, float]:
    """Measure architectures with the weights of a supernet.

    Parameters
    ----------
    network, choices
        From :func:`trained`.
    dataset
        On its validation users.
    keys
        Of the architectures; all that the supernet covers when None, and no others in any case.
    """
    validation, known = validation_of(dataset), ways(choices)
    wanted = known if keys is None else [key for key in keys if key in known]
    return {key: shared_worth(network, known[key], validation) for key in wanted}


def agreement(ours: dict[str, float], table: dict[str, float]) -> dict[str, Any]:
    """Compare two rankings of the architectures that both have."""
    both = sorted(set(ours) & set(table))
    shares, worth = np.array([ours[key] for key in both]), np.array([table[key] for key in both])
    upper = worth >= np.median(worth)
    return {
        "architectures": len(both),
        "tau": float(kendalltau(shares, worth).statistic),
        "tau_of_the_better_half": float(kendalltau(shares[upper], worth[upper]).statistic),
        "regret": float(worth.max() - worth[shares.argmax()]),
        "regret_of_the_best_of_12": float(worth.max() - worth[np.argsort(-shares)[:12]].max()),
        "regret_of_chance": float(worth.max() - worth.mean()),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=Path(os.environ.get("GNAS_REAL_DATA", "../shared/data")))
    options.add_argument("--strategy", choices=["darts", "one-shot"], default="one-shot")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--loss", choices=SPACE["genes"]["loss"], default="softmax")
    options.add_argument("--dim", type=int, choices=SPACE["genes"]["embedding_dim"], default=64)
    options.add_argument("--epochs", type=int, default=SPACE["fixed"]["epochs"], help="of the setting, as of a trial")
    options.add_argument("--json", type=Path, help="where to write every figure")
    given = options.parse_args()
    dataset = load_dataset(given.data / "ml-100k", DatasetConfig())
    began = time.perf_counter()
    space = space_at(given.loss, given.dim, given.epochs)
    network, choices, listed = trained(dataset, space, given.strategy, given.seed)
    trained_s = time.perf_counter() - began
    ours = shared(network, choices, dataset)
    ranked_s = time.perf_counter() - began - trained_s
    print(f"{given.strategy}, seed {given.seed}: trained in {trained_s:.1f} s, {len(ours)} ranked in {ranked_s:.1f} s")
    found: dict[str, Any] = {"shared": ours, "listed": listed}
    try:
        table = {key: float(values.mean()) for key, values in Table.read().values.items()}
    except SystemExit as lacking:
        print(f"nothing to compare with: {lacking}")
    else:
        found["agreement"] = agreement(ours, table)
        print(json.dumps(found["agreement"], indent=2))
        order = sorted((key for key in ours if key in table), key=lambda key: -table[key])
        if listed:
            print("places in the table of what is listed:", [order.index(key) + 1 for key in listed if key in order])
    if given.json is not None:
        given.json.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
