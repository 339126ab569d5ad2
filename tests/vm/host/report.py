"""What a machine said over its serial line, turned into results.

The guest writes a line "HF-CASE {...}" for each case, with name, and fault where it failed;
"HF-NOTE text" for what is worth showing; and "HF-END status" at its end. A machine that doesn't
say the last has failed, whatever it said before.
"""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

from .machine import Ended

_LINE = re.compile(r"^HF-(CASE|NOTE|END) (.*)$", re.MULTILINE)


@dataclass
class Report:
    """The results of one kernel; cases by name, with what is wrong with them, if anything."""

    kernel: str
    seconds: float = 0
    cases: dict[str, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: str | None = None

    @property
    def failed(self) -> dict[str, str]:
        """What is wrong, by case."""
        return {name: fault for name, fault in self.cases.items() if fault is not None}

    def write(self, path: str) -> None:
        """As JUnit XML."""
        suite = ET.Element("testsuite", name=f"vm-{self.kernel}",
                           tests=str(len(self.cases) + bool(self.skipped)),
                           failures=str(len(self.failed)), skipped=str(int(bool(self.skipped))),
                           time=f"{self.seconds:.1f}")
        for name, fault in self.cases.items():
            case = ET.SubElement(suite, "testcase", classname=f"vm.{self.kernel}", name=name)
            if fault is not None:
                ET.SubElement(case, "failure", message=fault.splitlines()[0]).text = fault
        if self.skipped:
            case = ET.SubElement(suite, "testcase", classname="vm", name=self.kernel)
            ET.SubElement(case, "skipped", message=self.skipped)
        ET.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)


def read(kernel: str, ended: Ended) -> Report:
    """The report of a machine that has ended."""
    report = Report(kernel, ended.seconds)
    status = None
    for kind, text in _LINE.findall(ended.output):
        if kind == "CASE":
            case = json.loads(text)
            report.cases[case["name"]] = case["fault"]
        elif kind == "NOTE":
            report.notes.append(text)
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
    report.cases["the machine ran to its end"] = fault
    return report
