"""Compiles what the tests need: C programs, and other builds of the programs under test.

Where there is no compiler, HF_PREBUILT names a folder that has all of it
(tests/vm/host/prebuilt.py).
"""

import os
import shutil
import subprocess

from . import build
from .remote import TESTS_DIR

PROGRAMS = {"storm": ["-pthread"], "flood": ["-pthread"], "fault": ["-shared", "-fPIC", "-ldl"],
            "asleep": ["-shared", "-fPIC"], "compat": []}
# Builds of the same source: one with another HF_LAYOUT, one with another version.
BUILDS = {"layout": ["BPF_CPPFLAGS=-DHF_LAYOUT=999"], "version": ["VERSION=99.0.0"]}
# Flags for what the loader tries first. Level 0 is what the newest kernels can do, here without
# iterators over maps.
LEVELS = {0: "-DHF_LEVEL=0 -DHF_OVER_MAPS=false", 1: "-DHF_LEVEL=1", 2: "-DHF_LEVEL=2",
          3: "-DHF_LEVEL=3"}
# Variants of holdfastd, each with the objects that differ: one for each level; "chains", whose
# survey walks only short chains; "hasty", which works as before Linux 6.2 and whose passes have no
# CPU time to begin with, and a tenth of their ordinary share later; "forgetful", which keeps the
# addresses of host names for three seconds and not an hour; "hardened", which works as before Linux
# 5.11 and without iterators over maps.
VARIANTS = {f"level{level}": (["loader.o"], flags) for level, flags in LEVELS.items()} | {
    "chains": (["survey.bpf.o", "holdfast.bpf.o", "holdfast.skel.h", "loader.o"], "-DCHAIN_MAX=1"),
    "hasty": (["loader.o", "events.o"],
              "-DHF_LEVEL=1 -DCPU_SHARE_PASS_BURST_US=0 -DCPU_SHARE_PASS=2500u"),
    "forgetful": (["resolver.o", "known.o"],
                  "-DKNOWN_KEEP_US=3000000ull -DUSED_REST_US=1000000ull"),
    "hardened": (["loader.o"], "-DHF_LEVEL=3 -DHF_OVER_MAPS=false")}

_PREBUILT = os.environ.get("HF_PREBUILT")
_CC = "cc"
_GO: dict[str, str] = {}
_MAKE: list[str] = []
_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
_TREE = os.path.abspath(os.path.join(TESTS_DIR, "..", ".."))
# The folder for coverage counts (make coverage): builds made here are kept there, and count, too.
_COVERAGE = os.environ.get("HF_COVERAGE")
FLAGS = ["CFLAGS=-O1 -g --coverage", "LDFLAGS=--coverage"] if _COVERAGE else ["CFLAGS=-O1"]


def cross(arch: str, compiler: str) -> None:
    """Compiles for another architecture from now on, by the name that Debian and Go have for it."""
    global _CC, _GO, _MAKE
    _CC, _GO, _MAKE = compiler, {"GOARCH": arch}, [f"ARCH={arch}"]


def prebuilt(name: str) -> str | None:
    """Returns the path of something that was built before, or None."""
    path = os.path.join(_PREBUILT, name) if _PREBUILT else ""
    return path if os.path.exists(path) else None


def compile_c(name: str, directory: str) -> str:
    """Compiles one of PROGRAMS into a folder. Skips the test where there is no cc."""
    found = prebuilt(name)
    if found:
        return found
    compiler = shutil.which(_CC)
    if not compiler:
        import pytest  # not installed where only a build is made

        pytest.skip("cc is not installed (package gcc)")
    target = os.path.join(directory, name)
    subprocess.run([compiler, *_FLAGS, "-o", target, os.path.join(TESTS_DIR, f"{name}.c"),
                    *PROGRAMS[name]], check=True)
    return target


def other_build(name: str, directory: str) -> str:
    """Builds one of BUILDS in a folder. Returns the folder of its holdfastd and holdfast."""
    found = prebuilt(name)
    if found:
        return found
    if _COVERAGE:
        directory = os.path.join(_COVERAGE, name)
    make(f"BUILD={directory}", *BUILDS[name], "SANITIZE=0", *FLAGS, "all")
    return directory


def check_variant(source: str, differing: list[str], flags: str) -> None:
    """Raises RuntimeError where an object isn't in the build, or no code reads a macro."""
    objects = {name for _, _, names in os.walk(source) for name in names}
    code = "".join(open(os.path.join(folder, name), encoding="utf-8").read()
                   for top in ("bpf", "daemon")
                   for folder, _, names in os.walk(os.path.join(_TREE, top)) for name in names)
    unknown = [name for name in differing if name not in objects] + \
        [flag for flag in flags.split() if flag[2:].split("=")[0] not in code]
    if unknown:
        raise RuntimeError(f"another build without a difference: {', '.join(unknown)}")


def variant(name: str, source: str, directory: str) -> str:
    """Builds one of VARIANTS in a folder, from the objects of another build. Returns the folder of
    its holdfastd."""
    found = prebuilt(name)
    if found:
        return found
    differing, flags = VARIANTS[name]
    check_variant(source, differing, flags)
    # The copied dependency files name the objects in `source`: make would see no dependencies of
    # an earlier run's objects, and take them for up to date.
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns(
        "tests", "vm", "deb", "rpm", "clang", "sanitized", "mutants", "fuzz", "arm64", "analyzed",
        "demo", "bench", "holdfastd", "libholdfast.a", *differing))
    make(f"BUILD={directory}", f"BPF_CPPFLAGS={flags}",
         f"SANITIZE={int(build.SANITIZED)}", *FLAGS, f"{directory}/holdfastd")
    return directory


def go_program(name: str, directory: str) -> str:
    """Compiles a Go program of the tests into a folder. It is static and without libc, so that
    nothing can be preloaded into it. Skips the test where there is no Go."""
    found = prebuilt(name)
    if found:
        return found
    compiler = shutil.which("go")
    if not compiler:
        import pytest

        pytest.skip("go is not installed (package golang-go)")
    target = os.path.join(directory, name)
    subprocess.run([compiler, "build", "-o", target, os.path.join(TESTS_DIR, f"{name}.go")],
                   check=True, env={**os.environ, **_GO, "CGO_ENABLED": "0", "GO111MODULE": "off",
                                    "GOCACHE": os.path.join(directory, "go"),
                                    "GOFLAGS": "-ldflags=-s"})
    return target


def make(*arguments: str) -> None:
    """Runs make on the source tree."""
    # The options of the make that runs the tests must not reach this one.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(["make", "-C", _TREE, *_MAKE, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=environment, check=False)
    if made.returncode != 0:
        raise RuntimeError(f"make {' '.join(arguments)} failed:\n{made.stdout}")
