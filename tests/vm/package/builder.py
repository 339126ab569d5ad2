"""Builds the packages for another release of Debian, in a root file system of that release."""

import glob
import os
import re

import source
from host import debian
from host.cache import entry, hash_of

# The build runs on an overlay over the root file system, without network.
_SCRIPT = """
set -e
mount -t tmpfs tmpfs {layer}
mkdir {layer}/upper {layer}/work {layer}/root
mount -t overlay overlay -o lowerdir={root},upperdir={layer}/upper,workdir={layer}/work {layer}/root
mount -t proc proc {layer}/root/proc
mount --bind {trees} {layer}/root/mnt
exec chroot {layer}/root sh -ec 'cd /mnt/{name}; dpkg-buildpackage -us -uc -b'
"""


def _build_depends() -> list[str]:
    """Returns the source package's build dependencies, including those of its tests, and of the
    release before it."""
    with open(os.path.join(source.TREE, "packaging/debian/control"), encoding="utf-8") as file:
        match = re.search(r"^Build-Depends:\n((?: .*\n)+)", file.read(), re.MULTILINE)
    assert match
    names = {line.split()[0].strip(",").removesuffix(":native") for line in match[1].splitlines()}
    return sorted(names - {"debhelper-compat"} | {"debhelper", "libinih-dev"})


def _root(cache: str, suite: str) -> str:
    packages = _build_depends()

    def make(directory: str) -> None:
        options = [f"--aptopt={line}" for line in debian.fetch_settings()]
        debian.run(["mmdebstrap", "--mode=root", "--variant=buildd", *options,
                    "--dpkgopt=path-exclude=/usr/share/doc/*",
                    "--dpkgopt=path-exclude=/usr/share/locale/*",
                    f"--include={','.join(packages)}", suite, os.path.join(directory, "root"),
                    *debian.sources(debian.suites_of(suite))], "mmdebstrap")

    digest = hash_of(suite, *packages, "1")
    return os.path.join(entry(cache, f"build-{suite}", digest, make), "root")


def build(cache: str, suite: str, directory: str) -> list[str]:
    """Returns the .deb of this version, of the same source with a number that is less, and of the
    release before where its source can be had."""
    root = _root(cache, suite)
    layer, trees = os.path.join(directory, "layer"), os.path.join(directory, "trees")
    os.mkdir(layer)
    found = []
    for version in (source.version(), source.LESS, source.EARLIER):
        tree = os.path.join(trees, version)
        if version != source.EARLIER:
            source.copy_as(tree, version)
        elif source.earlier(tree):
            continue
        os.rename(os.path.join(tree, "packaging/debian"), os.path.join(tree, "debian"))
        script = _SCRIPT.format(layer=layer, root=root, trees=trees, name=version)
        debian.run(["unshare", "--net", "--mount", "sh", "-c", script],
                   f"building the package for {suite}",
                   env={**source.environment(), "DEB_BUILD_OPTIONS": "nocheck"
                        if version != source.version() else ""})
        made = glob.glob(os.path.join(trees, f"holdfast_{version}_*.deb"))
        if len(made) != 1:
            raise SystemExit(f"{tree}: there is not one package, but {made}")
        found += made
    return found
