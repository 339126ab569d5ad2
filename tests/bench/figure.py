"""A figure: one measurement against another, and the ratio that is aimed at."""

from typing import NamedTuple

from sample import Sample


class Figure(NamedTuple):
    """A measurement: `ours` and `theirs` in `unit`, with the aim that their medians' ratio is at
    most `most`."""

    name: str
    what: str
    against: str
    unit: str
    ours: Sample
    theirs: Sample | None
    most: float
    floor: tuple[str, Sample] | None = None
    growth: dict[int, Sample] = {}

    @property
    def value(self) -> float:
        """The ratio of the medians, or our median where there is nothing to compare with."""
        return self.ours.median / self.theirs.median if self.theirs else self.ours.median

    @property
    def reached(self) -> bool:
        """Whether the aim is reached, to the digits that it has."""
        return round(self.value, 2) <= self.most

    @property
    def command(self) -> str:
        """The command that repeats the measurement."""
        return f"make bench FIGURES={self.name}"

    def json(self) -> dict[str, object]:
        """Returns the figure for the report."""
        return {
            "name": self.name, "what": self.what, "against": self.against, "unit": self.unit,
            "ours": self.ours.json(), "theirs": self.theirs.json() if self.theirs else None,
            "value": self.value, "to reach": self.most, "reached": self.reached,
            "floor": {"what": self.floor[0], **self.floor[1].json()} if self.floor else None,
            "growth": {str(n): sample.json() for n, sample in self.growth.items()},
            "command": self.command,
        }


def show(figure: Figure) -> str:
    """Returns the figure as a few lines of a table."""
    def side(sample: Sample) -> str:
        return f"{sample.median:.4g} [{sample.low:.4g} .. {sample.high:.4g}] {figure.unit}"

    line = f"{'yes' if figure.reached else 'NO':4}{figure.value:8.3f} <= {figure.most:<6g}"
    line += f" {figure.name}: {figure.what}: {side(figure.ours)}"
    if figure.theirs:
        line += f"\n{'':24}against {figure.against}: {side(figure.theirs)}"
    if figure.floor:
        line += f"\n{'':24}floor, {figure.floor[0]}: {side(figure.floor[1])}"
        if figure.theirs:
            line += f" ({figure.floor[1].median / figure.theirs.median:.3f})"
    return line
