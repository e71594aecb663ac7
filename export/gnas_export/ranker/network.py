"""The learned ranker as a network: trained on standardised inputs, shipped with the first layer split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scaling:
    """Mean and deviation of every input column."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, values: Floats) -> Scaling:
        """Measure the columns of (n, F) values; a constant column keeps its unit."""
        deviation = values.std(axis=0, dtype=np.float64)
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        return cls(values.mean(axis=0, dtype=np.float64).astype(np.float32), deviation.astype(np.float32))

    def __call__(self, values: Floats) -> Floats:
        """Standardise (.., F) values."""
        scaled: Floats = (values - self.mean) / self.deviation
        return scaled


class RankerNetwork(nn.Module):
    """Two hidden layers over user, item and cross inputs, beside a linear path over the cross inputs.

    The linear path starts as the retriever's order and the hidden path as zero: an untrained network ranks as
    retrieval does, and training departs from there.

    Parameters
    ----------
    widths
        Number of user, item and cross inputs.
    hidden
        Widths of the two hidden layers.
    score_column
        Which cross input is the retriever's standardised score.
    generator
        Of the initial weights.

    References
    ----------
    Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016.
    """

    def __init__(
        self, widths: tuple[int, int, int], hidden: tuple[int, int], score_column: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        users, items, cross = widths

        def weight(rows: int, columns: int) -> nn.Parameter:
            deviation = (2.0 / max(users + items + cross if columns == hidden[0] else rows, 1)) ** 0.5
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * deviation)

        self.user = weight(users, hidden[0])
        self.item = weight(items, hidden[0])
        self.cross = weight(cross, hidden[0])
        self.first_bias = nn.Parameter(torch.zeros(hidden[0]))
        self.second = weight(hidden[0], hidden[1])
        self.second_bias = nn.Parameter(torch.zeros(hidden[1]))
        self.last = nn.Parameter(torch.zeros(hidden[1], 1))
        wide = torch.zeros(cross, 1)
        wide[score_column] = 1.0
        self.wide = nn.Parameter(wide)

    def forward(self, user: Tensor, item: Tensor, cross: Tensor) -> Tensor:
        """Score candidates: (n, 1, D), (n, C, F), (n, C, X), all standardised -> (n, C)."""
        _, second = self.hidden(user, item, cross)
        return (second @ self.last + cross @ self.wide).squeeze(-1)

    def hidden(self, user: Tensor, item: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
        """Give the activations of both hidden layers: (n, C, H), (n, C, H2)."""
        first = torch.relu(user @ self.user + item @ self.item + cross @ self.cross + self.first_bias)
        return first, torch.relu(first @ self.second + self.second_bias)

    @property
    def widths(self) -> tuple[int, int]:
        """Widths of the two hidden layers."""
        return self.second.shape[0], self.second.shape[1]


class SplitNetwork(nn.Module):
    """The form that ships: raw inputs, the items' part of the first layer given as stored rows.

    Stored uint8 rows count in units of ``scale``. A relu passes a positive factor through, so the unit is folded
    into the weights around it and no value is ever dequantised.

    Parameters
    ----------
    user : (D, H), user_bias : (H,), cross : (X, H)
        In units of the stored rows.
    second : (H, H2), second_bias : (H2,), last : (1, H2), wide : (1, X), wide_bias : (1,)
    """

    user: Tensor
    user_bias: Tensor
    cross: Tensor
    second: Tensor
    second_bias: Tensor
    last: Tensor
    wide: Tensor
    wide_bias: Tensor

    def __init__(self, weights: SplitWeights) -> None:
        super().__init__()
        for name, values in vars(weights).items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)))

    def forward(self, cross: Tensor, user: Tensor, item: Tensor) -> Tensor:
        """Score candidates: (C, X), (1, D), (C, H) -> (C,)."""
        query = torch.matmul(user, self.user) + self.user_bias  # (1, H)
        first = torch.relu(item.to(torch.float32) + query + torch.matmul(cross, self.cross))  # (C, H)
        second = torch.relu(torch.matmul(first, self.second) + self.second_bias)  # (C, H2)
        # Rows times transposed matrices: a fifth of the whole is saved to products with a single column.
        wide = torch.addmm(self.wide_bias, self.wide, cross.T)  # (1, C)
        return torch.addmm(wide, self.last, second.T).squeeze(0)


