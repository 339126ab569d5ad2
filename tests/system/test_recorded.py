"""Compares what all daemons of the run have used with what the unit allows (make privileges).

They had the unit's capabilities alone (harness/recorder.py), so that the other tests fail where one
is missing. These tests find what is allowed without need.
"""

import pytest

from harness import build, recorder
from harness.recorder import Recorder

from test_syscalls import unit_filter

pytestmark = [
    pytest.mark.skipif(not recorder.ASKED, reason="looks at a whole run: make privileges"),
    pytest.mark.skipif(build.SANITIZED, reason="a sanitizer has system calls of its own"),
]

# The capabilities that the daemon keeps after its start. The unit doesn't grant dac_override, which
# a textfile in somebody else's folder needs.
KEPT = {"sys_admin", "net_admin", "bpf", "sys_ptrace", "dac_read_search", "dac_override"}
BY_HAND = {"dac_override"}

# For kernels without a mounted cgroup v2 or bpffs. With systemd both are mounted; else the unit
# says what to add.
MOUNTING = {"mount", "umount2"}
# For namespaces that only a socket keeps; this kernel may find those in another way.
OTHER_KERNELS = {"pidfd_getfd"}


@pytest.fixture(name="recorded")
def _recorded(recording: Recorder | OSError) -> Recorder:
    """The stopped recorder, with all events taken in, also those of the tests that ran side by
    side before."""
    if isinstance(recording, OSError):
        pytest.skip(f"this kernel can't record it: {recording}")
    recording.stop()
    recording.add_others()
    return recording


def test_capabilities(recorded: Recorder) -> None:
    """Every capability of the unit was used, and every kept one after the start."""
    unit = recorder.unit_capabilities()
    print("granted before:", *sorted(recorded.granted))
    print("granted after:", *sorted(recorded.granted_after))
    print("asked for, and not there:", *sorted(recorded.refused))
    assert recorded.granted | recorded.granted_after == unit
    assert recorded.granted_after == KEPT - BY_HAND


def test_system_calls(recorded: Recorder) -> None:
    """The unit's filter passes all system calls that were made, and names none that wasn't."""
    allowed, single = unit_filter()
    print("called:", *sorted(recorded.system_calls))
    assert {"bpf", "setns", "recvmsg", "capset"} <= recorded.system_calls
    assert not recorded.system_calls - allowed - MOUNTING, "the filter would refuse these"
    assert not single - recorded.system_calls - OTHER_KERNELS, "the filter need not have these"
