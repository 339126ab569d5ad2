"""`holdfast measure`: after how long a path forgets, with windows of seconds.

The file is long because every way for a measurement to go has a test.
"""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
from contextlib import ExitStack
from typing import Any, Callable, Iterator, NamedTuple, Sequence

import pytest

from harness import build, idlers, mariadb, schema
from harness.capture import Capture
from harness.cgroup import Cgroup
from harness.command import Command, run
from harness.compiler import compile_c
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.process import spawn, stop
from harness.topology import DEVICE, SERVER, Topology
from harness.wait import wait_for

# Most of it is waiting: the sanitized build would take as long again.
pytestmark = [pytest.mark.waits, pytest.mark.skipif(
    build.SANITIZED, reason="five minutes of waiting, which the plain build does")]

MEASURED, USAGE, BROKEN = 0, 2, 4
ADDRESS = SERVER["inet"]
NO_PINS = "/sys/fs/bpf/holdfast-tests-none"

# A path that forgets after WINDOW, found between the first and the last gap.
WINDOW = 4
RANGE = ["--from", "2s", "--to", "8s", "--resolution", "25%", "--connections", "6"]


class Measured(NamedTuple):
    """What a run of it said."""

    status: int
    json: dict[str, Any]
    err: str


class Measuring:
    """A run of it."""

    def __init__(self, netns: Netns, options: list[str], command: list[str],
                 cgroup: Cgroup | None = None, pin_dir: str = NO_PINS,
                 environment: dict[str, str] | None = None, under: Sequence[str] = ()) -> None:
        # pylint: disable-next=consider-using-with
        self.process = spawn(
            [*under, build.HOLDFAST, "--pin-dir", pin_dir, "measure", *options, f"{ADDRESS}:{PORT}", "--",
             *command], netns, cgroup, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, **(environment or {})})

    def end(self, timeout: float = 120) -> tuple[int, str, str]:
        """Its exit status, and what it wrote."""
        out, err = self.process.communicate(timeout=timeout)
        build.check_sanitizers(err.decode())
        return self.process.returncode, out.decode(), err.decode()

    def json(self, timeout: float = 120) -> Measured:
        """The same, its output parsed."""
        status, out, err = self.end(timeout)
        schema.check("measure", json.loads(out))
        return Measured(status, json.loads(out), err)


@pytest.fixture(name="make_path")
def _make_path() -> Iterator[Callable[..., Topology]]:
    """Makes firewalls that forget."""
    with ExitStack() as stack:
        def make(window: int) -> Topology:
            made = Topology(window)
            stack.callback(made.close)
            made.add_client()
            return made

        yield make


@pytest.fixture(name="dropping_path")
def _dropping_path(make_path: Callable[..., Topology]) -> Topology:
    """A firewall that forgets after WINDOW, and drops what it doesn't know."""
    return make_path(WINDOW)


@pytest.fixture(name="path")
def _path(dropping_path: Topology) -> Topology:
    """One that rejects it: nobody has to wait for an answer that doesn't come."""
    dropping_path.firewall.nft("table inet firewall {\n chain forward {\n"
                               " meta l4proto tcp reject with tcp reset\n }\n }\n")
    return dropping_path


@pytest.fixture(name="serve")
def _serve() -> Iterator[Callable[..., idlers.Server]]:
    """Starts servers."""
    with ExitStack() as stack:
        def make(*arguments: Any, **options: Any) -> idlers.Server:
            made = idlers.Server(*arguments, **options)
            stack.callback(made.close)
            return made

        yield make


def client(*file: str) -> list[str]:
    """The command that is measured with."""
    return idlers.client(ADDRESS, PORT, *file)


