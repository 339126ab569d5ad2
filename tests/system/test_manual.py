"""The manual describes every option, key, verdict, column and word of the programs, and no
others.

The file is long because all three pages are compared with the programs here.
"""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest

from harness import build
from harness.command import Command, Result, run
from harness.config import rule
from harness.daemon import Daemon
from harness.remote import TESTS_DIR
from harness.sockets import Agent, Listener

PACKAGING = os.path.abspath(os.path.join(TESTS_DIR, "..", "..", "packaging"))
DEFAULT = os.path.join(PACKAGING, "holdfast.conf")
PAGES = ["holdfast.8", "holdfastd.8", "holdfast.conf.5"]
VERBS = ["status", "check", "preview", "explain", "probe", "reload", "metrics", "release", "measure",
         "report"]
EXPLAIN_JSON_ADDRESS = "192.0.2.17:3306"


def page(name: str) -> str:
    """Returns the source of a manual page."""
    with open(os.path.join(PACKAGING, "man", name), encoding="utf-8") as file:
        return file.read()


def section(text: str, heading: str, macro: str = "Sh") -> str:
    """Returns the text under a heading."""
    match = re.search(rf"^\.{macro} {re.escape(heading)}\n(.*?)(?=^\.(?:Sh|{macro}) |\Z)", text,
                      re.MULTILINE | re.DOTALL)
    assert match, f"there is no {heading}"
    return match[1]


def items(text: str, macro: str) -> set[str]:
    """Returns what a list explains: the first word behind `.It` and that macro."""
    return set(re.findall(rf"^\.It {macro} (\S+)", text, re.MULTILINE))


def words(text: str, macro: str) -> set[str]:
    """Returns every word that a macro marks, at the start of a line or in an item."""
    return {word for line in re.findall(rf"^\.(?:It )?{macro} (.*)", text, re.MULTILINE)
            for word in re.findall(r"[\w-]+", line)}


def examples(text: str) -> list[str]:
    """Returns the literal displays of a page."""
    return [block.replace("\\\\", "\\").replace("\\&", "") for block in
            re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.MULTILINE | re.DOTALL)]


def check(file: str, text: str, *options: str) -> Result:
    """Runs `holdfast check` on a text."""
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    return run(build.HOLDFAST, "check", *options, file)


@pytest.fixture(name="config_file")
def _config_file(workdir: str) -> str:
    """The path for a configuration file."""
    return os.path.join(workdir, "holdfast.conf")


# --- mdoc ---

@pytest.mark.parametrize("name", PAGES)
def test_lint(name: str) -> None:
    """mandoc has no warning about any page."""
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is missing")
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", os.path.join(PACKAGING, "man", name)],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- configuration ---

CONFIGURATIONS = [text for text in examples(page("holdfast.conf.5")) if text.startswith("[")]


@pytest.mark.parametrize("name", PAGES)
def test_headings(name: str) -> None:
    """Each heading is shown as it is written: none begins with a word that is a macro, too."""
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is missing")
    shown = subprocess.run(["mandoc", "-Tascii", os.path.join(PACKAGING, "man", name)], check=True,
                           text=True, stdout=subprocess.PIPE).stdout
    lines = {re.sub(".\b", "", line).strip() for line in shown.splitlines()}
    headings = re.findall(r"^\.S[hs] (.*)$", page(name), re.MULTILINE)
    assert headings and {heading.removeprefix("\\&") for heading in headings} <= lines


def test_there_are_examples() -> None:
    """The pages have examples, so that the tests of the examples aren't empty."""
    assert len(CONFIGURATIONS) >= 3


@pytest.mark.parametrize("text", CONFIGURATIONS, ids=range(len(CONFIGURATIONS)))
def test_examples(config_file: str, text: str) -> None:
    """Every example of holdfast.conf(5) passes `holdfast check` without a warning."""
    result = check(config_file, text)
    assert (result.status, result.err) == (0, "")
    assert result.out


def builtin(config_file: str) -> dict[str, Any]:
    """Returns the built-in default, as a rule without any other keys gives it."""
    parsed = check(config_file, "[rule default]\ndestination = any\n", "-J").json
    del parsed["errors"], parsed["warnings"]
    return parsed


