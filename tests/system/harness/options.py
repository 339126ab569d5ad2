"""The keepalive options of a socket, under the names that `holdfast status` uses."""

import socket
from typing import NamedTuple

NUMBERS = {
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "time": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "probes": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
}


class Settings(NamedTuple):
    """A socket's options by getsockopt(); user_timeout in milliseconds, times in seconds."""

    keepalive: int
    time: int
    interval: int
    probes: int
    user_timeout: int = 0


# The settings of an untouched socket in an untouched namespace.
UNTOUCHED = Settings(0, 7200, 75, 9)


def held(time: int, interval: int, probes: int, user_timeout: int = 0) -> Settings:
    """Returns the settings of a socket that is held with these values."""
    return Settings(1, time, interval, probes, user_timeout)


def read(sock: socket.socket) -> Settings:
    """Returns the settings of a socket as an application sees them."""
    return Settings(*(sock.getsockopt(*number) for number in NUMBERS.values()))


def write(sock: socket.socket, values: dict[str, int]) -> None:
    """Sets some options, in the order given."""
    for name, value in values.items():
        sock.setsockopt(*NUMBERS[name], value)
