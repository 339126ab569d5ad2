"""The schemas of the command's JSON: each output has one, and they refuse what isn't so.

Whatever a test has the command print as JSON is checked against them (harness/schema.py).
"""

import copy
import os
from typing import Any, Callable

import jsonschema
import pytest

from harness import build, schema
from harness.command import Command, run
from harness.config import rule
from harness.daemon import Daemon
from harness.sockets import Agent, Listener


def test_every_verb() -> None:
    """Each verb that prints JSON has a schema, and no other."""
    verbs = [line.split()[0] for line in run(build.HOLDFAST, "--help").out.splitlines()
             if line.startswith("  ")]
    with_json = {verb for verb in verbs if "--json" in run(build.HOLDFAST, verb, "--help").out}
    assert schema.verbs() == with_json


@pytest.mark.parametrize("verb", sorted(schema.verbs()))
def test_sound(verb: str) -> None:
    """Each is a schema itself, and says from where on."""
    whole = schema.of_verb(verb)
    jsonschema.Draft202012Validator.check_schema(whole)
    assert whole["title"] == f"holdfast {verb} -J"
    assert os.path.exists(os.path.join(schema.DIRECTORY, f"{verb}.schema.json"))


def _unknown(status: Any) -> None:
    status["sockets"][0]["more"] = 1


def _missing(status: Any) -> None:
    del status["rules"][0]["window_auto"]


def _other_type(status: Any) -> None:
    status["sockets"][0]["processes"][0]["pid"] = "12"


def _other_word(status: Any) -> None:
    status["sockets"][0]["verdict"] = "kept"


def _unknown_part(status: Any) -> None:
    status["hosts"] = []


@pytest.mark.parametrize("fault", [_unknown, _missing, _other_type, _other_word, _unknown_part])
def test_refuses(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
                 fault: Callable[[Any], None]) -> None:
    """A key that isn't known, one that is missing, another type or another word is refused."""
    daemon.start(rule("all"))
    agent.connect("127.0.0.1", listener.port)
    status = holdfast.status()
    schema.check("status", status)
    wrong = copy.deepcopy(status)
    fault(wrong)
    with pytest.raises(AssertionError, match="status -J: "):
        schema.check("status", wrong)


def test_nothing_attached(holdfast: Command) -> None:
    """Where nothing is attached the output is as the schema has it, too."""
    schema.check("status", holdfast("status", "-J").json)
