"""Turns what a machine said over its serial lines into results.

The guest writes a line "HF-CASE {...}" for each case (guest/tell.py), "HF-NOTE text" for what is
worth showing, "HF-FEATURES {...}" for a column of the table of kernels (host/features.py), and
"HF-END status" at its end. A machine without the last line has failed, whatever it said before.
"""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

from .machine import Ended

_LINE = re.compile(r"^HF-(CASE|NOTE|FEATURES|END) (.*)$", re.MULTILINE)
# Characters that XML can't represent.
_UNSPEAKABLE = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One case; `fault` says why it failed, `skipped` why it wasn't run."""

    name: str
    group: str = ""
    fault: str | None = None
    skipped: str | None = None
    seconds: float = 0

    @property
    def title(self) -> str:
        """The case's name with its group."""
        return f"{self.group}::{self.name}" if self.group else self.name


@dataclass
class Report:
    """The results of one machine."""

    machine: str
    seconds: float = 0
    cases: list[Case] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    features: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, str]:
        """The faults, by title."""
        return {case.title: case.fault for case in self.cases if case.fault is not None}

    @property
    def skipped(self) -> list[Case]:
        """The cases that weren't run."""
        return [case for case in self.cases if case.skipped is not None]

    def write(self, path: str) -> None:
        """Writes the report as JUnit XML."""
        suite = ET.Element("testsuite", name=f"vm-{self.machine}", tests=str(len(self.cases)),
                           failures=str(len(self.failed)), skipped=str(len(self.skipped)),
                           time=f"{self.seconds:.1f}")
        for case in self.cases:
            name = ".".join(filter(None, ("vm", self.machine, case.group)))
            element = ET.SubElement(suite, "testcase", classname=name, name=case.name,
                                    time=f"{case.seconds:.3f}")
            if case.fault is not None:
                fault = _UNSPEAKABLE.sub("?", case.fault)
                message = (fault.splitlines() or [""])[0]
                ET.SubElement(element, "failure", message=message).text = fault
            if case.skipped is not None:
                ET.SubElement(element, "skipped", message=_UNSPEAKABLE.sub("?", case.skipped))
        ET.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)


def skipped(machine: str, reason: str) -> Report:
    """Returns the report of a machine that isn't run."""
    return Report(machine, cases=[Case("all of it", skipped=reason)])


def read(machine: str, ended: Ended) -> Report:
    """Returns the report of a machine that has ended."""
    report = Report(machine, ended.seconds)
    status = None
    for kind, text in _LINE.findall(ended.output + ended.results):
        if kind == "CASE":
            report.cases.append(Case(**json.loads(text)))
        elif kind == "NOTE":
            report.notes.append(text)
        elif kind == "FEATURES":
            report.features = json.loads(text)
        else:
            status = text
    if ended.fault or status is None:
        fault = f"the machine did not get to its end: {ended.fault or 'it switched itself off'}"
    elif not report.cases:
        fault = f"no case was run, and the guest's program exited with {status}"
    elif status != "0" and not report.failed:
        fault = f"the guest's program exited with {status}"
    else:
        fault = None
    if fault:
        fault += "\n" + "\n".join(ended.output.splitlines()[-25:])
    report.cases.append(Case("the machine ran to its end", fault=fault))
    return report
