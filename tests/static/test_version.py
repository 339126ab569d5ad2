"""Everything that names the version names the same one."""

import os
import re

import pytest

TREE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
WHERE = {
    "packaging/debian/changelog": r"\Aholdfast \(([\d.]+)\)",
    "packaging/rpm/holdfast.spec": r"^Version: +([\d.]+)$|^%changelog\n.* - ([\d.]+)-\d+$",
    "packaging/kubernetes/Chart.yaml": r"^(?:version|appVersion): ([\d.]+)$|holdfast:([\d.]+)",
    "packaging/kubernetes/holdfast.yaml": r"holdfast:([\d.]+)",
    "packaging/kubernetes/release.yaml": r"holdfast:([\d.]+)",
    "packaging/kubernetes/values.yaml": r"holdfast:([\d.]+)",
    "packaging/container/Containerfile": r"holdfast:([\d.]+)",
    "packaging/container/Containerfile.cross": r"holdfast:(\d+\.\d+\.\d+)",
    "packaging/NEWS.md": r"\A# .*\n\n## ([\d.]+),",
}


def read(name: str) -> str:
    """Returns the text of a file of the tree."""
    with open(os.path.join(TREE, name), encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("name", WHERE)
def test_same(name: str) -> None:
    """It is the Makefile's."""
    version = re.search(r"^VERSION := (\S+)$", read("Makefile"), re.MULTILINE)
    found = {group for match in re.finditer(WHERE[name], read(name), re.MULTILINE)
             for group in match.groups() if group}
    assert version and found == {version[1]}