def commands() -> list[int]:
    """Those of this run that are still there."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                words = file.read().split("\0")
        except OSError:  # it has gone
            continue
        if words[:len(idlers.MODULE)] == idlers.MODULE and "client" in words:
            found.append(int(pid))
    return found


def wait_idle(netns: Netns, seconds: float, count: int = 7) -> None:
    """Waits until the control and all others of a round are connected, and have idled for so
    long."""
    wait_for(lambda: len(netns.run("ss", "-Htn", "state", "established",
                                   f"dport = :{PORT}").splitlines()) == count,
             "all are connected")
    time.sleep(seconds)


def check_json(said: dict[str, Any]) -> None:
    """It is what the manual says it is."""
    assert set(said) - {"why"} == {"peer", "peer_port", "forgotten", "longer_than", "at_most",
                                   "how", "window", "connections"}
    assert (said["peer"], said["peer_port"]) == (ADDRESS, PORT)
    assert said["forgotten"] in (True, False, None)
    assert said["how"] in ("silence", "reset", None)
    assert (said["how"] is None) == (said["at_most"] is None)
    for connection in said["connections"]:
        assert set(connection) == {"idle", "outcome"}
        assert connection["outcome"] in ("answered", "silence", "reset", "void")


def check_found(measured: Measured, window: float, how: str) -> None:
    """The window lies where it says, and closely."""
    assert measured.status == MEASURED, measured
    said = measured.json
    check_json(said)
    assert said["forgotten"] is True and said["how"] == how
    # A second of conntrack's own, whose timers are in jiffies, is nothing; a tick is.
    assert said["longer_than"] <= window + 0.1 and said["at_most"] >= window, said
    assert said["at_most"] <= said["longer_than"] * 1.25 + 0.2, said
    assert said["window"] == int(said["longer_than"])
    assert "why" not in said


def test_silence(dropping_path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """A firewall that drops. Not a packet on what idles, then one probe at its time."""
    serve(dropping_path.server, PORT)
    netns = dropping_path.clients[0]
    capture = Capture(netns, DEVICE)
    measured = Measuring(netns, [*RANGE, "-J"], client()).json()
    check_found(measured, WINDOW, "silence")
    outcomes = {c["outcome"] for c in measured.json["connections"]}
    assert outcomes == {"answered", "silence"}
    assert not commands()

    told = {round(c["idle"], 1) for c in measured.json["connections"]}
    seen = []
    for local in {p.source for p in capture.packets() if p.target == (ADDRESS, PORT)}:
        probes = capture.probes(local, (ADDRESS, PORT))
        if len(probes) > 6:
            continue  # a control
        if not probes:
            continue  # not needed
        before = [p.at for p in capture.flow(local, (ADDRESS, PORT)) if p.at < probes[0] - 0.001]
        assert len(before) == 3, "the handshake, and nothing else"
        seen.append(round(probes[0] - before[-1], 1))
    capture.close()
    assert len(seen) >= 5
    assert all(any(abs(idle - told_idle) <= 0.2 for told_idle in told) for idle in seen)


def test_reset(path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """A firewall that rejects; for people, and not as JSON."""
    serve(path.server, PORT)
    status, out, err = Measuring(path.clients[0], RANGE, client()).end()
    assert (status, err) == (MEASURED, "")
    found = re.search(r"^forgotten after more than ([\d.]+) s and at most ([\d.]+) s, "
                      r"with a reset$", out, re.MULTILINE)
    assert found, out
    assert float(found[1]) <= WINDOW + 0.1 and float(found[2]) >= WINDOW
    assert out.splitlines()[-1] == f"window = {int(float(found[1]))}s"
    assert re.search(r"^idle for [\d.]+ s: answered in \d+ ms$", out, re.MULTILINE)
    assert re.search(r"^idle for [\d.]+ s: reset$", out, re.MULTILINE)


def test_not_forgotten(make_path: Callable[..., Topology],
                       serve: Callable[..., idlers.Server]) -> None:
    """Up to the longest gap, and that once more by all."""
    path = make_path(60)
    serve(path.server, PORT)
    measured = Measuring(path.clients[0], ["--from", "2s", "--to", "3s", "--connections", "4",
                                           "--resolution", "25", "-J"], client()).json()
    assert measured.status == MEASURED
    check_json(measured.json)
    said = measured.json
    assert said["forgotten"] is False and said["at_most"] is None and said["window"] == 3
    assert 3 <= said["longer_than"] < 3.3
    assert [c["outcome"] for c in said["connections"]] == ["answered"] * len(said["connections"])
    assert sum(c["idle"] >= 3 for c in said["connections"]) >= 5


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_server_closes(make_path: Callable[..., Topology], serve: Callable[..., idlers.Server],
                       how: str) -> None:
    """The server's own timeout isn't the path's: probes don't keep it from closing the control."""
    path = make_path(60)
    # Long after the control all commands have started, on a slow machine, too.
    serve(path.server, PORT, how, 6)
    measured = Measuring(path.clients[0], [*RANGE, "-J"], client()).json()
    assert measured.status == BROKEN
    check_json(measured.json)
    assert measured.json["forgotten"] is None and measured.json["how"] is None
    assert 2 <= measured.json["longer_than"] < 6
    assert "wait_timeout" in measured.err and "idle for 6 s" in measured.err
    assert measured.json["why"] in measured.err


@pytest.mark.parametrize("how, said", [("talk", "there was data after [56] s"),
                                       ("keepalive", r"after [56] s \(the server's own keepalive\?\)")],
                         ids=["talk", "keepalive"])
def test_not_silent(make_path: Callable[..., Topology], serve: Callable[..., idlers.Server],
                    how: str, said: str) -> None:
    """What isn't silent can't be measured; what idled before that can. A connection is looked at
    once a second, so that what goes over it after 5 s may be seen after 6 s."""
    path = make_path(60)
    serve(path.server, PORT, how, 5)
    options = ["--from", "2s", "--to", "7s", "--connections", "4", "--resolution", "50%", "-J"]
    measured = Measuring(path.clients[0], options, client()).json()
    assert measured.status == BROKEN and re.search(said, measured.err), measured
    check_json(measured.json)
    assert measured.json["forgotten"] is None and 2 <= measured.json["longer_than"] < 5.5
    assert measured.json["connections"][-1]["outcome"] == "void"


def test_reset_by_the_path_unasked(make_path: Callable[..., Topology],
                                   serve: Callable[..., idlers.Server]) -> None:
    """Some firewalls reset what they forget: the control, which is probed, lives on."""
    path = make_path(60)
    serve(path.server, PORT, "path", WINDOW)
    measured = Measuring(path.clients[0], [*RANGE, "-J"], client()).json()
    check_found(measured, WINDOW, "reset")


def test_outage(path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """While nothing passes, the control dies, too: that round counts for nothing."""
    serve(path.server, PORT)
    measuring = Measuring(path.clients[0], [*RANGE, "-J"], client())
    # One is probed after 2.6 s, and the control after 2 s and after 3 s.
    wait_idle(path.clients[0], 2.25)
    path.firewall.nft("table inet outage {\n chain c {\n"
                      " type filter hook forward priority -5; policy drop;\n }\n }\n")
    time.sleep(7)
    path.firewall.nft("delete table inet outage\n")
    measured = measuring.json()
    check_found(measured, WINDOW, "reset")
    assert "void" in {c["outcome"] for c in measured.json["connections"]}


@pytest.mark.parametrize("pause", [0.5, 14])
def test_restart(path: Topology, serve: Callable[..., idlers.Server], pause: float) -> None:
    """A server that is restarted resets them all. It may take longer than three rounds can wait."""
    server = serve(path.server, PORT)
    measuring = Measuring(path.clients[0], RANGE, client())
    wait_idle(path.clients[0], 2)
    server.restart(pause)
    status, out, err = measuring.end()
    assert (status, err) == (MEASURED, ""), out
    assert re.search(r"^round 1 doesn't count: .*restart", out, re.MULTILINE), out
    assert out.count("round 2 can't begin yet: ") == (pause > 1), out
    assert len(re.findall("^round 2[,:]", out, re.MULTILINE)) == 1, "said for each attempt"
    assert "round 2 doesn't count" not in out and "forgotten after more than" in out


def test_outage_for_good(path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """What doesn't come back isn't waited for without end."""
    server = serve(path.server, PORT)
    measuring = Measuring(path.clients[0], [*RANGE, "-J"], client())
    wait_idle(path.clients[0], 2)
    server.close()
    measured = measuring.json()
    assert measured.status == BROKEN
    check_json(measured.json)
    assert {c["outcome"] for c in measured.json["connections"]} <= {"void"}
    assert "tried 30 times in vain to go on" in measured.err
    server.start()


@pytest.mark.skipif(build.SANITIZED, reason="a sanitizer wants to be loaded first")
def test_suspended(path: Topology, serve: Callable[..., idlers.Server], workdir: str) -> None:
    """The machine has slept: how long connections have idled isn't known any more."""
    serve(path.server, PORT)
    asleep = os.path.join(workdir, "asleep-by-now")
    measuring = Measuring(path.clients[0], RANGE, client(), environment={
        "LD_PRELOAD": compile_c("asleep", workdir), "HF_ASLEEP": asleep})
    wait_idle(path.clients[0], 2)
    with open(asleep, "wb"):
        pass
    status, out, err = measuring.end()
    assert (status, err) == (MEASURED, "")
    assert "round 1 doesn't count: the machine was suspended for 60 s" in out
    assert "round 2 doesn't count" not in out and "forgotten after more than" in out


