"""Draws the timelines of idle connections in plain text, one line each."""

from dataclasses import dataclass

from harness.capture import Packet

CELLS_PER_SECOND = 2.5
MARK_EVERY = 4  # seconds

LEGEND = """\
    .  idle, and the firewall remembers    p  keepalive probe, and the peer's answer
       (blank) the firewall has forgotten  Q  the query    r  sent again, and dropped
    A  answered    X  given up: the client's error"""


@dataclass
class Row:
    """One connection: its packets, its probes, and when it was used again."""

    label: str
    packets: list[Packet]
    probes: list[float]
    local: tuple[str, int]
    asked: float
    ended: float
    answered: bool


class _Line:
    """A line of cells, each a fraction of a second."""

    def __init__(self, start: float, end: float) -> None:
        self._start = start
        self._cells = [" "] * (self._cell(end) + 2)

    def _cell(self, at: float) -> int:
        return max(0, round((at - self._start) * CELLS_PER_SECOND))

    def fill(self, begin: float, end: float, mark: str) -> None:
        """Fills the cells from one time to another, both included."""
        for cell in range(self._cell(begin), self._cell(end) + 1):
            self._cells[cell] = mark

    def put(self, at: float, text: str) -> None:
        """Writes a text into the cells from a time on."""
        cell = self._cell(at)
        self._cells[cell:cell + len(text)] = text

    def __str__(self) -> str:
        return "".join(self._cells).rstrip()


def _draw_row(row: Row, start: float, end: float, window: float) -> str:
    line = _Line(start, end)
    # The firewall counts from the last packet that it has let through.
    passed = [p.at for p in row.packets if p.at < row.asked] or [start]
    line.fill(start, min(max(passed) + window, row.asked), ".")
    for at in row.probes:
        if start < at < row.asked:
            line.put(at, "p")
    if not row.answered:
        for packet in row.packets:
            if packet.source == row.local and row.asked < packet.at < row.ended and packet.size:
                line.put(packet.at, "r")
    line.put(row.asked, "QA" if row.answered else "Q")
    if not row.answered:
        line.put(row.ended, "X")
    return str(line)


def draw(rows: list[Row], start: float, window: float) -> str:
    """Returns all rows under one scale, with a legend."""
    end = max(row.ended for row in rows)
    scale = _Line(start, end + 1)
    for second in range(0, int(end - start) + 1, MARK_EVERY):
        scale.put(start + second, f"{second} s" if second else "0")
    edge = _Line(start, end)
    edge.put(start + window, f"| window: {window:g} s")
    lines = [f"    {scale}", f"    {edge}"]
    lines += [f"{row.label:<4}{_draw_row(row, start, end, window)}" for row in rows]
    return "\n".join(lines) + "\n\n" + LEGEND
