"""What a message may cost: the limits that benchmarks/guard compares its figures with, kept in limits.txt.

Figures are {shape: {figure: number}}. All but the instructions are exact: the same build gives the same ones everywhere.
"""

import dataclasses
import pathlib
import re

FILE = pathlib.Path(__file__).with_name("limits.txt")
INSTRUCTIONS = "instructions"
# As a share of what was measured. Another version of the same compiler or of libc makes other code of the same program.
ROOM = {INSTRUCTIONS: 0.04}
PLACES = {INSTRUCTIONS: 0}
# Figures have so many places.
EXACT = 0.00005

HEAD = """\
# What a message may cost, both ends of it: benchmarks/guard fails where one costs more, and is part of the tests. Instructions are
# those outside of the kernel, and hold for the compiler that is named here.
# Written by `benchmarks/guard --write`, which makes what it measures the limit: have a reason for each number that grows.
"""


@dataclasses.dataclass(frozen=True)
class Limit:
    measured: float
    most: float


def read(text):
    """(The compiler, {(shape, figure): limit})."""
    compiler, limits = None, {}
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        name, *cells = re.split(r"\s{2,}", line.strip())
        if name == "compiler":
            compiler = cells[0]
        elif name != "shape":
            figure, measured, most = cells
            limits[name, figure] = Limit(float(measured), float(most))
    return compiler, limits


def written(compiler, figures):
    rows = [("shape", "figure", "measured", "at most")]
    for shape, costs in figures.items():
        for figure, cost in costs.items():
            most = cost * (1 + ROOM.get(figure, 0))
            rows.append((shape, figure, *(f"{number:.{PLACES.get(figure, 4)}f}" for number in (cost, most))))
    lines = [f"{shape:36}{figure:14}{measured:>10}{most:>10}" for shape, figure, measured, most in rows]
    return HEAD + f"\ncompiler  {compiler}\n\n" + "\n".join(lines) + "\n"


def broken(figures, limits, compiler, limits_are_of):
    """A sentence for each figure above its limit, without a limit, or missing. Instructions of another compiler, or that
    nobody has counted, are passed over."""
    counted = any(INSTRUCTIONS in costs for costs in figures.values())
    compared = [key for key in limits if key[1] != INSTRUCTIONS or counted and compiler == limits_are_of]
    for shape, figure in compared:
        most = limits[shape, figure].most
        cost = figures.get(shape, {}).get(figure)
        places = PLACES.get(figure, 4)
        if cost is None:
            yield f"{shape}: {figure}: not measured"
        elif cost > most + EXACT:
            yield f"{shape}: {figure}: {cost:.{places}f} for a message, at most {most:.{places}f} are allowed"
    for shape, costs in figures.items():
        yield from (f"{shape}: {figure}: there is no limit" for figure in costs if (shape, figure) not in limits)


def improved(figures, limits):
    """Names of what costs less than when its limit was set, by more than the room."""
    for (shape, figure), limit in limits.items():
        cost = figures.get(shape, {}).get(figure)
        if cost is not None and cost < limit.measured * (1 - ROOM.get(figure, 0)) - EXACT:
            yield f"{shape}: {figure}"
