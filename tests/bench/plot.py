"""Draws the plots: ratios against their aims, and how costs grow."""

import os

import matplotlib

matplotlib.use("Agg")
# The same numbers give the same file, with text as text.
matplotlib.rcParams.update({"svg.hashsalt": "holdfast", "svg.fonttype": "none", "font.size": 9})

import matplotlib.pyplot as plt  # pylint: disable=wrong-import-position

from figure import Figure  # pylint: disable=wrong-import-position

REACHED, MISSED = "#2a7f62", "#b5562b"
FORMATS = ("svg", "png")


def _save(picture: plt.Figure, directory: str, name: str) -> None:
    for kind in FORMATS:
        picture.savefig(os.path.join(directory, f"{name}.{kind}"), dpi=110,
                        metadata={"Date": None} if kind == "svg" else {"Software": None})
    plt.close(picture)


def ratios(figures: list[Figure], directory: str) -> None:
    """Draws each ratio as a dot, the middle half of the runs as a line, and the aim as a mark."""
    shown = [f for f in figures if f.theirs][::-1]
    if not shown:
        return
    picture, axes = plt.subplots(figsize=(8, 0.36 * len(shown) + 1.1), layout="constrained")
    for at, figure in enumerate(shown):
        assert figure.theirs
        base = figure.theirs.median
        colour = REACHED if figure.reached else MISSED
        low, high = figure.ours.quartiles
        axes.plot([low / base, high / base], [at, at], color=colour, lw=2, alpha=0.5)
        axes.plot(figure.value, at, "o", color=colour, ms=5)
        axes.plot(figure.most, at, "|", color="black", ms=11)
    axes.set_yticks(range(len(shown)),
                    [f"{f.name}\nagainst {f.against}" for f in shown], fontsize=7)
    axes.set_xscale("log")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 4]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.axvline(1, color="grey", lw=0.7)
    axes.set_xlabel("holdfast / the other: median, middle half of the runs; | what is to be reached")
    _save(picture, directory, "ratios")


def growth(figures: list[Figure], directory: str) -> None:
    """Draws costs over the number of sockets and of prefixes."""
    grown = [f for f in figures if f.growth]
    if not grown:
        return
    picture, both = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for figure in grown:
        axes = both[1 if figure.unit == "us" else 0]
        numbers = sorted(figure.growth)
        medians = [figure.growth[n].median for n in numbers]
        axes.errorbar(numbers, medians,
                      yerr=[[m - figure.growth[n].low for m, n in zip(medians, numbers)],
                            [figure.growth[n].high - m for m, n in zip(medians, numbers)]],
                      fmt="o-", ms=4, lw=1.2, capsize=2, label=figure.name)
        axes.set_xscale("log")
    both[0].set_yscale("log")
    both[0].set_xlabel("held sockets, among twice as many")
    both[0].set_ylabel("seconds")
    both[0].legend(fontsize=7)
    both[1].set_xlabel("prefixes")
    both[1].set_ylabel("us for connect + accept + close")
    both[1].set_ylim(bottom=0)
    _save(picture, directory, "growth")


def draw(figures: list[Figure], directory: str) -> None:
    """Draws all plots, as SVG and PNG."""
    os.makedirs(directory, exist_ok=True)
    ratios(figures, directory)
    growth(figures, directory)
