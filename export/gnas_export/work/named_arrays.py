"""Names of what a checkpoint holds: a draft with a view of it need not write it again."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from gnas_search.checkpoint import Checkpoint

Array = npt.NDArray[Any]


def named_arrays(checkpoint: Checkpoint) -> dict[str, Array]:
    """Name the arrays of a checkpoint that drafts hold views of."""
    named: dict[str, Array] = {}
    for fit_name in ("selection", "final"):
        fit = getattr(checkpoint, fit_name)
        for side in ("user", "item"):
            named[f"{fit_name}.{side}_vectors"] = getattr(fit, f"{side}_vectors")
        for place, branch in enumerate(fit.branches):
            if branch.fold_in is not None:
                named[f"{fit_name}.{place}.fold_in"] = branch.fold_in
    for side in ("user", "item"):
        features = getattr(checkpoint, f"{side}_features")
        if features is not None:
            named[f"{side}_features"] = features.values
    return named


def place_of(array: Array) -> tuple[Any, ...]:
    """Tell where the numbers of an array lie, and as what: equal for two views of the same ones."""
    facts = array.__array_interface__
    return facts["data"][0], array.shape, array.strides, array.dtype.str
