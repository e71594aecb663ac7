"""A trained recommender on disk: two fits, their vectors, and what export needs to rank and to judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from gnas_search.data.interactions import DatasetConfig, FeatureTable
from gnas_search.fit import Fit, branches_from, to_arrays
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.artifact.store import atomic_folder, read_manifest, write_manifest
from gnas_serve.errors import IntegrityError
from gnas_serve.vocabulary import Vocabulary

KIND = "checkpoint"
FORMAT_VERSION = 2
_FITS = ("selection", "final")


@dataclass(frozen=True)
class Checkpoint:
    """What `train` writes and `export` and `evaluate` read.

    Attributes
    ----------
    name
        ``"svd"``, ``"popularity"`` or the canonical key of the architecture.
    spec
        The model as JSON: an architecture's or a baseline's.
    selection
        Fitted without validation: for everything that needs labels.
    final
        Fitted on train + validation: what ships.
    train, valid : (U, I) CSR
        Target-event interactions; ``seen`` of the final fit is their sum.
    item_recency : (I,) float32 or None
    data
        ``fingerprint``, ``policy``, ``target_event`` and the dataset config, to re-derive the split.
    metrics
        Validation metrics of the selection fit.
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

    def seen(self) -> sp.csr_matrix:
        """Give the (U, I) interactions to exclude from answers of the final fit."""
        union = sp.csr_matrix(self.train + self.valid)
        union.sort_indices()
        return union

    def save(self, path: Path) -> None:
        """Write the checkpoint folder atomically.

        Raises
        ------
        ConfigError
            If ``path`` exists.
        StorageError
            If the disk is full or not writable.
        """
        with atomic_folder(path) as folder:
            for name in _FITS:
                # Written by Python: safetensors' own writer hides a full disk in an error without a number.
                (folder / f"{name}.safetensors").write_bytes(save(to_arrays(getattr(self, name))))
            (folder / "tables.safetensors").write_bytes(save(self._tables()))
            write_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, body=self._body())

    def _tables(self) -> dict[str, npt.NDArray[np.generic]]:
        tables: dict[str, npt.NDArray[np.generic]] = {}
        for name, vocabulary in (("users", self.users), ("items", self.items)):
            tables[f"{name}.ids"] = np.ascontiguousarray(vocabulary.values)
            if vocabulary.offsets is not None:
                tables[f"{name}.offsets"] = np.ascontiguousarray(vocabulary.offsets)
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
        return {
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
            },
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
        try:
            return cls._from_files(path, manifest)
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise IntegrityError(f"{path}: {error}", hint="make or copy the checkpoint again") from error

    @classmethod
    def _from_files(cls, path: Path, manifest: dict[str, Any]) -> Checkpoint:
        tables = load_file(path / "tables.safetensors")
        fits = {}
        for name in _FITS:
            facts = tuple(BranchFacts.from_json(raw) for raw in manifest["branches"][name])
            arrays = load_file(path / f"{name}.safetensors")
            fits[name] = Fit(branches_from(facts, arrays), manifest["epochs"][name])
        users = Vocabulary(tables["users.ids"], tables.get("users.offsets"))
        items = Vocabulary(tables["items.ids"], tables.get("items.offsets"))
        shape = (len(users), len(items))

        def matrix(name: str) -> sp.csr_matrix:
            indices = tables[f"{name}.indices"]
            read = sp.csr_matrix((np.ones(len(indices), np.float32), indices, tables[f"{name}.indptr"]), shape=shape)
            read.check_format(full_check=True)
            return read

        def features(name: str) -> FeatureTable | None:
            values = tables.get(f"{name}s.features")
            return None if values is None else FeatureTable(tuple(manifest[f"{name}_feature_names"]), values)

        data = manifest["data"]
        return cls(
            name=manifest["name"],
            spec=manifest["spec"],
            users=users,
            items=items,
            selection=fits["selection"],
            final=fits["final"],
            train=matrix("train"),
            valid=matrix("valid"),
            item_features=features("item"),
            user_features=features("user"),
            item_recency=tables.get("items.recency"),
            config=DatasetConfig.from_json(data["config"]),
            fingerprint=data["fingerprint"],
            policy=data["policy"],
            target_event=data["target_event"],
            seed=manifest["seed"],
            metrics=manifest["metrics"],
        )
