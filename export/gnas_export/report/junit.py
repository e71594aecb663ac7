"""The gates of an export as a JUnit report, which pipelines know how to show."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

_SUITE = "gnas-serve export"


def junit_report(report: dict[str, Any]) -> bytes:
    """Write one test case for each gate, and one for the export itself.

    Parameters
    ----------
    report
        From :func:`gnas_export.report.contents.build_report`.

    Returns
    -------
    bytes
        XML: a breached gate is a failure, one that could not be measured is skipped, and what ended the export
        otherwise is an error of the case ``export``.
    """
    cases = [_case(gate) for gate in report["gates"]]
    breached = [case for case in cases if case.find("failure") is not None]
    whole = _named("export", sum(step["seconds"] for step in report["steps"]))
    if (error := report["error"]) is not None and not breached:
        found = ElementTree.SubElement(whole, "error", type=error["code"], message=_plain(error["message"]))
        found.text = _plain(error["hint"])
    errors = int(whole.find("error") is not None)
    counts = {
        "name": _SUITE,
        "tests": str(len(cases) + 1),
        "failures": str(len(breached)),
        "errors": str(errors),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": whole.attrib["time"],
    }
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", counts)
    suite.extend([whole, *cases])
    ElementTree.indent(suites)
    raw: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return raw + b"\n"


def _case(gate: dict[str, Any]) -> ElementTree.Element:
    case = _named(f"gate {gate['name']}", 0.0)
    told = f"{gate['value']} against a limit of {gate['limit']}: {_plain(gate['remark'])}"
    if not gate["passed"]:
        ElementTree.SubElement(case, "failure", type=gate["name"], message=told)
    elif gate["value"] is None:
        ElementTree.SubElement(case, "skipped", message=_plain(gate["remark"]))
    else:
        ElementTree.SubElement(case, "system-out").text = told
    return case


def _named(name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname=_SUITE, name=name, time=f"{seconds:.3f}")


def _plain(text: str) -> str:
    """Leave out what XML cannot hold: names of files may have it."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
