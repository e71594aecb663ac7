"""KeptWeights: the parameters of a study's best networks on disk, so that another study can go on from them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import Dataset
from gnas_search.evaluate import Floats
from gnas_search.fit import stored
from gnas_search.study.trained_on import TrainedOn
from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.errors import IntegrityError

MOST = 3
"""Of a family, that another study tries first: so many networks are kept, and no more."""
_FOLDER = "weights"
_DATA = "data.safetensors"
_SPEC, _WORTH = "spec", "worth"


class KeptWeights:
    """The parameters of up to :data:`MOST` networks, each in a file of its own, and what they were trained on.

    Parameters
    ----------
    folder
        Of the study; nothing else writes there while networks are kept.
    dataset
        Its data; not needed to read.
    """

    def __init__(self, folder: Path, dataset: Dataset | None = None) -> None:
        self._folder = folder / _FOLDER
        self._dataset = dataset
        self._worths: dict[Path, float] | None = None  # None before they were asked for

    def keep(self, spec: ArchitectureSpec, worth: float, weights: Mapping[str, Floats]) -> None:
        """Keep the parameters of a network if it is among the best; forget those of the one that it drives out.

        Parameters
        ----------
        spec, worth
            The network, and what models are chosen by, the higher the better.
        weights
            By name, as :meth:`gnas_search.trainer.Trainer.weights` gives them.

        Raises
        ------
        ValueError
            Without a dataset.
        """
        if self._dataset is None:
            raise ValueError("what the weights were trained on is not known")
        path = self._path(spec.key())
        if self._worths is None:
            self._worths = {other: _worth_of(other) for other in self._folder.glob("gnn-*.safetensors")}
        held = {other: of for other, of in self._worths.items() if other != path}
        best = sorted(held, key=lambda other: (-held[other], other.name))
        if len(best) >= MOST and worth <= held[best[MOST - 1]]:
            return
        self._folder.mkdir(exist_ok=True)
        if not (self._folder / _DATA).exists():
            replace_file(self._folder / _DATA, TrainedOn.of(self._dataset).to_bytes())
        facts = {_SPEC: _written(spec), _WORTH: repr(worth)}
        replace_file(path, save({name: np.ascontiguousarray(one) for name, one in weights.items()}, metadata=facts))
        self._worths[path] = worth
        for other in best[MOST - 1 :]:
            other.unlink(missing_ok=True)
            del self._worths[other]

    def find(self, spec: ArchitectureSpec) -> dict[str, Floats] | None:
        """Give the parameters of a network by name; None where they are not kept, or mean another network by now.

        Raises
        ------
        IntegrityError
            If their file is damaged. Names it.
        """
        path = self._path(spec.key())
        if not path.is_file():
            return None
        try:
            arrays = load_file(path)
            with safe_open(path, framework="np") as opened:
                written = opened.metadata()[_SPEC]
            weights: dict[str, Any] = {
                name: stored(arrays, name, np.float32, (None,) * array.ndim) for name, array in arrays.items()
            }
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise IntegrityError(
                f"{path} is damaged: {error}", hint="restore it, or remove it to start that network cold"
            ) from error
        # Names count layers and operators: where another version orders these otherwise, they mean something else.
        return weights if written == _written(spec) else None

    def trained_on(self) -> TrainedOn:
        """Give what the kept networks were trained on.

        Raises
        ------
        IntegrityError
            If its file is missing or damaged.
        """
        return TrainedOn.load(self._folder / _DATA)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


def _written(spec: ArchitectureSpec) -> str:
    return json.dumps(spec.canonical().to_json(), sort_keys=True)


def _worth_of(path: Path) -> float:
    try:
        with safe_open(path, framework="np") as opened:
            return float(opened.metadata()[_WORTH])
    except (OSError, KeyError, TypeError, ValueError, SafetensorError):
        return -math.inf  # damaged: the first to go
