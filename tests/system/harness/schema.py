"""Whether what the command prints as JSON is as packaging/schema says.

The demonstrations, which use this harness, do without the validator; test_schema.py fails without.
"""

import json
import os
from functools import cache
from typing import Any

from .remote import TESTS_DIR

try:
    import jsonschema
except ImportError:
    jsonschema = None

DIRECTORY = os.path.join(TESTS_DIR, "..", "..", "packaging", "schema")
COMMON = "common"
# Of longer lists the beginning is enough: the validator takes its time.
MOST = 50


def _load(name: str) -> Any:
    with open(os.path.join(DIRECTORY, f"{name}.schema.json"), encoding="utf-8") as file:
        return json.load(file)


def verbs() -> set[str]:
    """Returns the verbs that have a schema."""
    return {name.removesuffix(".schema.json") for name in os.listdir(DIRECTORY)} - {COMMON}


@cache
def of_verb(verb: str) -> Any:
    """Returns the whole schema of a verb's output, with what it takes from the common one."""
    text = json.dumps(_load(verb)).replace(f"{COMMON}.schema.json#", "#")
    return {**json.loads(text), "$defs": _load(COMMON)["$defs"]}


def check(verb: str, output: Any) -> None:
    """Fails where the output isn't as the schema has it."""
    if isinstance(output, dict):
        output = {key: value[:MOST] if isinstance(value, list) else value
                  for key, value in output.items()}
    fault = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(of_verb(verb)).iter_errors(output))
    assert fault is None, f"{verb} -J: {'/'.join(map(str, fault.absolute_path))}: {fault.message}"


def check_output(arguments: list[str], text: str) -> None:
    """Does the same with what a call of the command has printed, where that is whole JSON."""
    own = arguments[:arguments.index("--")] if "--" in arguments else arguments
    if not jsonschema:
        return
    verb = next((word for word in own if word in verbs()), None)
    if verb and {"-J", "--json"} & set(own) and text.rstrip().endswith("}"):
        check(verb, json.loads(text))
