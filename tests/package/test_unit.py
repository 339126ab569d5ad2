"""The systemd unit: its exposure is at most as promised, and each remaining one is explained."""

import json
import os
import re
import subprocess

import pytest

import source

UNIT = os.path.join(source.TREE, "packaging/systemd/holdfast.service")
MOST = 3.5  # "systemd-analyze security" counts up to 10
# Names of several capabilities in its output, by one capability that the unit names.
NAMES = {"CAP_DAC_*": "CAP_DAC_READ_SEARCH", "CAP_NET_BIND_SERVICE": "CAP_NET_BROADCAST"}
STAYS = "# --- what stays open, and why ---"


def made(workdir: str, *options: str) -> str:
    """Returns the unit as a make with these options builds it."""
    subprocess.run(["make", "-C", source.TREE, f"BUILD={workdir}", *options, "unit"], check=True,
                   stdout=subprocess.DEVNULL, env=source.environment())
    return os.path.join(workdir, "holdfast.service")


def exposures(unit: str) -> tuple[float, list[dict[str, str]]]:
    """Returns the overall exposure, and the rows that contribute to it."""
    said = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
                          check=True, capture_output=True, text=True).stdout
    match = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", said)
    assert match, said
    table = subprocess.run(["systemd-analyze", "security", "--offline=true", "--json=short", unit],
                           check=True, capture_output=True, text=True).stdout
    return float(match[1]), [row for row in json.loads(table) if row["exposure"]]


def lines(unit: str) -> list[str]:
    """Returns the unit's settings."""
    with open(unit, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if re.match(r"\w+=", line)]


def test_reload(workdir: str) -> None:
    """A reload is a command, which fails where the configuration is refused; with
    Type=notify-reload it couldn't."""
    found = lines(made(workdir))
    assert [line for line in found if line.startswith("Type=")] == ["Type=notify"]
    assert [line for line in found if line.startswith("ExecReload=")] == [
        "ExecReload=/usr/bin/holdfast reload"]
    assert not any(line.startswith("ReloadSignal=") for line in found)


def test_complete(workdir: str) -> None:
    """The built unit has the source's settings, with the folders of its make."""
    assert lines(made(workdir)) == lines(UNIT)
    elsewhere = lines(made(workdir, "SBINDIR=/opt/sbin", "BINDIR=/opt/bin", "-B"))
    assert "ExecStart=/opt/sbin/holdfastd" in elsewhere
    assert "ExecReload=/opt/bin/holdfast reload" in elsewhere
    assert len(elsewhere) == len(lines(UNIT))


def test_exposure(workdir: str) -> None:
    """The exposure is at most MOST, and the unit's comments name every row that contributes to
    it."""
    unit = made(workdir)
    level, rows = exposures(unit)
    print(f"exposure level {level}:", *(f"{row['name']} {row['exposure']}" for row in rows), sep="\n  ")
    assert level <= MOST
    with open(unit, encoding="utf-8") as file:
        comments = file.read().split(STAYS, 1)[1]
    for row in rows:
        name = row["name"]
        if "=~" in name:  # CapabilityBoundingSet=~CAP_(DAC_*|FOWNER|IPC_OWNER)
            name = re.sub(r"[()]", "", name.split("=~", 1)[1]).split("|")[0]
            name = NAMES.get(name, name)
        else:
            name = name.split("=", 1)[0] + "="
        assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", comments), row


def test_bounding_set(workdir: str) -> None:
    """The bounding set is exactly this one, with no ambient capabilities and no new privileges."""
    found = lines(made(workdir))
    (bound,) = [line for line in found if line.startswith("CapabilityBoundingSet=")]
    assert set(bound.split("=", 1)[1].split()) == {
        "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE",
        "CAP_DAC_READ_SEARCH", "CAP_NET_BROADCAST"}
    assert "AmbientCapabilities=" in found and "NoNewPrivileges=yes" in found
