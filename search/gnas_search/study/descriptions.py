"""Descriptions of a study's models: a line each, told apart where two models read alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from gnas_search.specs import BranchSpec
from gnas_search.study.study import Study

_SHOWN = 4
"""Settings named for one model, where these tell it from all others; the rest is in its spec."""
_DIGITS = (3, 6)
"""Of a number: as few of them as tell it from the others'. What differs beyond them differs by rounding, as a rule."""

_ABSENT = object()


def described(study: Study) -> dict[str, str]:
    """Describe the baselines and the measured trials of a study: by name, as they stand in one table."""
    models = {one.name: one.spec for one in study.baselines}
    models |= {trial.key: trial.spec for trial, _ in study.ranking if trial.spec is not None}
    return dict(zip(models, descriptions(list(models.values())), strict=True))


def descriptions(specs: Sequence[BranchSpec]) -> list[str]:
    """Describe each model; those whose summaries are equal also by the settings in which they differ.

    Parameters
    ----------
    specs
        Of different models: equal ones are described alike.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for place, spec in enumerate(specs):
        alike[spec.summary()].append(place)
    lines = [""] * len(specs)
    for summary, places in alike.items():
        # What has no effect on a model is fixed in its canonical form, and is no difference.
        told = _told_apart([specs[place].canonical().to_json() for place in places], _SHOWN)
        for place, settings in zip(places, told, strict=True):
            lines[place] = " | ".join([summary, *([", ".join(settings)] if settings else [])])
    return lines


def _told_apart(raws: Sequence[dict[str, Any]], most: int) -> list[list[str]]:
    """Name up to so many settings in which models differ, and of those that still read alike one more at a time."""
    if len(raws) == 1:
        return [[]]
    names = dict.fromkeys(name for raw in raws for name in raw)
    for write in (_written, _exact):
        columns = {name: write(raws, name) for name in names}
        differing = [name for name, texts in columns.items() if len(set(texts)) > 1]
        if differing:
            break
    else:
        return [[] for _ in raws]
    shown = differing[:most] if most > 1 else [max(differing, key=lambda name: len(set(columns[name])))]
    told = [[columns[name][place] for name in shown if columns[name][place]] for place in range(len(raws))]
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, settings in enumerate(told):
        alike[tuple(settings)].append(place)
    for places in alike.values():
        further = _told_apart([raws[place] for place in places], 1)
        for place, settings in zip(places, further, strict=True):
            told[place] += settings
    return told


def _written(raws: Sequence[dict[str, Any]], name: str) -> list[str]:
    """Write a setting down for each model, numbers rounded; nothing for a model that does not have it."""
    numbers = {raw[name] for raw in raws if isinstance(raw.get(name), float)}
    texts = {number: f"{number:.{_DIGITS[-1]}g}" for number in numbers}
    for digits in _DIGITS[:-1]:
        count = Counter(f"{number:.{digits}g}" for number in numbers)
        texts |= {number: text for number in numbers if count[text := f"{number:.{digits}g}"] == 1}
    return [
        _setting(name, _ABSENT if name not in raw else texts[raw[name]] if isinstance(raw[name], float) else raw[name])
        for raw in raws
    ]


def _exact(raws: Sequence[dict[str, Any]], name: str) -> list[str]:
    """Write a setting down for each model, no two values alike."""
    return [_setting(name, raw.get(name, _ABSENT)) for raw in raws]


def _setting(name: str, value: Any) -> str:
    return "" if value is _ABSENT else f"{name}={value}"
