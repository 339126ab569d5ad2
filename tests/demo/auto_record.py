"""What the virtual machine has told of two pools through a night, and what follows from it.

The events are those of guest/auto.py. All times here are in seconds since the night began.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Iterable

LOST, HELD = "lost", "held"


@dataclass
class Life:
    """A connection's life, from connect to its end or the night's."""

    slot: int                   # its place in the pool
    opened: float
    ended: float | None = None  # when the application knew that it was lost
    hung: float | None = None   # since when a query had been waiting; None: none had


@dataclass
class Lives:
    """The lives of one pool's connections."""

    name: str
    all: list[Life] = field(default_factory=list)

    def lost(self, since: float = 0) -> list[Life]:
        """Returns those that were lost, since a moment."""
        return [life for life in self.all if life.ended is not None and life.ended >= since]

    def hung(self) -> float:
        """Returns for how long the application has waited for answers in vain."""
        return sum(life.ended - life.hung for life in self.all
                   if life.ended is not None and life.hung is not None)


@dataclass
class Step:
    """The rule's keepalive time became shorter."""

    at: float
    before: int
    after: int


@dataclass
class Record:
    """The whole story."""

    kernel: str = ""
    window: int = 0
    size: int = 0
    end: float = 0
    steps: list[Step] = field(default_factory=list)
    pools: dict[str, Lives] = field(
        default_factory=lambda: {name: Lives(name) for name in (LOST, HELD)})

    @property
    def settled(self) -> float:
        """When the rule had found its last time."""
        return self.steps[-1].at if self.steps else 0.0

    def sentence(self) -> str:
        """Returns the story in words, for those who don't see the picture."""
        lost, held = self.pools[LOST], self.pools[HELD]
        times = [self.steps[0].before, *(step.after for step in self.steps)] if self.steps else []
        before = len(held.lost()) - len(held.lost(self.settled))
        return (f"Two pools of {self.size} MySQL connections through {self.end / 3600:.0f} hours, "
                f"behind a firewall that forgets after {self.window} s, which nobody has told "
                f"holdfast. As it comes: {len(lost.lost())} connections are lost, and queries hang "
                f"for {lost.hung() / 3600:.0f} hours in all. Held by holdfast's default rule: "
                f"{before} are lost in the first {self.settled / 60:.0f} minutes, in which its "
                f"keepalive time goes from {' to '.join(map(str, times))} s; after that, "
                f"{len(held.lost(self.settled)) or 'none'}.")


def read(events: Iterable[dict[str, Any]]) -> Record:
    """Returns the story that these events tell, in the order in which they came."""
    record, start = Record(), 0.0
    for event in events:
        kind, at = event["event"], event["at"] - start
        if kind == "server":
            record.kernel, record.window = event["kernel"], event["window"]
        elif kind == "night":
            start, record.size = event["at"], event["size"]
        elif kind == "opened":
            record.pools[event["who"]].all.append(Life(event["slot"], at))
        elif kind == "lost":
            life = [life for life in record.pools[event["who"]].all
                    if life.slot == event["slot"]][-1]
            life.ended = at
            life.hung = event["began"] - start if event["how"] == "query" else None
        elif kind == "shorter":
            record.steps.append(Step(at, event["before"], event["after"]))
        elif kind == "end":
            record.end = at
    return record


def load(path: str) -> Record:
    """Reads the story from a file with one event a line."""
    with open(path, encoding="ascii") as file:
        return read(map(json.loads, file))
