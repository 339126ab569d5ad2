"""32-bit processes: the kernel skips the guard for their setsockopt(), and the next pass mends
what they undo."""

import signal
import socket
import subprocess

import pytest

from harness.compiler import compile_c
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.options import held
from harness.record import grabbed
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE = daemon_section(reconcile="1s") + rule("all", time="120s", interval="30s", probes=4)
VALUES = held(120, 30, 4)
ELSEWHERE = 77


@pytest.fixture(name="compat")
def _compat(workdir: str) -> str:
    """The program that makes 32-bit system calls; skips where this kernel has none."""
    program = compile_c("compat", workdir)
    with socket.socket() as sock:
        done = subprocess.run(
            [program, str(sock.fileno()), str(socket.SOL_SOCKET), str(socket.SO_KEEPALIVE), "0"],
            pass_fds=[sock.fileno()], check=False)
    if done.returncode in (ELSEWHERE, -signal.SIGSEGV):
        pytest.skip("this kernel has no system calls of 32-bit processes")
    return program


def test_undone_until_the_next_pass(daemon: Daemon, agent: Agent, listener: Listener,
                                    compat: str) -> None:
    """What such a process sets stands until the next pass, which holds the connection again and
    says so."""
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(time=7000)
    assert sock.settings == VALUES, "the guard keeps others back"
    daemon.send_signal(signal.SIGSTOP)  # no pass comes in between
    with grabbed(sock) as fd:
        done = subprocess.run([compat, str(fd), str(socket.IPPROTO_TCP),
                               str(socket.TCP_KEEPIDLE), "7100"], pass_fds=[fd], check=False)
    assert done.returncode == 0
    assert sock.settings == VALUES._replace(time=7100), "mended by itself: the manual is wrong"
    daemon.send_signal(signal.SIGCONT)
    wait_for(lambda: sock.settings == VALUES, "a pass")
    wait_for(lambda: "1 connection held again: the application had undone it" in daemon.log,
             "the pass says so")
    daemon.stop()
    assert sock.settings.time == 7100, "its last word"
