"""What holdfast(8) calls stable is as stable.json has it.

A test that fails here says: users will notice. What is new is entered; what is gone, or has another
name or type, needs another major version. HF_WRITE_STABLE=1 writes the file.
"""

import json
import os
import re
from typing import Any

import pytest

from harness import build, schema
from harness.command import Command, run
from harness.config import rule
from harness.daemon import Daemon
from harness.metrics import Metrics
from harness.remote import TESTS_DIR
from harness.sockets import Agent, Listener

FILE = os.path.join(TESTS_DIR, "stable.json")


@pytest.fixture(name="stable", scope="module")
def _stable() -> Any:
    """What is stable."""
    with open(FILE, encoding="utf-8") as file:
        return json.load(file)


def options(text: str) -> list[str]:
    """Returns the options that a summary explains, each as it is written."""
    return [re.split(r"  +", match)[0] for match in
            re.findall(r"^  (-.*)$", text, flags=re.MULTILINE)]


def commands() -> dict[str, list[str]]:
    """Returns the options of each program and verb."""
    text = run(build.HOLDFAST, "--help").out
    verbs = re.findall(r"^  ([a-z]+) ", text, flags=re.MULTILINE)
    return {"holdfastd": options(run(build.HOLDFASTD, "--help").out),
            **{f"holdfast {verb}": options(run(build.HOLDFAST, verb, "--help").out)
               for verb in verbs}}


def statuses() -> str:
    """Returns what the exit statuses mean."""
    text = run(build.HOLDFAST, "--help").out
    return " ".join(text[text.index("Exit status:"):].split())


def keys(path: str) -> dict[str, list[str]]:
    """Returns the keys of each kind of section, from what an unknown one is told."""
    found = {}
    for section in ("daemon", "defaults", "rule a"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"[{section}]\nnosuchkey = 1\n")
        said = run(build.HOLDFAST, "check", path).err
        match = re.search(r"unknown key \"nosuchkey\" \(write one of (.*)\)", said)
        assert match, said
        found[section.split()[0]] = match[1].split(", ")
    return found


def columns() -> list[str]:
    """Returns the columns of `status` and `preview`."""
    text = run(build.HOLDFAST, "preview", "--help").out
    return re.findall(r"^  ([A-Z-]+) ", text[text.index("Columns:"):], flags=re.MULTILINE)


def fields(part: Any, where: str = "") -> dict[str, Any]:
    """Returns the keys of an output with their types and words, from its schema."""
    found: dict[str, Any] = {}
    if isinstance(part, list):
        for item in part:
            found |= fields(item, where)
        return found
    if not isinstance(part, dict):
        return found
    if where and ("type" in part or "enum" in part):
        found[where] = part.get("enum") or part["type"]
    for name, inner in part.get("properties", {}).items():
        found |= fields(inner, f"{where}.{name}".lstrip("."))
    for name in ("items", "anyOf"):
        found |= fields(part.get(name), where + "[]" * (name == "items"))
    return found


def outputs() -> dict[str, dict[str, Any]]:
    """Returns the keys of the JSON of each verb, and of what several have in common."""
    common = schema.of_verb("status")["$defs"]
    return {**{verb: fields(schema.of_verb(verb)) for verb in sorted(schema.verbs())},
            **{name: fields(common[name]) for name in sorted(common)}}


def samples(metrics: Metrics) -> dict[str, list[str]]:
    """Returns the type and the labels' names of each metric; of those that are words, the words."""
    found = {}
    for name, kind in metrics.types.items():
        labels = {match for line in metrics.text.splitlines() if line.startswith(f"{name}{{")
                  for match in re.findall(r'[{,](\w+)=', line)}
        found[name] = [kind, *sorted(labels)]
    words = set(re.findall(r'(?:verdict|way|cause|action|outcome)="(\w+)"', metrics.text))
    return {**found, "words": sorted(words)}


def now(workdir: str, holdfast: Command) -> dict[str, Any]:
    """Returns what is to be compared."""
    return {"commands": commands(), "exit statuses": statuses(),
            "keys": keys(os.path.join(workdir, "conf")), "columns": columns(),
            "json": outputs(), "metrics": samples(Metrics(holdfast("metrics").out))}


def test_all_of_it(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command, workdir: str,
                   stable: Any) -> None:
    """Nothing that is stable has changed, and nothing that is new is missing there."""
    daemon.start(rule("all") + rule("known", "192.0.2.1", window="350s"))
    agent.connect("127.0.0.1", listener.port)
    found = now(workdir, holdfast)
    if os.environ.get("HF_WRITE_STABLE"):
        with open(FILE, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
            file.write("\n")
    for part, expected in stable.items():
        assert found[part] == expected, part
    assert set(found) == set(stable)


def test_ends_are_told(stable: Any) -> None:
    """The causes of ends, by which alert rules go, are among the metrics' words."""
    causes = {"application", "server", "keepalive", "user_timeout", "probe_reset", "reset",
              "retransmission", "aborted"}
    assert causes <= set(stable["metrics"]["words"])
