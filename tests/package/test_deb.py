"""The Debian packages: built without network and BTF, without lintian's warnings, and complete."""

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
    /usr/share/doc/holdfast/NEWS.md.gz
    /usr/share/doc/holdfast/README.md.gz
    /usr/share/doc/holdfast/changelog.gz
    /usr/share/doc/holdfast/copyright
    /usr/share/fish/vendor_completions.d/holdfast.fish
    /usr/share/fish/vendor_completions.d/holdfastd.fish
    /usr/share/holdfast/grafana/holdfast.json
    /usr/share/holdfast/kubernetes/Chart.yaml
    /usr/share/holdfast/kubernetes/holdfast.conf
    /usr/share/holdfast/kubernetes/holdfast.yaml
    /usr/share/holdfast/kubernetes/kustomization.yaml
    /usr/share/holdfast/kubernetes/metrics.yaml
    /usr/share/holdfast/kubernetes/release.yaml
    /usr/share/holdfast/kubernetes/templates/holdfast.yaml
    /usr/share/holdfast/kubernetes/values.yaml
    /usr/share/holdfast/prometheus/holdfast.rules.yml
    /usr/share/holdfast/schema/check.schema.json
    /usr/share/holdfast/schema/common.schema.json
    /usr/share/holdfast/schema/explain.schema.json
    /usr/share/holdfast/schema/measure.schema.json
    /usr/share/holdfast/schema/preview.schema.json
    /usr/share/holdfast/schema/probe.schema.json
    /usr/share/holdfast/schema/status.schema.json
    /usr/share/man/man5/holdfast.conf.5.gz
    /usr/share/man/man8/holdfast.8.gz
    /usr/share/man/man8/holdfastd.8.gz
    /usr/share/man/zh_CN/man5/holdfast.conf.5.gz
    /usr/share/man/zh_CN/man8/holdfast.8.gz
    /usr/share/man/zh_CN/man8/holdfastd.8.gz
    /usr/share/zsh/vendor-completions/_holdfast
""".split()
# The folder for units; releases with an unmerged /usr have /lib.
UNIT_PLACES = ("/lib/systemd/system/", "/usr/lib/systemd/system/")


def package(deb_dir: str, name: str) -> str:
    """Returns the path of a package."""
    (path,) = glob.glob(os.path.join(deb_dir, f"{name}_{source.version()}_*.deb"))
    return path


def output(*argv: str) -> str:
    """Returns the output of a program."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture(name="tree", scope="module")
