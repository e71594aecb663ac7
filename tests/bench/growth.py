"""How training grows: seconds per epoch and peak memory at 1, 5 and 20 million interactions, beside their forecast.

``python tests/bench/growth.py [MILLIONS ...]``. Each size is measured in a process of its own, on power-law
interactions of a thirtieth as many users and a twenty-fifth as many items; an epoch is a few of its batches, scaled.
Fitted exponents are slopes of the logarithms: 1 is linear.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.forecast import forecast
from gnas_search.memory import peak_bytes, resident_bytes
from gnas_search.trainer import Trainer

SPEC = ArchitectureSpec(embedding_dim=64, init="random", loss="sampled_softmax")
TIMED_BATCHES = 8
GIB = 1 << 30


class _Enough(Exception):  # noqa: N818  # not an error: ends a measured training
    pass


def power_law(num_interactions: int, seed: int = 0) -> InteractionGraph:
    """Draw a graph whose users' and items' degrees both follow power laws."""
    rng = np.random.default_rng(seed)
    num_users, num_items = num_interactions // 30, num_interactions // 25
    activity = rng.pareto(1.5, num_users) + 0.3
    degrees = np.clip(activity / activity.sum() * num_interactions * 1.1, 1, num_items // 4).astype(np.int64)
    popularity = np.cumsum((np.arange(num_items) + 10.0) ** -0.8)
    items = rng.permutation(num_items)[np.searchsorted(popularity / popularity[-1], rng.random(degrees.sum()))]
    ends = np.concatenate([[0], np.cumsum(degrees)])
    matrix = sp.csr_matrix((np.ones(len(items), np.float32), items.astype(np.int32), ends), (num_users, num_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return InteractionGraph(matrix, matrix)


def measure(num_interactions: int) -> dict[str, float]:
    """Forecast and measure one size, in this process."""
    graph = power_law(num_interactions)
    start_bytes = resident_bytes()
    start = time.perf_counter()
    expected = forecast(SPEC, graph)
    forecast_s = time.perf_counter() - start
    trainer = Trainer(SPEC, graph, seed=0)
    users, ends = 0, [time.perf_counter()]

    def on_batch() -> None:
        ends.append(time.perf_counter())
        if len(ends) > TIMED_BATCHES + 1:
            raise _Enough

    try:
        trainer.advance(1, on_batch=on_batch)
        num_batches = len(ends) - 1
    except _Enough:
        from gnas_search.objective import users_per_batch

        users = int(np.count_nonzero(np.diff(graph.positives.indptr)))
        num_batches = -(-users // users_per_batch(users, SPEC.batch_size))
    epoch_s = float(np.median(np.diff(ends)[1:])) * num_batches
    trainer.vectors()
    return {
        "interactions": graph.positives.nnz,
        "batches": num_batches,
        "start_bytes": start_bytes,
        "epoch_s": epoch_s,
        "forecast_epoch_s": expected.epoch_s,
        "peak_bytes": peak_bytes(),
        "forecast_peak_bytes": expected.peak_bytes,
        "forecast_s": forecast_s,
    }


def main(millions: list[float]) -> None:
    """Measure every size and print the table."""
    found = []
    for size in millions:
        command = [sys.executable, __file__, "--one", str(int(size * 1e6))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        one = json.loads(done.stdout)
        found.append(one)
        print(
            f"{one['interactions']:>12,} interactions  {one['batches']:>3} batches  "
            f"epoch {one['epoch_s']:7.1f} s (forecast {one['forecast_epoch_s'] / one['epoch_s'] - 1:+.0%})  "
            f"peak {one['peak_bytes'] / GIB:5.2f} GiB "
            f"(forecast {one['forecast_peak_bytes'] / one['peak_bytes'] - 1:+.0%})  "
            f"forecast took {one['forecast_s']:.1f} s",
            flush=True,
        )
    if len(found) > 1:
        sizes = np.log([one["interactions"] for one in found])
        for name in ("epoch_s", "peak_bytes"):
            slope = np.polyfit(sizes, np.log([one[name] for one in found]), 1)[0]
            print(f"{name} grows with interactions to the power {slope:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]))))
    else:
        main([float(argument) for argument in sys.argv[1:]] or [1, 5, 20])