def ready_rules() -> list[str]:
    """Returns the rules that are commented out in the default configuration, uncommented."""
    with open(DEFAULT, encoding="utf-8") as file:
        text = file.read()
    return [re.sub(r"^#", "", block, flags=re.MULTILINE)
            for block in re.findall(r"^(?:#\[rule .*\n(?:#\S.*\n)+)", text, re.MULTILINE)]


def test_default_configuration(config_file: str) -> None:
    """The default configuration file equals the built-in default."""
    result = run(build.HOLDFAST, "check", "-J", DEFAULT)
    assert (result.status, result.err) == (0, "")
    parsed = result.json
    del parsed["errors"], parsed["warnings"]
    assert parsed == builtin(config_file)


def test_default_configuration_has_every_key() -> None:
    """The default configuration file has every key with its value."""
    with open(DEFAULT, encoding="utf-8") as file:
        written = set(re.findall(r"^([\w-]+) = ", file.read(), re.MULTILINE))
    assert written == set.union(*known_keys().values())


@pytest.mark.parametrize("block", ready_rules(),
                         ids=lambda block: block.split("]")[0].split()[-1])
def test_ready_rules(config_file: str, block: str) -> None:
    """Each commented-out rule can be uncommented, and then adds one rule."""
    with open(DEFAULT, encoding="utf-8") as file:
        text = file.read()
    commented = re.sub(r"^", "#", block.rstrip("\n"), flags=re.MULTILINE)
    assert commented in text
    result = check(config_file, text.replace(commented, block), "-J")
    assert (result.status, result.err) == (0, "")
    default, more = result.json["rules"]
    assert default == builtin(config_file)["rules"][0]
    assert f"[rule {more['name']}]" in block


def test_ready_rules_for_known_windows() -> None:
    """The commented-out rules cover the common windows."""
    windows = set(re.findall(r"^window = (\d+)s$", "\n".join(ready_rules()), re.MULTILINE))
    assert {"240", "350", "600", "900", "3600"} <= windows


def known_keys() -> dict[str, set[str]]:
    """Returns the keys of each section, as the parser lists them."""
    found = {}
    for header in ("[daemon]", "[defaults]", "[rule a]"):
        file = "/dev/stdin"
        done = subprocess.run([build.HOLDFAST, "check", file], input=f"{header}\nq = 1\n",
                              capture_output=True, text=True, check=False)
        match = re.search(r"write one of ([^)]*)\)", done.stderr)
        assert match, done.stderr
        found[header] = set(match[1].split(", "))
    return found


def test_keys() -> None:
    """Every key has its entry, in its own section's list."""
    text = section(page("holdfast.conf.5"), "DESCRIPTION")
    known = known_keys()
    assert items(section(text, "Section [daemon]", "Ss"), "Ic") == known["[daemon]"]
    assert items(section(text, "Sections [rule NAME]", "Ss"), "Ic") == known["[rule a]"]
    assert known["[rule a]"] - known["[defaults]"] == {"destination"}


@pytest.mark.parametrize("key", ["side", "override", "enforce", "guard", "user-timeout"])
def test_words_of_keys(config_file: str, key: str) -> None:
    """The words listed for a key are valid, and are those that the parser lists."""
    match = re.search(rf"^\.It Ic {key} = (.*)$", page("holdfast.conf.5"), re.MULTILINE)
    assert match
    wanted = set(re.findall(r"[\w-]+", match[1])) - {"Cm", "Ar", "duration"}
    header = "[daemon]" if key == "guard" else "[rule a]\ndestination = any"
    for word in wanted:
        result = check(config_file, f"{header}\n{key} = {word}\n")
        assert result.status == 0, result
    said = check(config_file, f"{header}\n{key} = nonsense\n").err
    if key != "user-timeout":
        assert set(re.split(r", | or ", said.rsplit("(write ", 1)[1].rstrip(")\n"))) == wanted


@pytest.mark.parametrize("key,value", [
    ("time", "32767s"), ("time", "1s"), ("interval", "32767s"), ("interval", "1s"),
    ("probes", "1"), ("probes", "127"), ("user-timeout", "1ms"), ("window", "3650d"),
    ("port", "1-65535"),
])
def test_limits(config_file: str, key: str, value: str) -> None:
    """The limits that the manual names are valid; the next values are not."""
    head = "[rule a]\ndestination = any\n" + ("" if key == "window" else "window = 3650d\n")
    assert check(config_file, f"{head}{key} = {value}\n").status == 0
    for number in re.findall(r"\d+", value):
        assert number in page("holdfast.conf.5")
    beyond = {"32767s": "32768s", "1s": "0s", "1": "0", "127": "128", "1ms": "0ms",
              "3650d": "3651d", "1-65535": "0-65536"}
    assert check(config_file, f"{head}{key} = {beyond[value]}\n").status == 1