def _tree(deb_dir: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder with both packages unpacked."""
    directory = str(tmp_path_factory.mktemp("deb"))
    for name in ("holdfast", "holdfast-dbgsym"):
        subprocess.run(["dpkg-deb", "-x", package(deb_dir, name), directory], check=True)
    return directory


def test_lintian(deb_dir: str) -> None:
    """lintian reports neither errors nor warnings about source and packages."""
    (changes,) = glob.glob(os.path.join(deb_dir, "*.changes"))
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0",
         "--display-info", changes], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert not re.search(r"^[EW]:", done.stdout, re.MULTILINE)


def test_contents(deb_dir: str) -> None:
    """The package has exactly these files, all root's; shared folders are left out."""
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
    """The configuration is a conffile, so that an upgrade keeps the administrator's changes."""
    assert output("dpkg-deb", "-I", package(deb_dir, "holdfast"), "conffiles").split() == [
        "/etc/holdfast/holdfast.conf"]


def test_programs(tree: str) -> None:
    """The programs run, are stripped and hardened, and their symbols are in the -dbgsym package."""
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
    """The -dbgsym package contains debug symbols only."""
    listing = output("dpkg-deb", "-c", package(deb_dir, "holdfast-dbgsym"))
    files = [line.split()[5] for line in listing.splitlines() if line.startswith("-")]
    assert files and all(path.startswith("./usr/lib/debug/") for path in files)


def test_says_nothing_of_the_builder(deb_dir: str, tree: str) -> None:
    """The programs contain no path of the machine that built them."""
    for path in ("usr/bin/holdfast", "usr/sbin/holdfastd"):
        with open(os.path.join(tree, path), "rb") as file:
            assert os.path.dirname(deb_dir).encode() not in file.read()


def test_description(deb_dir: str) -> None:
    """The description names the oldest kernel of README.md."""
    said = output("dpkg-deb", "-f", package(deb_dir, "holdfast"), "Description")
    assert f"Linux {source.least_kernel()} or later" in said


def test_scripts(deb_dir: str, workdir: str) -> None:
    """The maintainer scripts have valid syntax."""
    subprocess.run(["dpkg-deb", "-e", package(deb_dir, "holdfast"), workdir], check=True)
    for name in ("postinst", "prerm", "postrm"):
        path = os.path.join(workdir, name)
        assert os.stat(path).st_mode & stat.S_IXUSR
        subprocess.run(["sh", "-n", path], check=True)


# A mount namespace without the machine's service manager and pins.
HOST = """
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /sys/fs/bpf
mkdir /sys/fs/bpf/holdfast
"$@"
"""


def script(workdir: str, deb_dir: str, name: str, *arguments: str, status: int = 0,
           prepare: str = HOST, **environment: str) -> subprocess.CompletedProcess:
    """Runs one of the maintainer scripts, with a `holdfast` that ends with that status."""
    control, tools = (os.path.join(workdir, folder) for folder in ("control", "tools"))
    subprocess.run(["dpkg-deb", "-e", package(deb_dir, "holdfast"), control], check=True)
    os.makedirs(tools, exist_ok=True)
    with open(os.path.join(tools, "holdfast"), "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\necho "holdfast $*" >> {workdir}/calls\nexit {status}\n')
    os.chmod(os.path.join(tools, "holdfast"), stat.S_IRWXU)
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", prepare, "sh", os.path.join(control, name), *arguments],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", **environment})


def calls(workdir: str) -> list[str]:
    """Returns how `holdfast` was called."""
    path = os.path.join(workdir, "calls")
    if not os.path.exists(path):
        return []
    with open(path, encoding="ascii") as file:
        return file.read().splitlines()


@pytest.mark.parametrize("status, removed", [(0, True), (1, True), (3, True), (4, False)])
def test_release_at_removal(deb_dir: str, workdir: str, status: int, removed: bool) -> None:
    """Removal runs `holdfast release`, and keeps the package where that fails: nothing else can
    make good."""
    done = script(workdir, deb_dir, "prerm", "remove", status=status)
    assert (done.returncode == 0) == removed, done
    assert calls(workdir) == ["holdfast release"]
    assert ("is still in force" in done.stderr) == (not removed), done


def test_no_release(deb_dir: str, workdir: str) -> None:
    """`holdfast release` isn't run at an upgrade, nor where nothing is pinned."""
    assert script(workdir, deb_dir, "prerm", "upgrade", "99").returncode == 0
    nothing = HOST.replace("mkdir", "test ! -e")
    assert script(workdir, deb_dir, "prerm", "remove", prepare=nothing).returncode == 0
    assert not calls(workdir)


def test_purge(deb_dir: str, workdir: str) -> None:
    """A purge removes the package's folders, but nothing that is mounted below them."""
    root = os.path.join(workdir, "root")
    for folder in ("etc/holdfast/holdfast.conf.d", "run/holdfast/cgroup"):
        os.makedirs(os.path.join(root, folder))
    mounted = f'mount -t tmpfs tmpfs {root}/run/holdfast/cgroup\ntouch "$KEPT"\n"$@"\ntest -e "$KEPT"\n'
    done = script(workdir, deb_dir, "postrm", "purge", prepare=mounted, DPKG_ROOT=root,
                  KEPT=f"{root}/run/holdfast/cgroup/kept")
    assert done.returncode == 0, done
    assert os.listdir(os.path.join(root, "etc")) == []
    assert script(workdir, deb_dir, "postrm", "purge", DPKG_ROOT=root).returncode == 0
    assert os.listdir(os.path.join(root, "run")) == []