def test_the_others_are_asked(path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """Once one is forgotten, those that were to idle for longer say at once what became of them:
    another path would show."""
    serve(path.server, PORT)
    options = ["--from", "2s", "--to", "30min", "--resolution", "25%", "--connections", "6", "-J"]
    measured = Measuring(path.clients[0], options, client()).json(200)
    check_found(measured, WINDOW, "reset")
    first_round = measured.json["connections"][:6]
    lost = [c["idle"] for c in first_round if c["outcome"] == "reset"]
    assert len(lost) >= 3 and max(lost) < min(lost) + 3
    assert [c["outcome"] for c in first_round] == ["answered"] * (6 - len(lost)) + \
        ["reset"] * len(lost)


def test_mixed(path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """Two ways to the server, of which one forgets sooner: that one counts."""
    path.firewall.nft("""table inet ways {
        ct timeout longer {
            protocol tcp;
            l3proto ip;
            policy = { established: 30 }
        }
        chain c {
            type filter hook forward priority -5;
            ct state new numgen inc mod 2 0 ct timeout set "longer"
        }
    }\n""")
    serve(path.server, PORT)
    options = ["--from", "2s", "--to", "12s", "--resolution", "25%", "--connections", "12", "-J"]
    measured = Measuring(path.clients[0], options, client()).json(200)
    assert measured.status == MEASURED
    said = measured.json
    check_json(said)
    assert said["longer_than"] <= WINDOW + 0.1 and WINDOW <= said["at_most"] <= 1.6 * WINDOW
    assert said["how"] == "reset"
    assert "answered" in {c["outcome"] for c in said["connections"] if c["idle"] > WINDOW + 0.2}


def test_on_a_terminal(make_path: Callable[..., Topology],
                       serve: Callable[..., idlers.Server]) -> None:
    """A line for each connection, kept up to date, none wider than the terminal."""
    path = make_path(60)
    serve(path.server, PORT)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("=HHHH", 12, 60, 0, 0))
    process = spawn([build.HOLDFAST, "--pin-dir", NO_PINS, "measure", "--from", "2s", "--to", "3s",
                     "--connections", "9", "--resolution", "5", f"{ADDRESS}:{PORT}", "--",
                     *client()], path.clients[0], stdin=subprocess.DEVNULL, stdout=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # EIO: nobody has the other end any more
            break
    os.close(ours)
    assert process.wait(10) == MEASURED
    text = said.decode().replace("\r", "")
    blocks = [re.sub(r"\033\[\d*[AK]", "", block) for block in re.split(r"\033\[\d+A", text)]
    assert len(blocks) >= 3, text
    for block in blocks:
        assert all(len(line) < 60 for line in block.splitlines()), block
        assert len(block.splitlines()) <= 12 + 12, block
    assert re.search(r"^ +2 s +3\.0s +in 1s$", "\n".join(blocks), re.MULTILINE), text
    assert re.search(r"^ +2 s +2\.0s +answered in \d+ ms$", blocks[-1], re.MULTILINE) or \
        re.search(r"^ +3 s +3\.0s +answered in \d+ ms$", blocks[-1], re.MULTILINE), blocks[-1]
    assert re.search(r"^  control: answered \d s ago$", blocks[-1], re.MULTILINE)
    assert "  ... and " in blocks[-1]
    assert blocks[-1].endswith("not forgotten within 3s\nwindow = 3s\n")


# --- commands ---

def test_no_terminal(make_path: Callable[..., Topology], serve: Callable[..., idlers.Server],
                     workdir: str) -> None:
    """The command can't ask for a password: it has no terminal, though `holdfast measure` has."""
    path = make_path(60)
    serve(path.server, PORT)
    asks = 'name=$0; if true 2> /dev/null < /dev/tty; then touch "$name"; fi; exec "$@"'
    ours, theirs = pty.openpty()
    names = [os.path.join(workdir, name) for name in ("holdfast", "command")]
    process = spawn(["setsid", "--ctty", "--wait", "sh", "-c", asks, names[0],
                     build.HOLDFAST, "--pin-dir", NO_PINS, "measure", "--from", "2s", "--to", "3s",
                     "--connections", "1", "--resolution", "50", "-J", f"{ADDRESS}:{PORT}", "--",
                     "sh", "-c", asks, names[1], *client()],
                    path.clients[0], stdin=theirs, stdout=subprocess.DEVNULL)
    assert process.wait(60) == MEASURED
    os.close(theirs)
    os.close(ours)
    assert [os.path.exists(name) for name in names] == [True, False]



def test_no_command() -> None:
    """Usage, with an example that fits the port."""
    for port, example in ((3306, "mysql -h"), (5432, "psql -h"), (22, "ssh 10.0.0.1 cat"),
                          (7, "nc 10.0.0.1 7")):
        result = run(build.HOLDFAST, "measure", f"10.0.0.1:{port}")
        assert result.status == USAGE and example in result.err, result


@pytest.mark.parametrize("arguments", [
    [], ["nowhere:1", "--", "true"], ["--from", "1s", "10.0.0.1:1", "--", "true"],
    ["--from", "9s", "--to", "9s", "10.0.0.1:1", "--", "true"],
    ["--resolution", "0%", "10.0.0.1:1", "--", "true"],
    ["--resolution", "5%%", "10.0.0.1:1", "--", "true"],
    ["--connections", "0", "10.0.0.1:1", "--", "true"],
    ["--connections", "65", "10.0.0.1:1", "--", "true"],
    ["--frm", "9s", "10.0.0.1:1", "--", "true"]])
def test_usage(arguments: list[str]) -> None:
    """What isn't understood."""
    result = run(build.HOLDFAST, "measure", *arguments)
    assert result.status == USAGE and result.err and not result.out


@pytest.mark.parametrize("command, said", [
    (["sleep", "60"], "no connection to there within 10 s"),
    (["sh", "-c", "echo first; echo no such thing >&2; exit 7"],
     "exit status 7: no such thing"),
    (["/no/such/command"], "can't run '/no/such/command'")])
def test_bad_command(path: Topology, serve: Callable[..., idlers.Server], command: list[str],
                     said: str) -> None:
    """One that connects nowhere, or ends, or isn't there."""
    serve(path.server, PORT)
    before = time.monotonic()
    status, out, err = Measuring(path.clients[0], RANGE, command).end()
    assert status == BROKEN and said in err, (status, out, err)
    assert "nothing is known" in out
    assert time.monotonic() - before < 30  # and not the command's minute


@pytest.mark.skipif(build.SANITIZED, reason="strace and sanitizers don't go together")
def test_loud_command(path: Topology, serve: Callable[..., idlers.Server], workdir: str) -> None:
    """A command may switch keepalive on while it logs in, as MariaDB's client does: it is switched
    off again, and nobody else is suspected. Here it does so at any moment between two calls."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    serve(path.server, PORT)
    slowly = ["strace", "-o", os.path.join(workdir, "calls"), "-e", "trace=setsockopt", "-e",
              "inject=setsockopt:delay_exit=20000"]
    check_found(Measuring(path.clients[0], [*RANGE, "-J"], idlers.client(
        ADDRESS, PORT, "0.5", kind="loud"), under=slowly).json(), WINDOW, "reset")


def test_leaves_by_itself(path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """A command whose connection ends before its time, with the examples."""
    serve(path.server, PORT)
    status, _, err = Measuring(path.clients[0], RANGE, [
        "sh", "-c", f"sleep 1.5 | {' '.join(client())}"]).end()
    assert status == BROKEN and "by itself" in err and f"nc {ADDRESS} {PORT}" in err


def test_interrupted(path: Topology, serve: Callable[..., idlers.Server], workdir: str) -> None:
    """Ctrl-C: the commands leave in their own way, and what is known is said."""
    serve(path.server, PORT)
    left = os.path.join(workdir, "left")
    measuring = Measuring(path.clients[0], ["--from", "2s", "--to", "1h", "--connections", "3"],
                          client(left))
    assert measuring.process.stdout
    for line in measuring.process.stdout:
        if b"answered" in line:
            break
    measuring.process.send_signal(signal.SIGINT)
    status, out, err = measuring.end(10)
    assert status == BROKEN and "interrupted" in err
    assert re.search(r"^so far: not forgotten within 2\.\d s$", out, re.MULTILINE), out
    assert "window = 2s" in out
    with open(left, encoding="ascii") as file:
        assert file.read() == "left\n" * 4
    assert not commands()


def test_stubborn_command(path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """One that doesn't heed the end of its input is ended, with what it has started."""
    serve(path.server, PORT)
    measuring = Measuring(path.clients[0], ["--from", "2s", "--to", "1h", "--connections", "1"], [
        "sh", "-c", f"trap '' TERM; {' '.join(client())} < /dev/zero > /dev/null; sleep 60"])
    wait_for(lambda: len(commands()) >= 2, "both are there")
    measuring.process.terminate()
    status, _, _ = measuring.end(10)
    assert status == BROKEN
    wait_for(lambda: not commands(), "they are gone")


def test_killed(path: Topology, serve: Callable[..., idlers.Server], workdir: str) -> None:
    """The commands' input ends with it."""
    serve(path.server, PORT)
    measuring = Measuring(path.clients[0], ["--from", "2s", "--to", "1h", "--connections", "2"],
                          client(os.path.join(workdir, "left")))
    wait_for(lambda: len(commands()) == 3, "they are there")
    measuring.process.kill()
    measuring.process.communicate()
    wait_for(lambda: not commands(), "they have left")


def test_other_namespace(path: Topology, serve: Callable[..., idlers.Server]) -> None:
    """A command that enters a network namespace, as `ip netns exec` does."""
    serve(path.server, PORT)
    outside = Netns()
    try:
        command = ["nsenter", f"--net={path.clients[0].path}", *client()]
        measured = Measuring(outside, [*RANGE, "-J"], command).json()
    finally:
        outside.close()
    check_found(measured, WINDOW, "reset")


# Starts what is asked for through a FIFO, as a container engine's daemon does for `docker exec`.
ENGINE = 'while read -r mark; do HOLDFAST_MEASURE=$mark "$@" < "$0" & done'
ASK = 'echo "$HOLDFAST_MEASURE" > "$0"; cat; :'


def test_started_by_somebody_else(path: Topology, serve: Callable[..., idlers.Server],
                                  workdir: str) -> None:
    """It is found by the variable, where that is passed on."""
    serve(path.server, PORT)
    netns = path.clients[0]
    asked, silent = os.path.join(workdir, "asked"), os.path.join(workdir, "silent")
    os.mkfifo(asked)
    os.mkfifo(silent)
    keep = [os.open(name, os.O_RDWR) for name in (asked, silent)]
    engine = spawn(["bash", "-c", ENGINE, silent, *client()], netns, stdin=keep[0])
    try:
        measured = Measuring(netns, [*RANGE, "-J"], ["sh", "-c", ASK, asked]).json()
    finally:
        stop(engine)
        for fd in keep:
            os.close(fd)
        for pid in commands():
            os.kill(pid, signal.SIGKILL)
    check_found(measured, WINDOW, "reset")


def test_not_root(path: Topology) -> None:
    """It says so."""
    process = spawn(["setpriv", "--reuid=65534", "--clear-groups", build.HOLDFAST, "measure",
                     f"{ADDRESS}:{PORT}", "--", "true"], path.clients[0], stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=10)
    assert process.returncode == BROKEN and b"no permission" in err


# --- beside a daemon ---

@pytest.fixture(name="config")
def _config() -> str:
    """Rules that would keep every connection alive."""
    return rule("all", time="1s", interval="1s", window="60s", override="always") + daemon_section(
        reconcile="1s")


def test_beside_a_daemon(path: Topology, serve: Callable[..., idlers.Server], daemon: Daemon,
                         cgroup: Cgroup, holdfast: Command, config: str) -> None:
    """Neither hook, guard, passes nor `probe` touch them; `status` says that they are exempt."""
    serve(path.server, PORT)
    daemon.start(config)
    measuring = Measuring(path.clients[0], [*RANGE, "-J"], client(), cgroup, daemon.pin_dir)
    wait_for(lambda: len(holdfast.status()["sockets"]) == 7, "all are there")
    time.sleep(0.3)
    daemon.reload(config.replace("window = 60s", "window = 59s"))
    status = holdfast.status()
    assert {s["verdict"] for s in status["sockets"]} == {"exempt"}
    assert holdfast("status").status == 0
    assert holdfast("probe", "-J").json == {"sockets": []}
    assert 'verdict="exempt"} 7' in holdfast("metrics").out
    measured = measuring.json()
    check_found(measured, WINDOW, "reset")
    assert "restored" not in daemon.log


def test_another_holdfast(path: Topology, serve: Callable[..., idlers.Server], daemon: Daemon,
                          cgroup: Cgroup) -> None:
    """One with pins of its own doesn't leave them alone: they can't be measured."""
    serve(path.server, PORT)
    daemon.start(rule("all", time="60s"))
    measured = Measuring(path.clients[0], ["--from", "9s", "--to", "10s", "-J"], client(),
                         cgroup).json()
    assert measured.status == BROKEN
    assert measured.json["why"].startswith("something keeps keepalive on ")


def test_daemon_starts_and_stops(path: Topology, serve: Callable[..., idlers.Server],
                                 daemon: Daemon, cgroup: Cgroup, config: str) -> None:
    """One that comes later doesn't know of them: what it touches is void, and measured again."""
    serve(path.server, PORT)
    measuring = Measuring(path.clients[0], [*RANGE, "-J"], client(), cgroup, daemon.pin_dir)
    wait_for(lambda: len(commands()) == 7, "all are there")
    daemon.start(config)
    time.sleep(6)
    daemon.stop()
    check_found(measuring.json(), WINDOW, "reset")


def test_mark_ends_with_the_socket(path: Topology, serve: Callable[..., idlers.Server],
                                   daemon: Daemon, cgroup: Cgroup, holdfast: Command,
                                   config: str) -> None:
    """Nothing is left behind that others could be mistaken for."""
    serve(path.server, PORT)
    daemon.start(config)
    measuring = Measuring(path.clients[0], ["--from", "2s", "--to", "1h", "--connections", "2"],
                          client(), cgroup, daemon.pin_dir)
    wait_for(lambda: [s["verdict"] for s in holdfast.status()["sockets"]] == ["exempt"] * 3,
             "they are left alone")
    measuring.process.kill()
    measuring.process.communicate()
    wait_for(lambda: not holdfast.status()["sockets"], "they are gone")
    command = spawn(client(), path.clients[0], cgroup, stdin=subprocess.PIPE)
    wait_for(lambda: [s["verdict"] for s in holdfast.status()["sockets"]] == ["held"],
             "the next one is held")
    stop(command)
    assert "closed by the server" not in daemon.log and "gave up" not in daemon.log


# --- with a real client and server ---

def test_mysql(path: Topology, mariadb_files: str, workdir: str) -> None:
    """The command of the manual."""
    server = mariadb.Server(path.server, mariadb_files, workdir, PORT)
    try:
        measured = Measuring(path.clients[0], [*RANGE, "-J"], [
            "mariadb", "--no-defaults", "-h", ADDRESS, "-P", str(PORT), "-u", mariadb.USER,
            f"-p{mariadb.PASSWORD}"]).json()
    finally:
        server.close()
    check_found(measured, WINDOW, "reset")
