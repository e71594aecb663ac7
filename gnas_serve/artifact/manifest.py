"""What an artifact says of itself, typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnas_serve.artifact.attribute_facts import AttributeFacts, attribute_facts
from gnas_serve.artifact.branches import TWO_HOP, BranchFacts
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.artifact.encoding_facts import FeatureEncoding, feature_encodings
from gnas_serve.artifact.provenance import Provenance
from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.artifact.segment_facts import SegmentFacts
from gnas_serve.artifact.store import read_manifest, write_manifest
from gnas_serve.errors import IntegrityError

KIND = "artifact"
FORMAT_VERSION = 3
FLAT = "flat"
IVF_FLAT = "ivf-flat"
INDEX_KINDS = (FLAT, IVF_FLAT, "ivf", "ivf-pq")
RANKER_KINDS = ("retrieval", "mlp")
PRECISIONS = ("fp32", "fp16", "int8")
NEWCOMERS = ("fold_in", "popularity")
_SCORERS = ("cosine", "dot")  # of format version 1


@dataclass(frozen=True)
class IndexFacts:
    """The retrieval index: which structure, and how it measured against exact search."""

    kind: str  # of :data:`INDEX_KINDS`
    dims: int  # width of the indexed vectors; embedding_dim, or that of the projection
    nprobe: int = 0
    recall: float = 1.0
    refine: int = 1  # how many times the wanted number of candidates it proposes
    curve: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True)
class RankerFacts:
    """The ONNX scorer: its form and its inputs."""

    kind: str  # "retrieval": a few floats over the retrieval score; "mlp": the learned ranker
    precision: str  # of :data:`PRECISIONS`
    candidates: int  # C: how many items the retriever hands over
    cross: tuple[str, ...]  # names of the cross features, in input order
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The part of an artifact that is read before any of its arrays.

    Attributes
    ----------
    name, version
        The model's name and a version derived from the content (equal bytes, equal version).
    embedding_dim
        D, the sum of the branches' widths.
    branches
        What the model is made of.
    newcomers
        How a user without a vector is answered who gives a history: ``"fold_in"``, or ``"popularity"`` where that was
        found to be better.
    metrics
        Measured on the gate users at export, e.g. ``{"ndcg@20": .12}``.
    provenance
        What it was made from and what each step did; None of folders of format version 1 and 2, and of those that no
        export made.
    attributes
        Columns by which answers can be filtered; none of an artifact without any, which says nothing of them.
    scores
        How the first scores of gate users are distributed, for serving to be held against; None of artifacts of early
        versions, and where no users answered for it. Who does not look for it passes it over.
    segments
        What newcomers can say of themselves, and what is made of it; None of an artifact without, which says nothing
        of them.
    user_encoding
        How what newcomers say becomes what the ranker reads of users; none of artifacts of early versions, and where
        it reads nothing of them. Who does not look for it passes it over.
    content
        How items that the catalogue does not have are scored by their attributes; None of artifacts of early versions,
        and where that was found to be no good. Who does not look for it passes it over.
    no_content
        Why there is none, for people; empty where there is one, and of artifacts of early versions.
    created
        The moment of ``SOURCE_DATE_EPOCH`` in ISO 8601; None where that was not set, as equal inputs give equal bytes.
    format_version
        Of the folder that it was read from; what is written is always of the newest.
    """

    name: str
    version: str
    profile: str
    num_users: int
    num_items: int
    embedding_dim: int
    branches: tuple[BranchFacts, ...]
    newcomers: str
    index: IndexFacts
    ranker: RankerFacts
    metrics: dict[str, float] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    gates: tuple[dict[str, Any], ...] = ()
    provenance: Provenance | None = None
    attributes: tuple[AttributeFacts, ...] = ()
    scores: ScoreFacts | None = None
    segments: SegmentFacts | None = None
    user_encoding: tuple[FeatureEncoding, ...] = ()
    content: ContentFacts | None = None
    no_content: str = ""
    created: str | None = None
    format_version: int = FORMAT_VERSION

    def write(self, folder: Path) -> None:
        """Hash every file of ``folder`` and write the manifest, then the checksums."""
        write_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, body=self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Give the JSON body of the manifest, without the file list and digest."""
        attributes = {"attributes": [fact.to_json() for fact in self.attributes]} if self.attributes else {}
        scores = {} if self.scores is None else {"scores": self.scores.to_json()}
        segments = {} if self.segments is None else {"segments": self.segments.to_json()}
        encoding = {"user_encoding": [one.to_json() for one in self.user_encoding]} if self.user_encoding else {}
        content: dict[str, Any] = {"no_content": self.no_content} if self.no_content else {}
        if self.content is not None:
            content = {"content": self.content.to_json()}
        return (
            attributes
            | scores
            | segments
            | encoding
            | content
            | {
                "name": self.name,
                "version": self.version,
                "profile": self.profile,
                "num_users": self.num_users,
                "num_items": self.num_items,
                "embedding_dim": self.embedding_dim,
                "branches": [branch.to_json() for branch in self.branches],
                "newcomers": self.newcomers,
                "index": {
                    "kind": self.index.kind,
                    "dims": self.index.dims,
                    "nprobe": self.index.nprobe,
                    "recall": self.index.recall,
                    "refine": self.index.refine,
                    "curve": list(self.index.curve),
                },
                "ranker": {
                    "kind": self.ranker.kind,
                    "precision": self.ranker.precision,
                    "candidates": self.ranker.candidates,
                    "cross": list(self.ranker.cross),
                    "hidden": list(self.ranker.hidden),
                },
                "metrics": self.metrics,
                "model": self.model,
                "data": self.data,
                "gates": list(self.gates),
                "provenance": None if self.provenance is None else self.provenance.to_json(),
                "created": self.created,
            }
        )

    @classmethod
    def read(cls, folder: Path, *, verify: bool = True) -> Manifest:
        """Read and check an artifact's manifest.

        Raises
        ------
        ConfigError, IntegrityError, FormatVersionError
            As :func:`gnas_serve.artifact.store.read_manifest`.
        """
        raw = read_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, verify=verify)
        try:
            if raw["format_version"] == 1:
                _upgrade(raw)
            if raw["format_version"] < 3:
                raw |= {"provenance": None, "created": None}
                raw["index"]["refine"] = 1
            _check_types(raw)
            index, ranker = raw["index"], raw["ranker"]
            return cls(
                name=raw["name"],
                version=raw["version"],
                profile=raw["profile"],
                num_users=raw["num_users"],
                num_items=raw["num_items"],
                embedding_dim=raw["embedding_dim"],
                branches=_branches(raw),
                newcomers=raw["newcomers"],
                index=IndexFacts(
                    index["kind"],
                    index["dims"],
                    index["nprobe"],
                    index["recall"],
                    index["refine"],
                    tuple(index["curve"]),
                ),
                ranker=RankerFacts(
                    ranker["kind"],
                    ranker["precision"],
                    ranker["candidates"],
                    tuple(ranker["cross"]),
                    tuple(ranker["hidden"]),
                ),
                metrics=raw["metrics"],
                model=raw["model"],
                data=raw["data"],
                gates=tuple(raw["gates"]),
                provenance=None if raw["provenance"] is None else Provenance.from_json(raw["provenance"]),
                attributes=attribute_facts(raw.get("attributes", [])),
                scores=ScoreFacts.from_json(raw["scores"]) if "scores" in raw else None,
                segments=SegmentFacts.from_json(raw["segments"]) if "segments" in raw else None,
                user_encoding=feature_encodings(raw.get("user_encoding", [])),
                content=ContentFacts.from_json(raw["content"]) if "content" in raw else None,
                no_content=raw.get("no_content", ""),
                created=raw["created"],
                format_version=raw["format_version"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"{folder}/manifest.json is garbled: {error}", hint="make or copy the artifact again"
            ) from error


def _upgrade(raw: dict[str, Any]) -> None:
    """Say of a model of format version 1 what version 2 says: one branch, which folds in as a graph layer does."""
    if raw["scorer"] not in _SCORERS:
        raise ValueError(f"scorer is {raw['scorer']!r}, expected {' or '.join(_SCORERS)}")
    branch = BranchFacts(raw["name"], "gnn", raw["embedding_dim"], unit_length=raw["scorer"] == "cosine")
    raw |= {"branches": [branch.to_json()], "newcomers": "fold_in"}
    raw["index"]["dims"] = raw["embedding_dim"]


def _branches(raw: dict[str, Any]) -> tuple[BranchFacts, ...]:
    branches = tuple(BranchFacts.from_json(facts) for facts in raw["branches"])
    if sum(branch.width for branch in branches) != raw["embedding_dim"]:
        raise ValueError(f"the branches' widths do not add up to {raw['embedding_dim']}")
    if sum(branch.kind == TWO_HOP for branch in branches) > 1:
        raise ValueError(f"more than one {TWO_HOP} branch")
    return branches


def _check_types(raw: dict[str, Any]) -> None:
    """Refuse values that no export writes: a consistent digest does not make them sound."""
    texts = {name: raw[name] for name in ("name", "version", "profile", "newcomers")}
    texts |= {f"index.{name}": raw["index"][name] for name in ("kind",)}
    texts |= {f"ranker.{name}": raw["ranker"][name] for name in ("kind", "precision")}
    texts |= {name: raw[name] for name in ("created", "no_content") if raw.get(name) is not None}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} is no text: {value!r}")  # noqa: TRY004  # bad content, not a programmer's mistake
    least = {"num_users": 0, "num_items": 1, "embedding_dim": 1}
    least |= {"index.dims": 1, "index.nprobe": 0, "index.refine": 1, "ranker.candidates": 1}
    for name, low in least.items():
        section, _, key = name.rpartition(".")
        value = raw[section][key] if section else raw[key]
        if type(value) is not int or value < low:
            raise ValueError(f"{name} is no number from {low} on: {value!r}")
    words = {
        "newcomers": NEWCOMERS,
        "index.kind": INDEX_KINDS,
        "ranker.kind": RANKER_KINDS,
        "ranker.precision": PRECISIONS,
    }
    for name, known in words.items():
        if texts[name] not in known:
            raise ValueError(f"{name} is {texts[name]!r}, expected {' or '.join(known)}")
