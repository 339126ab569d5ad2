"""A start without something that it needs fails with one sentence and leaves nothing."""

import os
import shutil
import subprocess
from typing import Iterator

import pytest

from harness import bpf, build, counters
from harness.cgroup import Cgroup, find_root
from harness.command import Command, run
from harness.config import rule
from harness.daemon import Daemon
from harness.options import UNTOUCHED, held
from harness.process import spawn
from harness.sockets import Agent, Listener

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)


@pytest.fixture(name="pin_dir")
def _pin_dir(bpffs: str, cgroup: Cgroup) -> Iterator[str]:
    """A pin dir that must not be made."""
    directory = os.path.join(bpffs, cgroup.path.strip("/"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def start(cgroup: Cgroup, workdir: str, pin_dir: str, script: str, *through: str,
          config: str = RULE) -> tuple[int, list[str]]:
    """Starts the daemon in a mount namespace of its own, behind a script. Returns exit status and
    log."""
    path = os.path.join(workdir, "holdfast.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config)
    process = spawn(
        ["unshare", "--mount", "sh", "-c", f'set -e\n{script}\nexec "$@"', "sh", *through,
         build.HOLDFASTD, "--config", path, "--pin-dir", pin_dir, "--cgroup", cgroup.directory],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        log, _ = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        log, _ = process.communicate()
        raise AssertionError(f"it runs:\n{log}") from None
    build.check_sanitizers(log)
    return process.returncode, log.splitlines()


def check(cgroup: Cgroup, pin_dir: str, outcome: tuple[int, list[str]], *words: str,
          status: int = 1) -> None:
    """Checks that a start has failed with one sentence that has these words, and left nothing."""
    said = [line for line in outcome[1] if "can't start: " in line]
    assert outcome[0] == status and len(said) == 1, outcome
    for word in words:
        assert word in said[0], said[0]
    assert not os.path.exists(pin_dir) or not os.listdir(pin_dir)
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)
    assert not bpf.attached(cgroup.directory, bpf.SETSOCKOPT)


def test_no_btf(cgroup: Cgroup, workdir: str, pin_dir: str) -> None:
    """A start on a kernel without BTF is refused, with the exit status of what no other start
    will mend."""
    script = "mount -t tmpfs tmpfs /sys/kernel/btf"
    check(cgroup, pin_dir, start(cgroup, workdir, pin_dir, script), "BTF", "CONFIG_DEBUG_INFO_BTF",
          status=69)


def test_foreign_file_system(cgroup: Cgroup, workdir: str) -> None:
    """A start with a pin dir that is not on a bpffs is refused."""
    directory = os.path.join(workdir, "pins")
    check(cgroup, directory, start(cgroup, workdir, directory, ""), directory, "bpffs")
    assert not os.path.exists(directory)


def test_foreign_folder(cgroup: Cgroup, workdir: str, pin_dir: str) -> None:
    """Foreign pins in the pin dir stay where they are."""
    os.mkdir(pin_dir)
    program = bpf.Program(bpf.SOCK_OPS, "foreign")
    program.pin(os.path.join(pin_dir, "theirs"))
    try:
        status, lines = start(cgroup, workdir, pin_dir, "", config="nonsense\n")
        assert status == 78 and len(lines) == 1
        assert os.listdir(pin_dir) == ["theirs"]
    finally:
        program.close()


@pytest.mark.parametrize("mode, owner, words", [
    (0o700, 65534, ("belongs to user 65534", "chown")),
    (0o775, 0, ("by its group", "chmod")),
    (0o1777, 0, ("by anyone", "chmod")),
])
def test_foreign_owner(cgroup: Cgroup, workdir: str, pin_dir: str, mode: int, owner: int,
                       words: tuple[str, ...]) -> None:
    """A start with a pin dir that others can change is refused, and so is `status`."""
    os.mkdir(pin_dir)
    os.chmod(pin_dir, mode)
    os.chown(pin_dir, owner, -1)
    check(cgroup, pin_dir, start(cgroup, workdir, pin_dir, ""), pin_dir, *words)
    result = Command(pin_dir)("status")
    assert result.status == 4 and words[0] in result.err, result


def test_read_only(cgroup: Cgroup, workdir: str, pin_dir: str, bpffs: str) -> None:
    """A start on a read-only bpffs, as with ProtectKernelTunables=, is refused."""
    script = f"mount --bind {bpffs} {bpffs}; mount -o remount,ro,bind {bpffs}"
    check(cgroup, pin_dir, start(cgroup, workdir, pin_dir, script), pin_dir, "Read-only")


def test_no_bpffs(cgroup: Cgroup, workdir: str) -> None:
    """A start is refused where no bpffs is mounted and none can be."""
    script = """
        mount -t tmpfs tmpfs /run
        mkdir /run/there
        mount --rbind /sys/fs/cgroup /run/there
        mount -t tmpfs tmpfs /sys/fs
        mkdir /sys/fs/cgroup
        mount --rbind /run/there /sys/fs/cgroup
    """
    pin_dir = "/sys/fs/bpf/holdfast-no-such"
    check(cgroup, pin_dir, start(cgroup, workdir, pin_dir, script), "no bpffs is mounted at /sys/fs/bpf")


def test_no_cgroup(workdir: str, pin_dir: str, cgroup: Cgroup) -> None:
    """A start on a folder that is no control group is refused."""
    path = os.path.join(workdir, "holdfast.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(RULE)
    result = run(build.HOLDFASTD, "--config", path, "--pin-dir", pin_dir, "--cgroup", workdir)
    check(cgroup, pin_dir, (result.status, result.err.splitlines()), workdir, "cgroup")
    result = run(build.HOLDFASTD, "--config", path, "--pin-dir", pin_dir, "--cgroup",
                 os.path.join(find_root(), "no-such"))
    check(cgroup, pin_dir, (result.status, result.err.splitlines()), "no-such", "No such file")


@pytest.mark.parametrize("files", [6, 8, 16, 24, 63])
def test_few_descriptors(cgroup: Cgroup, workdir: str, pin_dir: str, files: int) -> None:
    """A start with too few descriptors names their number and the least one, wherever it fails."""
    check(cgroup, pin_dir, start(cgroup, workdir, pin_dir, f"ulimit -n {files}"),
          "descriptors", str(files), "64", "LimitNOFILE")


def least_memory() -> int:
    """Returns the least address space in kB with which holdfastd's libraries can be loaded."""
    least, enough = 1024, 1024 * 1024
    while enough - least > 256:
        middle = (least + enough) // 2
        done = subprocess.run(["sh", "-c", f'ulimit -v {middle}; exec "$0" --version',
                               build.HOLDFASTD], capture_output=True, check=False)
        least, enough = (least, middle) if done.returncode == 0 else (middle, enough)
    return enough


@pytest.mark.skipif(build.SANITIZED, reason="the sanitizer takes the address space")
@pytest.mark.parametrize("share", [0.05, 0.4, 0.7, 0.95])
def test_little_memory(daemon: Daemon, cgroup: Cgroup, workdir: str, pin_dir: str,
                       share: float) -> None:
    """A start with too little memory fails with one sentence. The limits are shares of what a start
    takes, most of which is for the kernel's BTF."""
    daemon.start(RULE)
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmPeak:"))
    daemon.stop()
    least = least_memory()
    assert least < peak
    limit = least + int((peak - least) * share)
    check(cgroup, pin_dir, start(cgroup, workdir, pin_dir, f"ulimit -v {limit}"), "memory")


# The capabilities of a start, by their names in linux/capability.h.
CAPABILITIES = ["sys_admin", "bpf", "net_admin", "perfmon", "sys_ptrace", "dac_read_search",
                "net_broadcast", "dac_override"]
NEEDED = ["sys_admin", "sys_ptrace"]


@pytest.mark.parametrize("name", CAPABILITIES)
def test_capability(daemon: Daemon, cgroup: Cgroup, agent: Agent, listener: Listener,
                    holdfast: Command, name: str) -> None:
    """Without any one capability a start either works completely or says what is missing."""
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.configure(RULE)
    through = ["setpriv", f"--bounding-set=-{name}", f"--inh-caps=-{name}", "--"]
    daemon.launch(through=through)
    try:
        daemon.wait_ready()
        started = True
    except AssertionError:
        started = False
        assert not daemon.running
        assert daemon.wait() == 1
    assert not (started and name in NEEDED)
    if started:
        new = agent.connect("127.0.0.1", listener.port)
        assert sock.settings == new.settings == VALUES
        daemon.stop()
    else:
        said = [line for line in daemon.log.splitlines() if "can't start: " in line]
        assert len(said) == 1, daemon.log
        assert any(word in said[0] for word in ("allowed", "permitted", "ermission", "CAP_")), said
    print(name, "starts" if started else said)
    assert sock.settings == UNTOUCHED
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)
    assert holdfast("status").status == 3


@pytest.mark.skipif(build.SANITIZED, reason="strace and sanitizers don't go together")
@pytest.mark.parametrize("number, what", [("EACCES", "Permission denied"),
                                          ("EPERM", "Operation not permitted")])
def test_denied(daemon: Daemon, cgroup: Cgroup, workdir: str, number: str, what: str) -> None:
    """A security module that denies attaching to root is named as a possible cause, with an exit
    status that isn't tried again."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    calls = os.path.join(workdir, "calls")
    strace = ["strace", "-D", "-o", calls, "-e", "trace=bpf"]
    daemon.configure(RULE)
    daemon.launch(through=strace)
    daemon.wait_ready()
    daemon.stop()
    with open(calls, encoding="utf-8") as file:
        made = [line for line in file if line.startswith("bpf(")]
    index = next(i for i, line in enumerate(made, 1)
                 if "BPF_LINK_CREATE" in line and "BPF_CGROUP_SOCK_OPS" in line)
    daemon.launch(through=[*strace, "-e", f"inject=bpf:error={number}:when={index}"])
    assert daemon.wait() == 69
    said = f"can't attach to the cgroup {cgroup.directory}: {what}, not even to root; SELinux, "
    assert said in daemon.log
    assert not os.path.exists(daemon.pin_dir)
    assert not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


def rules(begin: int, end: int) -> str:
    """Returns rules with these numbers, which match no connection of the tests."""
    return "".join(rule(f"r{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
                   for number in range(begin, end))


def test_full_map(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A reload with more rules than the counters' map has room for is refused as a whole."""
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.reload(rules(0, 66_000) + RULE.replace("120s", "60s"))
    said = [line for line in daemon.log.splitlines() if "not reloaded" in line]
    assert len(said) == 1 and "too many rules" in said[0] and "of 66001" in said[0], said
    assert sock.settings == agent.connect("127.0.0.1", listener.port).settings == VALUES
    daemon.reload(RULE.replace("120s", "60s"))
    assert sock.settings == held(60, 30, 4)


def test_rules_come_and_go(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A daemon may see more rules over its life than the counters' map has room for."""
    daemon.start(RULE)
    for begin in range(0, 80_000, 20_000):
        daemon.reload(rules(begin, begin + 20_000) + RULE)
        assert "not reloaded" not in daemon.log
        agent.connect("127.0.0.1", listener.port)
    assert counters.read(daemon.pin_dir, "all").connected == 4
