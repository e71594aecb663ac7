"""Findings: the sections of a report that say what a study found."""

from __future__ import annotations

from gnas_search.bootstrap import Interval, paired_interval
from gnas_search.report.axes import axes_of
from gnas_search.report.charts import forest, history, influence, learning_curves, parallel, pareto
from gnas_search.report.charts.forest import Row
from gnas_search.report.drawing import draw
from gnas_search.report.importance import LEAST_MODELS, Importance, importances
from gnas_search.report.markup import Markup, element
from gnas_search.report.models import KIND_NAMES, Model, Yardstick, best_of_kinds
from gnas_search.report.scale import figure
from gnas_search.specs import FAMILIES, GNN, BlendSpec, BranchSpec
from gnas_search.study import Study, Verdict
from gnas_search.study.front import front
from gnas_search.study.traits import Trait, traits
from gnas_search.study.verdict import BASELINE

_EARLY = ("deadline", "rung")
PLURALS = {"filter": "graph filters", "two-hop": "two-hop models", "gnn": "networks"}


def comparison(study: Study, models: tuple[Model, ...], verdict: Verdict | None) -> list[object]:
    """Hold the baselines against the best of each kind: values, then gains user by user."""
    if not models:
        return [element("p", "No model is measured yet.")]
    best = [model for model in best_of_kinds(study, models) if model.kind != BASELINE]
    best += [model for model in models if model.kind == "blend" and model not in best]
    baselines = [model for model in models if model.kind == BASELINE]
    chosen = verdict.name if verdict is not None else ""
    by = Yardstick.of(study)
    rows = [_row(model, by.turned(model.measured.quality), chosen) for model in [*baselines, *best]]
    users = len(study.per_user(models[0].name).quality)
    parts: list[object] = [
        forest(
            rows,
            by.name,
            f"Means over {users:,} validation users with 95 % bootstrap intervals; "
            f"{'the baselines, and the best of every other kind' if baselines else 'the best of each kind'}"
            f"{_over_seeds(study)}. The verdict is in bold.",
        )
    ]
    if baselines and best:
        simple = study.per_user(baselines[0].name).quality
        gains = [
            _row(
                model,
                by.turned(paired_interval(study.values_per_user(model.name), simple, study.header.seed)),
                chosen,
            )
            for model in best
        ]
        parts.append(
            forest(
                gains,
                f"{'gain' if by.sign > 0 else 'change'} in {by.name} over {baselines[0].name}",
                "The same, user by user, against the best baseline: the narrower intervals say more than whether two "
                "of those above overlap. The best of many trials looks a little better here than it is.",
                zero=True,
            )
        )
    return parts


def _over_seeds(study: Study) -> str:
    """Say that the network counts with its mean; empty where one seed decided."""
    return f", the network by its mean over {len(study.finalists[0].seeds)} seeds" if study.finalists else ""


def _row(model: Model, interval: Interval, chosen: str) -> Row:
    return Row(model.name, model.kind, interval, model.name == chosen)


def progress(study: Study) -> list[object]:
    """Show the trials in order, and how networks learned."""
    if not study.trials:
        return [element("p", "No trial was started yet.")]
    return [history(study.trials, study.baselines, Yardstick.of(study)), *_of_one_seed(study)]


def finalists(study: Study) -> list[object]:
    """Show what the best networks are worth from each seed that they were trained from."""
    if not study.finalists:
        said = "The best network was chosen by one seed: a longer search trains the best few from further seeds."
        return [element("p", said, class_="note")]
    by = Yardstick.of(study)
    rows = [
        Row(
            f"{one.trial.key} (trial {one.trial.number})",
            GNN,
            by.turned(Interval(one.mean, min(one.qualities), max(one.qualities))),
            one is study.finalists[0],
        )
        for one in study.finalists
    ]
    seeds = ", ".join(str(seed) for seed in study.finalists[0].seeds)
    said = (
        f"The best networks from the seeds {seeds}: the mean, and from the least to the most, which is no interval of "
        "users. The one that is best on average, in bold, speaks for the networks: in the verdict and in the blend."
    )
    return [forest(rows, by.name, said)]


def learning(study: Study, models: tuple[Model, ...]) -> list[object]:
    """Show the learning curves."""
    found = learning_curves([model for model in models if model.kind == "gnn"])
    if found is None:
        return [element("p", "No network was trained: closed forms have no epochs.")]
    return [found, *_of_one_seed(study)]


def _of_one_seed(study: Study) -> list[object]:
    """Say of a drawing of single trainings that a finalist's mean is elsewhere."""
    if not study.finalists:
        return []
    said = (
        f"Every trial is drawn as it was trained, the finalists too, from the study's seed {study.header.seed}; "
        "elsewhere these count with their mean over seeds."
    )
    return [element("p", said, class_="note")]


