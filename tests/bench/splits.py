"""What a search finds on a data set, over several seeds: search, train, and the test part scored once per model.

``python tests/bench/splits.py DATA --budget 15m --seeds 0 1 2`` runs ``gnas-serve search`` with each seed, trains
models of its study on train + validation, and prints medians with least and most. The baselines are among the models,
so the verdict stands beside what it has to beat. Users that occur in test alone are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODELS = ("verdict", "blend", "best-gnn", "best-filter", "best-two-hop", "item-knn", "svd", "popularity")


def run(command: Sequence[str | Path]) -> str:
    """Run a process; give its output.

    What it says goes into a file: to read each line of a pipe, on the same core, took a tenth of what is measured
    between two trials.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=said, text=True)
        if done.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(str(part) for part in command)}\n{said.read()[-4000:]}")
    return done.stdout


def measure(
    data: Path, study: Path, budget: str, seed: int, models: Sequence[str], *, hand_picked: bool
) -> dict[str, Any]:
    """Search with one seed, then train and measure models of the study, and LightGCN by hand in as many seconds."""
    load, started = os.getloadavg()[0], time.monotonic()
    searching = [sys.executable, "-m", "gnas_serve.cli", "search", data, "--out", study, "--budget", budget]
    run([*searching, "--seed", str(seed), "--output", "json"])
    search_s = time.monotonic() - started
    found = json.loads(run([sys.executable, HERE / "rival_study.py", data, study, *models]))
    if hand_picked:
        by_hand = [sys.executable, HERE / "hand_picked.py", data, "--seconds", str(search_s), "--seed", str(seed)]
        found |= json.loads(run(by_hand))
    return {"seed": seed, "search_s": search_s, "load": [load, os.getloadavg()[0]], "models": found}


def table(name: str, budget: str, runs: Sequence[dict[str, Any]]) -> str:
    """Write what the seeds gave as markdown."""
    seconds = statistics.median(one["search_s"] for one in runs)
    lines = [
        f"### {name}: {len(runs)} searches of {budget} ({seconds:.0f} s), seeds {[one['seed'] for one in runs]}",
        "",
        "| model | recall@20 | ndcg@20 | training s |",
        "|---|---|---|---|",
    ]
    for model in dict.fromkeys(model for one in runs for model in one["models"]):
        every = [one["models"][model] for one in runs if model in one["models"]]
        cells = [_spread([one[metric] for one in every], "{:.4f}") for metric in ("recall", "ndcg")]
        lines.append(f"| {model} | {cells[0]} | {cells[1]} | {_spread([one['train_s'] for one in every], '{:.1f}')} |")
    lines.append("")
    for one in runs:
        model, found = next(iter(one["models"].items()))
        lines.append(f"- {model} of seed {one['seed']}: {found['model']}")
    return "\n".join(lines)


def _spread(values: Sequence[float], form: str) -> str:
    middle, least, most = (form.format(value) for value in (statistics.median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({least} .. {most})"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path, nargs="+")
    options.add_argument("--budget", default="10m", help="of each search")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--models", nargs="+", default=list(MODELS), help="as `gnas-serve train --trial` takes them")
    options.add_argument("--work", type=Path, required=True, help="where the studies go; what lies there is kept")
    options.add_argument("--hand-picked", action="store_true", help="LightGCN in as many seconds: hand_picked.py")
    given = options.parse_args()
    for data in given.data:
        runs = []
        for seed in given.seeds:
            folder = given.work.resolve() / f"{data.name}-{given.budget}-{seed}"
            done = folder / "measured.json"
            if not done.is_file():
                shutil.rmtree(folder, ignore_errors=True)  # or a search would go on, for its whole budget again
                folder.mkdir(parents=True)
                measured = measure(
                    data.resolve(), folder / "study", given.budget, seed, given.models, hand_picked=given.hand_picked
                )
                done.write_text(json.dumps(measured, indent=1), encoding="utf-8")
                print(f"{data.name}: seed {seed} done", file=sys.stderr, flush=True)
            runs.append(json.loads(done.read_text(encoding="utf-8")))
        print(table(data.name, given.budget, runs), flush=True)


if __name__ == "__main__":
    main()
