"""Strategies side by side on real data: searches of one budget, over several seeds, with the driver's own time.

``python tests/bench/strategies.py DATA --work FOLDER --budget 2m --seeds 0 1`` runs one ``gnas-serve search`` for each
strategy and seed, trains the study's verdict and its best network on train + validation, and scores them on test once.
What was measured is kept in FOLDER: an interrupted run goes on with the search that it was in from its beginning, and
``--strategies`` may be given in parts. Seeds are the outer loop, so that what the machine does meanwhile strikes all
strategies alike.

*Overhead* is what passes between the first trial's start and the last one's end and is in no trial: asking the
strategy, writing the journal, telling whoever watches. It is shown as a share of that time, and per trial.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from splits import HERE, run

from gnas_search.strategies import STRATEGIES
from gnas_search.study import Study
from gnas_search.study.journal import open_journal

MODELS = ("verdict", "best-gnn")


def measure(data: Path, study: Path, strategy: str, budget: str, seed: int, space: str) -> dict[str, Any]:
    """Search with one strategy and seed, then train and measure."""
    searching = [sys.executable, "-m", "gnas_serve.cli", "search", data, "--out", study, "--budget", budget]
    run([*searching, "--seed", str(seed), "--strategy", strategy, "--space", space, "--output", "json"])
    found = json.loads(run([sys.executable, HERE / "rival_study.py", data, study, *MODELS]))
    return {"strategy": strategy, "seed": seed, "models": found, **facts(study)}


def facts(folder: Path) -> dict[str, Any]:
    """Say how many trials a study has, of networks and of all families, and what the driver took beside them."""
    study = Study.load(folder)
    best = study.best_of("gnn")
    ended = [trial for trial in study.trials if trial.measured is not None]
    clocks = {
        trial.number: (trial.datetime_start, trial.datetime_complete)
        for trial in open_journal(folder, create=False).get_trials(deepcopy=False)
        if trial.datetime_start is not None and trial.datetime_complete is not None
    }
    whole_s = (max(end for _, end in clocks.values()) - min(start for start, _ in clocks.values())).total_seconds()
    overhead_s = whole_s - sum(trial.measured.seconds for trial in ended if trial.measured is not None)
    # One that is put off has begun, and ends when all others have: of its time, what others took is not its own.
    ends = sorted(end for _, end in clocks.values())
    for start, end in (clocks[trial.number] for trial in study.trials if trial.state in ("failed", "interrupted")):
        before = ends[: bisect_left(ends, end)]
        overhead_s -= (end - max([start, *before[-1:]])).total_seconds()
    return {
        "valid_gnn": None if best is None or best.measured is None else best.measured.ndcg.value,
        "trials": len(ended),
        "networks": sum(trial.kind == "gnn" for trial in ended),
        "overhead_share": overhead_s / whole_s,
        "overhead_s": overhead_s / max(1, len(ended)),
    }


def table(name: str, budget: str, runs: Sequence[dict[str, Any]]) -> str:
    """Write what the strategies found as markdown, by the median test ndcg of their best networks."""
    lines = [
        f"### {name}: searches of {budget}, seeds {sorted({one['seed'] for one in runs})}",
        "",
        "| strategy | best network: validation | test ndcg@20 | verdict: test ndcg@20 | trials (networks) | overhead |",
        "|---|---|---|---|---|---|",
    ]
    by_strategy: dict[str, list[dict[str, Any]]] = {}
    for one in runs:
        by_strategy.setdefault(one["strategy"], []).append(one)
    rows = []
    for strategy, every in by_strategy.items():
        network = [one["models"]["best-gnn"]["ndcg"] for one in every if "best-gnn" in one["models"]]
        verdict = [one["models"]["verdict"]["ndcg"] for one in every]
        valid = [one["valid_gnn"] for one in every if one["valid_gnn"] is not None]
        trials, networks = (statistics.median(one[key] for one in every) for key in ("trials", "networks"))
        share, seconds = (statistics.median(one[key] for one in every) for key in ("overhead_share", "overhead_s"))
        cells = [strategy, spread(valid), spread(network), spread(verdict), f"{trials:.0f} ({networks:.0f})"]
        line = f"| {' | '.join(cells)} | {share:.1%}, {1000 * seconds:.0f} ms |"
        rows.append((statistics.median(network) if network else 0.0, line))
    return "\n".join([*lines, *(line for _, line in sorted(rows, reverse=True))])


def spread(values: Sequence[float]) -> str:
    """Write a median with least and most."""
    if not values:
        return "none"
    return f"{statistics.median(values):.4f} ({min(values):.4f} .. {max(values):.4f})"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("--budget", default="2m", help="of each search")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    options.add_argument("--strategies", nargs="+", default=sorted(STRATEGIES), choices=sorted(STRATEGIES))
    options.add_argument("--space", default="standard")
    options.add_argument("--work", type=Path, required=True, help="where the studies go; what lies there is kept")
    given = options.parse_args()
    runs = []
    for seed in given.seeds:
        for strategy in given.strategies:
            folder = given.work.resolve() / f"{given.data.name}-{given.space}-{given.budget}-{strategy}-{seed}"
            done = folder / "measured.json"
            if not done.is_file():
                shutil.rmtree(folder, ignore_errors=True)  # or a search would go on, for its whole budget again
                folder.mkdir(parents=True)
                found = measure(given.data.resolve(), folder / "study", strategy, given.budget, seed, given.space)
                done.write_text(json.dumps(found, indent=1), encoding="utf-8")
                print(f"{strategy}: seed {seed} done", file=sys.stderr, flush=True)
            runs.append(json.loads(done.read_text(encoding="utf-8")))
    print(table(given.data.name, given.budget, runs), flush=True)


if __name__ == "__main__":
    main()
