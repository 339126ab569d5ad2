"""What all daemons of this run have done, against what the unit lets them (make privileges).

They had no other capabilities than the unit's (harness/recorder.py), so that the tests before this
one tell whether one is missing. Here is told whether one is to spare.
"""

import pytest

from harness import build, recorder
from harness.recorder import Recorder

from test_syscalls import unit_filter

pytestmark = [
    pytest.mark.skipif(not recorder.ASKED, reason="looks at a whole run: make privileges"),
    pytest.mark.skipif(build.SANITIZED, reason="a sanitizer has system calls of its own"),
]

# What the daemon keeps after its start, where it has it; the unit doesn't give it the last, which
# is for a textfile in a folder of somebody else.
KEPT = {"sys_admin", "net_admin", "bpf", "sys_ptrace", "dac_read_search", "dac_override"}
BY_HAND = {"dac_override"}

# Where no cgroup v2 or bpffs is mounted. With systemd both are; the unit says what to add else.
MOUNTING = {"mount", "umount2"}
# For namespaces that only a socket keeps, which this kernel may tell otherwise.
OTHER_KERNELS = {"pidfd_getfd"}


@pytest.fixture(name="recorded")
def _recorded(recording: Recorder | OSError) -> Recorder:
    """Stopped, so that all is there."""
    if isinstance(recording, OSError):
        pytest.skip(f"this kernel can't record it: {recording}")
    recording.stop()
    return recording


def test_capabilities(recorded: Recorder) -> None:
    """Each has been used, and what is kept after the start has been used after it."""
    unit = recorder.unit_capabilities()
    print("granted before:", *sorted(recorded.granted))
    print("granted after:", *sorted(recorded.granted_after))
    print("asked for, and not there:", *sorted(recorded.refused))
    assert recorded.granted | recorded.granted_after == unit
    assert recorded.granted_after == KEPT - BY_HAND


def test_system_calls(recorded: Recorder) -> None:
    """All that were made pass the filter, and what it names one by one was made."""
    allowed, single = unit_filter()
    print("called:", *sorted(recorded.system_calls))
    assert {"bpf", "setns", "recvmsg", "capset"} <= recorded.system_calls
    assert not recorded.system_calls - allowed - MOUNTING, "the filter would refuse these"
    assert not single - recorded.system_calls - OTHER_KERNELS, "the filter need not have these"
