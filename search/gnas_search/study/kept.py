"""KeptModels: the best networks of a study on disk, so that a blend has their vectors without training one again."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from gnas_search.fit import Fit, branches_from, to_arrays
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.artifact.fresh_file import replace_file

_FOLDER = "models"
_FACTS = "fit"


class KeptModels:
    """Fits of the selection graph, under the keys of their specs.

    Parameters
    ----------
    folder
        Of the study.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def keep(self, key: str, fit: Fit, *, beside: Collection[str] = ()) -> None:
        """Keep a model, and of those kept before the ones that are named."""
        self._folder.mkdir(exist_ok=True)
        facts = {"epochs": fit.epochs, "branches": [branch.facts.to_json() for branch in fit.branches]}
        path = self._path(key)
        replace_file(path, save(to_arrays(fit), metadata={_FACTS: json.dumps(facts)}))
        for other in self._folder.glob("*.safetensors"):
            if other != path and other.stem not in beside:
                other.unlink()

    def find(self, key: str) -> Fit | None:
        """Give the kept model of that key; None where it is not there or not readable, and has to be trained again."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as stored:
                facts = json.loads(stored.metadata()[_FACTS])
            branches = tuple(BranchFacts.from_json(raw) for raw in facts["branches"])
            return Fit(branches_from(branches, load_file(path)), int(facts["epochs"]))
        except (KeyError, TypeError, ValueError, SafetensorError):
            return None

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"
