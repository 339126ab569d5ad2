"""Draws the lives of two pools' connections through a night: a lane for each pool, a row for each
place in it."""

import matplotlib
from matplotlib.figure import Figure

from auto_record import HELD, LOST, Lives, Record
from chart import (BLUE, EDGE, FAINT, INK, LARGE, LEFT, LOWER, PAPER, RED, RIGHT, STYLE, UPPER,
                   WIDTH, HEIGHT, LANE, draw_paper, save)

HOUR = 3600
GAP = 40  # seconds between two lives, so that one can be told from the next


class Lane:
    """The lane of one pool, over time in hours."""

    def __init__(self, figure: Figure, bottom: float, story: Record, color: str) -> None:
        self.color, self._story = color, story
        self.axes = figure.add_axes((LEFT / WIDTH, bottom / HEIGHT,
                                     (WIDTH - LEFT - RIGHT) / WIDTH, LANE / HEIGHT))
        self.axes.set_xlim(0, story.end / HOUR)
        self.axes.set_ylim(story.size - 0.4, -0.6)
        self.axes.set_xticks(range(int(story.end / HOUR) + 1))
        self.axes.set_yticks([])
        self.axes.set_ylabel("connections", color=FAINT)
        self.axes.tick_params(color=EDGE, labelcolor=FAINT, labelsize=9, length=3)
        for side, spine in self.axes.spines.items():
            spine.set_color(EDGE)
            spine.set_visible(side in ("left", "bottom"))
        self.axes.patch.set_visible(False)

    def head(self, title: str, more: str) -> None:
        """Writes the title above the lane."""
        text = self.axes.annotate(title, (0, 1), (0, 9), "axes fraction", "offset points",
                                  color=self.color, weight=600, size=LARGE)
        self.axes.annotate(more, (1, 1), (9, 9), (text, "axes fraction"), "offset points",
                           color=FAINT)

    def lives(self, pool: Lives) -> None:
        """Draws a bar for each life; what was lost ends with a mark, after a pale part in which a
        query hung."""
        for life in pool.all:
            until = self._story.end if life.ended is None else life.ended
            used = until if life.hung is None else life.hung
            self._bar(life.slot, life.opened, used - GAP, 0.75)
            if life.hung is not None:
                self._bar(life.slot, life.hung - GAP, until - GAP, 0.18)
        lost = pool.lost()
        self.axes.plot([life.ended / HOUR for life in lost], [life.slot for life in lost], "X",
                       markersize=7, color=self.color, markeredgecolor=PAPER, clip_on=False,
                       zorder=4)

    def _bar(self, slot: int, begin: float, end: float, alpha: float) -> None:
        self.axes.barh(slot, max(0.0, end - begin) / HOUR, left=begin / HOUR, height=0.5,
                       color=self.color, alpha=alpha, linewidth=0, zorder=2)


def _draw_steps(lane: Lane, story: Record) -> None:
    """Marks when the rule's time became shorter."""
    for step in story.steps:
        lane.axes.axvline(step.at / HOUR, ymin=-0.13, ymax=1.0, color=INK, linewidth=1,
                          clip_on=False, zorder=3)
    if story.steps:
        times = [story.steps[0].before, *(step.after for step in story.steps)]
        lane.axes.annotate(f"keepalive time {', then '.join(f'{time} s' for time in times)}",
                           (story.steps[0].at / HOUR, story.size - 0.4), (0, -30),
                           textcoords="offset points", color=INK, size=8.5)


def _figure(story: Record) -> Figure:
    figure = Figure(figsize=(WIDTH / 96, HEIGHT / 96))
    draw_paper(figure)
    figure.text(24 / WIDTH, 1 - 36 / HEIGHT, size=14, weight=600, s=(
        f"A night behind a firewall that forgets after {story.window} s, and nobody knows it"))
    release = ".".join(story.kernel.split(".")[:2])
    figure.text(24 / WIDTH, 1 - 56 / HEIGHT, color=FAINT, s=(
        f"Recorded on Linux {release} with PyMySQL, MariaDB and nftables; nothing is scaled"))
    upper, lower = (Lane(figure, bottom, story, color)
                    for bottom, color in ((UPPER, RED), (LOWER, BLUE)))
    lost, held = story.pools[LOST], story.pools[HELD]
    after = len(held.lost(story.settled))
    upper.head("As it comes", f"{len(lost.lost())} connections lost; queries hang for "
               f"{lost.hung() / HOUR:.0f} hours in all (pale)")
    upper.lives(lost)
    upper.axes.set_xticklabels([])
    lower.head("Held by holdfast's default rule",
               f"{len(held.lost()) - after} lost until it has found a keepalive time that the path "
               f"survives; then {after or 'none'}")
    lower.lives(held)
    _draw_steps(lower, story)
    lower.axes.set_xlabel("hours", color=FAINT)
    return figure


def draw(story: Record, path: str) -> None:
    """Writes the picture as SVG or PNG, by the ending of the name."""
    with matplotlib.rc_context(STYLE):
        save(_figure(story), path, "Connections through a night, lost and held", story.sentence())
