"""Charts as SVG: lines over a few categories with whiskers on a logarithmic axis, and horizontal bars. Standard library only."""

import dataclasses
import math
from html import escape

# Told apart by colour-blind readers too, with the markers below.
COLOURS = ("#d62728", "#ff7f0e", "#000000", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#17a2b8", "#7f7f7f")
MARKERS = ("circle", "square", "diamond", "triangle", "circle", "square", "diamond", "triangle", "circle")

WIDTH = 960
PANEL_HEIGHT = 300
LEFT, RIGHT, TOP, BOTTOM = 74, 14, 62, 52
LEGEND_COLUMNS, LEGEND_ROW = 4, 20
BAR = 24


@dataclasses.dataclass(frozen=True)
class Spread:
    """What is drawn of a figure: its median, and its range as a whisker."""

    middle: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Panel:
    title: str
    x_label: str
    y_label: str
    categories: tuple[str, ...]
    series: dict[str, list[Spread | None]]  # by name, one for each category


def number(value):
    """Short, for an axis or a bar: 0.05, 7.5, 120, 15k, 2M."""
    for factor, suffix in ((1e6, "M"), (1e4, "k")):
        if value >= factor:
            return f"{value / (1e3 if suffix == 'k' else factor):.3g}{suffix}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


class _Drawing:
    def __init__(self, height):
        self._height = height
        self._parts = []

    def text(self, x, y, words, *, anchor="start", size=12, colour="#222", weight="normal", turned=False):
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"{turn}>'
            f"{escape(words)}</text>"
        )

    def line(self, x1, y1, x2, y2, colour="#222", width=1.0):
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'
        )

    def rectangle(self, x, y, width, height, colour):
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def path(self, points, colour, width):
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="{width}"/>')

    def marker(self, kind, x, y, colour):
        if kind == "circle":
            self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            return
        if kind == "square":
            corners = ((-3.7, -3.7), (3.7, -3.7), (3.7, 3.7), (-3.7, 3.7))
        elif kind == "diamond":
            corners = ((0, -5.2), (5.2, 0), (0, 5.2), (-5.2, 0))
        else:
            corners = ((0, -5), (4.8, 3.8), (-4.8, 3.8))
        joined = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
        self._parts.append(f'<polygon points="{joined}" fill="{colour}"/>')

    def done(self):
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self._height}" '
            f'viewBox="0 0 {WIDTH} {self._height}" font-family="DejaVu Sans, Verdana, sans-serif">\n'
            f'<rect width="{WIDTH}" height="{self._height}" fill="#ffffff"/>\n'
        )
        return head + "\n".join(self._parts) + "\n</svg>\n"


def _ticks(low, high):
    """1, 2 and 5 times the powers of ten, or only those powers where that is too many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10**exponent for exponent in exponents for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 9:
            break
    return ticks


def _panel(drawing, panel, left, width, styles):
    values = [spread for spreads in panel.series.values() for spread in spreads if spread]
    low = min(spread.low for spread in values) / 1.15
    high = max(spread.high for spread in values) * 1.15
    top, bottom = TOP, TOP + PANEL_HEIGHT
    right = left + width

    def y_of(value):
        return bottom - PANEL_HEIGHT * math.log(value / low) / math.log(high / low)

    # Those of one category stand beside each other, so that no whisker covers another.
    step = width / len(panel.categories)
    names = list(panel.series)

    def x_of(category, name):
        return left + step * (category + 0.5) + (names.index(name) - (len(names) - 1) / 2) * min(7, step * 0.5 / len(names))

    drawing.text(left + width / 2, TOP - 12, panel.title, anchor="middle", size=13)
    for tick in _ticks(low, high):
        drawing.line(left, y_of(tick), right, y_of(tick), "#dddddd")
        drawing.text(left - 6, y_of(tick) + 4, number(tick), anchor="end", size=11)
    for category, words in enumerate(panel.categories):
        drawing.text(left + step * (category + 0.5), bottom + 18, words, anchor="middle")
    drawing.line(left, bottom, right, bottom)
    drawing.line(left, top, left, bottom)
    drawing.text(left + width / 2, bottom + 38, panel.x_label, anchor="middle")
    drawing.text(left - 52, top + PANEL_HEIGHT / 2, panel.y_label, anchor="middle", turned=True)
    for name in reversed(names):  # the first ones on top
        colour, marker, line_width = styles[name]
        points = [(x_of(at, name), spread) for at, spread in enumerate(panel.series[name]) if spread]
        drawing.path([(x, y_of(spread.middle)) for x, spread in points], colour, line_width)
        for x, spread in points:
            drawing.line(x, y_of(spread.low), x, y_of(spread.high), colour)
            drawing.marker(marker, x, y_of(spread.middle), colour)


def styles_of(names, emphasized):
    """Colour, marker and width of line for each name; the same in each chart that is given the same names."""
    return {
        name: (COLOURS[at % len(COLOURS)], MARKERS[at % len(MARKERS)], 2.6 if emphasized(name) else 1.3)
        for at, name in enumerate(names)
    }


def lines(title, panels, styles):
    """Panels beside each other, each with axes of its own, over one legend."""
    shown = [name for name in styles if any(name in panel.series for panel in panels)]
    rows = math.ceil(len(shown) / LEGEND_COLUMNS)
    drawing = _Drawing(TOP + PANEL_HEIGHT + BOTTOM + rows * LEGEND_ROW + 14)
    drawing.text(WIDTH / 2, 24, title, anchor="middle", size=16, weight="bold")
    room = WIDTH / len(panels)
    for at, panel in enumerate(panels):
        _panel(drawing, panel, at * room + LEFT, room - LEFT - RIGHT, styles)
    for at, name in enumerate(shown):
        x = 40 + at % LEGEND_COLUMNS * (WIDTH - 40) / LEGEND_COLUMNS
        y = TOP + PANEL_HEIGHT + BOTTOM + 14 + at // LEGEND_COLUMNS * LEGEND_ROW
        colour, marker, line_width = styles[name]
        drawing.line(x, y - 4, x + 26, y - 4, colour, line_width)
        drawing.marker(marker, x + 13, y - 4, colour)
        drawing.text(x + 34, y, name)
    return drawing.done()


def bars(title, x_label, values, styles):
    """A horizontal bar with its number for each name."""
    left, right = 190, 90
    bottom = TOP - 20 + BAR * len(values)
    drawing = _Drawing(bottom + 44)
    drawing.text(WIDTH / 2, 24, title, anchor="middle", size=16, weight="bold")
    longest = max(values.values())
    for at, (name, value) in enumerate(values.items()):
        y = TOP - 20 + at * BAR
        width = (WIDTH - left - right) * value / longest
        drawing.text(left - 8, y + BAR / 2 + 4, name, anchor="end")
        drawing.rectangle(left, y + 3, max(width, 1), BAR - 6, styles[name][0])
        drawing.text(left + width + 6, y + BAR / 2 + 4, f"{value:,.0f}")
    drawing.line(left, TOP - 20, left, bottom)
    drawing.text(left + (WIDTH - left - right) / 2, bottom + 24, x_label, anchor="middle")
    return drawing.done()
