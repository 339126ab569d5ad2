"""The guard beside other programs on the setsockopt hook, and sweeps beside the guard.

A program that refuses an option after the guard has let it pass leaves the socket and its record
as they are while the kernel is between the guard and the option itself. So it stands for a sweep
that comes in between.
"""

import errno
from contextlib import contextmanager
from typing import Callable, Iterator

import pytest

from harness import bpf
from harness.cgroup import Cgroup
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import needs
from harness.netns import Netns
from harness.options import UNTOUCHED, Settings, held
from harness.remote import RemoteError
from harness.sockets import Agent, Listener, Socket

RULE = held(120, 30, 4)


def config(override: str, **keys: object) -> str:
    """Returns rules of which one needs the guard, and one holds this host's connections."""
    return (daemon_section(reconcile="600s") + rule("other", "192.0.2.1", override="always")
            + rule("all", "127.0.0.1", override=override,
                   **{"time": "120s", "interval": "30s", "probes": 4, **keys}))


@contextmanager
def refusing(cgroup: Cgroup) -> Iterator[None]:
    """Has a program that is attached to the cgroup now refuse every setsockopt()."""
    program = bpf.Program(bpf.SETSOCKOPT, "refuse", bpf.RETURN_0)
    program.attach(cgroup.directory, bpf.F_MULTI)
    try:
        yield
    finally:
        program.detach(cgroup.directory)
        program.close()


def refused(sock: Socket, **change: int) -> None:
    """Sets options one by one, each of which must be refused with EPERM."""
    for name, value in change.items():
        with pytest.raises(RemoteError) as failure:
            sock.change(**{name: value})
        assert failure.value.errno == errno.EPERM


@needs("5.18", "the guard's view of what other programs have refused")
@pytest.mark.parametrize("change", [
    {"time": 15}, {"time": 5000}, {"keepalive": 1}, {"keepalive": 0, "interval": 5, "probes": 3},
    {"user_timeout": 5000}, {"time": 15, "keepalive": 1, "interval": 5},
])
@pytest.mark.parametrize("override", ["when-longer", "always", "never"])
def test_refused_by_another(make_daemon: Callable[..., Daemon], cgroup: Cgroup, agent: Agent,
                            make_cgroup: Callable[..., Cgroup], make_agent: Callable[..., Agent],
                            netns: Netns, listener: Listener, override: str,
                            change: dict[str, int]) -> None:
    """An option that another program has refused has no effect, at once or later."""
    inner = make_cgroup("inner", cgroup)
    daemon = make_daemon()
    daemon.start(config(override))
    sock = make_agent(netns, inner).connect("127.0.0.1", listener.port)
    with refusing(inner):
        refused(sock, **change)
        assert sock.settings == RULE
        daemon.reload(config(override, time="121s"))
        assert sock.settings == RULE._replace(time=121)
    sock.change(user_timeout=7000)
    assert sock.settings == RULE._replace(time=121, user_timeout=7000)
    daemon.stop()
    assert sock.settings == UNTOUCHED._replace(user_timeout=7000)


@needs("5.15", "a sweep whose own options no program on the hook refuses")
@pytest.mark.parametrize("override", ["when-longer", "never"])
def test_sweep_between_guard_and_option(daemon: Daemon, cgroup: Cgroup, agent: Agent,
                                        listener: Listener, override: str) -> None:
    """A sweep between the guard and the option doesn't count as the application's SO_KEEPALIVE."""
    daemon.start(config(override))
    sock = agent.connect("127.0.0.1", listener.port)
    with refusing(cgroup):
        refused(sock, time=15)
        daemon.reload(config(override, time="121s"))
    sock.change(time=60)
    daemon.reload(config(override))
    daemon.stop()
    assert sock.settings == Settings(0, 60, 75, 9)


@pytest.mark.parametrize("override", ["when-longer", "always"])
def test_off_under_the_guard_and_a_time_without(daemon: Daemon, agent: Agent, listener: Listener,
                                                override: str) -> None:
    """An application that has switched keepalive off has it off again, also if it sets a time
    later without a guard."""
    daemon.start(config(override))
    sock = agent.connect("127.0.0.1", listener.port)
    sock.change(keepalive=0)
    daemon.reload(config(override).replace("[daemon]\n", "[daemon]\nguard = no\n"))
    sock.change(time=5000)
    daemon.stop()
    assert sock.settings == Settings(0, 5000, 75, 9)
