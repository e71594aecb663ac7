"""LightGCN as somebody would set it up by hand, given the seconds that a search is given: for ``splits.py``.

``python tests/bench/hand_picked.py DATA --seconds 120 --seed 0`` trains each of two on train with early stopping on
validation, again on train + validation for as many epochs, scores test once, and prints JSON. How many epochs fit into
the seconds is measured first; the learning rate falls over just as many, and a tenth of them without a gain end it.

- ``published``: BPR on dot products, 64 dimensions, 3 layers and the input, drawn at random (He et al., 2020).
- ``tuned``: what did best on the validation of a public set among some hundred trials: full softmax on cosines, 128
  dimensions, begun at the SVD, without the input. A search of the standard space tries it first.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import Dataset
from gnas_search.data.readers import read_config
from gnas_search.data.splits import load_with_test
from gnas_search.evaluate import validation_of
from gnas_search.exam import Exam
from gnas_search.held_out import report
from gnas_search.outcome import checkpoint_outcome
from gnas_search.selection import fit_selected
from gnas_search.train import train_checkpoint

PUBLISHED = ArchitectureSpec(
    layers=("lightgcn",) * 3,
    include_input=True,
    scorer="dot",
    loss="bpr",
    init="random",
    embedding_dim=64,
    learning_rate=0.01,
    temperature=1.0,
)
TUNED = ArchitectureSpec(layers=("lightgcn",) * 3, loss="softmax", edges="all", embedding_dim=128)
HAND_PICKED = {"published": PUBLISHED, "tuned": TUNED}
MOST_EPOCHS = 1000


def with_epochs(spec: ArchitectureSpec, dataset: Dataset, seconds: float, seed: int) -> ArchitectureSpec:
    """Give a spec the epochs that fit into the seconds; the first of two is left out of the measurement."""
    probe = fit_selected(replace(spec, epochs=2), dataset.selection, validation_of(dataset), seed=seed)
    epochs = max(3, min(MOST_EPOCHS, round(seconds / probe.history[-1].seconds)))
    return replace(spec, epochs=epochs, patience=max(3, epochs // 10))


def main() -> dict[str, Any]:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("--seconds", type=float, required=True)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    dataset, test = load_with_test(given.data, read_config(given.data, {}))
    exam = Exam(dataset, test)
    found = {}
    for name, base in HAND_PICKED.items():
        spec = with_epochs(base, dataset, given.seconds, given.seed)
        start = time.perf_counter()
        checkpoint = train_checkpoint(dataset, spec, seed=given.seed)
        train_s = time.perf_counter() - start
        metrics = report(checkpoint_outcome(exam, checkpoint), exam).known_metrics
        found[f"LightGCN, {name}"] = {
            "model": f"{spec.summary()}, up to {spec.epochs} epochs",
            "valid_ndcg": checkpoint.metrics["ndcg@20"],
            "recall": metrics["recall@20"].value,
            "ndcg": metrics["ndcg@20"].value,
            "train_s": train_s,
        }
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