# --- options, verbs, exit status ---

def options(text: str) -> set[str]:
    """Returns the options of a --help text, long and short."""
    return set(re.findall(r"(?<![\w-])--?([A-Za-z][\w-]*)", text))


def manual_options(text: str) -> set[str]:
    """Returns every `Fl` of a page, or of a part of it."""
    found = set()
    for line in re.findall(r"^\.(?:It|Op|Nm|Pp)?\s*Fl (.*)", text, re.MULTILINE):
        found.update(word.lstrip("-") for part in re.split(r"\bFl\b", line)
                     for word in [re.match(r"[\w-]+", part.strip())]
                     if word for word in [word[0]])
        found.update(re.findall(r", -([\w-]+)", line))
    return found


def test_daemon_options() -> None:
    """holdfastd(8) describes the options of holdfastd, and no others."""
    described = items(page("holdfastd.8"), "Fl")
    assert {option.lstrip("-") for option in described} == \
        options(run(build.HOLDFASTD, "--help").out)


def test_verbs() -> None:
    """holdfast(8) has a section for each verb, and no others."""
    usage = run(build.HOLDFAST, "--help").out
    assert re.findall(r"^  (\w+) ", usage, re.MULTILINE) == VERBS
    for verb in VERBS:
        section(section(page("holdfast.8"), "DESCRIPTION"), f"holdfast {verb}", "Ss")
    assert set(re.findall(r"^\.Ss holdfast (\w+)$", page("holdfast.8"), re.MULTILINE)) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_command_options(verb: str) -> None:
    """The section of each verb describes its options, and no others; -h is described once for
    all."""
    usage = run(build.HOLDFAST, verb, "--help").out
    text = section(section(page("holdfast.8"), "DESCRIPTION"), f"holdfast {verb}", "Ss")
    listed = set(re.findall(r"^  (?:-(\w), )?--([\w-]+)", usage, re.MULTILINE))
    known = {option for pair in listed for option in pair if option} - {"h", "help"}
    assert manual_options(text) - {"o"} == known - {"o"}
    assert {option for option in known if len(option) == 1} <= manual_options(text) | {"o"}


def test_exit_status() -> None:
    """The pages list the exit statuses of the programs, and no others."""
    assert set(re.findall(r"^\.It (\d+)$", section(page("holdfast.8"), "EXIT STATUS"),
                          re.MULTILINE)) == {"0", "1", "2", "3", "4"}
    assert set(re.findall(r"^\.It (\d+)$", section(page("holdfastd.8"), "EXIT STATUS"),
                          re.MULTILINE)) == {"0", "1", "2", "69", "78"}


# --- columns, verdicts, JSON, metrics ---

def help_columns() -> dict[str, str]:
    """Returns the columns of `status --help` and their descriptions."""
    usage = run(build.HOLDFAST, "status", "--help").out
    return dict(re.findall(r"^  ([A-Z][A-Z-]*) +(.*)$", usage.split("Columns:\n")[1],
                           re.MULTILINE))


