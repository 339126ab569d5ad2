"""Every line of the log that holdfastd(8) explains is one that the daemon writes."""

import glob
import os
import re

import pytest

TREE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LITERAL = r'"(?:[^"\\\n]|\\.)*"'
CONVERSION = r"%[-+ #0]*[\d.*]*(?:hh|h|ll|l|z|j|t)?[a-zA-Z]"
WORDS = 24  # so long is what varies, at most, unless the program has it in a text of its own


def read(path: str) -> str:
    """Returns the text of a file of the tree."""
    with open(os.path.join(TREE, path), encoding="utf-8") as file:
        return file.read()


def explained() -> list[str]:
    """Returns the log lines of the manual."""
    section = re.search(r"^\.Sh DIAGNOSTICS\n(.*?)^\.Sh ", read("packaging/man/holdfastd.8"),
                        re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r'^\.It "(.*)"$', section[1], re.MULTILINE)


def texts() -> set[str]:
    """Returns the string literals of the daemon, adjacent ones joined."""
    found = set()
    for path in glob.glob("daemon/**/*.[ch]", root_dir=TREE, recursive=True):
        code = re.sub(r"\bPRI\w+\b", '"u"', read(path).replace("\\\n", " "))
        for literals in re.findall(rf"{LITERAL}(?:\s*{LITERAL})*", code):
            text = "".join(literal[1:-1] for literal in re.findall(LITERAL, literals))
            found.add(text.replace("\\n", "").replace('\\"', '"'))
    return found


def patterns(formats: set[str]) -> list[tuple[re.Pattern[str], int]]:
    """Returns what each format can become, and how much of it doesn't vary."""
    found = []
    for text in formats:
        parts = re.split(CONVERSION, text)
        fixed = sum(map(len, parts))
        if fixed >= 8:
            found.append((re.compile("(.*)".join(map(re.escape, parts))), fixed))
    return found


def is_told(line: str, known: list[tuple[re.Pattern[str], int]]) -> bool:
    """Whether the daemon can write the line, from one format or from one within another."""
    if len(line) <= WORDS:
        return True
    for pattern, fixed in known:
        match = pattern.fullmatch(line)
        if match and (2 * fixed > len(line) or all(is_told(part, known) for part in match.groups())):
            return True
    return False


KNOWN = patterns(texts())


@pytest.mark.parametrize("line", explained())
def test_is_told(line: str) -> None:
    """One of the program's formats gives the line, from its first word to its last."""
    assert is_told(line, KNOWN)


@pytest.mark.parametrize("line", [
    "stopped; everything stays attached (--persist)", "stopped; everything remains attached",
    "took over what an earlier holdfast left in DIR",
])
def test_is_not_told(line: str) -> None:
    """A line that differs in a word isn't taken for one of the program's."""
    assert not is_told(line, KNOWN)


def test_there_are_some() -> None:
    """The manual has log lines, and the daemon texts."""
    assert len(explained()) >= 60 and len(KNOWN) >= 300
