"""The simple models, measured before the search, and the forecast of its first network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from gnas_search.architecture import ArchitectureSpec
from gnas_search.baselines import BASELINES, measure_baseline
from gnas_search.forecast import forecast
from gnas_search.links import compile_links
from gnas_search.memory import peak_bytes
from gnas_search.memory_check import TOO_LARGE, check_memory, within_memory
from gnas_search.specs import BranchSpec
from gnas_search.study.measurement import Measurement
from gnas_search.study.metrics import save_metrics
from gnas_search.study.records import Baseline
from gnas_search.study.study import BASELINE_PREFIX, BASELINES_LEFT_OUT, FORECAST
from gnas_search.study.workshop import Workshop
from gnas_search.trainer import default_device
from gnas_serve.errors import ConfigError, GnasError, StorageError


def measure_baselines(shop: Workshop) -> None:
    """Measure the simple models, each once per study; they stand outside the sampler's trials.

    One that does not go into memory is left out, and tried again by the next run.
    """
    too_large: dict[str, str] = {}
    known = {name for name, raw in shop.journal.user_attrs.items() if raw is not None}  # None: its metrics were lost
    if any(BASELINE_PREFIX + name not in known for name in BASELINES):
        with shop.hold.released():
            compile_links()
    for name in BASELINES:
        attribute = BASELINE_PREFIX + name
        if attribute in known:
            continue
        try:
            with shop.hold.released():
                found = measure_baseline(name, shop.graph, shop.validation, seed=shop.seed)
        except ConfigError as error:
            if error.code != TOO_LARGE:
                raise
            too_large[name] = error.message
            shop.watcher.baseline_left_out(name, error.message)
            continue
        costs = _costs_of(shop, found.spec)
        measured = Measurement.of(
            found.metrics, seed=shop.seed, costs=costs, seconds=found.seconds, parameters=0, peak_bytes=peak_bytes()
        )
        save_metrics(shop.folder, name, found.metrics)
        shop.journal.set_user_attr(attribute, {"spec": found.spec.to_json(), "measured": measured.to_json()})
        shop.watcher.baseline_measured(Baseline(name, found.spec, measured))
    if too_large != shop.journal.user_attrs.get(BASELINES_LEFT_OUT, {}):
        shop.journal.set_user_attr(BASELINES_LEFT_OUT, too_large)


def _costs_of(shop: Workshop, spec: BranchSpec) -> Mapping[str, float]:
    """Measure what a simple model costs to serve; nothing where it cannot be exported: it stays to compare with."""
    try:
        with shop.hold.released():
            return shop.costs_of(lambda: shop.slots.fit(shop.job(spec)))
    except StorageError:
        raise
    except GnasError:
        return {}


def forecast_network(shop: Workshop, start: ArchitectureSpec) -> None:
    """Forecast what a network will cost, where it will be trained on the CPU that the forecast is about.

    One that memory refuses has none: what is timed takes as wide tables. Its trial says so.
    """
    if default_device().type != "cpu":
        return
    try:
        check_memory(start, shop.graph)
        with shop.hold.released(), within_memory(start, shop.graph):
            expected = forecast(start, shop.graph)
    except ConfigError as error:
        if error.code != TOO_LARGE:
            raise
        return
    shop.journal.set_user_attr(FORECAST, asdict(expected))
    shop.watcher.forecast_made(start, expected)
