"""Writes results to a serial line of their own; the host reads them in host/report.py."""

import json
import os
import sys

LINE = f"/dev/{os.environ.get('HF_RESULTS', 'ttyS1')}"
SYSTEM = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "system"))
sys.path.insert(0, SYSTEM)


def _say(line: str) -> None:
    with open(LINE, "w", encoding="utf-8") as file:
        file.write(line + "\n")


def note(text: str) -> None:
    """Tells the host something that is shown even where all is well."""
    _say(f"HF-NOTE {text}")


def case(name: str, fault: str | None = None, *, group: str = "", skipped: str | None = None,
         seconds: float = 0) -> None:
    """Tells the host the result of one case or test."""
    _say("HF-CASE " + json.dumps({"group": group, "name": name, "fault": fault,
                                  "skipped": skipped, "seconds": round(seconds, 3)}))


def features(table: dict[str, str]) -> None:
    """Tells the host what this kernel gives holdfast."""
    _say("HF-FEATURES " + json.dumps(table))


def arguments() -> list[str]:
    """Returns the arguments that the host has set for this program."""
    with open("/hf/arguments", encoding="utf-8") as file:
        return file.read().splitlines()
