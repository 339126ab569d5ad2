"""`make dist`: the source as a release has it."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile

import pytest

import gnupg
import source
from harness import build

NAME = f"holdfast-{source.version()}"
FILES = [f"{NAME}.spdx.json", f"{NAME}.tar.gz", "SHA256SUMS"]


def dist(directory: str, *words: str, umask: int = 0o022, **environment: str) -> str:
    """Runs it with a build folder of its own, which has the programs already. Returns its folder."""
    os.makedirs(directory, exist_ok=True)
    for name in ("holdfastd", "holdfast"):
        shutil.copy2(os.path.join(os.path.dirname(build.HOLDFAST), name), directory)
    subprocess.run(["make", "-C", source.TREE, "-o", "all", f"BUILD={directory}", *words, "dist"],
                   check=True, stdout=subprocess.DEVNULL, umask=umask,
                   env={**os.environ, **environment})
    return os.path.join(directory, "dist")


def digest(path: str) -> str:
    """Returns a file's SHA-256."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


@pytest.fixture(name="made", scope="module")
def _made(session_dir: str) -> str:
    """The folder of one run."""
    return dist(os.path.join(session_dir, "dist-a"))


def test_files(made: str) -> None:
    """These files, and their checksums."""
    assert sorted(os.listdir(made)) == sorted(FILES)
    with open(os.path.join(made, "SHA256SUMS"), encoding="ascii") as file:
        sums = dict(reversed(line.split()) for line in file)
    assert sums == {name: digest(os.path.join(made, name)) for name in FILES[:2]}


def test_same_bytes(made: str, session_dir: str) -> None:
    """Another folder, umask, zone and language make the same bytes."""
    other = dist(os.path.join(session_dir, "elsewhere", "dist-b"), umask=0o077,
                 TZ="Pacific/Chatham", LC_ALL="C.UTF-8")
    assert [digest(os.path.join(made, name)) for name in FILES] == \
        [digest(os.path.join(other, name)) for name in FILES]


def test_source(made: str) -> None:
    """It has what a checkout has, all root's, and nothing that was made."""
    with tarfile.open(os.path.join(made, f"{NAME}.tar.gz")) as archive:
        members = archive.getmembers()
    assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "root")}
    assert not [member.name for member in members if member.mode & 0o022]
    names = {member.name.removeprefix(f"{NAME}/") for member in members}
    assert {"Makefile", "README.md", "LICENSE", ".ci/run", "bpf/sockops.bpf.c",
            "packaging/spdx"} <= names
    assert not [name for name in names if "__pycache__" in name or name.split("/")[0] == "build"
                or name.startswith(".git/")]


def test_bill_of_materials(made: str) -> None:
    """It names holdfast, and each library that the programs are linked with."""
    with open(os.path.join(made, f"{NAME}.spdx.json"), encoding="utf-8") as file:
        bill = json.load(file)
    assert (bill["spdxVersion"], bill["SPDXID"]) == ("SPDX-2.3", "SPDXRef-DOCUMENT")
    packages = {package["name"]: package for package in bill["packages"]}
    assert packages["holdfast"]["licenseDeclared"] == "GPL-2.0-or-later"
    for library in ("libbpf", "libnl-3", "libmnl", "libsystemd", "libjson-c", "libc-ares",
                    "libsmartcols", "libc6"):
        assert [name for name in packages if name.startswith(library)], library
    ids = {package["SPDXID"] for package in bill["packages"]}
    assert {relation["relatedSpdxElement"] for relation in bill["relationships"]} == ids
    for package in bill["packages"]:
        assert package["downloadLocation"] and package["versionInfo"] and package["copyrightText"]


def test_signed(session_dir: str) -> None:
    """With a key the checksums are signed."""
    name = "tests@holdfast.invalid"
    with gnupg.key(os.path.join(session_dir, "gnupg-dist"), name) as home:
        made = dist(os.path.join(session_dir, "dist-c"), f"KEY={name}", GNUPGHOME=home)
        assert sorted(os.listdir(made)) == sorted([*FILES, "SHA256SUMS.asc"])
        sums = os.path.join(made, "SHA256SUMS")
        verify = ["gpg", "--homedir", home, "--batch", "--quiet", "--verify", f"{sums}.asc", sums]
        subprocess.run(verify, check=True, stderr=subprocess.DEVNULL)
        with open(sums, "a", encoding="ascii") as file:
            file.write("more\n")
        assert subprocess.run(verify, check=False, stderr=subprocess.DEVNULL).returncode != 0
