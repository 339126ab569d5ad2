"""Draws the story of two idle connections: a lane for each, over one time axis."""

import io

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Affine2D
from PIL import Image

from record import Connection, Record

# The size of the picture and the places of its lanes, in CSS pixels from its lower left corner.
WIDTH, HEIGHT = 840, 520
LEFT, RIGHT, UPPER, LOWER, LANE = 66, 24, 266, 60, 144
# Colours that people with colour vision deficiency can tell apart (after Okabe and Ito), and that
# are dark enough for text.
PAPER, INK, FAINT, EDGE = "#ffffff", "#1f2328", "#59636e", "#c8d1da"
RED, BLUE = "#b84300", "#0067a8"
MINUTE = 60
LARGE, SMALL = 11.5, 9.5  # points
STYLE = {
    "font.family": ["Open Sans", "DejaVu Sans"],
    "font.size": SMALL,
    "text.color": INK,
    "svg.hashsalt": "holdfast",
    "svg.fonttype": "path",  # glyphs as paths look the same everywhere
    "path.simplify": False,
}


class Lane:
    """The lane of one connection: its idle time over time, both in minutes."""

    def __init__(self, figure: Figure, bottom: float, story: Record, color: str) -> None:
        self.window = story.window / MINUTE
        self.color = color
        self.axes = figure.add_axes((LEFT / WIDTH, bottom / HEIGHT,
                                     (WIDTH - LEFT - RIGHT) / WIDTH, LANE / HEIGHT))
        self.axes.set_xlim(0, story.end / MINUTE)
        self.axes.set_ylim(0, self.window * 1.2)
        self.axes.set_xticks(range(0, int(story.end / MINUTE) + 1, 10))
        self.axes.set_yticks([0, self.window / 3, self.window * 2 / 3, self.window])
        self.axes.set_ylabel("minutes idle", color=FAINT)
        self.axes.tick_params(color=EDGE, labelcolor=FAINT, labelsize=9, length=3)
        for side, spine in self.axes.spines.items():
            spine.set_color(EDGE)
            spine.set_visible(side in ("left", "bottom"))
        self.axes.patch.set_visible(False)
        self.axes.axhline(self.window, color=INK, linewidth=1, dashes=(5, 3), zorder=1)

    def head(self, title: str, more: str) -> None:
        """Writes the title above the lane."""
        title_text = self.axes.annotate(title, (0, 1), (0, 9), "axes fraction", "offset points",
                                        color=self.color, weight=600, size=LARGE)
        self.axes.annotate(more, (1, 1), (9, 9), (title_text, "axes fraction"), "offset points",
                           color=FAINT)

    def idle(self, one: Connection, until: float) -> None:
        """Draws the line of the connection's idle time until a moment in seconds."""
        at, idle = zip(*((x / MINUTE, y / MINUTE) for x, y in one.idle(until)))
        self.axes.plot(at, idle, color=self.color, linewidth=1.8, solid_joinstyle="miter",
                       zorder=3)
        self.axes.fill_between(at, idle, color=self.color, alpha=0.1, linewidth=0, zorder=2)

    def mark(self, at: list[float], height: list[float], sign: str, size: float) -> None:
        """Draws marks; both coordinates are in seconds."""
        self.axes.plot([x / MINUTE for x in at], [y / MINUTE for y in height], sign,
                       markersize=size, color=self.color, clip_on=False, zorder=4,
                       markeredgecolor=self.color if sign == "|" else PAPER)

    def say(self, text: str, x: float, y: float, **more: object) -> None:
        """Writes a text at x in seconds and y as a part of the window."""
        self.axes.annotate(text, (x / MINUTE, y * self.window), **{
            "color": self.color, "xytext": (0, 0), "textcoords": "offset points", **more})


def _draw_lost(lane: Lane, one: Connection) -> None:
    lane.head("As it comes", f"the kernel would probe after {one.keepalive} s idle")
    lane.idle(one, one.forgotten or one.asked)
    if one.forgotten:
        lane.mark([one.forgotten], [one.longest(one.forgotten)], "X", 9)
        lane.say("the firewall\nforgets it", one.forgotten, 0.78, ha="right", va="top",
                 xytext=(-7, 0))
    lane.axes.axvspan(one.asked / MINUTE, one.ended / MINUTE, color=RED, alpha=0.15, linewidth=0,
                      zorder=0)
    middle, dropped = (one.asked + one.ended) / 2, one.dropped()
    lane.say(f"hangs for {one.seconds:.0f} s", middle, 0.77, ha="center", weight=700, size=LARGE)
    lane.say(f"then error {one.error}:\nLost connection", middle, 0.70, ha="center", va="top")
    lane.mark(dropped, [lane.window * 3] * len(dropped), "|", 7)
    lane.say(f"sent {len(dropped)} times, dropped", middle, 0.13, ha="center", size=8.5)