def settings(models: tuple[Model, ...], seed: int) -> list[object]:
    """Say for each family which settings go with what models are worth, and draw its models over them.

    Networks that were stopped early count with their best until then, but for those that time cut. They are the worst
    of a study: left out, they take most of what there is to explain with them, since what is left was chosen by what
    is to be explained. Of ml-100k's table of trained networks (``tests/bench``), 40 drawn at random and stopped as
    in a study, the shares of variance are off by .05 on average against those of whole trainings, without the stopped
    by .10, by what all had after a quarter of their epochs by .06; in order they correlate with the true ones by .58,
    .30 and .45.
    """
    parts: list[object] = []
    for family in FAMILIES:
        ours = [model for model in models if model.kind == family and not model.measured.is_cut]
        if not ours:
            continue
        found, values = _traits(ours), [model.value for model in ours]
        by = ours[0].yardstick
        ranked = importances(found, values, seed=seed)
        name = PLURALS[family]
        parts.append(element("h3", f"{name[0].upper()}{name[1:]}"))
        parts.append(_influence(ranked, name, values, by))
        early = sum(model.measured.stopped in _EARLY for model in ours)
        if early:
            said = f"{early} of the {len(ours)} {name} were stopped early, and count with their best until then."
            parts.append(element("p", said, class_="note"))
        first = [one.name for one in ranked] + [key for key in found[0] if key not in {one.name for one in ranked}]
        drawn = parallel(found, values, first, by)
        parts.append(drawn if drawn is not None else element("p", f"Too few {name} to compare their settings."))
    return parts or [element("p", "No trial is measured yet.")]


def _influence(ranked: tuple[Importance, ...], family: str, values: list[float], by: Yardstick) -> Markup:
    if len(values) < LEAST_MODELS:
        said = f"What mattered: {len(values)} measured {family} are too few to say; it takes {LEAST_MODELS} at least."
        return element("p", said)
    if not ranked:
        return element("p", f"What mattered: the {family} do not differ in what could be compared.")
    return influence(ranked, family, len(values), by.name)


def _traits(models: list[Model]) -> list[dict[str, Trait]]:
    specs: list[BranchSpec] = [model.spec for model in models if not isinstance(model.spec, BlendSpec)]
    depth = max((int(traits(spec).get("num_layers", 0)) for spec in specs), default=0)
    return [traits(spec, depth=depth) for spec in specs]


def fronts(study: Study, models: tuple[Model, ...]) -> list[object]:
    """Hold what models are worth against the study's other objectives, and against every cost."""
    objectives = study.header.objectives
    several = front(study) if len(objectives.names) > 2 else None
    drawn = [
        (axis, pareto(models, axis, several if axis.name in objectives.names else None)) for axis in axes_of(objectives)
    ]
    missing = [axis.title for axis, one in drawn if one is None]
    parts: list[object] = [one for _, one in drawn if one is not None]
    if missing:
        said = f"Not drawn, for fewer than two models have it: {'; '.join(missing)}."
        parts.append(element("p", said, class_="note"))
    return parts


def winner(study: Study, models: tuple[Model, ...], verdict: Verdict | None) -> list[object]:
    """Draw the verdict with its settings, and below, folded, the best of every other kind."""
    chosen = next((model for model in models if verdict is not None and model.name == verdict.name), None)
    if chosen is None:
        return [element("p", "There is no verdict to draw yet.")]
    parts: list[object] = [_drawn(chosen)]
    if isinstance(chosen.spec, BlendSpec):
        said = {model.spec.key(): model.said for model in models}
        for share in chosen.spec.shares:
            name = said.get(share.spec.key(), share.spec.key())
            parts.append(_folded(f"its branch {name}", draw(share.spec)))
    shown = {share.spec.key() for share in chosen.spec.shares} if isinstance(chosen.spec, BlendSpec) else set()
    others = (model for model in best_of_kinds(study, models) if model.kind not in (chosen.kind, BASELINE, "blend"))
    parts += [
        _folded(f"the best {KIND_NAMES[model.kind]}: {model.said}", _drawn(model))
        for model in others
        if model.name not in shown
    ]
    return parts


def _folded(said: str, content: Markup) -> Markup:
    return element("details", element("summary", said), content)


def _drawn(model: Model) -> Markup:
    found = {} if isinstance(model.spec, BlendSpec) else traits(model.spec)
    listed = [(name, _written(value)) for name, value in found.items()]
    said = f"{model.said}: {model.summary}"
    table = element(
        "details",
        element("summary", "all settings"),
        element("dl", ((element("dt", name), element("dd", value)) for name, value in listed), class_="facts"),
    )
    drawing = element("div", draw(model.spec), class_="scroll", tabindex="0", role="group", aria_label="drawing")
    return element("figure", drawing, element("figcaption", said), table if listed else None)


def _written(value: Trait) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, bool) else figure(float(value))
