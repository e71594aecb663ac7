"""What would not go into memory is refused wherever something is fitted, before it starts, and with one error."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

import numpy as np
import pytest
from communities import SMALL, make_communities

from gnas_search import memory_check, selection, train
from gnas_search.baselines import BASELINES, measure_baseline
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.data.dataset import Dataset
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import Validation, validation_of
from gnas_search.footprint import checkpoint_bytes, needed_bytes
from gnas_search.selection import fit_selected
from gnas_search.specs import BlendSpec, BranchSpec, ModelSpec, Share
from gnas_search.train import train_checkpoint
from gnas_serve.errors import ConfigError

SINGLE = [SMALL, FilterSpec(rank=8), TwoHopSpec(neighbours=20)]
BLEND = BlendSpec((*(Share(spec, 1.0) for spec in SINGLE), Share(PopularitySpec(), 0.1)))
PLENTY = 1 << 40


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_communities()


@pytest.fixture(scope="module")
def validation(dataset: Dataset) -> Validation:
    return validation_of(dataset)


def _leave(monkeypatch: pytest.MonkeyPatch, *sizes: int) -> None:
    """Let the system tell these sizes one after the other, the last one from then on."""
    told: Iterator[int] = chain(sizes[:-1], repeat(sizes[-1]))
    monkeypatch.setattr(memory_check, "available_bytes", lambda *_: next(told))


def _named(spec: ModelSpec) -> str:
    return spec.key().split("-")[0]


@pytest.mark.parametrize("spec", SINGLE, ids=_named)
def test_a_selection_fit_is_refused(
    spec: BranchSpec, dataset: Dataset, validation: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[EpochResult] = []
    _leave(monkeypatch, needed_bytes(spec, dataset.selection) - 1)
    with pytest.raises(ConfigError, match="of memory for") as caught:
        fit_selected(spec, dataset.selection, validation, seed=0, on_epoch=told.append)
    assert caught.value.code == "too_large"
    assert not told
    _leave(monkeypatch, needed_bytes(spec, dataset.selection))
    assert fit_selected(spec, dataset.selection, validation, seed=0).fit.branches


@pytest.mark.parametrize("spec", [*SINGLE, BLEND], ids=_named)
def test_a_checkpoint_is_refused_before_its_first_fit(
    spec: ModelSpec, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte less than both fits take, which is more than either takes alone."""
    told: list[EpochResult] = []
    _leave(monkeypatch, checkpoint_bytes(spec, dataset.final) - 1)
    with pytest.raises(ConfigError, match="of memory for") as caught:
        train_checkpoint(dataset, spec, seed=0, on_epoch=told.append)
    assert caught.value.code == "too_large"
    assert not told
    _leave(monkeypatch, checkpoint_bytes(spec, dataset.final))
    assert train_checkpoint(dataset, spec, seed=0).final.branches


@pytest.mark.parametrize("spec", SINGLE, ids=_named)
def test_memory_that_went_away_meanwhile_is_noticed_before_the_second_fit(
    spec: BranchSpec, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _leave(monkeypatch, PLENTY, PLENTY, 1)  # the checkpoint, its selection fit, its final fit
    with pytest.raises(ConfigError, match=r"0\.0 GiB are available") as caught:
        train_checkpoint(dataset, spec, seed=0)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"popularity"}))
def test_a_baseline_is_refused(
    name: str, dataset: Dataset, validation: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    _leave(monkeypatch, 1)
    with pytest.raises(ConfigError, match="of memory for") as caught:
        measure_baseline(name, dataset.selection, validation, seed=0)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("within", ["selection", "final", "joined"])
def test_memory_that_ends_within_is_the_same_error(
    within: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allocation that fails is real, at the place of the one that would."""

    def exhausted(*_: object, **__: object) -> None:
        np.empty(1 << 60, np.uint8)

    whole = selection.fit_closed
    graph = getattr(dataset, within, None)
    if within == "joined":
        monkeypatch.setattr(train, "assemble", exhausted)
    else:
        for module in (selection, train):
            monkeypatch.setattr(
                module, "fit_closed", lambda spec, of, *rest: exhausted() if of is graph else whole(spec, of, *rest)
            )
    with pytest.raises(ConfigError, match="did not suffice") as caught:
        train_checkpoint(dataset, BlendSpec((Share(FilterSpec(rank=8), 1.0),)), seed=0)
    assert caught.value.code == "too_large"
    assert isinstance(caught.value.__cause__, MemoryError)
