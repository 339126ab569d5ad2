"""Measurements that a noisy machine can't fool: alternating runs, medians, both extremes."""

import statistics
from typing import Callable, NamedTuple


class Sample(NamedTuple):
    """The same thing measured several times, in one unit."""

    values: list[float]

    @property
    def median(self) -> float:
        """What half of them are below."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The least."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The most."""
        return max(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """What the middle half of them lie between."""
        if len(self.values) < 2:
            return self.low, self.high
        quarters = statistics.quantiles(self.values, n=4, method="inclusive")
        return quarters[0], quarters[2]

    def json(self) -> dict[str, object]:
        """For the report."""
        return {"median": self.median, "min": self.low, "max": self.high, "runs": len(self.values),
                "values": self.values}


def alternate(rounds: int, sides: dict[str, Callable[[], float]],
              warm: bool = True) -> dict[str, Sample]:
    """Runs all sides, one after the other, so many times; every round begins with another one.

    `warm`: a first round isn't counted.
    """
    names = list(sides)
    values: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1 if warm else 0, rounds):
        at = number % len(names)
        for name in names[at:] + names[:at]:
            value = sides[name]()
            if number >= 0:
                values[name].append(value)
    return {name: Sample(list_) for name, list_ in values.items()}
