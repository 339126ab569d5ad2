"""What the tests compile for themselves: C programs, and other builds of the programs under test.

Where there is no compiler, HF_PREBUILT names a folder that has all of it (tests/vm/host/prebuilt.py).
"""

import os
import shutil
import subprocess

from . import build
from .remote import TESTS_DIR

PROGRAMS = {"storm": ["-pthread"], "flood": ["-pthread"], "fault": ["-shared", "-fPIC", "-ldl"]}
# The same source, but for the layout of what is pinned; and but for its version.
BUILDS = {"layout": ["BPF_CPPFLAGS=-DHF_LAYOUT=999"], "version": ["VERSION=99.0.0"]}
# What the loader tries first: 0 is what the newest kernels take, here without iterators over maps.
LEVELS = {0: "-DHF_LEVEL=0 -DHF_OVER_MAPS=false", 1: "-DHF_LEVEL=1", 2: "-DHF_LEVEL=2",
          3: "-DHF_LEVEL=3"}
# A holdfastd with something made otherwise: those, one whose survey walks but short chains, and one
# that keeps the addresses of host names for three seconds, and not an hour; and a kernel's before
# 6.2 whose passes have no time of their own to begin with.
VARIANTS = {f"level{level}": (["loader.o"], flags) for level, flags in LEVELS.items()} | {
    "chains": (["survey.bpf.o", "holdfast.bpf.o", "holdfast.skel.h", "loader.o"], "-DCHAIN_MAX=1"),
    "hasty": (["loader.o", "events.o"], "-DHF_LEVEL=1 -DPACE_PASS_BURST_US=0"),
    "forgetful": (["resolver.o", "resolver_known.o"],
                  "-DKNOWN_KEEP_US=3000000ull -DUSED_REST_US=1000000ull")}

_PREBUILT = os.environ.get("HF_PREBUILT")
_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
_TREE = os.path.abspath(os.path.join(TESTS_DIR, "..", ".."))
# Where coverage is counted (make coverage), what is built here counts, too, and for good.
_COVERAGE = os.environ.get("HF_COVERAGE")
FLAGS = ["CFLAGS=-O1 -g --coverage", "LDFLAGS=--coverage"] if _COVERAGE else ["CFLAGS=-O1"]


def prebuilt(name: str) -> str | None:
    """What has been built before, if anything."""
    path = os.path.join(_PREBUILT, name) if _PREBUILT else ""
    return path if os.path.exists(path) else None


def compile_c(name: str, directory: str) -> str:
    """One of PROGRAMS, compiled into a folder; the test is skipped without cc."""
    found = prebuilt(name)
    if found:
        return found
    compiler = shutil.which("cc")
    if not compiler:
        import pytest  # not there for those who only build

        pytest.skip("cc is not installed (package gcc)")
    target = os.path.join(directory, name)
    subprocess.run([compiler, *_FLAGS, "-o", target, os.path.join(TESTS_DIR, f"{name}.c"),
                    *PROGRAMS[name]], check=True)
    return target


def other_build(name: str, directory: str) -> str:
    """One of BUILDS, in a folder: returns where holdfastd and holdfast are."""
    found = prebuilt(name)
    if found:
        return found
    if _COVERAGE:
        directory = os.path.join(_COVERAGE, name)
    make(f"BUILD={directory}", *BUILDS[name], "SANITIZE=0", *FLAGS, "all")
    return directory


def variant(name: str, source: str, directory: str) -> str:
    """One of VARIANTS, made in a folder from the objects of another build: returns where holdfastd
    is."""
    found = prebuilt(name)
    if found:
        return found
    differing, flags = VARIANTS[name]
    shutil.copytree(source, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns(
        "tests", "vm", "deb", "rpm", "clang", "sanitized", "mutants", "holdfastd", "libholdfast.a",
        *differing))
    make(f"BUILD={directory}", f"BPF_CPPFLAGS={flags}",
         f"SANITIZE={int(build.SANITIZED)}", *FLAGS, f"{directory}/holdfastd")
    return directory


def go_program(name: str, directory: str) -> str:
    """A static Go program of the tests, compiled into a folder: no libc, so nothing could be
    preloaded into it. The test is skipped without Go."""
    found = prebuilt(name)
    if found:
        return found
    compiler = shutil.which("go")
    if not compiler:
        import pytest

        pytest.skip("go is not installed (package golang-go)")
    target = os.path.join(directory, name)
    subprocess.run([compiler, "build", "-o", target, os.path.join(TESTS_DIR, f"{name}.go")],
                   check=True, env={**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off",
                                    "GOCACHE": os.path.join(directory, "go"),
                                    "GOFLAGS": "-ldflags=-s"})
    return target


def make(*arguments: str) -> None:
    """Runs make on our source."""
    # What a make that runs the tests has been told is not for this one.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(["make", "-C", _TREE, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=environment, check=False)
    if made.returncode != 0:
        raise RuntimeError(f"make {' '.join(arguments)} failed:\n{made.stdout}")
