"""A table of trained architectures: every network of a small space on ml-100k, two seeds each, by the product's code.

``python tests/bench/table.py`` trains what the table lacks and appends a line per training, so that it goes on where it
was stopped; ``--part 0/2`` and ``--part 1/2`` divide the work between two processes with a file each. Strategies
then replay the table (``replay.py``) thousands of times without training anything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.splits import load_dataset
from gnas_search.evaluate import validation_of
from gnas_search.selection import fit_selected
from gnas_search.space import Gene, NetworkSpace, SearchSpace
from gnas_search.space.genes import choices
from gnas_serve.errors import GnasError

FOLDER = Path(__file__).parent / "table"
SEEDS = (0, 1)
SPACE: dict[str, Any] = {
    "genes": {
        "num_layers": {"low": 0, "high": 2},
        "operator": ["gat", "gcn", "lightgcn", "sage_mean"],
        "combination": ["last", "mean", "concat"],
        "include_input": [False, True],
        "scorer": ["cosine", "dot"],
        "loss": ["bpr", "softmax"],
        "embedding_dim": [32, 64],
    },
    # The middle, by ratio, of the standard space's range of rates: none of the architectures was tuned for.
    "fixed": {
        "learning_rate": 0.012,
        "temperature": 0.1,
        "init": "random",
        "edges": "target",
        "epochs": 12,
        "patience": 3,
    },
    "start": [{"layers": ["lightgcn"], "loss": "softmax", "temperature": 0.1}],
}


def network_space() -> NetworkSpace:
    """Give the space whose every point is in the table."""
    space = SearchSpace.from_json(SPACE).families["gnn"]
    assert isinstance(space, NetworkSpace)
    return space


def architectures(space: NetworkSpace) -> dict[str, ArchitectureSpec]:
    """List every distinct architecture of a discrete space, by key."""
    names = list(space.genes)
    found = {}
    for values in product(*(_values(space.genes[name]) for name in names)):
        spec = space.to_spec(dict(zip(names, values, strict=True)))
        found[spec.key()] = spec
    return found


def _values(gene: Gene) -> tuple[Any, ...]:
    return choices(gene, None)


def read_table() -> Iterator[dict[str, Any]]:
    """Give the lines of the table: ``key``, ``seed``, ``ndcg`` of each epoch, ``seconds``; ``reason`` of a failure."""
    for path in sorted(FOLDER.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=Path(os.environ.get("GNAS_REAL_DATA", "../shared/data")))
    options.add_argument("--part", default="0/1", help="which part of how many: 0/2")
    given = options.parse_args()
    part, parts = map(int, given.part.split("/"))
    dataset = load_dataset(given.data / "ml-100k", DatasetConfig())
    validation = validation_of(dataset)
    done = {(line["key"], line["seed"]) for line in read_table()}
    every = sorted(architectures(network_space()).items())
    missing = [(key, spec, seed) for seed in SEEDS for key, spec in every if (key, seed) not in done]
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"ml-100k.{part}.jsonl").open("a", encoding="utf-8") as stream:
        for number, (key, spec, seed) in enumerate(missing[part::parts]):
            line: dict[str, Any] = {"key": key, "seed": seed}
            try:
                found = fit_selected(spec, dataset.selection, validation, seed=seed)
            except GnasError as error:
                line["reason"] = error.code
            else:
                line["ndcg"] = [round(epoch.ndcg, 6) for epoch in found.history]
                line["seconds"] = round(sum(epoch.seconds for epoch in found.history), 3)
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            if number % 50 == 0:
                print(f"{number} of {len(missing[part::parts])}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
