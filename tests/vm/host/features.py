"""The table of kernels: what each gives holdfast, as its machine has told."""

from .report import Report


def _columns(reports: list[Report]) -> list[list[str]]:
    """Returns a column of the features' names, and a column for each kernel."""
    names = list(dict.fromkeys(name for report in reports for name in report.features))
    return [["kernel", *names[1:]],
            *([report.features.get(name, "") for name in names] for report in reports)]


def markdown(reports: list[Report]) -> str:
    """Returns the table for the README."""
    rows = list(zip(*_columns(reports)))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines) + "\n"


def text(reports: list[Report]) -> str:
    """Returns the table for a terminal; long cells become notes below it."""
    rows = [list(row) for row in zip(*_columns(reports))]
    notes = []
    for row in rows:
        for number, cell in enumerate(row[1:], 1):
            if len(cell) > 40:
                notes.append(f"[{len(notes) + 1}] {cell}")
                row[number] = f"[{len(notes)}]"
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
             for row in rows]
    return "\n".join([*lines, *notes]) + "\n"
