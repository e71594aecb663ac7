"""Real artifacts, small enough to build in milliseconds, written file by file from the layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
from onnx import TensorProto, helper

from gnas_serve.artifact.branches import TWO_HOP, BranchFacts, spans
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import IVF_FLAT, IndexFacts, Manifest, RankerFacts
from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.artifact.segment_facts import SegmentFacts
from gnas_serve.artifact.store import atomic_folder, canonical_json
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.cold_start import history_vector
from gnas_serve.runtime.content_table import ContentTable
from gnas_serve.runtime.embeddings import quantize_rows
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.segments import SegmentTable
from gnas_serve.vocabulary import Vocabulary

Reader = Callable[[Attributes, np.ndarray], tuple[ContentFacts, ContentTable]]

SEEN_PER_USER = 6
BLEND = (
    BranchFacts("low-pass", "filter", 6, item_power=0.3, history_power=0.8),
    BranchFacts("links", TWO_HOP, 0, history_power=0.5),
    BranchFacts("net", "gnn", 4, unit_length=True),
    BranchFacts("prior", "popularity", 1),
)
CLOSED_FORM = tuple(branch for branch in BLEND if branch.kind != "gnn")


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
    attributes: Attributes | None = None,
    segments: tuple[SegmentFacts, SegmentTable] | None = None,
    content: Reader | None = None,
    lists: int = 0,
    scanned: bool = False,
    scores: ScoreFacts | None = None,
) -> Path:
    """Write an artifact of one branch in the `exact` form: float32 vectors, flat index, the retrieval score kept.

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
    attributes
        Of its items, see :mod:`attribute_tables`.
    segments
        Of its users, see :mod:`segment_tables`.
    content
        Makes an encoder of the attributes, see :mod:`content_tables`.
    lists
        Of an IVF index that probes all of them; a flat one where 0.
    scanned
        Vectors are of int8, and lists are of the vectors themselves.
    scores
        What its manifest says of them.

    Returns
    -------
    Path
        ``folder``.
    """
    rng = np.random.default_rng(seed)
    arrays = _seen(rng, num_users, num_items) | {
        LAYOUT.user_vectors: rng.standard_normal((num_users, dim), dtype=np.float32),
        LAYOUT.item_vectors: rng.standard_normal((num_items, dim), dtype=np.float32),
        LAYOUT.fold_in: np.vstack([np.eye(dim), np.zeros((1, dim))]).astype(np.float32).ravel(),
    }
    manifest = replace(_manifest(seed, arrays, (BranchFacts("tiny", "gnn", dim),), cross), scores=scores)
    if attributes is not None:
        arrays |= attributes.stored()
        manifest = replace(manifest, attributes=attributes.facts())
        manifest = _read(content, attributes, manifest, arrays)
    if segments is not None:
        arrays |= segments[1].stored()
        manifest = replace(manifest, segments=segments[0])
    files = {}
    if lists:
        vectors = arrays[LAYOUT.item_vectors]
        files = {LAYOUT.lists: list_bytes(vectors, lists)} if scanned else {LAYOUT.index: ivf_bytes(vectors, lists)}
        manifest = replace(manifest, index=IndexFacts(IVF_FLAT if scanned else "ivf", dim, nprobe=lists))
    if scanned:
        for name, scales in ((LAYOUT.user_vectors, LAYOUT.user_scales), (LAYOUT.item_vectors, LAYOUT.item_scales)):
            arrays[name], arrays[scales] = quantize_rows(arrays[name])
    return _write(folder, manifest, arrays, weights, text_ids=text_ids, files=files)


def write_blended_artifact(
    folder: Path,
    *,
    num_users: int = 60,
    num_items: int = 80,
    branches: tuple[BranchFacts, ...] = BLEND,
    tables: str = "float32",
    projected: bool = False,
    newcomers: str = "fold_in",
    without_history: int = 0,
    seed: int = 0,
    cross: tuple[str, ...] = ("score",),
    weights: tuple[float, ...] = (1.0,),
    attributes: Attributes | None = None,
    content: Reader | None = None,
) -> Path:
    """Write an artifact whose scores add up from several branches.

    Every user vector is what the fold-in map of its branch makes of the user's history, so the maps are exact for
    float32 tables.

    Parameters
    ----------
    branches
        :data:`BLEND` or a part of it.
    tables
        ``"float32"``, ``"float16"`` or ``"int8"``.
    projected
        An IVF index (all lists probed) over two columns of the image of a projection; else a flat index.
    without_history
        So many last users have no items: zeros, but for the popularity column.
    attributes, content
        As of :func:`write_tiny_artifact`.
    """
    rng = np.random.default_rng(seed)
    wide = [branch for branch in branches if branch.kind != TWO_HOP]
    arrays = _seen(rng, num_users, num_items)
    if without_history:
        keep = (num_users - without_history) * SEEN_PER_USER
        arrays[LAYOUT.seen_offsets] = np.minimum(arrays[LAYOUT.seen_offsets], keep)
        arrays[LAYOUT.seen_items] = arrays[LAYOUT.seen_items][:keep]
    counts, offsets = arrays[LAYOUT.item_counts], arrays[LAYOUT.seen_offsets]
    histories = np.split(arrays[LAYOUT.seen_items], offsets[1:-1])
    users, items, maps = [], [], []
    for branch in wide:
        matrix = rng.standard_normal((branch.width + 1, branch.width)).astype(np.float32)
        vectors = rng.standard_normal((num_items, branch.width)).astype(np.float32)
        if branch.kind == "popularity":
            matrix[:] = [[0.0], [1.0]]
            vectors[:, 0] = 0.3 * np.log1p(counts)
        else:
            matrix[-1] = 0.0
        summaries = np.stack(
            [history_vector(vectors[rows], counts[rows], branch.item_power, branch.history_power) for rows in histories]
        )
        folded = summaries @ matrix
        if branch.unit_length:
            folded /= np.maximum(np.linalg.norm(folded, axis=1, keepdims=True), 1e-12)
        users.append(folded)
        items.append(vectors)
        maps.append(matrix.ravel())
    arrays[LAYOUT.fold_in] = np.concatenate(maps)
    for (name, scales), parts in {
        (LAYOUT.user_vectors, LAYOUT.user_scales): users,
        (LAYOUT.item_vectors, LAYOUT.item_scales): items,
    }.items():
        vectors = np.concatenate(parts, axis=1)
        if tables == "int8":
            arrays[name], arrays[scales] = quantize_rows(vectors, spans(branches))
        else:
            arrays[name] = vectors.astype(tables)
    if any(branch.kind == TWO_HOP for branch in branches):
        arrays |= _neighbours(rng, num_items)
    manifest = replace(_manifest(seed, arrays, branches, cross), newcomers=newcomers)
    if attributes is not None:
        arrays |= attributes.stored()
        manifest = _read(content, attributes, replace(manifest, attributes=attributes.facts()), arrays)
    files = {}
    if projected:
        projection = rng.standard_normal((sum(branch.width for branch in wide), 2)).astype(np.float32)
        arrays[LAYOUT.projection] = projection
        manifest = replace(manifest, index=IndexFacts("ivf", 2, nprobe=3))
        files = {LAYOUT.index: ivf_bytes(np.concatenate(items, axis=1) @ projection, lists=3)}
    return _write(folder, manifest, arrays, weights, files=files)


def _read(
    content: Reader | None, attributes: Attributes, manifest: Manifest, arrays: dict[str, np.ndarray]
) -> Manifest:
    if content is None:
        return manifest
    facts, table = content(attributes, arrays[LAYOUT.item_counts])
    arrays |= table.stored()
    return replace(manifest, content=facts)


def list_bytes(vectors: np.ndarray, lists: int) -> bytes:
    """Divide vectors into lists around some of them, as bytes of the file."""
    centroids = vectors[:lists]
    nearest = np.square(vectors[:, None] - centroids).sum(axis=2).argmin(axis=1)
    return bytes(InvertedLists(nearest.astype(np.uint16), *quantize_rows(centroids)).to_bytes())


def ivf_bytes(vectors: np.ndarray, lists: int) -> bytes:
    """Build an IVF index over some vectors, as bytes of its file."""
    structure = faiss.IndexIVFFlat(
        faiss.IndexFlatL2(vectors.shape[1]), vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT
    )
    structure.cp.min_points_per_centroid = 1  # no warning
    structure.train(vectors)
    structure.add(vectors)
    return bytes(faiss.serialize_index(structure).tobytes())


def _seen(rng: np.random.Generator, num_users: int, num_items: int) -> dict[str, np.ndarray]:
    seen = np.stack([np.sort(rng.choice(num_items, SEEN_PER_USER, replace=False)) for _ in range(num_users)])
    return {
        LAYOUT.item_counts: np.bincount(seen.ravel(), minlength=num_items).astype(np.int32),
        LAYOUT.seen_offsets: np.arange(num_users + 1, dtype=np.int64) * SEEN_PER_USER,
        LAYOUT.seen_items: seen.ravel().astype(np.int32),
    }


def _neighbours(rng: np.random.Generator, num_items: int) -> dict[str, np.ndarray]:
    """Link every item to up to seven others, some to none."""
    lists = [np.sort(rng.choice(num_items, rng.integers(0, 8), replace=False)) for _ in range(num_items)]
    return {
        LAYOUT.neighbour_offsets: np.cumsum([0, *map(len, lists)]).astype(np.int64),
        LAYOUT.neighbour_items: np.concatenate(lists).astype(np.int32),
        LAYOUT.neighbour_values: rng.uniform(0.5, 12.0, sum(map(len, lists))).astype(np.float16),
    }


def _manifest(
    seed: int, arrays: dict[str, np.ndarray], branches: tuple[BranchFacts, ...], cross: tuple[str, ...]
) -> Manifest:
    dim = sum(branch.width for branch in branches)
    return Manifest(
        name="tiny",
        version=f"test-{seed}",
        profile="exact",
        num_users=len(arrays[LAYOUT.seen_offsets]) - 1,
        num_items=len(arrays[LAYOUT.item_counts]),
        embedding_dim=dim,
        branches=branches,
        newcomers="fold_in",
        index=IndexFacts("flat", dim),
        ranker=RankerFacts("retrieval", "fp32", candidates=40, cross=cross),
        metrics={"ndcg@20": 0.125},
    )


def _write(
    folder: Path,
    manifest: Manifest,
    arrays: dict[str, np.ndarray],
    weights: tuple[float, ...],
    *,
    text_ids: bool = False,
    files: Mapping[str, bytes] = {},
) -> Path:
    users = _vocabulary("user", 1000, manifest.num_users, text_ids=text_ids)
    items = _vocabulary("item", 2000, manifest.num_items, text_ids=text_ids)
    arrays |= {LAYOUT.user_ids: users.values, LAYOUT.item_ids: items.values}
    if users.offsets is not None and items.offsets is not None:
        arrays |= {LAYOUT.user_id_offsets: users.offsets, LAYOUT.item_id_offsets: items.offsets}
    with atomic_folder(folder) as temporary:
        for name, array in arrays.items():
            np.save(temporary / name, array, allow_pickle=False)
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        (temporary / LAYOUT.ranker).write_bytes(_linear_ranker(weights))
        (temporary / LAYOUT.decisions).write_bytes(canonical_json({}))
        manifest.write(temporary)
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
