"""The rules of CycloneDX 1.6 that a bill of materials of ours could break, checked without its schema."""

from __future__ import annotations

import re
from typing import Any

_KEYS = {
    "bill": {
        "$schema",
        "bomFormat",
        "specVersion",
        "serialNumber",
        "version",
        "metadata",
        "components",
        "dependencies",
        "compositions",
    },
    "metadata": {"timestamp", "tools", "component"},
    "component": {
        "type",
        "bom-ref",
        "name",
        "version",
        "description",
        "scope",
        "hashes",
        "purl",
        "components",
        "properties",
        "modelCard",
    },
    "modelCard": {"bom-ref", "modelParameters", "quantitativeAnalysis", "considerations", "properties"},
    "modelParameters": {
        "approach",
        "task",
        "architectureFamily",
        "modelArchitecture",
        "datasets",
        "inputs",
        "outputs",
    },
    "quantitativeAnalysis": {"performanceMetrics", "graphics"},
    "performanceMetric": {"type", "value", "slice", "confidenceInterval"},
    "considerations": {"users", "useCases", "technicalLimitations", "performanceTradeoffs"},
    "dataset": {"bom-ref", "type", "name", "contents", "description"},
}
_TYPES = {
    *("application", "framework", "library", "container", "platform", "operating-system", "device", "device-driver"),
    *("firmware", "file", "machine-learning-model", "data", "cryptographic-asset"),
}
_AGGREGATES = {"complete", "incomplete", "unknown", "not_specified"}
_SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PURL = re.compile(r"pkg:pypi/[a-z0-9.-]+@[A-Za-z0-9.%_~-]+")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def check_bill(bill: dict[str, Any]) -> None:
    """Hold a bill of materials to the rules."""
    _keys("bill", bill, {"bomFormat", "specVersion"})
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert _SERIAL.fullmatch(bill["serialNumber"])
    assert type(bill["version"]) is int
    assert bill["version"] >= 1
    _keys("metadata", bill["metadata"], set())
    if "timestamp" in bill["metadata"]:
        assert _TIMESTAMP.fullmatch(bill["metadata"]["timestamp"])
    components = [*bill["components"], bill["metadata"]["component"], *bill["metadata"]["tools"]["components"]]
    for component in components:
        _check_component(component)
    references = [one["bom-ref"] for one in _all(components) if "bom-ref" in one]
    assert len(references) == len(set(references))
    assert len(bill["components"]) == len({str(one) for one in bill["components"]})
    told = [dependency["ref"] for dependency in bill["dependencies"]]
    assert len(told) == len(set(told))
    for dependency in bill["dependencies"]:
        assert {"ref"} <= set(dependency) <= {"ref", "dependsOn", "provides"}
        named = dependency.get("dependsOn", [])
        assert len(named) == len(set(named))
        assert {dependency["ref"], *named} <= set(references)
    for composition in bill["compositions"]:
        assert composition["aggregate"] in _AGGREGATES
        assert {*composition.get("assemblies", []), *composition.get("dependencies", [])} <= set(references)


def _all(components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [nested for one in components for nested in (one, *_all(one.get("components", [])))]


def _check_component(component: dict[str, Any]) -> None:
    _keys("component", component, {"type", "name"})
    assert component["type"] in _TYPES
    for name in ("name", "version", "bom-ref", "purl", "description"):
        assert isinstance(component.get(name, ""), str)
    assert component["name"]
    for one in component.get("hashes", []):
        assert set(one) == {"alg", "content"}
        assert one["alg"] == "SHA-256"
        assert re.fullmatch("[0-9a-f]{64}", one["content"])
    if "purl" in component:
        assert _PURL.fullmatch(component["purl"]), component["purl"]
    for one in component.get("properties", []):
        assert set(one) == {"name", "value"}
        assert all(isinstance(text, str) for text in one.values())
    for nested in component.get("components", []):
        _check_component(nested)
    if "modelCard" in component:
        assert component["type"] == "machine-learning-model"
        _check_card(component["modelCard"])


def _check_card(card: dict[str, Any]) -> None:
    _keys("modelCard", card, set())
    parameters = card["modelParameters"]
    _keys("modelParameters", parameters, set())
    for name in ("task", "architectureFamily", "modelArchitecture"):
        assert isinstance(parameters[name], str)
    for dataset in parameters["datasets"]:
        _keys("dataset", dataset, {"type"})
        assert dataset["type"] in {"source-code", "configuration", "dataset", "definition", "other"}
    for name in ("inputs", "outputs"):
        assert all(set(one) == {"format"} for one in parameters[name])
    considerations = card["considerations"]
    _keys("considerations", considerations, set())
    assert all(isinstance(text, str) for texts in considerations.values() for text in texts)
    analysis = card.get("quantitativeAnalysis", {})
    _keys("quantitativeAnalysis", analysis, set())
    for metric in analysis.get("performanceMetrics", []):
        _keys("performanceMetric", metric, set())
        assert all(isinstance(metric[name], str) for name in ("type", "value", "slice"))
        ends = metric.get("confidenceInterval", {})
        assert set(ends) <= {"lowerBound", "upperBound"}
        assert all(isinstance(end, str) for end in ends.values())


def _keys(kind: str, value: dict[str, Any], required: set[str]) -> None:
    """No object of the specification takes further keys."""
    assert required <= set(value) <= _KEYS[kind], (kind, set(value) - _KEYS[kind])
