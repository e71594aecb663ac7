"""The supernet of a study: trained before its networks are, so that the best of them are tried first."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

import torch

from gnas_search.data.dataset import InteractionGraph
from gnas_search.memory_check import TOO_LARGE
from gnas_search.space import NetworkSpace, SearchSpace
from gnas_search.specs import GNN
from gnas_search.strategies.shortlist import Shortlist
from gnas_search.study.draws import Draws
from gnas_search.study.limits import SUPERNET_SHARE, Limits
from gnas_search.study.turns import TIME_SHARES
from gnas_search.study.workshop import Workshop
from gnas_search.supernet import AFFORDABLE, SUPERNETS, Step, Survey
from gnas_search.supernet.choices import NOTHING_SHARED, everything
from gnas_search.supernet.survey import TRAINING_SHARE
from gnas_serve.errors import ConfigError, NoViableTrialError

_NONE = Shortlist(reason="none was made")
_REFUSALS = (TOO_LARGE, NOTHING_SHARED)
"""Codes of the errors for which a study goes on without a supernet."""


def shortlist_networks(shop: Workshop, space: SearchSpace, strategy: str, limits: Limits, draws: Draws) -> None:
    """Let a supernet list the networks that its strategy tries first: once per study and strategy.

    Interrupted, it has written nothing, and the next run trains it again; so it does where there was no memory or time,
    and not where all that it found was known.

    Parameters
    ----------
    shop
        Of the run.
    space
        Restricted to its data.
    strategy
        Nothing is done for one without a supernet.
    limits
        Of the run, less what comes after the trials; :func:`share_s` of its time is the supernet's.
    draws
        Charged with what supernets took, in this run and before.
    """
    networks = space.families.get(GNN)
    if not isinstance(networks, NetworkSpace):
        return
    known = Shortlist.all_of(shop.journal.user_attrs)
    before = known.get(strategy, _NONE)
    tried = draws.tried.known()
    if _is_due(strategy, known, limits, draws):
        keys = {*tried, *(start.key() for start in networks.starts)}
        if _leaves_a_trial(limits, draws):
            found = _found(shop, space, networks, strategy, limits, keys)
        else:
            reason = "the trials end before any network that it would list: give more --trials"
            found = Shortlist(reason=reason, for_trials=limits.trials)
        known[strategy] = replace(found, seconds=before.seconds + found.seconds)
        known[strategy].write(shop.journal, strategy)
        shop.watcher.supernet_ended(strategy, known[strategy])
    draws.charge(GNN, sum(one.seconds for one in known.values()))


def would_train(
    strategy: str,
    space: SearchSpace,
    graph: InteractionGraph,
    known: Mapping[str, Shortlist],
    limits: Limits,
    draws: Draws,
) -> bool:
    """Tell whether a run would train a supernet, as :func:`shortlist_networks` decides; nothing is trained.

    Parameters
    ----------
    strategy
        Of the run.
    space, graph
        What it would be trained on.
    known
        The shortlists of the study, by strategy.
    limits, draws
        As there.
    """
    networks = space.families.get(GNN)
    if not isinstance(networks, NetworkSpace) or not _is_due(strategy, known, limits, draws):
        return False
    try:
        AFFORDABLE[strategy](networks, graph)
    except ConfigError as error:
        if error.code not in _REFUSALS:
            raise
        return False
    return _leaves_a_trial(limits, draws)


def _is_due(strategy: str, known: Mapping[str, Shortlist], limits: Limits, draws: Draws) -> bool:
    """Tell whether a strategy has a supernet, a study no list of it yet, and a run anything left to try."""
    before = known.get(strategy, _NONE)
    is_decided = before.is_final or (before.for_trials is not None and before.for_trials == limits.trials)
    is_wanted = strategy in SUPERNETS and bool(before.reason) and not is_decided
    return is_wanted and not limits.reached(len(draws.tried.known()))


def _leaves_a_trial(limits: Limits, draws: Draws) -> bool:
    """Tell whether the trials go on to a network that a supernet would list."""
    return limits.trials is None or draws.proposals(limits.trials - len(draws.tried.known())) > 0


def _found(
    shop: Workshop, space: SearchSpace, networks: NetworkSpace, strategy: str, limits: Limits, known: set[str]
) -> Shortlist:
    began = time.monotonic()
    seconds = _seconds(limits, began, space.families)
    survey = Survey(
        networks,
        shop.graph,
        shop.validation,
        shop.seed,
        training_ends=None if seconds is None else began + TRAINING_SHARE * seconds,
        ends=None if seconds is None else began + seconds,
        allowed=everything if space.constraints.are_none else lambda spec: not space.why_not(spec),
        known=known,
        heard=lambda step: _tell(shop, strategy, step),
    )
    try:
        with shop.hold.released():
            answer = SUPERNETS[strategy](survey)
    except ConfigError as error:
        if error.code not in _REFUSALS:
            raise
        return Shortlist(reason=error.message)
    except NoViableTrialError as error:
        return Shortlist(reason=error.message, seconds=time.monotonic() - began)
    finally:
        torch.cuda.empty_cache()  # slots that are processes of their own need it; without a device nothing is done
    took = time.monotonic() - began
    is_final = bool(answer.epochs) and not answer.cut_short
    reason = "" if answer.listed else "it found no network that is new"
    if not answer.listed and not is_final:
        short = "it ranked any network" if answer.epochs else "its first epoch"
        reason = f"time ended before {short}: give a longer --budget"
    return Shortlist(answer.listed, reason, answer.epochs, answer.ranked, took, is_final)


def _tell(shop: Workshop, strategy: str, step: Step) -> None:
    shop.watcher.supernet_moved(strategy, step)


def share_s(left_s: float, families: Collection[str]) -> float:
    """Say how many of the seconds that are left until the end of the trials a supernet may take.

    Parameters
    ----------
    left_s
        Seconds.
    families
        Of the space; the more there are, the less is the networks' share.
    """
    return SUPERNET_SHARE * left_s * TIME_SHARES[GNN] / sum(TIME_SHARES[family] for family in families)


def _seconds(limits: Limits, now: float, families: Collection[str]) -> float | None:
    """Say how long the supernet may take; None where only the number of trials is limited."""
    return None if limits.deadline is None else share_s(max(0.0, limits.deadline - now), families)
