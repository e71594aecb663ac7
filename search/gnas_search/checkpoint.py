"""A trained recommender on disk: two fits, their vectors, and what export needs to rank and to judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from gnas_search.data.dataset import Dataset
from gnas_search.data.interactions import DatasetConfig, FeatureTable
from gnas_search.finite_fit import check_finite
from gnas_search.fit import Fit, Stored, branches_from, stored, stored_csr, to_arrays
from gnas_search.stored_vocabulary import stored_vocabulary, vocabulary_arrays
from gnas_serve.artifact.attribute_facts import AttributeFacts, attribute_facts
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.artifact.store import MANIFEST, atomic_folder, read_manifest, write_manifest
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.vocabulary import Vocabulary

KIND = "checkpoint"
FORMAT_VERSION = 3
_TRAINED_VERSION = 2
"""Of what was trained: a version before reads it right. A fine-tuned model's rows are others than its data's."""
_FITS = ("selection", "final")
_TABLES = "tables"
_ATTRIBUTES = {"item": "attributes", "user": "user_attributes"}
"""Files of the attributes of each side."""


@dataclass(frozen=True)
class Checkpoint:
    """What `train` writes and `export` and `evaluate` read.

    Attributes
    ----------
    name
        Key of the spec.
    spec
        The model as JSON, of any kind: see :func:`gnas_search.specs.read_spec`.
    users, items
        The vocabularies, of U and I ids.
    selection
        Fitted without validation: for everything that needs labels.
    final
        Fitted on train + validation: what ships.
    train, valid : (U, I) CSR
        Target-event interactions; ``seen`` of the final fit is their sum.
    item_features, user_features
        Where the data has them.
    item_recency : (I,) float32 or None
    config, fingerprint, policy, target_event
        Of the data, to derive the same split again.
    seed
        Of both fits.
    metrics
        Of the selection fit, over all validation users: selection itself looks at a sample of them.
    finetuned_from
        Of one that was fine-tuned: what it was made from, as :mod:`gnas_search.finetuning` says it; None of a trained
        one. Its fits have learned from ``train`` and nothing of ``valid``, both of them.
    item_attributes
        What answers can be filtered by; None where the data has no attributes of items.
    user_attributes
        What newcomers can say of themselves; None where the data has no attributes that users share.
    events
        The kinds of events of the data; none where it names none, and of checkpoints of early versions.
    digest
        Of the folder that it was read from; empty where there is none.
    """

    name: str
    spec: dict[str, Any]
    users: Vocabulary
    items: Vocabulary
    selection: Fit
    final: Fit
    train: sp.csr_matrix
    valid: sp.csr_matrix
    item_features: FeatureTable | None
    user_features: FeatureTable | None
    item_recency: npt.NDArray[np.float32] | None
    config: DatasetConfig
    fingerprint: str
    policy: str
    target_event: str | None
    seed: int
    metrics: dict[str, float] = field(default_factory=dict)
    finetuned_from: dict[str, Any] | None = None
    item_attributes: Attributes | None = None
    user_attributes: Attributes | None = None
    events: tuple[str, ...] = ()
    digest: str = ""

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        *,
        name: str,
        spec: dict[str, Any],
        selection: Fit,
        final: Fit,
        seed: int,
        metrics: dict[str, float] | None = None,
    ) -> Checkpoint:
        """Make one of the fits of a model to a dataset, of which it keeps the facts."""
        return cls(
            name=name,
            spec=spec,
            users=dataset.users,
            items=dataset.items,
            selection=selection,
            final=final,
            train=dataset.selection.positives,
            valid=dataset.valid,
            item_features=dataset.item_features,
            user_features=dataset.user_features,
            item_recency=dataset.item_recency,
            config=dataset.config,
            fingerprint=dataset.fingerprint,
            policy=dataset.policy,
            target_event=dataset.target_event,
            seed=seed,
            metrics=metrics or {},
            item_attributes=dataset.item_attributes,
            user_attributes=dataset.user_attributes,
            events=dataset.events,
        )

    def seen(self) -> sp.csr_matrix:
        """Give the (U, I) interactions to exclude from answers of the final fit."""
        union = sp.csr_matrix(self.train + self.valid)
        union.sort_indices()
        return union

    def save(self, path: Path) -> None:
        """Write the checkpoint folder atomically.

        Raises
        ------
        NoViableTrialError
            With code ``"not_finite"``, if a fit holds a value that is no finite number: nothing is written then.
        ConfigError
            If ``path`` exists.
        StorageError
            If the disk is full or not writable.
        """
        files = {name: to_arrays(getattr(self, name)) for name in _FITS}
        for name, arrays in files.items():
            check_finite(name, getattr(self, name), arrays)
        files[_TABLES] = self._tables()
        for side, file in _ATTRIBUTES.items():
            attributes: Attributes | None = getattr(self, f"{side}_attributes")
            if attributes is not None:
                files[file] = {name: np.asarray(array) for name, array in attributes.arrays().items()}
        with atomic_folder(path) as folder:
            for name, arrays in files.items():
                # Written by Python: safetensors' own writer hides a full disk in an error without a number.
                (folder / _file(name)).write_bytes(save(arrays))
            version = _TRAINED_VERSION if self.finetuned_from is None else FORMAT_VERSION
            write_manifest(folder, kind=KIND, format_version=version, body=self._body())

    def _tables(self) -> dict[str, Stored]:
        tables: dict[str, Stored] = {}
        for name, vocabulary in (("users", self.users), ("items", self.items)):
            tables |= vocabulary_arrays(name, vocabulary)
        for name, matrix in (("train", self.train), ("valid", self.valid)):
            tables[f"{name}.indptr"] = matrix.indptr.astype(np.int64)
            tables[f"{name}.indices"] = matrix.indices.astype(np.int32)
        for name, features in (("items", self.item_features), ("users", self.user_features)):
            if features is not None:
                tables[f"{name}.features"] = np.ascontiguousarray(features.values)
        if self.item_recency is not None:
            tables["items.recency"] = self.item_recency
        return tables

    def _body(self) -> dict[str, Any]:
        # Absent of a trained one: its bytes are those that versions without fine-tuning wrote. So with attributes, and
        # an earlier version that passes them over makes of the checkpoint what is right without them.
        optional: dict[str, Any] = {} if self.finetuned_from is None else {"finetuned_from": self.finetuned_from}
        for name in (f"{side}_attributes" for side in _ATTRIBUTES):
            attributes: Attributes | None = getattr(self, name)
            if attributes is not None:
                optional[name] = [fact.to_json() for fact in attributes.facts()]
        return optional | {
            "name": self.name,
            "spec": self.spec,
            "epochs": {name: getattr(self, name).epochs for name in _FITS},
            "branches": {name: [branch.facts.to_json() for branch in getattr(self, name).branches] for name in _FITS},
            "item_feature_names": list(self.item_features.names) if self.item_features else [],
            "user_feature_names": list(self.user_features.names) if self.user_features else [],
            "data": {
                "config": self.config.to_json(),
                "fingerprint": self.fingerprint,
                "policy": self.policy,
                "target_event": self.target_event,
            }
            | ({"events": list(self.events)} if self.events else {}),
            "seed": self.seed,
            "metrics": self.metrics,
        }

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read and verify a checkpoint folder.

        Raises
        ------
        ConfigError, IntegrityError, FormatVersionError
            As :func:`gnas_serve.artifact.store.read_manifest`.
        """
        manifest = read_manifest(path, kind=KIND, format_version=FORMAT_VERSION)
        with _naming(path / MANIFEST):
            facts = {name: tuple(BranchFacts.from_json(raw) for raw in manifest["branches"][name]) for name in _FITS}
            rest = {
                "name": manifest["name"],
                "spec": manifest["spec"],
                "config": DatasetConfig.from_json(manifest["data"]["config"]),
                **{name: manifest["data"][name] for name in ("fingerprint", "policy", "target_event")},
                "events": _events(manifest["data"].get("events", [])),
                "seed": manifest["seed"],
                "metrics": manifest["metrics"],
                "finetuned_from": _lineage(manifest.get("finetuned_from")),
                "digest": manifest["digest"],
            }
            epochs = {name: manifest["epochs"][name] for name in _FITS}
            names = {side: tuple(manifest[f"{side}_feature_names"]) for side in ("item", "user")}
            attributes = {side: attribute_facts(manifest.get(f"{side}_attributes", [])) for side in _ATTRIBUTES}
        with _naming(path / _file(_TABLES)):
            tables = _read_tables(load_file(path / _file(_TABLES)), names)
        shape = (len(tables["users"]), len(tables["items"]))
        for (side, file), length in zip(_ATTRIBUTES.items(), reversed(shape), strict=True):
            if attributes[side]:
                with _naming(path / _file(file)):
                    tables[f"{side}_attributes"] = _read_attributes(path / _file(file), attributes[side], length)
        fits: dict[str, Any] = {}
        for name in _FITS:
            with _naming(path / _file(name)):
                branches = branches_from(facts[name], load_file(path / _file(name)), shape)
            fits[name] = Fit(branches, epochs[name])
        return cls(**rest, **tables, **fits)


