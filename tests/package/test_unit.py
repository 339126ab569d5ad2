"""The systemd unit: as little exposed as promised, and each exposure that stays explained."""

import json
import os
import re
import subprocess

import pytest

import source

UNIT = os.path.join(source.TREE, "packaging/systemd/holdfast.service")
MOST = 3.5  # "systemd-analyze security" counts up to 10
# What it says of several capabilities at once, by one of their names.
NAMES = {"CAP_DAC_*": "CAP_DAC_READ_SEARCH", "CAP_NET_BIND_SERVICE": "CAP_NET_BROADCAST"}
STAYS = "# --- what stays open, and why ---"


def made(workdir: str, *options: str) -> str:
    """The unit as a make has it."""
    subprocess.run(["make", "-C", source.TREE, f"BUILD={workdir}", *options, "unit"], check=True,
                   stdout=subprocess.DEVNULL, env=source.environment())
    return os.path.join(workdir, "holdfast.service")


def exposures(unit: str) -> tuple[float, list[dict[str, str]]]:
    """The overall exposure, and what it comes from."""
    said = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
                          check=True, capture_output=True, text=True).stdout
    match = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", said)
    assert match, said
    table = subprocess.run(["systemd-analyze", "security", "--offline=true", "--json=short", unit],
                           check=True, capture_output=True, text=True).stdout
    return float(match[1]), [row for row in json.loads(table) if row["exposure"]]


def lines(unit: str) -> list[str]:
    """What it sets."""
    with open(unit, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if re.match(r"\w+=", line)]


def test_reload(workdir: str) -> None:
    """A reload is a command that fails where the configuration is refused: Type=notify-reload has
    no such thing, and takes no command's word for it."""
    found = lines(made(workdir))
    assert [line for line in found if line.startswith("Type=")] == ["Type=notify"]
    assert [line for line in found if line.startswith("ExecReload=")] == [
        "ExecReload=/usr/bin/holdfast reload"]
    assert not any(line.startswith("ReloadSignal=") for line in found)


def test_complete(workdir: str) -> None:
    """What the source has, with the places of this make."""
    assert lines(made(workdir)) == lines(UNIT)
    elsewhere = lines(made(workdir, "SBINDIR=/opt/sbin", "BINDIR=/opt/bin", "-B"))
    assert "ExecStart=/opt/sbin/holdfastd" in elsewhere
    assert "ExecReload=/opt/bin/holdfast reload" in elsewhere
    assert len(elsewhere) == len(lines(UNIT))


def test_exposure(workdir: str) -> None:
    """At most so much; and the unit names everything that counts."""
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
    """These and no others; none by itself, and no way to get more."""
    found = lines(made(workdir))
    (bound,) = [line for line in found if line.startswith("CapabilityBoundingSet=")]
    assert set(bound.split("=", 1)[1].split()) == {
        "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE",
        "CAP_DAC_READ_SEARCH", "CAP_NET_BROADCAST"}
    assert "AmbientCapabilities=" in found and "NoNewPrivileges=yes" in found
