"""InitialWeights: what a network begins its training with where it goes on from what another one learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gnas_search.fit import Stored, stored
from gnas_serve.errors import IntegrityError

if TYPE_CHECKING:
    from gnas_search.model import GraphRecommender

Floats = npt.NDArray[np.float32]

EMBEDDINGS = "embeddings"
"""Name of the one parameter of a network that has a row per user and item."""
_ROWS = "embeddings.rows"


@dataclass(frozen=True)
class InitialWeights:
    """What a network begins with in the place of what would be drawn.

    Attributes
    ----------
    weights
        Of layers, combination, scorer and features, by the names that :class:`~gnas_search.model.GraphRecommender` has
        for its parameters.
    rows : (n,) int64, ascending
        The nodes, users before items, whose embeddings are known.
    embeddings : (n, d) float32
        Theirs.
    """

    weights: Mapping[str, Floats]
    rows: npt.NDArray[np.int64]
    embeddings: Floats

    def to_bytes(self) -> bytes:
        """Give the content of a file that :meth:`load` reads."""
        arrays: dict[str, Stored] = {name: np.ascontiguousarray(one) for name, one in self.weights.items()}
        arrays |= {EMBEDDINGS: np.ascontiguousarray(self.embeddings), _ROWS: np.ascontiguousarray(self.rows)}
        content: bytes = save(arrays)
        return content

    @classmethod
    def load(cls, path: Path) -> InitialWeights:
        """Read a file.

        Raises
        ------
        IntegrityError
            If it is missing or damaged. Names it.
        """
        try:
            arrays = load(path.read_bytes())
            rows: Any = stored(arrays, _ROWS, np.int64, (None,))
            embeddings: Any = stored(arrays, EMBEDDINGS, np.float32, (len(rows), None))
            _check_ascending(rows)
            others = (name for name in arrays if name not in (_ROWS, EMBEDDINGS))
            weights: dict[str, Any] = {
                name: stored(arrays, name, np.float32, (None,) * arrays[name].ndim) for name in others
            }
        except (OSError, ValueError, SafetensorError) as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged: {error}"
            raise IntegrityError(
                f"{path} {reason}", hint="copy the study again, or search anew into another folder"
            ) from error
        return cls(weights, rows, embeddings)

    def write_into(self, model: GraphRecommender) -> tuple[str, ...]:
        """Write what has the same name and shape over what was drawn; the rest stays as it is.

        Embeddings that start from an SVD and have none here are turned to where the others lie: the axes of two
        decompositions have nothing to do with each other, but the nodes that are in both say how to turn one to the
        other.

        Parameters
        ----------
        model
            Of the same users and items that ``rows`` are of, freshly made.

        Returns
        -------
        tuple of str
            Names of the parameters that were written.

        Raises
        ------
        ValueError
            If a row is none of the model's.
        """
        import torch  # whoever has a network has it loaded; who reads a study needs neither

        written = []
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                known = self.weights.get(name)
                if name != EMBEDDINGS and known is not None and known.shape == tuple(parameter.shape):
                    parameter.copy_(torch.from_numpy(known))
                    written.append(name)
            if len(self.rows) and self.embeddings.shape[1] == model.embeddings.shape[1]:
                drawn = model.embeddings.cpu().numpy()
                if self.rows[-1] >= len(drawn):
                    raise ValueError(f"row {self.rows[-1]} of a network of {len(drawn)} users and items")
                whole = _turned(drawn, self.rows, self.embeddings) if model.spec.init == "svd" else drawn.copy()
                whole[self.rows] = self.embeddings
                model.embeddings.copy_(torch.from_numpy(whole))
                written.append(EMBEDDINGS)
        return tuple(sorted(written))


def _check_ascending(rows: npt.NDArray[np.int64]) -> None:
    if len(rows) and (rows[0] < 0 or (np.diff(rows) <= 0).any()):
        raise ValueError(f"{_ROWS} do not ascend from 0 or above")


def _turned(drawn: Floats, rows: npt.NDArray[np.int64], known: Floats) -> Floats:
    """Turn and stretch all vectors as brings those of some rows closest to known ones.

    References
    ----------
    Schoenemann, P. H. (1966). A generalized solution of the orthogonal Procrustes problem. Psychometrika.
    """
    had = drawn[rows].astype(np.float64)
    left, values, right = np.linalg.svd(had.T @ known)  # (d, d)
    length = float(np.square(had).sum())
    turned: Floats = (drawn @ ((left @ right) * (values.sum() / length if length else 1.0))).astype(np.float32)
    return turned
