"""Draft: an artifact in the making, handed from step to step."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gnas_export.decisions import Decisions
from gnas_export.gates import Gate
from gnas_export.judging.quality import Jury
from gnas_export.package import PackedRanker, write_files, write_manifest
from gnas_export.profile import ExportProfile
from gnas_export.ranker.candidates import CandidateList, FeaturePlan
from gnas_export.ranker.fitting import Course, Fitted
from gnas_export.ranker.lessons import Lessons
from gnas_export.ranker.network import ItemPart
from gnas_export.ranker.variants import PRECISION_OF
from gnas_export.retrieval.shipped import ShippedFit
from gnas_search.checkpoint import Checkpoint
from gnas_search.evaluate import UserMetrics
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.artifact.manifest import IndexFacts, Manifest, RankerFacts
from gnas_serve.artifact.segment_facts import SegmentFacts
from gnas_serve.artifact.store import storage_errors
from gnas_serve.runtime.recommender import Recommender


@dataclass(frozen=True)
class RankerForm:
    """One network of the learned ranker in one numeric form.

    Attributes
    ----------
    network
        Its name, of :mod:`gnas_export.ranker.variants`.
    numeric
        Of :data:`gnas_export.ranker.variants.NUMERIC`.
    hidden
        Widths of the network.
    difference
        Largest relative one between its network's float32 graphs and torch.
    overlap
        Mean overlap of its first 20 with those of its own network as it was trained.
    likeness
        The same with those of the teacher, and the mean rank correlation with the teacher's scores.
    """

    network: str
    numeric: str
    hidden: tuple[int, int]
    graph: bytes
    items: ItemPart
    difference: float
    overlap: float
    likeness: tuple[float, float]

    @property
    def name(self) -> str:
        """Its name among decisions."""
        return f"{self.network}/{self.numeric}"


@dataclass
class Draft:
    """What the steps have made so far; each step states which fields it needs and which it sets.

    Attributes
    ----------
    mode
        ``"auto"``, ``"always"`` or ``"never"``: how the learned ranker is treated.
    content_before
        The content encoder of the model before, to be kept where too few users can judge one.
    gates, decisions, facts
        What the report will say.
    ranker_gates
        Of the learned ranker alone: they bind where it ships.
    host_gates
        Of this machine, such as latency: in the report, never in the manifest.
    fitting : (n,) user rows the ranker may learn from
    jury
        The gate users; disjoint from ``fitting``.
    probes : (n,) user rows for everything that needs no labels
    links
        Form of the neighbours: ``"pruned"``, ``"fp16"`` or ``"fp32"``; empty where there are none.
    reference
        On the jury, of uncompressed exact search; None where there are too few labels.
    width
        Of the vectors: ``"int8"``, ``"fp16"`` or ``"fp32"``.
    selection, final
        The two fits as they would ship; labels belong to the first, the artifact to the second.
    plain
        The simplest ranker.
    lessons
        What rankers learn from; set where there is a learned one.
    thoughts : (n, C), (m, C), or None
        Of a teacher that cannot ship: its chances of the candidates in ``lessons``; None where nobody follows one.
    networks
        Of the learned ranker, the teacher first; none where there is no learned ranker.
    lists
        Candidate lists of the final fit that the forms are held against the exact network on.
    forms
        Of the learned ranker, by name; the teacher's exact one first.
    form_metrics
        Of them, on the jury; empty where there are too few labels.
    form
        The one chosen.
    learned
        Whether the learned ranker ships.
    metrics
        On the jury, of the path that ships.
    measured
        On the jury, user by user, of paths measured so far.
    newcomers
        How they are answered: ``"fold_in"`` or ``"popularity"``.
    newcomer_metrics
        On the jury, of what ships for users without a vector; None where there are too few labels.
    segments
        What the manifest says of users' features; None where the data has none.
    segment_metrics
        On the jury, of answers from features alone; None where popularity is all that ships for such users.
    content
        What the manifest says of the encoder of content; None where none ships.
    """

    checkpoint: Checkpoint
    profile: ExportProfile
    mode: str
    seed: int
    decisions: Decisions
    content_before: ContentFacts | None = None
    gates: list[Gate] = field(default_factory=list)
    ranker_gates: list[Gate] = field(default_factory=list)
    host_gates: list[Gate] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    fitting: npt.NDArray[np.int64] = field(init=False)
    jury: Jury = field(init=False)
    probes: npt.NDArray[np.int64] = field(init=False)
    width: str = field(init=False)
    links: str = ""
    reference: UserMetrics | None = None
    selection: ShippedFit = field(init=False)
    final: ShippedFit = field(init=False)
    index: IndexFacts = field(init=False)
    plan: FeaturePlan = field(init=False)
    plain: PackedRanker = field(init=False)
    lessons: Lessons = field(init=False)
    thoughts: tuple[Tensor, Tensor] | None = None
    networks: dict[str, Fitted] = field(default_factory=dict)
    lists: list[CandidateList] = field(default_factory=list)
    forms: dict[str, RankerForm] = field(default_factory=dict)
    form_metrics: dict[str, UserMetrics] = field(default_factory=dict)
    form: str = ""
    learned: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    measured: dict[str, UserMetrics] = field(default_factory=dict)
    newcomers: str = "fold_in"
    newcomer_metrics: UserMetrics | None = None
    segments: SegmentFacts | None = None
    segment_metrics: UserMetrics | None = None
    content: ContentFacts | None = None

    @property
    def candidates(self) -> int:
        """C: no more than there are items."""
        return min(self.profile.candidates, len(self.checkpoint.items))

    @property
    def is_popularity(self) -> bool:
        """Whether the model is nothing but popularity, which it cannot be held against."""
        return all(branch.facts.kind == "popularity" for branch in self.checkpoint.final.branches)

    def binding_gates(self) -> list[Gate]:
        """Give the gates of what ships."""
        return [*self.gates, *self.ranker_gates] if self.learned else self.gates

    def keep(self, name: str, fitted: Fitted) -> None:
        """Keep a trained network, and say how it went."""
        self.networks[name] = fitted
        self.tell(name, fitted)

    def tell(self, name: str, course: Course) -> None:
        """Say how the training of a network went."""
        self.facts.setdefault("ranker_training", {})[name] = {
            "users": course.users,
            "best_epoch": course.best_epoch,
            "inner": list(course.inner),
        }

    def packed(self, form: str, fit: ShippedFit) -> PackedRanker:
        """Pack one form of the learned ranker with the item rows of a fit."""
        chosen = self.forms[form]
        facts = RankerFacts(
            kind="mlp",
            precision=PRECISION_OF[chosen.numeric],
            candidates=self.candidates,
            cross=self.plan.cross,
            hidden=chosen.hidden,
        )
        rows = chosen.items.rows(self.plan.item_inputs(fit.counts))
        return PackedRanker(chosen.graph, facts, rows, self.plan.users, self.plan.content)

    def shipping(self, fit: ShippedFit) -> PackedRanker:
        """Pack the ranker that ships with the item rows of a fit."""
        return self.packed(self.form, fit) if self.learned else self.plain

    def manifest(self, fit: ShippedFit, ranker: PackedRanker) -> Manifest:
        """Say what the artifact is; the version comes from its files."""
        checkpoint = self.checkpoint
        index = self.index
        if fit.index is None:
            index = IndexFacts("flat", fit.tables.items.dim, curve=index.curve)
        elif fit.index.dims != index.dims:  # the fits of a closed form may differ in width
            index = replace(index, dims=fit.index.dims)
        model: dict[str, Any] = {
            "spec": checkpoint.spec,
            "seed": checkpoint.seed,
            "epochs": {"selection": checkpoint.selection.epochs, "final": checkpoint.final.epochs},
            "tables": self.width,
        }
        if checkpoint.finetuned_from is not None:
            model["finetuned_from"] = checkpoint.finetuned_from
        if fit.tables.neighbours is not None:
            model["neighbours"] = {"form": self.links, "links": len(fit.tables.neighbours.items)}
        return Manifest(
            name=checkpoint.name,
            version="",
            profile=self.profile.name,
            branches=tuple(branch.facts for branch in fit.exact.branches),
            newcomers=self.newcomers,
            num_users=len(checkpoint.users),
            num_items=len(checkpoint.items),
            embedding_dim=fit.tables.items.dim,
            index=index,
            ranker=ranker.facts,
            metrics=self.metrics,
            model=model,
            data={
                "config": checkpoint.config.to_json(),
                "fingerprint": checkpoint.fingerprint,
                "policy": checkpoint.policy,
                "target_event": checkpoint.target_event,
            }
            | ({"events": list(checkpoint.events)} if checkpoint.events else {}),
            gates=tuple(gate.to_json() for gate in self.binding_gates()),
            attributes=() if checkpoint.item_attributes is None else checkpoint.item_attributes.facts(),
            segments=self.segments,
            user_encoding=() if ranker.users is None else self.plan.encodings,
            content=self.content,
            no_content="" if self.content is not None else self.facts.get("content", {}).get("reason", ""),
        )

    @contextmanager
    def written(self, fit: ShippedFit, ranker: PackedRanker) -> Iterator[Path]:
        """Write the files of one fit to a folder that goes again."""
        with storage_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="gnas-") as name:
            folder = Path(name)
            write_files(folder, self.checkpoint, fit, ranker)
            write_manifest(folder, self.manifest(fit, ranker))
            yield folder

    @contextmanager
    def rehearse(self, fit: ShippedFit, ranker: PackedRanker) -> Iterator[Recommender]:
        """Write the files of one fit, and open them as serving will: what is measured is what is served."""
        with self.written(fit, ranker) as folder:
            yield Recommender.load(folder, verify=False)
