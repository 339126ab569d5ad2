"""Finds where C code can be changed a little, and how: comparisons, boundaries, conditions,
constants and left-out statements. It looks only into the bodies of functions, and not into
comments, strings and preprocessor lines."""

import re
from dataclasses import dataclass
from typing import Callable, Iterator

# Matches what isn't executable code.
_SILENT = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'"
    r"|^[ \t]*#(?:\\\n|[^\n])*|\basm volatile\(.*?\);|_Static_assert\(.*?\);",
    re.DOTALL | re.MULTILINE)
# Matches bodies of functions: clang-format puts only their braces into the first column.
_BODY = re.compile(r"^\{\n.*?^\}", re.DOTALL | re.MULTILINE)
# Code that sends signals or determines who gets one: a changed number could hit any process.
_DANGEROUS = re.compile(r"\bkill\(|\bl_pid\b|\bpins_holder\(|\bdaemon_stats_daemon\(")


@dataclass(frozen=True)
class Site:
    """A place in a text, and the text to put there instead."""

    kind: str
    start: int
    end: int
    new: str


def _of(table: dict[str, str]) -> Callable[[re.Match[str]], list[str]]:
    return lambda found: table[found[0]].split()


def _number(found: re.Match[str]) -> list[str]:
    number = int(found[0])
    return [str(number + 1)] + (["0"] if number == 1 else [])


def _always(*new: str) -> Callable[[re.Match[str]], list[str]]:
    return lambda found: list(new)


_RULES: list[tuple[str, str, Callable[[re.Match[str]], list[str]]]] = [
    ("comparison", r"(?<= )(?:==|!=|<=|>=|<|>)(?=\s)", _of(
        {"==": "!=", "!=": "==", "<": "<= >=", "<=": "< >", ">": ">= <=", ">=": "> <"})),
    ("logic", r"(?<= )(?:&&|\|\|)(?=\s)", _of({"&&": "||", "||": "&&"})),
    ("negation", r"(?<=[(\s])!(?=[\w(*])", _always("")),
    ("arithmetic", r"(?<= )(?:\+|-|\+=|-=|<<|>>)(?=\s)", _of(
        {"+": "-", "-": "+", "+=": "-=", "-=": "+=", "<<": ">>", ">>": "<<"})),
    ("bits", r"(?<= )(?:\||&|\|=|&=)(?=\s)", _of({"|": "&", "&": "|", "|=": "&=", "&=": "|="})),
    ("constant", r"(?<![\w.{-])(?<![?:] )(?:0|[1-9]\d*)(?=[uUlL]*(?![\w.]))", _number),
    ("truth", r"\b(?:true|false)\b", _of({"true": "false", "false": "true"})),
    ("condition", r"(?<=\bif )\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)(?=\s)",
     _always("(0)", "(1)")),
    # A call or an assignment; with a type before it, it would be a declaration.
    ("statement", r"(?<=\t)(?:\w+\([^;{}]*\)|[\w\]\[.>*()-]+ (?:[-+|&]?=) [^;{}]*|break|continue);",
     _always(";")),
    ("return", r"(?<=\breturn )(?!0;)[^;{}]+(?=;)", _always("0")),
]


def code_of(text: str) -> str:
    """Returns the text with blanks in place of all that isn't executable code, at the same
    length."""
    return _SILENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def sites(text: str) -> Iterator[Site]:
    """Yields all sites of a file, by kind and place."""
    code = code_of(text)
    bodies = [body for body in _BODY.finditer(code) if not _DANGEROUS.search(body[0])]
    for kind, pattern, replacements in _RULES:
        for body in bodies:
            for found in re.compile(pattern).finditer(code, body.start(), body.end()):
                if kind == "statement" and re.match(r"(?:return|if|for|while|switch)\b", found[0]):
                    continue
                for new in replacements(found):
                    yield Site(kind, found.start(), found.end(), new)
