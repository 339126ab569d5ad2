"""What the running kernel can do, for tests that are skipped where it can't."""

import os
import re

import pytest

from .netns import HAS_IPV6, Netns


def version() -> tuple[int, int]:
    """Returns major and minor number of the running kernel.

    HF_KERNEL overrides them where holdfastd was built with an HF_LEVEL that stands for an older
    kernel.
    """
    match = re.match(r"(\d+)\.(\d+)", os.environ.get("HF_KERNEL") or os.uname().release)
    assert match
    return int(match[1]), int(match[2])


def _firewall_fault() -> str | None:
    netns = Netns()
    try:
        netns.nft("table inet t {\n chain c {\n type filter hook input priority 0\n"
                  "ct state established accept\n }\n }\n")
        netns.sysctl("netfilter/nf_conntrack_tcp_timeout_established", 10)
    except (OSError, RuntimeError) as error:
        return str(error)
    finally:
        netns.close()
    return None


# Whether BPF iterators and the guard can call bpf_setsockopt(); else user space sets the options.
SETS_BY_BPF = version() >= (5, 15)


def without_limits(errors: str) -> list[str]:
    """Returns the lines of standard error without the one in which `status` says what this kernel
    lacks."""
    return [line for line in errors.splitlines() if "can't set options from BPF" not in line]


def needs(number: str, what: str) -> pytest.MarkDecorator:
    """Skips a test on kernels older than this one."""
    wanted = tuple(int(part) for part in number.split("."))
    return pytest.mark.skipif(version() < wanted, reason=f"{what} needs Linux {number}")


needs_ipv6 = pytest.mark.skipif(
    not HAS_IPV6, reason="this kernel has no IPv6")


def require_closed(daemon_layout: str, *, unopened: bool = False) -> None:
    """Skips the test where a daemon with this layout has no program that finds disconnected
    sockets; unopened: those that no process has open, too."""
    names = ("hf_closed",) if unopened else ("hf_closed", "hf_closed_files")
    if not any(os.path.exists(os.path.join(daemon_layout, name)) for name in names):
        pytest.skip("this kernel refuses iterators over maps")


def require_firewall() -> None:
    """Skips the test where nftables or connection tracking is missing."""
    fault = _firewall_fault()
    if fault:
        pytest.skip(f"no stateful firewall on this kernel: {fault}")