def test_columns(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """Every column is described, and those marked with * are the default ones."""
    text = section(page("holdfast.8"), "COLUMNS")
    assert items(text, "Cm") == set(help_columns())
    daemon.start(rule("db", port=str(listener.port)))
    agent.connect("127.0.0.1", listener.port)
    usual = holdfast("status").out.splitlines()[0].split()
    assert re.findall(r"^\.It Cm (\S+)\n\* ", text, re.MULTILINE) == usual


def test_probe_columns(daemon: Daemon, agent: Agent, listener: Listener,
                       holdfast: Command) -> None:
    """The columns of `holdfast probe` are described, and no others."""
    daemon.start(rule("db", port=str(listener.port)))
    agent.connect("127.0.0.1", listener.port)
    text = section(section(page("holdfast.8"), "DESCRIPTION"), "holdfast probe", "Ss")
    heading = holdfast("probe").out.splitlines()[0].split()
    assert re.findall(r"^\.Cm ([A-Z]+)", text, re.MULTILINE) == heading


def test_verdicts() -> None:
    """Every verdict is described, and no others."""
    assert items(section(page("holdfast.8"), "VERDICTS"), "Cm") == \
        set(help_columns()["VERDICT"].split(", "))


def keys_of(value: Any) -> set[str]:
    """Returns every key of a JSON value, at any depth."""
    if isinstance(value, dict):
        return set(value) | {key for part in value.values() for key in keys_of(part)}
    if isinstance(value, list):
        return {key for part in value for key in keys_of(part)}
    return set()


def test_json(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command,
              config_file: str) -> None:
    """The keys of all JSON output are described, verb by verb, and no others."""
    daemon.start(rule("db", port=str(listener.port)))
    agent.connect("127.0.0.1", listener.port)
    text = section(page("holdfast.8"), "JSON")
    status = holdfast("status", "-J").json
    assert status["sockets"]
    assert words(section(text, "status", "Ss"), "Cm") == keys_of(status) | {
        "limits", "reconcile_in_force"}

    bad = check(config_file, "[rule a]\nfoo\n", "-J").json
    good = check(config_file, "[rule a]\ndestination = any\n", "-J").json
    part = section(text, "check", "Ss")
    assert words(part, "Cm") - {"sockets"} == \
        (keys_of(bad) | set(good)) - keys_of(good["rules"])

    with open(config_file, "w", encoding="utf-8") as file:
        file.write("[rule a]\ndestination = any, db.invalid\n[rule b]\ndestination = 192.0.2.0/24\n"
                   "[rule c]\ndestination = 192.0.2.0/25\nport = 1\n")
    told = holdfast("explain", "-J", "--config", config_file, EXPLAIN_JSON_ADDRESS).json
    assert told["also"] and told["near"] and told["unresolved"]
    rules_alone = keys_of(status["rules"]) - {"port", "destination", "host"}
    assert words(section(text, "explain", "Ss"), "Cm") == keys_of(told) - rules_alone

    probed = holdfast("probe", "-J").json
    assert probed["sockets"]
    part = section(text, "probe", "Ss")
    assert words(part, "Cm") - {"status"} == \
        (keys_of(probed) - keys_of(status)) | {"sockets"}


def test_metrics(daemon: Daemon, holdfast: Command) -> None:
    """Every metric is described, with the values of its labels, and no others."""
    text = section(page("holdfast.8"), "METRICS")
    daemon.start(rule("db"))
    out = holdfast("metrics").out
    assert items(text, "Cm") == set(re.findall(r"^# TYPE (\w+)", out, re.MULTILINE))
    quoted = set(re.findall(r"^\.Ql (\w+)", text, re.MULTILINE))
    assert quoted == set(re.findall(r'(?:way|cause|outcome|action)="(\w+)"', out))
    assert set(re.findall(r'[{,](\w+)="', out)) - {"le"} <= words(text, "Cm")


# --- log ---

# tests/static/test_log_lines.py looks for each of them in the source.
LINES = re.findall(r'^\.It "(.*)"$', section(page("holdfastd.8"), "DIAGNOSTICS"), re.MULTILINE)


def test_log_lines_of_a_life(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """Every log line of a daemon's ordinary life is in the manual."""
    agent.connect("127.0.0.1", listener.port)
    daemon.start(rule("db", port=str(listener.port), time="120s"))
    daemon.reload(rule("db", port=str(listener.port), time="60s"))
    daemon.reload("[rule x]\n")
    daemon.kill()
    daemon.start(rule("db", destination="192.0.2.1"))
    daemon.stop()
    patterns = [re.escape(line) for line in LINES]
    patterns = [re.sub(r"\b(?:N|RULE|NAME|WHY|DIR|END|PEER|ADDRESSES)\b", ".*", p)
                for p in patterns]
    patterns = [re.sub(r"\b(rule|connection)s\b", r"\1s?", p).replace("they", "(?:they|it)")
                for p in patterns]
    seen = 0
    for line in daemon.log.splitlines():
        if line.startswith(daemon.config_file):
            continue
        seen += 1
        assert any(re.fullmatch(p, line) for p in patterns), line
    assert seen >= 8


def test_shell_example() -> None:
    """The shell script in holdfast.conf(5) has valid syntax."""
    scripts = [text for text in examples(page("holdfast.conf.5")) if text.startswith("new=")]
    assert len(scripts) == 1
    subprocess.run(["sh", "-n", "-c", scripts[0]], check=True)
