"""Write the golden artifact of the format version of today, once: ``python tests/golden_artifact.py``.

A real export: a blend with links, narrow vectors, an IVF index that the profile insists on, and a learned ranker. An
existing folder is never written again: tests hold every later version to what it answered when it was written.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from export_runs import LIMITS, PROFILE, run
from planted_checkpoint import blended_checkpoint

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

GOLDEN = Path(__file__).parent / "golden"
_LIMITS = replace(LIMITS, index_recall=0.5, blend_recall=0.5, top_recall=0.5, quality_loss=1.0, form_loss=1.0)
_PROFILE = replace(PROFILE, name="golden", index="ivf", candidates=40, gates=_LIMITS)
_QUERIES: tuple[dict[str, Any], ...] = (
    {"user_id": 1000, "k": 5},
    {"user_id": 1077, "k": 60},
    {"user_id": 1003, "k": 5, "exclude_seen": False},
    {"user_id": 1003, "k": 5, "exclude_items": ["item-00007", "item-00011"]},
    {"user_id": 999999, "k": 5, "history": ["item-00001", "item-00002", "item-00099"]},
    {"k": 5},
)


def main() -> None:
    """Export, and write down what the artifact answers."""
    folder = GOLDEN / f"v{FORMAT_VERSION}"
    checkpoint = blended_checkpoint(num_users=80, num_items=100, filter_dim=6, gnn_dim=4, links=4)
    made = run(checkpoint, folder, _PROFILE, ranker="always")
    for report in (LAYOUT.report, LAYOUT.report_page):
        (folder / report).unlink()
    print(made.manifest.index, made.manifest.ranker, sum(path.stat().st_size for path in folder.iterdir()))
    (GOLDEN / f"{folder.name}.answers.json").write_text(json.dumps(_answers(Recommender.load(folder)), indent=1) + "\n")


def _answers(recommender: Recommender) -> dict[str, Any]:
    cases = []
    for raw in _QUERIES:
        answer = recommender.recommend(Query(**{name: _tuple(value) for name, value in raw.items()}))
        cases.append({"query": raw, "source": answer.source, "item_ids": answer.item_ids, "scores": answer.scores})
    similar = recommender.similar_items("item-00013", 5)
    found = {"item_id": "item-00013", "item_ids": similar.item_ids, "scores": similar.scores}
    return {"recommend": cases, "similar_items": found}


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


if __name__ == "__main__":
    main()
