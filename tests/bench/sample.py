"""Measurements that suit a noisy machine: alternating runs, medians, both extremes."""

import statistics
from typing import Callable, NamedTuple


class Sample(NamedTuple):
    """The same thing measured several times, in one unit."""

    values: list[float]

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The least value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest value."""
        return max(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of the values."""
        if len(self.values) < 2:
            return self.low, self.high
        quarters = statistics.quantiles(self.values, n=4, method="inclusive")
        return quarters[0], quarters[2]

    def json(self) -> dict[str, object]:
        """Returns the sample for the report."""
        return {"median": self.median, "min": self.low, "max": self.high, "runs": len(self.values),
                "values": self.values}


def alternate(rounds: int, sides: dict[str, Callable[[], float]],
              warm: bool = True) -> dict[str, Sample]:
    """Runs all sides alternately for so many rounds, each of which begins with another side.

    With `warm`, one round before these isn't counted.
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
