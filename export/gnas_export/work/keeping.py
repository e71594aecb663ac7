"""Keeping: a draft as JSON and arrays, and back, so that an interrupted export need not begin again.

A closed table says which values may be kept; anything else is refused, and nothing is pickled. What the checkpoint
holds is named instead of written: its arrays, its matrices, and the interactions of each fit, which are counted again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from gnas_export.decisions import Decisions
from gnas_export.draft import Draft
from gnas_export.ranker.candidates import CandidateList
from gnas_export.ranker.network import RankerNetwork
from gnas_export.retrieval.shipped import ShippedFit, item_counts, seen_items
from gnas_export.work.kept_lists import pack_lists, unpack_lists
from gnas_export.work.kept_values import FAILURES, VALUES
from gnas_export.work.named_arrays import named_arrays, place_of
from gnas_search.checkpoint import Checkpoint
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours

Array = npt.NDArray[Any]
Tree = Any  # what JSON holds

_FITS = ("selection", "final")
_GIVEN = ("checkpoint", "profile", "mode", "seed", "content_before")
# Of an EmbeddingTable and of Neighbours, which also have what the kernels made of them.
_TABLE = ("columns", "scales", "values")
_NEIGHBOURS = ("history_power", "items", "offsets", "values")
_SHIPPED = ("tables", "fold_in", "index", "segments", "content")
_TAG = "$"
LEAVES = ("array", "bytes", "lists", "tensor")
"""Tags of what is written once, and then said where."""
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, RuntimeError)
"""What decoding raises of a tree that no :class:`Keeper` made."""


@dataclass(frozen=True)
class _Leaf:
    """Something that was written, held so that no other object can have its identity meanwhile."""

    value: object
    tree: Tree


class Keeper:
    """Makes trees of the drafts of one export, and drafts of trees; an array is written once, however often it is met.

    Arrays are taken to be what they are: no step changes one that it found in the draft.

    Parameters
    ----------
    checkpoint
        Of the export; what it holds is named.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._written: dict[int, _Leaf] = {}
        self._met: dict[int, _Leaf] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        self._named: dict[str, Array] = {}
        self._put: Callable[[Array], Tree] = _nowhere
        self._get: Callable[[Tree], Array] = _nowhere

    def encode(self, draft: Draft, put: Callable[[Array], Tree]) -> Tree:
        """Make the tree of a draft.

        Parameters
        ----------
        put
            Takes an array that was not written before, and says where it will be.

        Raises
        ------
        TypeError
            If a step set something that the table does not have.
        """
        self._put, self._met = put, {}
        named = named_arrays(self._checkpoint)
        self._names = {place_of(array): name for name, array in named.items() if array.size}
        found = {
            f.name: getattr(draft, f.name) for f in fields(draft) if f.name not in _GIVEN and hasattr(draft, f.name)
        }
        tree = {name: self._field(name, value) for name, value in found.items()}
        # Of what the draft let go nothing is held any longer.
        self._written = self._met
        return tree

    def decode(self, tree: Tree, blank: Draft, get: Callable[[Tree], Array]) -> Draft:
        """Make a draft of its tree.

        Parameters
        ----------
        blank
            Of the same export, before its first step.
        get
            Reads an array from where it was put.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, RuntimeError
            If it is the tree of something else, see :data:`UNREADABLE`.
        """
        self._get, self._met = get, {}
        self._named = named_arrays(self._checkpoint)
        draft = Draft(blank.checkpoint, blank.profile, blank.mode, blank.seed, blank.decisions, blank.content_before)
        known = {f.name for f in fields(Draft)} - {*_GIVEN}
        for name, value in tree.items():
            if name not in known:
                raise ValueError(f"no draft has {name!r}")
            setattr(draft, name, self._field_of(name, value, blank))
        self._written = self._met
        return draft

    def _field(self, name: str, value: Any) -> Tree:
        if isinstance(value, ShippedFit):
            if name not in _FITS or value.exact is not getattr(self._checkpoint, name):
                raise TypeError(f"the draft's {name} is of no fit of the checkpoint")
            return {part: self._tree(getattr(value, part)) for part in _SHIPPED}
        if isinstance(value, Decisions):
            return {part: self._tree(found) for part, found in (("given", value.repeated), ("taken", value.taken))}
        return self._tree(value)

    def _field_of(self, name: str, tree: Tree, blank: Draft) -> Any:
        if name in _FITS:
            parts = {part: self._value(tree[part]) for part in _SHIPPED}
            matrix = self._checkpoint.seen() if name == "final" else self._checkpoint.train
            seen = seen_items(matrix)
            counts = item_counts(seen, len(self._checkpoint.items))
            return ShippedFit(getattr(self._checkpoint, name), counts=counts, seen=seen, **parts)
        if name == "decisions":
            decisions = Decisions(blank.profile, blank.mode, self._value(tree["given"]))
            decisions.taken = self._value(tree["taken"])
            return decisions
        return self._value(tree)

    def _tree(self, value: Any) -> Tree:  # noqa: PLR0911  # one return per kind of value
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {_TAG: "float", "text": repr(value)}
        if isinstance(value, np.generic):
            return {_TAG: "scalar", "dtype": value.dtype.str, "hex": value.tobytes().hex()}
        if isinstance(value, dict):
            return {_TAG: "dict", "items": [[self._tree(key), self._tree(one)] for key, one in value.items()]}
        if isinstance(value, tuple):
            return {_TAG: "tuple", "items": [self._tree(one) for one in value]}
        if isinstance(value, list) and value and isinstance(value[0], CandidateList):
            return self._once(value, "lists", lambda: self._tree(pack_lists(value)))
        if isinstance(value, list):
            return [self._tree(one) for one in value]
        if isinstance(value, slice):
            return {_TAG: "slice", "of": [value.start, value.stop]}
        if isinstance(value, type) and value in FAILURES.values():
            return {_TAG: "failure", "name": value.__name__}
        return self._arrays(value)

    def _arrays(self, value: Any) -> Tree:  # noqa: PLR0911
        if isinstance(value, np.ndarray):
            name = self._names.get(place_of(value))
            return {_TAG: "of", "name": name} if name else self._once(value, "array", lambda: self._put(value))
        if isinstance(value, bytes):
            return self._once(value, "bytes", lambda: self._put(np.frombuffer(value, dtype=np.uint8)))
        if isinstance(value, torch.Tensor):
            return self._once(value, "tensor", lambda: self._put(value.detach().numpy()))
        if isinstance(value, RankerNetwork):
            return {_TAG: "network", "weights": {n: self._tree(one) for n, one in value.named_parameters()}}
        if isinstance(value, sp.csr_matrix):
            if value is self._checkpoint.valid:
                return {_TAG: "valid"}
            parts = {name: self._tree(getattr(value, name)) for name in ("data", "indices", "indptr")}
            return {_TAG: "csr", "shape": list(value.shape), **parts}
        if isinstance(value, EmbeddingTable):
            return {_TAG: "table", **{name: self._tree(getattr(value, name)) for name in _TABLE}}
        if isinstance(value, Neighbours):
            return {_TAG: "neighbours", **{name: self._tree(getattr(value, name)) for name in _NEIGHBOURS}}
        if is_dataclass(value) and VALUES.get(type(value).__name__) is type(value):
            parts = {f.name: self._tree(_plain(getattr(value, f.name))) for f in fields(value)}
            return {_TAG: "value", "type": type(value).__name__, "fields": parts}
        raise TypeError(f"a draft with a {type(value).__name__} cannot be kept")

    def _once(self, value: object, tag: str, write: Callable[[], Tree]) -> Tree:
        """Write a leaf, unless this very object is written already."""
        leaf = self._met.get(id(value)) or self._written.get(id(value))
        if leaf is None or leaf.value is not value:
            leaf = _Leaf(value, {_TAG: tag, "at": write()})
        self._met[id(value)] = leaf
        return leaf.tree

    def _value(self, tree: Tree) -> Any:
        if isinstance(tree, list):
            return [self._value(one) for one in tree]
        if not isinstance(tree, dict):
            return tree
        tag, rest = tree[_TAG], {name: part for name, part in tree.items() if name != _TAG}
        if tag in LEAVES:
            value = self._leaf(tag, rest["at"])
            self._met[id(value)] = _Leaf(value, tree)
            return value
        return _READERS[tag](self, rest)

    def _leaf(self, tag: str, at: Tree) -> Any:
        if tag == "lists":
            return unpack_lists(self._value(at))
        array = self._get(at)
        return array.tobytes() if tag == "bytes" else torch.from_numpy(array) if tag == "tensor" else array

    def _network(self, rest: dict[str, Tree]) -> RankerNetwork:
        weights = {name: self._value(one) for name, one in rest["weights"].items()}
        widths = (len(weights["user"]), len(weights["item"]), len(weights["cross"]))
        hidden = tuple(weights["second"].shape)
        network = RankerNetwork(widths, hidden, 0, torch.Generator())
        network.load_state_dict(weights)
        network.eval()
        for name, parameter in network.named_parameters():
            self._met[id(parameter)] = _Leaf(parameter, rest["weights"][name])
        return network

    def _dataclass(self, rest: dict[str, Tree]) -> Any:
        return VALUES[rest["type"]](**{name: self._value(part) for name, part in rest["fields"].items()})

    def _csr(self, rest: dict[str, Tree]) -> sp.csr_matrix:
        parts = tuple(self._value(rest[name]) for name in ("data", "indices", "indptr"))
        return sp.csr_matrix(parts, shape=tuple(rest["shape"]))

    def _made_of(self, kind: type, rest: dict[str, Tree]) -> Any:
        return kind(**{name: self._value(part) for name, part in rest.items()})


