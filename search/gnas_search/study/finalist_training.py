"""The third phase of a search: the best networks are trained from further seeds before one of them is chosen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from gnas_search.architecture import ArchitectureSpec
from gnas_search.epoch import EpochResult
from gnas_search.slots import Failure, Result
from gnas_search.study.finalists import DECIDED, Plan, Ranked, attribute_of, is_measured, repeat_name, seconds_of
from gnas_search.study.limits import Limits
from gnas_search.study.measurement import Measurement
from gnas_search.study.metrics import save_metrics
from gnas_search.study.workshop import Workshop


def repeat_finalists(shop: Workshop, limits: Limits) -> None:
    """Train the best networks from further seeds, and write down between which of them was decided.

    What was trained is kept, whatever interrupts it. A seed counts where it was trained to the end for every finalist:
    where time or a failure leaves one out, those before it decide. The watcher is told where that is the study's own
    seed alone.

    Parameters
    ----------
    shop
        Of the run.
    limits
        Of the run, less what comes after.
    """
    study = shop.study()
    plan = Plan.of(study.ranking, shop.seed, by_time=limits.deadline is not None)
    if plan is None:
        return
    missing = plan.missing(study.repeats)
    late = len(missing)
    if missing and not _is_late(limits, missing[0][0][1].seconds):
        expected_s = seconds_of(missing) / shop.slots.count
        shop.watcher.finalists_chosen(len(plan.finalists), len(missing), expected_s)
        late = _train(shop, missing, limits)
    keys = [trial.key for trial, _ in plan.finalists]
    study = shop.study()
    repeats = study.repeats
    whole = [seed for seed in plan.seeds if all(is_measured(key, seed, repeats) for key in keys)]
    decision = {"keys": keys, "seeds": [shop.seed, *whole]}
    if not whole and not study.finalists:
        shop.watcher.finalists_undecided(late, len(missing))
    if not whole or decision == shop.journal.user_attrs.get(DECIDED):
        return
    shop.journal.set_user_attr(DECIDED, decision)
    shop.watcher.finalists_decided(shop.study().finalists)


def _is_late(limits: Limits, needed_s: float) -> bool:
    return limits.deadline is not None and time.monotonic() + needed_s > limits.deadline


def _train(shop: Workshop, missing: Sequence[tuple[Ranked, int]], limits: Limits) -> int:
    """Train what is missing; tell how many of these time kept from their end."""
    waiting, late = deque(missing), 0
    running: dict[int, tuple[ArchitectureSpec, int]] = {}
    while True:
        for place in range(shop.slots.count):
            if place in running or not waiting:
                continue
            (trial, measured), seed = waiting[0]
            if _is_late(limits, measured.seconds):
                late += len(waiting)
                waiting.clear()
                continue
            spec = cast(ArchitectureSpec, trial.spec)  # which every ranked network has
            if not shop.slots.has_room(place, spec):
                break
            waiting.popleft()
            running[place] = spec, seed
            shop.slots.start(place, replace(shop.job(spec, limits.deadline), seed=seed))
        if not running:
            return late
        with shop.hold.released():
            place, event = shop.slots.wait()
        if isinstance(event, EpochResult):
            shop.slots.reply(place, go_on=True)
            continue
        spec, seed = running.pop(place)
        if isinstance(event, Failure):
            late += event.is_overdue
            shop.watcher.finalist_failed(spec.key(), seed, event.reason)
        elif event.stopped == "deadline":
            late += 1
        else:
            _write(shop, spec, seed, event)


def _write(shop: Workshop, spec: ArchitectureSpec, seed: int, result: Result) -> None:
    measured = Measurement.of_result(result, spec, seed=shop.seed)
    name = repeat_name(spec.key(), seed)
    save_metrics(shop.folder, name, result.users)
    shop.journal.set_user_attr(attribute_of(name), measured.to_json())
    shop.watcher.finalist_repeated(spec.key(), seed, measured)
