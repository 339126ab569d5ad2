"""Reads a firewall's packet counts of each connection, in each direction."""

import json

from harness.netns import Netns

End = tuple[str, int]

# Sets of the firewall's table, and the rules that fill them.
SETS = """
    set seen4 { typeof ip saddr . tcp sport . ip daddr . tcp dport;
        flags dynamic,timeout; size 65535; gc-interval 1d; }
    set seen6 { typeof ip6 saddr . tcp sport . ip6 daddr . tcp dport;
        flags dynamic,timeout; size 65535; gc-interval 1d; }
"""
RULES = """
        update @seen4 { ip saddr . tcp sport . ip daddr . tcp dport counter }
        update @seen6 { ip6 saddr . tcp sport . ip6 daddr . tcp dport counter }
"""


class Count:
    """The counts at one moment, by sender and receiver."""

    def __init__(self, firewall: Netns) -> None:
        self._packets: dict[tuple[End, End], int] = {}
        for name in ("seen4", "seen6"):
            listing = json.loads(firewall.run("nft", "-j", "list", "set", "inet", "firewall", name))
            for entry in listing["nftables"]:
                for element in entry.get("set", {}).get("elem", []):
                    source, sport, target, dport = element["elem"]["val"]["concat"]
                    key = ((source, sport), (target, dport))
                    self._packets[key] = element["elem"]["counter"]["packets"]

    def between(self, client: End, server: End) -> tuple[int, int]:
        """Returns how many packets the client has sent, and how many the server."""
        return self._packets.get((client, server), 0), self._packets.get((server, client), 0)