_READERS: dict[str, Callable[[Keeper, dict[str, Tree]], Any]] = {
    "csr": Keeper._csr,
    "dict": lambda keeper, rest: {keeper._value(key): keeper._value(one) for key, one in rest["items"]},
    "failure": lambda _, rest: FAILURES[rest["name"]],
    "float": lambda _, rest: float(rest["text"]),
    "neighbours": lambda keeper, rest: keeper._made_of(Neighbours, rest),
    "network": Keeper._network,
    "of": lambda keeper, rest: keeper._named[rest["name"]],
    "scalar": lambda _, rest: np.frombuffer(bytes.fromhex(rest["hex"]), dtype=_plain_dtype(rest["dtype"]))[0],
    "slice": lambda _, rest: slice(*rest["of"]),
    "table": lambda keeper, rest: keeper._made_of(EmbeddingTable, rest),
    "tuple": lambda keeper, rest: tuple(keeper._value(one) for one in rest["items"]),
    "valid": lambda keeper, _: keeper._checkpoint.valid,
    "value": Keeper._dataclass,
}


def _nowhere(_: Any) -> Any:
    raise ValueError("a keeper writes and reads while it encodes and decodes alone")


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) and not isinstance(value, dict) else value


def _plain_dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if dtype.hasobject:
        raise ValueError(f"{name} is no type of numbers")
    return dtype
