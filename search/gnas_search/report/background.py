"""Background: what failed, where the time went, and what the study is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gnas_search.report.findings import PLURALS
from gnas_search.report.markup import Markup, element
from gnas_search.report.scale import duration, figure
from gnas_search.study import LastRun, Study
from gnas_search.study.descriptions import descriptions
from gnas_search.study.phases import HYPERPARAMETERS, TUNED
from gnas_search.study.records import STATES
from gnas_search.study.standings import spent_s
from gnas_serve.errors import IntegrityError


def failures(study: Study) -> list[object]:
    """List the trials that failed, and what of the study could not be made."""
    failed = [trial for trial in study.trials if trial.state == "failed"]
    parts: list[object] = []
    if study.blend_failure:
        parts.append(element("p", f"The blend failed: {study.blend_failure}"))
    parts += [element("p", f"Baseline {name} was left out: {reason}") for name, reason in study.left_out.items()]
    # Of those that broke a rule or a size nothing was fitted: strategies alone hear of them.
    slow = [trial for trial in study.trials if trial.state == "infeasible" and trial.measured is not None]
    parts += [element("p", f"Trial {trial.number} is infeasible: {trial.reason}") for trial in slow]
    parts += [
        element("p", f"Blend {one.key} is infeasible: {one.infeasible}") for one in study.blends if one.infeasible
    ]
    if not failed:
        return [*parts, element("p", "No trial failed.")]
    specs = {trial.key: trial.spec for trial in failed if trial.spec is not None}
    said = dict(zip(specs, descriptions(list(specs.values())), strict=True))
    rows = ((str(trial.number), trial.kind, trial.reason, said.get(trial.key, "")) for trial in failed)
    return [*parts, _table(("trial", "kind", "reason", "what it was"), rows)]


def time_spent(study: Study) -> list[object]:
    """Say how many trials each family had, how they ended, and what they took."""
    rows = [
        (
            "baselines",
            str(len(study.baselines)),
            *("" for _ in _COUNTED),
            duration(sum(one.measured.seconds for one in study.baselines)),
        )
    ]
    groups = [(name, [one for one in study.trials if one.kind == family]) for family, name in PLURALS.items()]
    tuned = [trial for trial in study.trials if trial.phase == HYPERPARAMETERS]
    groups.append((f"of which for the hyperparameters of the best {TUNED} networks", tuned))
    for name, ours in groups:
        if ours:
            states = [trial.state for trial in ours]
            spent = sum(trial.measured.seconds for trial in ours if trial.measured is not None)
            rows.append(
                (name, str(len(ours)), *(str(states.count(state) or "") for state in _COUNTED), duration(spent))
            )
    for strategy, found in study.shortlists.items():
        if found.seconds:
            rows.append((f"supernet of {strategy}", "", *("" for _ in _COUNTED), duration(found.seconds)))
    if study.repeats:
        spent = sum(measured.seconds for measured in study.repeats.values())
        rows.append(
            ("finalists, from further seeds", str(len(study.repeats)), *("" for _ in _COUNTED), duration(spent))
        )
    if study.blends:
        spent = sum(blend.measured.seconds for blend in study.blends)
        rows.append(("blends", str(len(study.blends)), *("" for _ in _COUNTED), duration(spent)))
    total = duration(spent_s(study))
    count = len(study.baselines) + len(study.trials) + len(study.repeats) + len(study.blends)
    rows.append(("all", str(count), *("" for _ in _COUNTED), total))
    return [_table(("", "models", *_COUNTED, "time"), rows)]


_COUNTED = tuple(state for state in STATES if state != "waiting")


def about(study: Study) -> list[object]:
    """Say what data, seed and strategy the study has, and what it draws from."""
    header = study.header
    try:
        last = LastRun.read(study.folder)
    except IntegrityError:  # where the data lay is the least of a report; who goes on with the study is told
        last = None
    facts = {
        "data": "not kept" if last is None else last.data,
        "fingerprint of the data": header.fingerprint,
        "split": header.policy,
        **{f"read with {name}": value for name, value in header.config.to_json().items() if value is not None},
        "objectives" if header.objectives.are_several else "objective": ", ".join(header.objectives.names),
        "seed": header.seed,
        "strategy at the beginning": header.strategy,
        "strategies that drew trials": ", ".join(study.strategies) or "none",
        "size of the space": f"{header.space.size():,} models, settings on a continuous scale aside",
        **{f"constraint: {name}": str(value) for name, value in header.space.constraints.to_json().items()},
    }
    parts: list[object] = [_facts(facts), element("h3", "The space")]
    for family, space in header.space.families.items():
        section = space.to_json()
        starts = len(section["start"])
        rows = [(name, _gene(gene)) for name, gene in section["genes"].items()]
        rows += [(name, f"fixed: {value}") for name, value in section["fixed"].items()]
        title = f"{PLURALS[family]}: {len(section['genes'])} genes, {starts} {'start' if starts == 1 else 'starts'}"
        parts.append(element("details", element("summary", title), _table(("setting", "values"), rows)))
    return parts


def _gene(gene: Any) -> str:
    if isinstance(gene, Mapping):
        return f"{figure(gene['low'])} to {figure(gene['high'])}{', logarithmic' if gene.get('log') else ''}"
    return ", ".join(str(value) for value in gene)


def _facts(facts: Mapping[str, object]) -> Markup:
    return element(
        "dl", ((element("dt", name), element("dd", str(value))) for name, value in facts.items()), class_="facts"
    )


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
    head = element("tr", (element("th", heading, scope="col") for heading in headings))
    body = (element("tr", (element("td", cell) for cell in row)) for row in rows)
    table = element("table", element("thead", head), element("tbody", body))
    return element("div", table, class_="scroll", tabindex="0", role="group", aria_label="table")
