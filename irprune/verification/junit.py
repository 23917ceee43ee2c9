"""A report as JUnit XML, which continuous integration shows to people."""

from __future__ import annotations

from xml.etree import ElementTree

from ..printable import printable
from .report import Report
from .verdicts import verdicts


def junit_xml(report: Report) -> str:
    """The report as a test suite with a test case for each answer. One fails exactly where the report is not ok.

    What was not asked for is skipped; fidelity without a floor passes, and says how far the models are apart.
    """
    found = verdicts(report)
    failed = [verdict for verdict in found if verdict.ok is False]
    skipped = [verdict for verdict in found if verdict.ok is None and verdict.name != "fidelity"]
    suite = ElementTree.Element(
        "testsuite",
        name="irprune verify",
        tests=str(len(found)),
        failures=str(len(failed)),
        errors="0",
        skipped=str(len(skipped)),
        time=_seconds(sum(report.seconds.values())),
    )
    for verdict in found:
        time = _seconds(report.seconds.get(verdict.name, 0.0))
        case = ElementTree.SubElement(suite, "testcase", classname="irprune.verify", name=verdict.name, time=time)
        text = printable("\n".join(verdict.lines))
        if verdict in failed:
            failures = verdict.lines if verdict.name != "fidelity" else report.missed
            failure = ElementTree.SubElement(case, "failure", message=printable(failures[0]))
            failure.text = text
        elif verdict in skipped:
            ElementTree.SubElement(case, "skipped", message=text)
        ElementTree.SubElement(case, "system-out").text = text
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _seconds(value: float) -> str:
    return f"{value:.3f}"
