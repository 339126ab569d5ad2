"""Parses the Prometheus text format, and runs promtool."""

import re
import shutil
import subprocess

import pytest

_SAMPLE = re.compile(r'(holdfast_[a-z_]+)((?:\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})?) '
                     r'(\d+(?:\.\d+)?)')
# The suffixes that a histogram's samples add to its name.
_SUFFIX = re.compile(r"_(bucket|sum|count)$")


class Metrics:
    """The samples of a text, by name and labels as written: `m["holdfast_sockets", 'rule="a"']`."""

    def __init__(self, text: str) -> None:
        """Checks that every line is a comment or a sample, and each sample stands below its HELP
        and TYPE."""
        self.text = text
        self.types: dict[str, str] = {}
        self._samples: dict[tuple[str, str], float] = {}
        assert text.endswith("\n"), "the last line is cut off"
        family, helped = "", ""
        for line in text.splitlines():
            if match := re.fullmatch(r"# HELP (holdfast_\w+) \S.*", line):
                helped = match[1]
                continue
            if match := re.fullmatch(r"# TYPE (holdfast_\w+) (gauge|counter|histogram)", line):
                family = match[1]
                assert family == helped and family not in self.types, line
                self.types[family] = match[2]
                continue
            match = _SAMPLE.fullmatch(line)
            assert match, f"no sample: {line}"
            assert family in (match[1], _SUFFIX.sub("", match[1])), f"in the wrong place: {line}"
            key = match[1], match[2][1:-1]
            assert key not in self._samples, f"{line} stands twice"
            self._samples[key] = float(match[3])

    def __getitem__(self, key: str | tuple[str, str]) -> float:
        name, labels = (key, "") if isinstance(key, str) else key
        return self._samples[f"holdfast_{name}", labels]

    def family(self, name: str) -> dict[str, float]:
        """Returns the samples of that name, by their labels."""
        return {labels: value for (of, labels), value in self._samples.items()
                if of == f"holdfast_{name}"}

    def nonzero(self, name: str) -> dict[str, float]:
        """Returns the samples of that name that aren't zero, by their labels."""
        return {labels: value for labels, value in self.family(name).items() if value}


def promtool(*arguments: str, stdin: str | None = None) -> tuple[int, str]:
    """Runs promtool and returns its exit status and output. Skips the test where it isn't
    installed."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (package prometheus)")
    done = subprocess.run(["promtool", *arguments], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.returncode, done.stdout
