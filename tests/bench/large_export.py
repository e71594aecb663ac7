"""What an export of a large checkpoint takes: time and peak memory, with the forecast of ``--dry-run`` beside them.

``python tests/bench/large_export.py FOLDER [--users 1000000 --items 200000 --dim 64]`` makes a synthetic checkpoint in
the folder, unless it is there, and exports it in a process of its own. Users have tastes of two kinds out of 500,
items one; within a kind items are popular by Zipf's law, and a user's vector is the sum of those of its items.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from gnas_search.checkpoint import Checkpoint
from gnas_search.data.interactions import DatasetConfig
from gnas_search.fit import Branch, Fit
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.vocabulary import Vocabulary

KINDS, PER_USER, HELD_OUT = 500, 20, 100_000


def histories(rng: np.random.Generator, users: int, items: int) -> sp.csr_matrix:
    """Draw the (users, items) interactions."""
    kinds = min(KINDS, items // 20)
    tastes = rng.integers(0, kinds, (users, 2))
    per_kind = items // kinds
    chances = 1.0 / np.arange(1, per_kind + 1) ** 0.8
    cells = np.searchsorted(np.cumsum(chances / chances.sum()), rng.random((users, PER_USER)))
    chosen = np.take_along_axis(tastes, rng.integers(0, 2, (users, PER_USER)), axis=1)
    columns = (chosen * per_kind + np.minimum(cells, per_kind - 1)).astype(np.int32)
    indptr = np.arange(0, users * PER_USER + 1, PER_USER, dtype=np.int64)
    drawn = sp.csr_matrix((np.ones(users * PER_USER, np.float32), columns.ravel(), indptr), shape=(users, items))
    drawn.sum_duplicates()
    drawn.data[:] = 1.0
    return drawn


def checkpoint(users: int, items: int, dim: int, seed: int = 0) -> Checkpoint:
    """Make a checkpoint of one branch with vectors."""
    rng = np.random.default_rng(seed)
    everything = histories(rng, users, items)
    last = np.diff(everything.indptr) - 1
    held = np.sort(rng.choice(users, min(HELD_OUT, users // 2), replace=False))
    places = everything.indptr[held] + rng.integers(0, last[held] + 1)
    is_held = np.zeros(everything.nnz, dtype=bool)
    is_held[places] = True
    rows = np.repeat(np.arange(users), np.diff(everything.indptr))

    def part(mask: np.ndarray) -> sp.csr_matrix:
        found = (np.ones(int(mask.sum()), np.float32), (rows[mask], everything.indices[mask]))
        return sp.csr_matrix(found, shape=everything.shape)

    valid, train = part(is_held), part(~is_held)
    kinds = min(KINDS, items // 20)
    centres = rng.standard_normal((kinds + 1, dim)).astype(np.float32)
    of = np.minimum(np.arange(items) // (items // kinds), kinds)
    vectors = centres[of] + 0.5 * rng.standard_normal((items, dim)).astype(np.float32)
    counts = np.bincount(everything.indices, minlength=items)
    vectors *= (np.log1p(counts) / np.log1p(counts.max()))[:, None].astype(np.float32)
    facts = BranchFacts("synthetic", "filter", dim)

    def fit(of_histories: sp.csr_matrix) -> Fit:
        lengths = np.maximum(np.diff(of_histories.indptr), 1) ** 0.5
        return Fit(
            (
                Branch(
                    facts, np.asarray(of_histories @ vectors, np.float32) / lengths[:, None].astype(np.float32), vectors
                ),
            ),
            0,
        )

    return Checkpoint(
        name="synthetic",
        spec={"kind": "filter", "synthetic": [users, items, dim]},
        users=Vocabulary.from_ids(np.arange(users)),
        items=Vocabulary.from_ids(np.arange(items)),
        selection=fit(train),
        final=fit(everything),
        train=train,
        valid=valid,
        item_features=None,
        user_features=None,
        item_recency=None,
        config=DatasetConfig(),
        fingerprint="0" * 64,
        policy="random",
        target_event=None,
        seed=seed,
    )


def run(arguments: list[str]) -> tuple[dict[str, Any], str]:
    """Run a command: what it printed, and what it took."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "gnas_serve.cli", *arguments, "--output", "json"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, processor = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss / 2**10
    taken = f"exit {process.returncode}, {seconds:.0f} s, {processor:.0f} s of a core, peak {peak:,.0f} MiB"
    return json.loads(printed or b"{}"), taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=64)
    given, further = parser.parse_known_args()
    made = given.folder / f"checkpoint-{given.users}-{given.items}-{given.dim}"
    if not made.exists():
        checkpoint(given.users, given.items, given.dim).save(made)
    export = ["export", str(made), "--out", str(given.folder / "artifact"), *further]
    printed, taken = run([*export, "--dry-run"])
    forecast = printed["forecast"]
    print(
        f"forecast ({taken}): {forecast['seconds']:.0f} s, peak {forecast['peak_bytes'] / 2**20:,.0f} MiB", flush=True
    )
    printed, taken = run(export)
    print(f"export: {taken}")
    report = json.loads((given.folder / "artifact" / "report.json").read_text())
    said = {step["name"]: step["seconds"] for step in forecast["steps"]}
    for step in report["steps"]:
        print(f"  {step['name']}: {step['seconds']:.1f} s, forecast {said[step['name']]:.1f} s")
    print(f"artifact bytes: {printed['artifact_bytes']:,}, forecast {forecast['artifact_bytes']:,}")


if __name__ == "__main__":
    main()
