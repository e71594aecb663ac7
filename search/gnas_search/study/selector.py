"""Selectors: the words by which a user names a model of a study."""

from __future__ import annotations

from gnas_search.specs import BLEND, FAMILIES, ModelSpec
from gnas_search.study.study import Study
from gnas_serve.errors import ConfigError, NoViableTrialError, unknown_name

_VERDICT = "verdict"
_BEST = {f"best-{family}": family for family in FAMILIES}


def pick(study: Study, selector: str) -> ModelSpec:
    """Choose a model of the study to train.

    Parameters
    ----------
    study
        As it was read.
    selector
        ``"verdict"``, ``"best-gnn"``, ``"best-filter"``, ``"best-two-hop"``, ``"blend"``, the name of a baseline,
        the number or key of a trial, or the key of a blend.

    Raises
    ------
    ConfigError
        If the study has no such model, or it was not measured.
    NoViableTrialError
        If there is no usable model to be the verdict, no measured trial to be the best, or no blend.
    """
    known: dict[str, ModelSpec] = {baseline.name: baseline.spec for baseline in study.baselines}
    known |= {blend.key: blend.spec for blend in study.blends}
    if selector == _VERDICT:
        selector = study.verdict.name
    elif selector in _BEST:
        trial = study.best_of(_BEST[selector])
        if trial is None or trial.spec is None:
            raise NoViableTrialError(
                f"{study.folder}: no {_BEST[selector]} trial is complete",
                hint="let the same search go on for longer, with more --trials or a longer --budget",
            )
        return trial.spec
    elif selector == BLEND:
        if not study.blends:
            raise _no_blend(study)
        return study.blends[0].spec
    if selector in known:
        return known[selector]
    for trial in study.trials:
        if selector in (str(trial.number), trial.key, *trial.stored_as) and trial.spec is not None:
            if trial.key in {measured.key for measured, _ in study.ranking}:
                return trial.spec
            raise ConfigError(
                f"trial {trial.number} is {trial.state}{': ' if trial.reason else ''}{trial.reason}",
                hint="choose a complete one: see `gnas-serve study leaderboard`",
            )
    numbers = [trial.number for trial, _ in study.ranking]
    if selector.isdigit() and numbers:
        raise ConfigError(
            f"the study has no measured trial {selector}",
            hint=f"its {len(numbers)} are among 0 to {max(numbers)}: see `gnas-serve study leaderboard`",
            code="unknown_trial",
        )
    error = unknown_name("trial", selector, [_VERDICT, BLEND, *_BEST, *known])
    others = f"or a trial's number or a model's key, as `gnas-serve study leaderboard {study.folder}` has them"
    raise ConfigError(error.message, hint=f"{error.hint}; {others}", code=error.code)


def _no_blend(study: Study) -> NoViableTrialError:
    if study.blend_failure:
        reason, hint = f"making it failed: {study.blend_failure}", "search on, which tries again"
    elif study.has_blended:
        reason, hint = "none is better than its best part", "choose another model"
    else:
        reason, hint = "none was made yet", "search on: a blend is made at the end"
    return NoViableTrialError(f"{study.folder}: it has no blend: {reason}", hint=hint)
