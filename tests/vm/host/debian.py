"""Debian's archive: sources with their keyring, and packages fetched without being installed.

This machine's apt configuration applies (proxies, certificates), but its sources, package lists and
cache are left alone.
"""

import fnmatch
import os
import re
import subprocess

from .arch import NATIVE

MIRROR = os.environ.get("HF_VM_MIRROR", "http://deb.debian.org/debian")
SECURITY_MIRROR = os.environ.get("HF_VM_SECURITY_MIRROR", "http://deb.debian.org/debian-security")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def run(argv: list[str], what: str, **options: object) -> str:
    """Runs a program and returns its output; SystemExit with all of it where it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout}\n{what} failed: {argv[0]} exited with {done.returncode}")
    return done.stdout


def host_suite() -> str:
    """Returns this machine's Debian release, whose libraries fit the programs built here, or
    bookworm."""
    found: dict[str, str] = {}
    with open("/etc/os-release", encoding="utf-8") as file:
        for line in file:
            key, _, value = line.strip().partition("=")
            found[key] = value.strip('"')
    return found.get("VERSION_CODENAME", "sid") if found.get("ID") == "debian" else "bookworm"


def suites_of(release: str) -> tuple[str, ...]:
    """Returns the suites of a release."""
    return (release,) if release == "sid" else (release, f"{release}-security")


def sources(suites: tuple[str, ...], arch: str = NATIVE) -> list[str]:
    """Returns lines for sources.list."""
    return [f"deb [arch={arch} signed-by={KEYRING}] "
            f"{SECURITY_MIRROR if suite.endswith('-security') else MIRROR} {suite} main"
            for suite in suites]


def fetch_settings() -> list[str]:
    """Returns this machine's apt settings for fetching, as lines of an apt.conf."""
    names = re.compile(r"Acquire::(http|https|Check-|Max-|Retries|ForceIPv)")
    dump = run(["apt-config", "dump"], "reading apt's configuration")
    return [line for line in dump.splitlines() if names.match(line)]


class Archive:
    """Some suites of the archive, with package lists of their own in a folder."""

    def __init__(self, directory: str, suites: tuple[str, ...], arch: str = NATIVE) -> None:
        self.directory = directory
        os.makedirs(os.path.join(directory, "lists", "partial"), exist_ok=True)
        os.makedirs(os.path.join(directory, "archives", "partial"), exist_ok=True)
        source_list = os.path.join(directory, "sources.list")
        with open(source_list, "w", encoding="ascii") as file:
            file.write("\n".join(sources(suites, arch)) + "\n")
        self._options = [word for option in (
            f"APT::Architecture={arch}", "APT::Architectures=",
            f"Dir::Etc::SourceList={source_list}", "Dir::Etc::SourceParts=/dev/null",
            "Dir::Etc::Preferences=/dev/null", "Dir::Etc::PreferencesParts=/dev/null",
            f"Dir::State::Lists={directory}/lists", "Dir::State::Status=/dev/null",
            f"Dir::Cache={directory}", "Dir::Cache::pkgcache=pkgcache.bin",
            "Dir::Cache::srcpkgcache=srcpkgcache.bin", "APT::Sandbox::User=root",
            "APT::Update::Post-Invoke::=/bin/true", "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
        ) for word in ("-o", option)]
        run(["apt-get", *self._options, "-q", "update"], f"apt-get update for {suites[0]}")

    def newest(self, pattern: str) -> str:
        """Returns the matching package with the highest numbers in its name."""
        prefix = pattern.split("*", 1)[0]
        names = fnmatch.filter(run(["apt-cache", *self._options, "pkgnames", prefix],
                                   "apt-cache").split(), pattern)
        if not names:
            raise SystemExit(f"no package in the archive matches {pattern}")
        return max(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])

    def parts(self, package: str) -> list[str]:
        """Returns a kernel's package, and the packages that it is split into, if any."""
        listing = run(["apt-cache", *self._options, "depends", package], "apt-cache")
        return [package, *re.findall(r"^ *Depends: (linux-(?:binary|modules)-\S+)", listing, re.M)]

    def fetch(self, packages: list[str], directory: str) -> None:
        """Fetches packages into a folder."""
        run(["apt-get", *self._options, "-q", "download", *packages], "fetching packages",
            cwd=directory)

    def unpack(self, packages: list[str], directory: str) -> None:
        """Fetches packages and unpacks them into a folder."""
        self.fetch(packages, self.directory)
        for name in os.listdir(self.directory):
            if name.endswith(".deb"):
                run(["dpkg-deb", "--extract", os.path.join(self.directory, name), directory],
                    f"unpacking {name}")
