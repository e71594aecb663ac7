"""Items of a planted checkpoint, with attributes that tell whom they suit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from attribute_tables import attributes_of

from gnas_search.checkpoint import Checkpoint


def telling_items(checkpoint: Checkpoint) -> Checkpoint:
    """Give the items attributes of which some tell whom they suit, and the others nothing."""
    vectors = checkpoint.selection.branches[0].item_vectors
    rng = np.random.default_rng(5)
    attributes = {
        "style": [
            " ".join(f"{'left' if one < 0 else 'right'}{place}" for place, one in enumerate(row[:4])) for row in vectors
        ],
        "tilt": vectors[:, 4].astype(np.float64).round(3).tolist(),
        "label": [f"label {row}" for row in rng.integers(0, 60, len(vectors))],
        "code": [f"x{row}" for row in range(len(vectors))],
    }
    attributes["style"][7] = None
    return replace(checkpoint, item_attributes=attributes_of(attributes))
