"""Transfer: what a new study takes over from another one, so far as it applies to its space and its data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import Dataset
from gnas_search.data.interactions import FeatureTable
from gnas_search.evaluate import Floats
from gnas_search.initial_weights import EMBEDDINGS, InitialWeights
from gnas_search.space import SearchSpace
from gnas_search.specs import BranchSpec
from gnas_search.study.trained_on import Matched, TrainedOn, matched, seen_share
from gnas_search.study.warm_source import WarmSource
from gnas_search.study.warm_start import WarmModel, WarmStart
from gnas_serve.errors import ConfigError

MOST_SEEN = 0.01
"""Of what is held out for validation: where more of it was learned by the weights, these would only seem good."""
LEAST_MATCHED = 0.5
"""Of the users and items of the new data: where fewer have an embedding, no weights are carried over."""


@dataclass(frozen=True)
class Transfer:
    """What a new study takes over.

    Attributes
    ----------
    warm
        The record of it.
    weights
        Content of the files of weights, and of what they have learned from, by name.
    """

    warm: WarmStart
    weights: dict[str, bytes]

    @classmethod
    def of(cls, source: WarmSource, space: SearchSpace, dataset: Dataset) -> Transfer:
        """Choose what of a study applies to other data.

        Parameters
        ----------
        source
            The study.
        space
            The new study's, as given.
        dataset
            Its data.

        Raises
        ------
        ConfigError
            If the space has nothing for the data.
        IntegrityError
            If what the study keeps is damaged.
        """
        restricted = space.restrict(dataset)
        carrier = _Carrier(source, dataset)
        models: dict[str, WarmModel] = {}
        remarks: list[str] = []
        weights: dict[str, bytes] = {}
        for family, specs in source.models.items():
            if family not in space.families:
                remarks.append(f"no {family} model of {source.study}: the space has none")
                continue
            for spec in specs:
                ours, reason = _fitting(spec, family, space, restricted, dataset)
                if reason:
                    remarks.append(f"{spec.key()} of {source.study} left out: {reason}")
                elif ours.key() not in models:
                    models[ours.key()] = WarmModel(ours, spec.key())
                    carried = carrier.carried(spec) if isinstance(spec, ArchitectureSpec) else None
                    if carried is not None:
                        content = carried.to_bytes()
                        file, digest = f"{ours.key()}.safetensors", _digest(content)
                        weights[file] = content
                        users = int((carried.rows < len(dataset.users)).sum())
                        counts = (users, len(carried.rows) - users)
                        models[ours.key()] = WarmModel(ours, spec.key(), file, digest, *counts)
        remarks += carrier.remarks
        learned = {f"data-{_digest(content)[:10]}.safetensors": content for content in carrier.learned_from()}
        digests = tuple((file, _digest(content)) for file, content in learned.items())
        found, said = tuple(models.values()), tuple(remarks)
        return cls(WarmStart(source.study, source.fingerprint, source.data, found, said, digests), weights | learned)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _fitting(
    spec: BranchSpec, family: str, space: SearchSpace, restricted: SearchSpace, dataset: Dataset
) -> tuple[BranchSpec, str]:
    """Give a model without what cannot apply to the data, as a start would be, and why it is out; empty if it is in."""
    if isinstance(spec, ArchitectureSpec):
        spec = _of_known_events(spec, dataset)
    alone = replace(space.families[family], starts=(spec,))  # type: ignore[type-var]  # a dataclass
    ours: BranchSpec = alone.restrict(dataset).starts[0].canonical()
    try:
        restricted.families[family].encode(ours)
    except ConfigError as error:
        return ours, error.message
    return ours, restricted.why_not(ours)


def _of_known_events(spec: ArchitectureSpec, dataset: Dataset) -> ArchitectureSpec:
    """Drop the weights of events that the data does not have."""
    log = dataset.selection.log
    events = () if log is None else log.bringing()
    if not spec.graph.named_weights:
        return spec
    named = tuple((event, weight) for event, weight in spec.graph.named_weights if event in events)
    weight = spec.graph.weight_of(events[0]) if len(events) == 1 else named or 1.0
    return replace(spec, graph=replace(spec.graph, event_weight=weight).canonical())


class _Carrier:
    """Carries weights of a study's networks over to other data."""

    def __init__(self, source: WarmSource, dataset: Dataset) -> None:
        self._source = source
        self._dataset = dataset
        self._absent: list[str] = []
        self._unknown: list[str] = []
        self._seen: dict[str, list[str]] = {}  # networks whose ancestors have learned so much
        self._refused = ""
        self._learned: dict[int, TrainedOn] = {}  # of those whose weights are carried, by place

    @property
    def remarks(self) -> list[str]:
        """Say which weights were not carried over, and why."""
        study = self._source.study
        absent = f"{study} keeps no weights of {', '.join(self._absent)}" if self._absent else ""
        unknown = f"{study} does not say what those that it was started from had learned" if self._unknown else ""
        seen = [
            f"no weights of {', '.join(keys)} carried over: with what it was started from, {study} has learned {share} "
            "of what is held out"
            for share, keys in self._seen.items()
        ]
        said = (absent, unknown and f"no weights of {', '.join(self._unknown)} carried over: {unknown}", *seen)
        return [one for one in (*said, self._refused) if one]

    def learned_from(self) -> list[bytes]:
        """Give all data that the weights carried so far have learned from, as files."""
        return [one.to_bytes() for _, one in sorted(self._learned.items())]

    def carried(self, spec: ArchitectureSpec) -> InitialWeights | None:
        """Give the weights of a network, the embeddings of the users and items that the data has too; None for none."""
        weights = self._source.weights.find(spec)
        if weights is None:
            self._absent.append(spec.key())
            return None
        rows = self._rows
        total = len(self._dataset.users) + len(self._dataset.items)
        seen = self._seen_share(self._trained_on)
        if seen > MOST_SEEN:
            self._refused = f"no weights carried over: {self._source.study} has learned {seen:.0%} of what is held out"
        elif len(rows.ours) < LEAST_MATCHED * total:
            share = f"{len(rows.ours) / max(1, total):.0%} of the users and items"
            self._refused = f"no weights carried over: {self._source.study} knows {share}, and half is the least"
        if self._refused or not self._are_innocent(spec):
            return None
        carried = {name: one for name, one in weights.items() if name != EMBEDDINGS}
        tables = (self._dataset.user_features, self._dataset.item_features)
        for side, theirs, ours in zip(("user", "item"), self._trained_on.features, tables, strict=True):
            if f"features.by_{side}" in carried:
                carried[f"features.by_{side}"] = _by_name(carried[f"features.by_{side}"], theirs, ours)
        return InitialWeights(carried, rows.ours, np.ascontiguousarray(weights[EMBEDDINGS][rows.theirs]))

    def _are_innocent(self, spec: ArchitectureSpec) -> bool:
        """Tell whether all that a network's weights ever learned from says next to nothing of what is held out."""
        learned, warm = [self._trained_on], self._source.warm
        if warm.begins_trained(spec.key()):
            if not warm.learned:  # begun by an earlier version
                self._unknown.append(spec.key())
                return False
            learned += self._earlier
            seen = self._seen_share(*learned)
            if seen > MOST_SEEN:
                self._seen.setdefault(f"{seen:.0%}", []).append(spec.key())
                return False
        self._learned |= dict(enumerate(learned))
        return True

    def _seen_share(self, *learned: TrainedOn) -> float:
        return seen_share(learned, self._dataset.valid, self._dataset.users, self._dataset.items)

    @cached_property
    def _earlier(self) -> tuple[TrainedOn, ...]:
        return self._source.warm.earlier()

    @cached_property
    def _trained_on(self) -> TrainedOn:
        return self._source.weights.trained_on()

    @cached_property
    def _rows(self) -> Matched:
        theirs, ours = self._trained_on, self._dataset
        users, items = matched(theirs.users, ours.users), matched(theirs.items, ours.items)
        return Matched(
            np.concatenate([users.theirs, items.theirs + len(theirs.users)]),
            np.concatenate([users.ours, items.ours + len(ours.users)]),
        )


def _by_name(weights: Floats, theirs: Sequence[str], ours: FeatureTable | None) -> Floats:
    """Give each feature of the data the weights that it had; those that are new begin at 0, as without a warm start."""
    names = () if ours is None else ours.names
    carried: Floats = np.zeros((len(names), weights.shape[1]), np.float32)
    places = {name: place for place, name in enumerate(theirs)}
    for place, name in enumerate(names):
        if name in places:
            carried[place] = weights[places[name]]
    return carried
