"""This project beside other recommenders on the same split: quality by one evaluator, and seconds in one run.

``python tests/bench/rivals.py --rivals-python OTHER/bin/python``; ``README.md`` beside this file says what is compared
and how. The rivals need not be installed where the project is: each runs in its own process of the other interpreter,
gets the split as a file and gives back its best items. Every process is given the same number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rival_study
from rival_tables import markdown

from gnas_search.data.dataset import Dataset, TestPart
from gnas_search.data.readers import read_config
from gnas_search.data.splits import load_with_test
from gnas_search.evaluate import rank_metrics

HERE = Path(__file__).parent
RIVALS = ("als", "bpr", "ease", "item-knn", "lightgcn")
OURS = ("verdict", "best-gnn", "best-filter", "best-two-hop", "blend")
SPLITS = ("temporal", "random")


@dataclass(frozen=True)
class Bench:
    """What is run, and where.

    Attributes
    ----------
    data, work
        The data folder, and one for all that is made: absolute.
    rivals_python
        The interpreter that has the rivals: absolute.
    seeds
        Of the searches and of the rivals' final fits.
    budget
        As ``gnas-serve search --budget`` takes it.
    threads
        Of every process.
    """

    data: Path
    work: Path
    rivals_python: Path
    rivals: Sequence[str]
    seeds: Sequence[int]
    budget: str
    threads: int

    def run(self, command: Sequence[str | Path]) -> tuple[str, float]:
        """Run a process; give its output and when it began."""
        # Threads that spin while they wait cost RecBole and OpenBLAS a multiple of their time on a busy machine.
        env = {**os.environ, "OMP_NUM_THREADS": str(self.threads), "OMP_WAIT_POLICY": "PASSIVE"}
        started = time.time()
        # RecBole leaves its logs where it runs.
        done = subprocess.run([str(part) for part in command], env=env, cwd=self.work, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(str(part) for part in command)}\n{done.stderr[-4000:]}")
        return done.stdout, started


def write_split(path: Path, dataset: Dataset, test: TestPart) -> None:
    """Write what a rival may see: the pairs of train and validation, and who is asked for in test."""

    def pairs(matrix: Any) -> npt.NDArray[np.int64]:
        found = matrix.tocoo()
        return np.stack([found.row, found.col]).astype(np.int64)

    np.savez(
        path,
        shape=np.array(dataset.valid.shape),
        train=pairs(dataset.selection.positives),
        valid=pairs(dataset.valid),
        test_users=test.user_rows[test.user_rows >= 0],
    )


def measure_rival(bench: Bench, name: str, split: Path, dataset: Dataset, test: TestPart) -> dict[str, Any]:
    """Run one rival, and measure its lists."""
    out = split.parent / f"{name}.npz"
    seeds = [str(seed) for seed in bench.seeds]
    _, started = bench.run([bench.rivals_python, "-W", "ignore", HERE / "rival_fit.py", name, split, out, *seeds])
    with np.load(out) as arrays:
        facts = json.loads(str(arrays["facts"]))
        valid_top, test_top = arrays["valid_top"], arrays["test_top"]
    valid_ndcg = rank_metrics(valid_top, dataset.valid[np.diff(dataset.valid.indptr) > 0]).mean()[1]
    if abs(valid_ndcg - facts["valid_ndcg"]) > 1e-6:
        sys.exit(f"{name} was tuned by ndcg@20 {facts['valid_ndcg']:.6f}, which the evaluator calls {valid_ndcg:.6f}")
    known = test.user_rows >= 0
    measured = [rank_metrics(top, test.relevant[known], test.num_relevant[known]).mean() for top in test_top]
    for run in facts.get("runs", []):
        run["command_s"] = run.pop("at") - started - run.pop("waited_s")
    recalls, ndcgs = zip(*measured, strict=True)
    return {**facts, "recall": recalls, "ndcg": ndcgs}


def measure_ours(bench: Bench, split: str, seed: int, folder: Path) -> dict[str, Any]:
    """Search with one seed, then train and measure the models of the study."""
    study = folder / f"study-{seed}"
    cli = [sys.executable, "-m", "gnas_serve.cli"]
    search: list[str | Path] = [*cli, "search", bench.data, "--out", study, "--split", split, "--budget", bench.budget]
    _, started = bench.run([*search, "--seed", str(seed), "--output", "json"])
    search_s = time.time() - started
    trained, _ = bench.run([sys.executable, HERE / "rival_study.py", bench.data, study, *OURS])
    return {"study": str(study), "started": started, "search_s": search_s, "models": json.loads(trained)}


def reach(bench: Bench, ours: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say when each search first had a model as good on validation as each training of LightGCN in the end."""
    found = []
    for run in runs:
        for one, seed in zip(ours, bench.seeds, strict=True):
            study = Path(one["study"])
            first = rival_study.first_to_reach(study, run["valid_ndcg"], one["started"])
            line: dict[str, Any] = {"rival": run["name"], "seed": seed, "rival_run": run, "first": first}
            if first is not None:
                trained, _ = bench.run([sys.executable, HERE / "rival_study.py", bench.data, study, first["name"]])
                line |= json.loads(trained)[first["name"]]
            found.append(line)
    return found


def compare(bench: Bench, split: str) -> dict[str, Any]:
    """Run everything on one split."""
    folder = bench.work / split
    folder.mkdir()
    dataset, test = load_with_test(bench.data, read_config(bench.data, {"split": split}))
    write_split(folder / "split.npz", dataset, test)
    load = [os.getloadavg()[0]]
    rivals = {}
    for name in bench.rivals:
        rivals[name] = measure_rival(bench, name, folder / "split.npz", dataset, test)
        load.append(os.getloadavg()[0])
        print(f"{split}: {name} done", file=sys.stderr, flush=True)
    ours = []
    for seed in bench.seeds:
        ours.append(measure_ours(bench, split, seed, folder))
        load.append(os.getloadavg()[0])
        print(f"{split}: seed {seed} searched and trained", file=sys.stderr, flush=True)
    reached = reach(bench, ours, rivals["lightgcn"]["runs"]) if "lightgcn" in rivals else []
    counts = {"train": dataset.selection.positives.nnz, "valid": dataset.valid.nnz, "test": int(test.relevant.nnz)}
    return {
        "split": split,
        "users": len(dataset.users),
        "items": len(dataset.items),
        "interactions": counts,
        "load": [min(load), statistics.median(load), max(load)],
        "rivals": rivals,
        "ours": ours,
        "reached": reached,
    }


def main() -> None:
    default = Path(os.environ.get("GNAS_REAL_DATA", "../shared/data")) / "ml-100k"
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rivals-python", type=Path, required=True, help="an interpreter that has the rivals")
    options.add_argument("--data", type=Path, default=default)
    options.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS)
    options.add_argument("--rivals", nargs="*", choices=RIVALS, default=RIVALS)
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--budget", default="60s")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--json", type=Path, help="where to write every figure")
    given = options.parse_args()
    found: dict[str, Any] = {"cores": os.cpu_count(), "threads": given.threads, "budget": given.budget, "splits": []}
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(
            given.data.resolve(),
            Path(work),
            given.rivals_python.absolute(),  # not resolved: the link is what tells Python its environment
            given.rivals,
            given.seeds,
            given.budget,
            given.threads,
        )
        for split in given.splits:
            found["splits"].append(compare(bench, split))
            print(markdown(found["splits"][-1]), flush=True)
            if given.json is not None:
                given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
