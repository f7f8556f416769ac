"""How figures are called and written: medians with the range of their rounds, and tables of them."""

import statistics

# How each figure is called, and with how many places it is shown. "{unit}" is what the shape counts, "{units}" many of them.
FIGURES = {
    "per_second": ("{units}/s", 0),
    "per_cpu_second": ("{units} per CPU second", 0),
    "cpu_us": ("CPU µs per {unit}", 2),
    "user_us": ("of it user", 3),
    "p50_us": ("p50 µs", 0),
    "p90_us": ("p90 µs", 0),
    "p99_us": ("p99 µs", 0),
    "p999_us": ("p99.9 µs", 0),
    "worst_p99_us": ("worst p99 µs", 0),
    "system_calls": ("calls per {unit}", 2),
    "sqes_per_enter": ("SQEs per enter", 1),
    "turns_per_wake_up": ("turns per wake-up", 1),
    "lost_percent": ("% lost", 1),
    "bytes_per_connection": ("bytes per connection", 0),
    "idle_cpu_percent": ("idle, % of a core", 4),
    "peak_mib": ("peak MiB", 1),
}


def spread(numbers, places):
    """Median and range of the rounds."""
    if not numbers:
        return None
    middle = statistics.median(numbers)
    if len(numbers) == 1:
        return f"{middle:,.{places}f}"
    return f"{middle:,.{places}f} ({min(numbers):,.{places}f}..{max(numbers):,.{places}f})"


def print_table(header, rows):
    """The first column is text; the others are numbers, and None is a dash."""
    cells = [list(header)] + [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for first, *others in cells:
        aligned = [cell.rjust(width) for cell, width in zip(others, widths[1:])]
        print("  ".join([first.ljust(widths[0]), *aligned]))


def markdown_table(header, rows, words=()):
    """The first column, and those that are named in `words`, are text."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "".join(" --- |" if name in (header[0], *words) else " ---: |" for name in header)
    for row in rows:
        yield "| " + " | ".join("" if cell is None else str(cell).replace("|", "\\|") for cell in row) + " |"
    yield ""


def many(unit):
    return unit[:-1] + "ies" if unit.endswith("y") else unit + "s"


def title(figure, unit):
    return FIGURES[figure][0].format(unit=unit, units=many(unit)) if figure in FIGURES else figure