@dataclass(frozen=True)
class SplitWeights:
    """The weights of a :class:`SplitNetwork`, standardisation and units folded in."""

    user: Floats
    user_bias: Floats
    cross: Floats
    second: Floats
    second_bias: Floats
    last: Floats
    wide: Floats
    wide_bias: Floats


@dataclass(frozen=True)
class TrainedRanker:
    """A fitted network and the scalings of its inputs."""

    network: RankerNetwork
    user: Scaling
    item: Scaling
    cross: Scaling

    def score(self, user: Floats, item: Floats, cross: Floats) -> Floats:
        """Score one list exactly: (D,), (C, F), (C, X), raw -> (C,)."""
        with torch.no_grad():
            scored: Floats = self.network(
                torch.from_numpy(self.user(user)[None, None]),
                torch.from_numpy(self.item(item)[None]),
                torch.from_numpy(self.cross(cross)[None]),
            )[0].numpy()
        return scored

    def split(self, item_inputs: Floats, *, stored: str) -> tuple[SplitWeights, ItemPart]:
        """Split the first layer into what a request brings and what an item brings.

        Parameters
        ----------
        item_inputs : (I, F) float32, raw
            Of the fit that ships: the range of stored rows is taken from it.
        stored
            How an item's row is: ``"float32"``, ``"float16"`` or ``"uint8"``.
        """
        net = {name: value.detach().numpy().astype(np.float64) for name, value in self.network.named_parameters()}

        def folded(name: str, scaling: Scaling) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
            weight = net[name] / scaling.deviation[:, None]
            return weight, -(scaling.mean @ weight)

        user, user_bias = folded("user", self.user)
        item, item_bias = folded("item", self.item)
        cross, cross_bias = folded("cross", self.cross)
        wide, wide_bias = folded("wide", self.cross)
        bias = user_bias + item_bias + cross_bias + net["first_bias"]
        part = ItemPart(item.astype(np.float32), None, 1.0, "float32" if stored == "uint8" else stored)
        if stored == "uint8":
            exact = part.rows(item_inputs)
            low = exact.min(axis=0)  # (H,)
            # One step for all columns: a step per column would inflate what the request adds to a quiet column.
            step = max(float((exact.max(axis=0) - low).max()) / 255.0, 1e-12)
            part = ItemPart(part.weight, low, step, stored)
            bias = bias + low
        weights = {
            "user": user / part.scale,
            "user_bias": bias / part.scale,
            "cross": cross / part.scale,
            "second": net["second"] * part.scale,
            "second_bias": net["second_bias"],
            "last": net["last"].T,
            "wide": wide.T,
            "wide_bias": wide_bias,
        }
        return SplitWeights(**{name: value.astype(np.float32) for name, value in weights.items()}), part


@dataclass(frozen=True)
class ItemPart:
    """The items' part of the first layer, precomputed per item.

    Attributes
    ----------
    weight : (F, H) float32
    low : (H,) float32, or None
        Least value of each column, where rows are stored as uint8; those in float16 are read as float32.
    scale
        One step of uint8 rows; 1 for others.
    stored
        Name of the rows' type.
    """

    weight: Floats
    low: Floats | None
    scale: float
    stored: str

    def rows(self, item_inputs: Floats) -> npt.NDArray[np.generic]:
        """Precompute the stored rows: (I, F) raw inputs -> (I, H)."""
        exact = np.ascontiguousarray(item_inputs @ self.weight, dtype=np.float32)
        if self.low is None:
            return exact.astype(self.stored)
        steps: npt.NDArray[np.float32] = np.rint((exact - self.low) / self.scale)
        return steps.clip(0, 255).astype(np.uint8)
