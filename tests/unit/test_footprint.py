"""The memory of a fit grows with what it holds, covers what it takes, and is refused where it cannot be had."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.footprint import check_memory, needed_bytes
from gnas_serve.errors import ConfigError

SPEC = ArchitectureSpec(embedding_dim=32, init="random", num_negatives=512)
FILTER = FilterSpec(rank=64)


def _graph(num_users: int, num_items: int, per_user: int = 10) -> InteractionGraph:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(num_users), per_user)
    matrix = sp.csr_matrix(
        (np.ones(len(users), np.float32), (users, rng.integers(0, num_items, len(users)))), shape=(num_users, num_items)
    )
    matrix.data[:] = 1.0
    return InteractionGraph(matrix, matrix)


@pytest.fixture(scope="module")
def graph() -> InteractionGraph:
    return _graph(4000, 3000)


def test_memory_grows_with_what_is_held(graph: InteractionGraph) -> None:
    least = needed_bytes(SPEC, graph)
    assert needed_bytes(replace(SPEC, embedding_dim=64), graph) > least
    assert needed_bytes(replace(SPEC, layers=("gat", "gcn")), graph) > needed_bytes(
        replace(SPEC, layers=("gcn",)), graph
    )
    assert needed_bytes(replace(SPEC, loss="softmax"), graph) > least
    assert needed_bytes(SPEC, _graph(8000, 3000)) > least
    assert needed_bytes(replace(FILTER, rank=1024), graph) > needed_bytes(FILTER, graph)
    assert needed_bytes(FILTER, _graph(8000, 3000)) > needed_bytes(FILTER, graph)
    assert needed_bytes(TwoHopSpec(), graph) == needed_bytes(PopularitySpec(), graph) == 0


def test_what_cannot_fit_is_refused_with_what_to_lower(graph: InteractionGraph) -> None:
    check_memory(SPEC, graph)
    check_memory(SPEC, graph, available=needed_bytes(SPEC, graph))
    spec = replace(SPEC, layers=("gat",), loss="softmax")
    with pytest.raises(
        ConfigError, match=r"needs about 0\.\d GiB.* 4,000 users, 3,000 items.*; 0\.0 GiB are"
    ) as caught:
        check_memory(spec, graph, available=1 << 20)
    assert caught.value.code == "too_large"
    for lever in ("embedding_dim (now 32)", "lightgcn", "sampled_softmax"):
        assert lever in caught.value.hint
    with pytest.raises(ConfigError, match=r"0\.\d GiB") as caught:
        check_memory(FILTER, graph, available=1 << 20)
    assert caught.value.code == "too_large"
    assert "rank (now 64)" in caught.value.hint


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a process is read as Linux tells it")
@pytest.mark.parametrize(("num_users", "num_items"), [(9000, 14000), (14000, 9000)])
def test_a_filter_takes_about_what_was_counted(num_users: int, num_items: int) -> None:
    """In a process of its own, whose peak is the fit's."""
    source = """
import sys
import numpy as np, scipy.sparse as sp
from gnas_search.closed_form import FilterSpec, fit_closed_form
from gnas_search.data.dataset import InteractionGraph
from gnas_search.footprint import _RUNTIME_BYTES, needed_bytes
from gnas_search.memory import peak_bytes
users, items = int(sys.argv[1]), int(sys.argv[2])
def graph(users, items):
    rows = np.repeat(np.arange(users), 10)
    drawn = np.random.default_rng(0).integers(0, items, len(rows))
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, drawn)), shape=(users, items))
    return InteractionGraph(matrix, matrix)
fit_closed_form(FilterSpec(rank=8), graph(60, 50), seed=0)  # compiles
before = peak_bytes()
fit_closed_form(FilterSpec(rank=512), graph(users, items), seed=0)
print((peak_bytes() - before) / (needed_bytes(FilterSpec(rank=512), graph(users, items)) - _RUNTIME_BYTES))
"""
    done = subprocess.run(
        [sys.executable, "-c", source, str(num_users), str(num_items)], capture_output=True, text=True, check=True
    )
    assert 0.4 < float(done.stdout) <= 1.0
