"""Prints what was measured: medians and ranges of the rounds."""

import statistics

import harness


def spread(numbers, places):
    """Median and range of the rounds."""
    if not numbers:
        return None
    if len(numbers) == 1:
        return f"{numbers[0]:.{places}f}"
    return f"{statistics.median(numbers):.{places}f} ({min(numbers):.{places}f}..{max(numbers):.{places}f})"


def print_figures(runs, unit="messages", short_unit="msg"):
    """A row for each contestant; a column in which nobody has a figure is left out."""
    columns = {
        f"{unit}/s": ("messages_per_second", 0),
        f"CPU us/{short_unit}": ("cpu_us", 2),
        "of it user": ("user_us", 3),
        "p50 us": ("p50_us", 0),
        "p99 us": ("p99_us", 0),
        "p99.9 us": ("p999_us", 0),
        f"calls/{short_unit}": ("system_calls", 2),
        "SQEs/enter": ("sqes_per_enter", 1),
    }
    shown = {
        title: (figure, places)
        for title, (figure, places) in columns.items()
        if any(harness.values(figures, figure) for figures in runs.values())
    }
    rows = []
    for name, figures in runs.items():
        busy = harness.median(figures, "busy")
        rows.append(
            [
                name,
                *(spread(harness.values(figures, figure), places) for figure, places in shown.values()),
                f"{max(harness.values(figures, 'peak_kib')) / 1024:.1f}",
                f"{busy:.0%}" + ("" if busy >= harness.BUSY_ENOUGH else " *"),
            ]
        )
    print_table(["median (range)", *shown, "peak MiB", "busy"], rows)
    if any(harness.median(figures, "busy") < harness.BUSY_ENOUGH for figures in runs.values()):
        print(f"* below {harness.BUSY_ENOUGH:.0%} busy: quote CPU per message, not messages per second")
    late = sum(figure.late for figures in runs.values() for figure in figures)
    if late:
        print(f"! {late} runs were read late, the machine was too busy: their CPU per message is off")


def print_table(header, rows):
    """The first column is text; the others are numbers, and None is a dash."""
    cells = [list(header)] + [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for first, *others in cells:
        aligned = [cell.rjust(width) for cell, width in zip(others, widths[1:])]
        print("  ".join([first.ljust(widths[0]), *aligned]))