def _file(name: str) -> str:
    return f"{name}.safetensors"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever damaged content raises into one error that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, SafetensorError, OSError) as error:
        raise IntegrityError(f"{path}: {error}", hint="make or copy the checkpoint again") from error


def _lineage(raw: Any) -> dict[str, Any] | None:
    if raw is None:
        return None
    if not isinstance(raw, dict) or not all(isinstance(raw.get(name), str) for name in ("digest", "name")):
        raise ValueError("finetuned_from names no checkpoint")
    if type(raw.get("times")) is not int or raw["times"] < 1:
        raise ValueError(f"finetuned_from: times is {raw.get('times')!r}")
    return raw


def _events(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise ValueError(f"data.events are no names: {raw!r}")
    return tuple(raw)


def _read_tables(arrays: dict[str, Stored], feature_names: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Read everything but the fits: vocabularies first, which say how long the others are."""
    tables: dict[str, Any] = {name: stored_vocabulary(arrays, name) for name in ("users", "items")}
    shape = (len(tables["users"]), len(tables["items"]))
    tables |= {name: stored_csr(arrays, name, shape, None) for name in ("train", "valid")}
    for side, length in zip(("user", "item"), shape, strict=True):
        values: Any = None
        if f"{side}s.features" in arrays:
            values = stored(arrays, f"{side}s.features", np.float32, (length, len(feature_names[side])))
        tables[f"{side}_features"] = None if values is None else FeatureTable(feature_names[side], values)
    has_recency = "items.recency" in arrays
    tables["item_recency"] = stored(arrays, "items.recency", np.float32, shape[1:]) if has_recency else None
    return tables


def _read_attributes(path: Path, facts: tuple[AttributeFacts, ...], count: int) -> Attributes:
    attributes = Attributes.of(facts, load_file(path), count)
    attributes.check_content()
    return attributes
