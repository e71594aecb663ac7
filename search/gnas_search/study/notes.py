"""Notes: what a study could not find out, and why."""

from __future__ import annotations

from gnas_search.specs import GNN
from gnas_search.study.journal import is_locked
from gnas_search.study.phases import START
from gnas_search.study.study import Study

_UNDONE = ("interrupted", "running", "duplicate")
_NAMES = {"filter": "graph filter", "two-hop": "two-hop model", GNN: "network"}
_UNSEARCHED = (
    "no network was searched for: those tried are the starts of the space; give a longer --budget or more --trials"
)

_WORTHLESS = (
    "no simple model finds a held-out item of anybody: what another finds may be chance, or how the data was divided; "
    "see `gnas-serve data describe`"
)
_EXHAUSTED = "every model of the space was tried"
_LONG_S = 1.0
"""Seconds from which on an epoch's time is worth a word."""


def notes(study: Study) -> list[str]:
    """Say in a line each what was not measured, not blended, not taken over from another study, and why no supernet.

    Also where a search was so short that it ended with the networks that its space begins with, or tried all there is,
    where no baseline is of any use to anybody, and how many trials the next run begins with: those that were stopped,
    or for which the time left was too short.
    A study that no run has worked on yet has nothing to be noted.
    """
    if not study.baselines:
        return []
    measured = {trial.kind for trial, _ in study.ranking}
    said = [f"no {name} to compare with: {reason}" for name, reason in study.left_out.items()]
    if not any(one.measured.ndcg.value > 0 for one in study.baselines):
        said.append(_WORTHLESS)
    said += [_untried(study, family) for family in study.header.space.families if family not in measured]
    if GNN in measured and _are_starts(study):
        said.append(_UNSEARCHED)
    if _is_exhausted(study):
        said.append(_EXHAUSTED)
    said += [f"{name} goes on without a supernet: {one.reason}" for name, one in study.shortlists.items() if one.reason]
    left = _left(study)
    if left and not is_locked(study.folder):
        trials = "1 trial is" if left == 1 else f"{left} trials are"
        said.append(f"{trials} left to the next run: stopped, or more than the time that was left")
    if study.blend_failure:
        said.append(f"no {'new ' if study.blends else ''}blend: {study.blend_failure}")
    return said + [f"warm start: {remark}" for remark in study.warm_start.remarks]


def _left(study: Study) -> int:
    """Count the models that were interrupted, or put off, and are not tried again yet."""
    interrupted = {trial.key for trial in study.trials if trial.state == "interrupted"}
    return len(interrupted - {trial.key for trial in study.trials if trial.state != "interrupted"})


def _are_starts(study: Study) -> bool:
    """Tell whether of the networks the starts alone were tried, and there are others."""
    tried, networks = [trial for trial in study.trials if trial.kind == GNN], study.header.space.families[GNN]
    has_others = not networks.is_finite or networks.size() > len({trial.key for trial in tried})
    return has_others and all(trial.phase == START for trial in tried)


def _is_exhausted(study: Study) -> bool:
    """Tell whether a study tried all models of a space that has a finite number of them."""
    space = study.header.space
    for family, of in space.families.items():
        tried = {trial.key for trial in study.trials if trial.kind == family and trial.state not in _UNDONE}
        if not of.is_finite or not space.constraints.are_none or len(tried) < of.size():
            return False
    return True


def _untried(study: Study, family: str) -> str:
    slow = [t.reason for t in study.trials if t.kind == family and t.state == "infeasible" and t.measured is not None]
    if slow:
        said = "its only trial breaks one" if len(slow) == 1 else f"all {len(slow)} trials break one, the first"
        return f"no {_NAMES[family]} meets the constraints: {said}: {slow[0]}"
    failed = sum(trial.kind == family and trial.state == "failed" for trial in study.trials)
    if failed:
        return f"no {_NAMES[family]} was measured: {'its only trial' if failed == 1 else f'all {failed} trials'} failed"
    expected = study.forecast if family == GNN else None
    # Less is not why none was tried; and a study of trials alone would be noted otherwise each time that it is timed.
    if expected is None or expected.epoch_s < _LONG_S:
        return f"no {_NAMES[family]} was tried: give a longer --budget or more --trials"
    epoch = f"one epoch takes about {expected.epoch_said} s"
    return f"no {_NAMES[family]} was tried: {epoch}; give a longer --budget or more --trials"