def _draw_held(lane: Lane, one: Connection, end: float) -> None:
    lane.head("Held by holdfast", f"a probe after {one.keepalive} s idle")
    lane.idle(one, end)
    probes = one.probes(end)
    lane.mark([at for at, _ in probes], [idle for _, idle in probes], "o", 7)
    lane.say("probe, and answer: the firewall counts from 0 again", probes[0][0], 0.30,
             xytext=(-4, 0))
    lane.say(f"answered in {one.seconds * 1000:.0f} ms", one.ended, 0.57, weight=700, size=LARGE,
             xytext=(8, 0))
    lane.say("on the same connection" if one.same else "on another connection", one.ended, 0.50,
             va="top", xytext=(8, 0))


def draw_paper(figure: Figure) -> None:
    """Draws the picture's own background: the page around it may be light or dark."""
    pixels = Affine2D().scale(1 / WIDTH, 1 / HEIGHT) + figure.transFigure
    figure.patch.set_visible(False)
    figure.add_artist(FancyBboxPatch(
        (1, 1), WIDTH - 2, HEIGHT - 2, "round,pad=0,rounding_size=8", facecolor=PAPER,
        edgecolor=EDGE, linewidth=1, zorder=-1, transform=pixels))


def _draw_query(figure: Figure, story: Record) -> None:
    """Marks the moment of the next query through both lanes."""
    x = (LEFT + (WIDTH - LEFT - RIGHT) * story.held.asked / story.end) / WIDTH
    figure.add_artist(Line2D([x, x], [LOWER / HEIGHT, (UPPER + LANE + 6) / HEIGHT], color=INK,
                             linewidth=1, zorder=-0.5))
    figure.text(x, (UPPER + LANE + 11) / HEIGHT, "the next query", ha="center")


def _figure(story: Record) -> Figure:
    figure = Figure(figsize=(WIDTH / 96, HEIGHT / 96))
    draw_paper(figure)
    figure.text(24 / WIDTH, 1 - 36 / HEIGHT, size=14, weight=600, s=(
        f"Idle for {story.held.asked / MINUTE:.0f} minutes, behind a firewall that forgets after "
        f"{story.window / MINUTE:.0f}"))
    release = ".".join(story.kernel.split(".")[:2])
    figure.text(24 / WIDTH, 1 - 56 / HEIGHT, color=FAINT, s=(
        f"Recorded on Linux {release} with SQLAlchemy, MariaDB and nftables; nothing is scaled"))
    upper, lower = (Lane(figure, bottom, story, color)
                    for bottom, color in ((UPPER, RED), (LOWER, BLUE)))
    _draw_lost(upper, story.lost)
    upper.say(f"window: after {upper.window:.0f} min without a packet, the firewall forgets",
              0, 1, color=INK, xytext=(8, 5))
    upper.axes.set_xticklabels([])
    _draw_held(lower, story.held, story.end)
    lower.axes.set_xlabel("minutes since the connection was used", color=FAINT)
    _draw_query(figure, story)
    return figure


def save(figure: Figure, path: str, title: str, description: str) -> None:
    """Writes a picture as SVG or PNG, by the ending of the name."""
    if path.endswith(".svg"):
        figure.savefig(path, metadata={"Date": None, "Creator": None, "Title": title,
                                       "Description": description})
        return
    # A palette of 256 colours looks as good and takes a third of the size.
    whole = io.BytesIO()
    figure.savefig(whole, format="png", dpi=2 * 96)
    with Image.open(whole) as image:
        paper = Image.new("RGB", image.size, PAPER)
        paper.paste(image, mask=image.getchannel("A"))
    colors = paper.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    colors.save(path, optimize=True)


def draw(story: Record, path: str) -> None:
    """Writes the picture as SVG or PNG, by the ending of the name."""
    with matplotlib.rc_context(STYLE):
        save(_figure(story), path, "An idle connection, lost and held", story.sentence())
