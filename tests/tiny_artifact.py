"""A real artifact, small enough to build in milliseconds, written file by file from the layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import IndexFacts, Manifest, RankerFacts
from gnas_serve.artifact.store import atomic_folder, canonical_json
from gnas_serve.vocabulary import Vocabulary

SEEN_PER_USER = 6


def write_tiny_artifact(
    folder: Path,
    *,
    num_users: int = 60,
    num_items: int = 80,
    dim: int = 8,
    text_ids: bool = False,
    seed: int = 0,
    cross: tuple[str, ...] = ("score",),
    weights: tuple[float, ...] = (1.0,),
) -> Path:
    """Write an artifact in the `exact` form: float32 vectors, flat index, a ranker that keeps the retrieval score.

    Parameters
    ----------
    folder
        Must not exist.
    text_ids
        ``user-0007`` and ``item-0007`` instead of the integers 1007 and 2007 (row 7 of each).
    seed
        Of the vectors and histories.
    cross, weights
        The ranker's score is this combination of these features of each candidate.

    Returns
    -------
    Path
        ``folder``.
    """
    rng = np.random.default_rng(seed)
    users = _vocabulary("user", 1000, num_users, text_ids=text_ids)
    items = _vocabulary("item", 2000, num_items, text_ids=text_ids)
    seen = np.stack([np.sort(rng.choice(num_items, SEEN_PER_USER, replace=False)) for _ in range(num_users)])
    arrays: dict[str, np.ndarray] = {
        LAYOUT.user_ids: users.values,
        LAYOUT.item_ids: items.values,
        LAYOUT.user_vectors: rng.standard_normal((num_users, dim), dtype=np.float32),
        LAYOUT.item_vectors: rng.standard_normal((num_items, dim), dtype=np.float32),
        LAYOUT.item_counts: np.bincount(seen.ravel(), minlength=num_items).astype(np.int32),
        LAYOUT.seen_offsets: np.arange(num_users + 1, dtype=np.int64) * SEEN_PER_USER,
        LAYOUT.seen_items: seen.ravel().astype(np.int32),
        LAYOUT.fold_in: np.vstack([np.eye(dim), np.zeros((1, dim))]).astype(np.float32),
    }
    if users.offsets is not None and items.offsets is not None:
        arrays |= {LAYOUT.user_id_offsets: users.offsets, LAYOUT.item_id_offsets: items.offsets}
    with atomic_folder(folder) as temporary:
        for name, array in arrays.items():
            np.save(temporary / name, array, allow_pickle=False)
        (temporary / LAYOUT.ranker).write_bytes(_linear_ranker(weights))
        (temporary / LAYOUT.decisions).write_bytes(canonical_json({}))
        Manifest(
            name="tiny",
            version=f"test-{seed}",
            profile="exact",
            scorer="dot",
            num_users=num_users,
            num_items=num_items,
            embedding_dim=dim,
            index=IndexFacts("flat"),
            ranker=RankerFacts("retrieval", "fp32", candidates=40, cross=cross),
            metrics={"ndcg@20": 0.125},
        ).write(temporary)
    return folder


def _vocabulary(kind: str, first: int, count: int, *, text_ids: bool) -> Vocabulary:
    if text_ids:
        return Vocabulary.from_ids([f"{kind}-{row:04d}" for row in range(count)])
    return Vocabulary.from_ids([first + row for row in range(count)])


def _linear_ranker(weights: tuple[float, ...]) -> bytes:
    """Build ``score = cross @ weights``; with the retriever's score alone it keeps the retriever's order."""
    matrix = helper.make_tensor("weights", TensorProto.FLOAT, [len(weights), 1], weights)
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [-1])
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["cross", "weights"], ["column"]),
            helper.make_node("Reshape", ["column", "shape"], ["score"]),
        ],
        "linear_ranker",
        [helper.make_tensor_value_info("cross", TensorProto.FLOAT, ["C", len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["C"])],
        [matrix, shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())
