"""What a PromQL expression asks for, held against a page of metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

# Prometheus adds these to every series that it reads.
OF_THE_TARGET = {"job", "instance", "namespace", "pod", "service"}
# What is not on a server's page: of Prometheus itself, and of the kubelet.
OF_OTHERS: Mapping[str, frozenset[str]] = {
    "up": frozenset(),
    "container_cpu_usage_seconds_total": frozenset({"container"}),
    "container_memory_working_set_bytes": frozenset({"container"}),
}


def labels_on(page: str) -> dict[str, set[str]]:
    """Give the names of a page, each with the labels of its samples."""
    found: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name] |= set(sample.labels)
    return dict(found)


def values_on(page: str, name: str, label: str) -> set[str]:
    """Give the values that a label of a metric has."""
    samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
    return {one.labels[label] for one in samples if one.name == name and label in one.labels}


def unknown(expression: str, known: Mapping[str, Iterable[str]]) -> list[str]:
    """Say which names and labels of an expression do not exist.

    Labels by which is grouped or matched have to be of every metric below them.

    Raises
    ------
    ValueError
        If it is no PromQL.
    """
    problems: list[str] = []
    _visit(promql.parse(expression), (), known, problems)
    return problems


def selectors(expression: str) -> list[Any]:
    """Give what an expression selects from."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if (selector := _selector(node)) is not None:
            found.append(selector)

    promql.walk(promql.parse(expression), visit)
    return found


def _selector(node: Any) -> Any:
    if isinstance(node, promql.MatrixSelector):
        return node.vector_selector
    return node if isinstance(node, promql.VectorSelector) else None


def _visit(node: Any, wanted: Sequence[str], known: Mapping[str, Iterable[str]], problems: list[str]) -> None:
    if (selector := _selector(node)) is not None:
        if selector.name not in known:
            problems.append(f"no metric {selector.name}")
            return
        asked = [*wanted, *(matcher.name for matcher in selector.matchers.matchers)]
        labels = {*known[selector.name], *OF_THE_TARGET}
        problems += [f"no label {label} of {selector.name}" for label in asked if label not in labels]
    elif isinstance(node, promql.AggregateExpr):
        # What is above sees the labels that are kept here and no others.
        kept = [] if node.modifier is None else node.modifier.labels
        problems += [f"{label} is not kept by {node.op}" for label in wanted if label not in kept]
        _visit(node.expr, kept, known, problems)
    elif isinstance(node, promql.BinaryExpr):
        matching = None if node.modifier is None else node.modifier.matching
        both = [*wanted, *([] if matching is None else matching.labels)]
        for side in (node.lhs, node.rhs):
            _visit(side, both, known, problems)
    elif isinstance(node, promql.Call):
        needs = ["le"] if node.func.name == "histogram_quantile" else []
        for argument in node.args:
            _visit(argument, [] if node.func.name == "absent" else [*wanted, *needs], known, problems)
    elif isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        _visit(node.expr, wanted, known, problems)
