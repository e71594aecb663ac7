"""Numeric forms: one network of the ranker drawn as graphs of fewer bytes, and how few bits each keeps of what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_export.ranker.candidates import CandidateList
from gnas_export.ranker.network import ItemPart, SplitWeights, TrainedRanker
from gnas_export.ranker.onnx_graph import split_graph
from gnas_export.ranker.quantize import first_layer_peak, halved, quantise, quantise_dynamically, quantised_nodes
from gnas_export.ranker.variants import FP16, FP32, FP32_U8, INT8, INT8_DYNAMIC
from gnas_serve.errors import ExportError

Floats = npt.NDArray[np.float32]
Feed = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Drawing:
    """A network in one numeric form.

    Attributes
    ----------
    graph
        ONNX.
    weights
        That it was drawn of, float32.
    items
        How the rows of its items are made.
    integer_nodes
        How many products ONNX Runtime really executes in int8.
    """

    graph: bytes
    weights: SplitWeights
    items: ItemPart
    integer_nodes: int = 0


def draw(ranker: TrainedRanker, item_inputs: Floats, calibration: list[CandidateList]) -> dict[str, Drawing]:
    """Draw a network in each of :data:`gnas_export.ranker.variants.NUMERIC`.

    Parameters
    ----------
    item_inputs : (I, F) float32, raw
        Of the fit that ships.
    calibration
        Real candidate lists, by which the scale of static int8 is chosen.

    Raises
    ------
    ExportError
        If a graph is invalid, or one called int8 calculates nothing in int8.
    """
    drawings = {}
    for name, stored in ((FP32, "float32"), (FP32_U8, "uint8"), (FP16, "float16")):
        weights, items = ranker.split(item_inputs, stored=stored)
        graph = split_graph(weights, np.dtype(stored))
        drawings[name] = Drawing(halved(graph) if name == FP16 else graph, weights, items)
    compact = drawings[FP32_U8]
    rows = compact.items.rows(item_inputs)
    peak = first_layer_peak(compact.weights, [feed(c, rows) for c in calibration])
    for name, graph in (
        (INT8, quantise(compact.graph, compact.weights, peak)),
        (INT8_DYNAMIC, quantise_dynamically(compact.graph, compact.weights)),
    ):
        drawings[name] = Drawing(graph, compact.weights, compact.items, required_nodes(graph))
    return drawings


def required_nodes(graph: bytes) -> int:
    """Count the products that are executed in int8.

    Raises
    ------
    ExportError
        If none is.
    """
    count = quantised_nodes(graph)
    if count == 0:
        raise ExportError(
            "the int8 ranker has no node that ONNX Runtime executes in int8",
            hint="check the version of onnxruntime, or export with --precision fp32",
        )
    return count


def feed(candidates: CandidateList, rows: npt.NDArray[np.generic]) -> Feed:
    """Give what a graph of the learned ranker reads of one list; ``rows`` are the stored item rows."""
    return {"cross": candidates.cross, "user": candidates.user[None, :], "item": rows[candidates.rows]}
