"""The recommendation of an artifact as one writes it in PyTorch: every item scored by a product, the best re-ranked.

Of artifacts whose score is of one branch of vectors, and whose ranker takes what is made of that score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.runtime.ranker_features import history_features, relative_popularity
from gnas_serve.runtime.tables import Tables

_OPERATORS = {
    "Add": torch.add,
    "Cast": lambda value: value.float(),
    "MatMul": torch.matmul,
    "Relu": torch.relu,
    "Squeeze": lambda value, axis: value.squeeze(int(axis)),
}


class EagerRecommender:
    """Answers known users; :meth:`recommend` gives what every door shows."""

    def __init__(self, artifact: Path) -> None:
        manifest = Manifest.read(artifact)
        tables = Tables.open(artifact, manifest)
        self.users, self.items, self._seen = tables.users, tables.items, tables.seen
        if len(manifest.branches) != 1 or tables.neighbours is not None or tables.item_content is not None:
            raise ValueError(f"{artifact}: a score of one branch of vectors is wanted, and no attributes of items")
        self._user_vectors = torch.from_numpy(tables.user_vectors.dense())
        self._item_vectors = torch.from_numpy(tables.item_vectors.dense())
        self._candidates, self._cross = manifest.ranker.candidates, manifest.ranker.cross
        self._popularity, self._usual = relative_popularity(tables.counts), float(tables.counts.mean())
        graph = onnx.load(artifact / "ranker.onnx").graph
        self._nodes = list(graph.node)
        self._weights = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
        self._inputs = {one.name for one in graph.input}
        self._item_table = None if tables.ranker_items is None else torch.from_numpy(np.array(tables.ranker_items))
        self.signature = {"name": manifest.name, "version": manifest.version}

    @torch.inference_mode()
    def recommend(self, user_id: int | str, k: int) -> dict[str, Any]:
        row = self.users.row(user_id)
        seen = self._seen.of(row)
        scores = self._item_vectors @ self._user_vectors[row]
        scores[torch.from_numpy(seen.astype(np.int64))] = -torch.inf
        best, rows = torch.topk(scores, min(self._candidates, len(scores) - len(seen)))
        ranked, order = torch.topk(self._score(best, rows, seen), min(k, len(rows)))
        ids = self.items.ids(rows[order].numpy())
        items = [
            {"item_id": item_id, "score": score, "source": "user"}
            for item_id, score in zip(ids, ranked.tolist(), strict=True)
        ]
        return {"items": items, "model": self.signature}

    def _score(self, scores: torch.Tensor, rows: torch.Tensor, seen: np.ndarray) -> torch.Tensor:
        made = {
            "score": lambda: scores,
            "score_z": lambda: (scores - scores.mean()) / scores.std(correction=0).clamp(min=1e-6),
            "log_rank": lambda: torch.log1p(torch.arange(len(scores), dtype=torch.float32)),
        }
        values = {**self._weights, "cross": torch.stack([made[name]() for name in self._cross], dim=1)}
        if "user" in self._inputs:
            described = history_features(self._popularity[seen], self._usual)
            values["user"] = torch.from_numpy(described)[None, :]
        if self._item_table is not None:
            values["item"] = self._item_table[rows]
        for node in self._nodes:
            given = [values[name] for name in node.input]
            if node.op_type == "Gemm":
                is_turned = any(one.name == "transB" and one.i for one in node.attribute)
                values[node.output[0]] = torch.addmm(given[2], given[0], given[1].T if is_turned else given[1])
            elif node.op_type == "Reshape":
                values[node.output[0]] = given[0].reshape(given[1].tolist())
            else:
                values[node.output[0]] = _OPERATORS[node.op_type](*given)
        return values["score"]
