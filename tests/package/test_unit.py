"""The systemd unit: as little exposed as promised, and each exposure that stays explained."""

import json
import os
import re
import shutil
import stat
import subprocess

import pytest

import source

UNIT = os.path.join(source.TREE, "packaging/systemd/holdfast.service")
MOST = 3.5  # "systemd-analyze security" counts up to 10
# What it says of several capabilities at once, by one of their names.
NAMES = {"CAP_DAC_*": "CAP_DAC_READ_SEARCH", "CAP_NET_BIND_SERVICE": "CAP_NET_BROADCAST"}
STAYS = "# --- what stays open, and why ---"


def made(workdir: str, version: int) -> str:
    """The unit as a make on a system with that version of systemd has it."""
    tools = os.path.join(workdir, "tools")
    os.mkdir(tools)
    fake = os.path.join(tools, "pkg-config")
    with open(fake, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\n[ "$*" = "--modversion libsystemd" ] || exec '
                   f'{shutil.which("pkg-config")} "$@"\necho {version}\n')
    os.chmod(fake, stat.S_IRWXU)
    environment = {**source.environment(), "PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(["make", "-C", source.TREE, f"BUILD={workdir}", "unit"], check=True,
                   stdout=subprocess.DEVNULL, env=environment)
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


@pytest.mark.parametrize("version,kind", [(252, "notify"), (253, "notify-reload")])
def test_type(workdir: str, version: int, kind: str) -> None:
    """systemd waits for the end of a reload itself, where it can."""
    found = lines(made(workdir, version))
    assert [line for line in found if line.startswith("Type=")] == [f"Type={kind}"]
    reload = "ExecReload=/usr/bin/holdfast reload"
    assert (reload in found) == (kind == "notify")
    with open(UNIT, encoding="utf-8") as file:
        assert reload in file.read()


def test_complete(workdir: str) -> None:
    """Of what the source has, the make leaves out one line at most and changes one at most."""
    source_lines = lines(UNIT)
    for version, left_out in ((252, 0), (253, 1)):
        directory = os.path.join(workdir, str(version))
        os.mkdir(directory)
        found = lines(made(directory, version))
        assert len(found) == len(source_lines) - left_out
        assert len(set(source_lines) - set(found)) <= 2
        assert "WantedBy=multi-user.target" in found


def test_exposure(workdir: str) -> None:
    """At most so much; and the unit names everything that counts."""
    unit = made(workdir, 252)
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
    found = lines(made(workdir, 252))
    (bound,) = [line for line in found if line.startswith("CapabilityBoundingSet=")]
    assert set(bound.split("=", 1)[1].split()) == {
        "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE",
        "CAP_DAC_READ_SEARCH", "CAP_NET_BROADCAST"}
    assert "AmbientCapabilities=" in found and "NoNewPrivileges=yes" in found
