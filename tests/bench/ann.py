"""How exact and how quick the indexes are: recall@C against exact search, and times against faiss's flat index.

``python tests/bench/ann.py CHECKPOINT`` takes the vectors of a checkpoint that export would ship, and asks for its own
users; ``--synthetic 1000000`` takes as many vectors whose lengths follow popularity instead. Prints, for each kind of
index, number of lists probed and of times that C is proposed, recall@C, microseconds (median, one thread, in turns of
some calls with the flat index) and how many times quicker than the flat one that is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from gnas_export.retrieval.index import REFINES, build_ivf, build_lists, build_pq, index_bytes, open_ivf
from gnas_export.retrieval.projection import padding
from gnas_export.retrieval.shipped import known_users, seen_items
from gnas_export.retrieval.tables import compress
from gnas_export.timing import median_us
from gnas_search.checkpoint import Checkpoint
from gnas_search.fit import Branch, Fit
from gnas_serve import kernels
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.index import Index
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.scan import ListScan

USERS, SEED = 500, 0
PROBES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
NOTHING = np.empty(0, dtype=np.int64)


def of_checkpoint(path: Path) -> tuple[EmbeddingTable, np.ndarray]:
    """Give the shipped item vectors and some users' vectors."""
    checkpoint = Checkpoint.load(path)
    tables = compress(checkpoint.final, "int8")
    known = np.flatnonzero(known_users(checkpoint.final, seen_items(checkpoint.seen()), np.arange(len(tables.users))))
    users = np.sort(np.random.default_rng(SEED).permutation(known)[:USERS])
    return tables.items, tables.users.rows(users)


def synthetic(count: int, dim: int) -> tuple[EmbeddingTable, np.ndarray]:
    """Draw items around centres of a falling spectrum, of lengths that grow with popularity; users like some."""
    rng = np.random.default_rng(SEED)
    spectrum = 1.0 / np.sqrt(1.0 + np.arange(dim))
    families = rng.standard_normal((40, dim)) * spectrum
    kinds = max(50, round(count**0.5))
    centres = 0.7 * rng.standard_normal((kinds, dim)) * spectrum + 0.9 * families[rng.integers(0, 40, kinds)]
    log_popularity = np.log(rng.permutation(1.0 / np.arange(1, count + 1) ** 0.8))
    log_popularity = (log_popularity - log_popularity.mean()) / log_popularity.std()
    items = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, 100_000):
        part = slice(start, min(start + 100_000, count))
        size = part.stop - part.start
        drawn = centres[rng.integers(0, kinds, size)] + 0.6 * rng.standard_normal((size, dim)) * spectrum
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        drawn[:, 0] += 0.13 * log_popularity[part].clip(-3, 5)
        items[part] = drawn * np.exp(0.25 * log_popularity[part].clip(-3, 5))[:, None]
    shares = rng.dirichlet(np.ones(3), USERS)
    users = (centres[rng.integers(0, kinds, (USERS, 3))] * shares[:, :, None]).sum(axis=1)
    users += 0.45 * rng.standard_normal((USERS, dim)) * spectrum
    users[:, 0] += 0.25
    facts = BranchFacts("synthetic", "gnn", dim)
    tables = compress(Fit((Branch(facts, users.astype(np.float32), items),), 0), "int8")
    return tables.items, tables.users.dense()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("--synthetic", type=int)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--candidates", type=int, default=300)
    given = parser.parse_args()
    table, users = of_checkpoint(given.checkpoint) if given.checkpoint else synthetic(given.synthetic, given.dim)
    count, vectors = given.candidates, table.dense()
    projection = padding(vectors.shape[1])
    indexed = vectors if projection is None else vectors @ projection.items
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    exact = flat.search(users, count)[1]
    print(f"{len(vectors):,} items of {vectors.shape[1]} columns, {len(users)} users, C={count}")
    queries = users if projection is None else users @ projection.queries
    lists = build_lists(table, seed=SEED)
    codes = {"ivf": index_bytes(build_ivf(indexed, seed=SEED)), "ivf-pq": index_bytes(build_pq(indexed, seed=SEED))}
    kinds: dict[str, tuple[int, tuple[int, ...], Callable[[int, int], Index]]] = {
        "ivf-flat": (lists.to_bytes().nbytes, (1,), lambda nprobe, _refine: ListScan(table, lists, nprobe)),
        "ivf": (codes["ivf"].nbytes, (1,), partial(open_ivf, codes["ivf"])),
        "ivf-pq": (codes["ivf-pq"].nbytes, REFINES, partial(open_ivf, codes["ivf-pq"])),
    }
    print(f"kernels: {kernels.described()}")
    for kind, (size, refines, opened) in kinds.items():
        print(f"{kind}: {size:,} bytes")
        for refine, nprobe in product(refines, PROBES):
            index = opened(nprobe, refine)
            aimed = projection is not None and kind != "ivf-flat"
            retriever = Retriever(table, index, None, projection.queries if aimed else None)

            def ask(turn: int, retriever: Retriever = retriever) -> Any:
                return retriever.retrieve(users[turn % USERS], NOTHING, count, NOTHING)

            recall = (
                np.mean([len(np.intersect1d(ask(place).rows, exact[place])) for place in range(len(users))]) / count
            )
            times = median_us(
                {
                    "flat": lambda turn: flat.search(users[turn % len(users)][None], count),
                    "propose": partial(_propose, index, queries if aimed else users, count),
                    "retrieve": ask,
                },
                rounds=200,
            )
            ratios = {name: times["flat"] / times[name] for name in ("propose", "retrieve")}
            print(
                f"  refine {refine}, nprobe {nprobe:3d}: recall@{count} {recall:.4f}; flat {times['flat']:.0f} us, "
                f"proposals {times['propose']:.0f} us (1/{ratios['propose']:.1f}), "
                f"with exact scores {times['retrieve']:.0f} us (1/{ratios['retrieve']:.1f})",
                flush=True,
            )


def _propose(index: Any, queries: np.ndarray, count: int, turn: int) -> Any:
    return index.propose(queries[turn % len(queries)], count, NOTHING)


if __name__ == "__main__":
    main()
