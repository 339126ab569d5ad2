"""`holdfast check` reads a configuration as the daemon would."""

import os

import pytest

from harness import build
from harness.command import Result, run

GOOD = """\
[daemon]
guard = no

[defaults]
window = 350s

[rule orders-db]
destination = 10.20.0.0/16, 2001:db8::/32
port        = 3306, 33060-33062

[rule lab]
destination = 10.20.99.0/24
enforce     = no
"""


def check(workdir: str, text: str, *options: str) -> Result:
    """Runs `holdfast check` on a configuration, with the file name FILE in messages."""
    file = os.path.join(workdir, "FILE")
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    result = run(build.HOLDFAST, "check", *options, file)
    return Result(result.status, result.out.replace(file, "FILE"),
                  result.err.replace(file, "FILE"))


def test_rules_with_defaults(workdir: str) -> None:
    """-J shows the rules as `status -J` does, without the number of sockets."""
    result = check(workdir, GOOD, "-J")
    assert result.status == 0, result
    orders, lab = result.json["rules"]
    assert orders == {
        "name": "orders-db", "destination": ["10.20.0.0/16", "2001:db8::/32"],
        "port": [3306, "33060-33062"], "side": "client", "window": 350, "window_auto": False, "time": 87,
        "interval": 8, "probes": 5, "user_timeout": None, "override": "when-longer",
        "enforce": True}
    assert (lab["name"], lab["port"], lab["window"], lab["enforce"]) == ("lab", [3306], 350, False)


def test_table(workdir: str) -> None:
    """Without -J the rules come as a table."""
    result = check(workdir, GOOD)
    assert result.status == 0
    assert "orders-db" in result.out and "lab" in result.out and "350" in result.out


def test_errors(workdir: str) -> None:
    """Every fault is reported with its line, and the exit status is 1."""
    result = check(workdir, "[rule a]\ndestination = 10.0.0.1/8\nprot = 3306\n")
    assert result.status == 1
    assert "FILE:2: error: " in result.err
    assert "FILE:3: error: " in result.err


def test_warnings(workdir: str) -> None:
    """A warning is reported, and the exit status is 0."""
    result = check(workdir, "[rule a]\ndestination = any\nwindow = 60s\ntime = 50s\n"
                            "interval = 5s\n")
    assert result.status == 0
    assert "FILE:" in result.err and "warning: " in result.err


@pytest.mark.parametrize("options", [[], ["-J"]])
def test_missing_file(workdir: str, options: list[str]) -> None:
    """A missing file is an error in the configuration."""
    result = run(build.HOLDFAST, "check", *options, os.path.join(workdir, "missing"))
    assert result.status == 1
    assert "missing" in result.err


def test_needs_no_privileges(workdir: str) -> None:
    """Checking a file needs no privileges."""
    result = check(workdir, GOOD)
    file = os.path.join(workdir, "FILE")
    plain = run("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--", build.HOLDFAST, "check",
                file)
    assert (plain.status, plain.out.replace(file, "FILE")) == (0, result.out)
