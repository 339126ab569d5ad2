"""Takes the manual pages and README apart into sentences."""

import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser

# Sections in which nothing is said of the program.
_LEFT_OUT = {"NAME", "SYNOPSIS", "SEE ALSO"}
# A sentence ends before a blank and a capital, a digit or what opens a quotation.
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9(“‘`*\"])")
Sentence = tuple[str, str]  # the heading above it, and its text in one line


def _split(heading: str, text: str) -> Iterator[Sentence]:
    for sentence in _END.split(" ".join(text.split())):
        if sentence:
            yield heading, sentence


class _Page(HTMLParser):
    """A page as mandoc writes it: blocks of text below headings. What an item of a list is called
    is left out, as are displays and tables."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: list[Sentence] = []
        self._text: list[str] = []
        self._headings = ["", ""]

    def _take(self) -> str:
        text, self._text = " ".join("".join(self._text).split()), []
        return text

    def _flush(self) -> None:
        section, subsection = self._headings
        text = self._take()
        if section and section not in _LEFT_OUT:
            self.sentences += _split(" / ".join(filter(None, (section, subsection))), text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("h1", "h2", "p", "div", "dl", "dt", "dd", "ul", "li", "pre", "table", "section"):
            self._flush()

    def handle_endtag(self, tag: str) -> None:
        if tag == "h1":
            self._headings = [self._take(), ""]
        elif tag == "h2":
            self._headings[1] = self._take()
        elif tag in ("dt", "pre", "table"):
            self._take()
        elif tag in ("p", "div", "dl", "dd", "ul", "li", "section"):
            self._flush()

    def handle_data(self, data: str) -> None:
        self._text.append(data)


def of_manual(path: str) -> list[Sentence]:
    """Returns the sentences of a manual page."""
    done = subprocess.run(["mandoc", "-Thtml", "-Ofragment", path], check=True, text=True,
                          stdout=subprocess.PIPE)
    parsed = _Page()
    parsed.feed(done.stdout)
    parsed.close()
    return parsed.sentences


def of_readme(path: str) -> list[Sentence]:
    """Returns the sentences of a file in Markdown. A row of a table is one sentence; what a picture
    shows are its own."""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^```.*?^```$", "", file.read(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"!\[(.*?)\]\(.*?\)", r"\1", text, flags=re.DOTALL)
    found: list[Sentence] = []
    heading = ""
    for block in re.split(r"\n\s*\n|\n(?=[-|#] ?)", text):
        block = block.strip()
        if block.startswith("#"):
            heading = block.lstrip("# ")
        elif block.startswith("|"):
            cells = [cell.strip() for cell in block.strip("|").split("|")]
            if not all(re.fullmatch(r"-*", cell) for cell in cells):
                found.append((heading, " | ".join(" ".join(cell.split()) for cell in cells)))
        else:
            found += _split(heading, block.removeprefix("- "))
    return found
