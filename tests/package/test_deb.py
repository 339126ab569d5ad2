"""The Debian packages: built without network and BTF, clean, and with what belongs into them."""

import glob
import os
import re
import stat
import subprocess

import pytest

import source

CONTENTS = """
    /etc/holdfast/holdfast.conf
    /etc/holdfast/holdfast.conf.d
    /lib/systemd/system/holdfast.service
    /usr/bin/holdfast
    /usr/sbin/holdfastd
    /usr/share/bash-completion/completions/holdfast
    /usr/share/bash-completion/completions/holdfastd
    /usr/share/doc/holdfast/README.md.gz
    /usr/share/doc/holdfast/changelog.gz
    /usr/share/doc/holdfast/copyright
    /usr/share/fish/vendor_completions.d/holdfast.fish
    /usr/share/fish/vendor_completions.d/holdfastd.fish
    /usr/share/holdfast/grafana/holdfast.json
    /usr/share/holdfast/kubernetes/holdfast.yaml
    /usr/share/holdfast/kubernetes/release.yaml
    /usr/share/holdfast/prometheus/holdfast.rules.yml
    /usr/share/man/man5/holdfast.conf.5.gz
    /usr/share/man/man8/holdfast.8.gz
    /usr/share/man/man8/holdfastd.8.gz
    /usr/share/zsh/vendor-completions/_holdfast
""".split()
# Where a release has its units: it was /lib when /usr was not merged.
UNIT_PLACES = ("/lib/systemd/system/", "/usr/lib/systemd/system/")


def package(deb_dir: str, name: str) -> str:
    """The file of a package."""
    (path,) = glob.glob(os.path.join(deb_dir, f"{name}_{source.version()}_*.deb"))
    return path


def output(*argv: str) -> str:
    """What a program says."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture(name="tree", scope="module")
def _tree(deb_dir: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Both packages, unpacked."""
    directory = str(tmp_path_factory.mktemp("deb"))
    for name in ("holdfast", "holdfast-dbgsym"):
        subprocess.run(["dpkg-deb", "-x", package(deb_dir, name), directory], check=True)
    return directory


def test_lintian(deb_dir: str) -> None:
    """Source and packages have neither errors nor warnings."""
    (changes,) = glob.glob(os.path.join(deb_dir, "*.changes"))
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0",
         "--display-info", changes], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert not re.search(r"^[EW]:", done.stdout, re.MULTILINE)


def test_contents(deb_dir: str) -> None:
    """These files and no others; folders that are everybody's left out."""
    listing = output("dpkg-deb", "-c", package(deb_dir, "holdfast"))
    paths = {re.sub(r" -> .*", "", line.split(None, 5)[5]).lstrip(".") for line in
             listing.splitlines()}
    found = {path.rstrip("/") for path in paths
             if not path.endswith("/") or path.endswith(".d/") and "/etc/" in path}
    found = {"/lib/systemd/system/" + os.path.basename(path)
             if path.startswith(UNIT_PLACES) else path for path in found}
    assert found == set(CONTENTS)
    assert "root/root" in listing
    for line in listing.splitlines():
        assert line.split()[1] == "root/root", line
        assert line.startswith(("drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x", "lrwxrwxrwx")), line


def test_conffile(deb_dir: str) -> None:
    """The configuration is the administrator's: an upgrade keeps it."""
    assert output("dpkg-deb", "-I", package(deb_dir, "holdfast"), "conffiles").split() == [
        "/etc/holdfast/holdfast.conf"]


def test_programs(tree: str) -> None:
    """They run, are stripped and hardened; what was stripped is in the other package."""
    for path in ("usr/bin/holdfast", "usr/sbin/holdfastd"):
        program = os.path.join(tree, path)
        assert output(program, "--version").split()[-1] == source.version()
        sections = output("readelf", "--wide", "--section-headers", program)
        assert ".symtab" not in sections and ".debug_info" not in sections
        dynamic = output("readelf", "--dynamic", program)
        assert "PIE" in dynamic and "NOW" in dynamic
        match = re.search(r"Build ID: (\w\w)(\w+)", output("readelf", "--notes", program))
        assert match
        symbols = os.path.join(tree, "usr/lib/debug/.build-id", match[1], f"{match[2]}.debug")
        assert ".debug_info" in output("readelf", "--wide", "--section-headers", symbols)


def test_dbgsym_has_symbols_only(deb_dir: str) -> None:
    """Nothing of the program itself."""
    listing = output("dpkg-deb", "-c", package(deb_dir, "holdfast-dbgsym"))
    files = [line.split()[5] for line in listing.splitlines() if line.startswith("-")]
    assert files and all(path.startswith("./usr/lib/debug/") for path in files)


def test_says_nothing_of_the_builder(deb_dir: str, tree: str) -> None:
    """No path of the machine that it was built on."""
    for path in ("usr/bin/holdfast", "usr/sbin/holdfastd"):
        with open(os.path.join(tree, path), "rb") as file:
            assert os.path.dirname(deb_dir).encode() not in file.read()


def test_scripts(deb_dir: str, workdir: str) -> None:
    """A shell can read the maintainer's scripts."""
    subprocess.run(["dpkg-deb", "-e", package(deb_dir, "holdfast"), workdir], check=True)
    for name in ("postinst", "prerm", "postrm"):
        path = os.path.join(workdir, name)
        assert os.stat(path).st_mode & stat.S_IXUSR
        subprocess.run(["sh", "-n", path], check=True)
