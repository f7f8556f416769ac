"""What was measured, as benchmarks/run keeps it in JSON, and what may be concluded from it.

A result is {"title", "unit", "rounds", "seconds", "at", "twice" or "columns", "runs", "left_out"}, with "compared" and "beside" where the
shape says so (shape.py); "runs" has the figures of each round by contestant (of a table: by row).
"""

import dataclasses
import statistics

from confidence import bounds
from shape import AGAIN

# Below this share of its core a server waited for its client: what it got done says nothing about it.
BUSY_ENOUGH = 0.85
# The worst of so many rounds does not count as noise, nor do the two worst of twice as many.
ROUNDS_WITH_AN_OUTLIER = 5
# What is better the larger it is.
LARGER_IS_BETTER = ("per_second", "per_cpu_second")
# What the tables of ratios show, and where a shape has none of these.
COMPARED = ("per_second", "cpu_us", "p99_us")
COMPARED_ELSE = ("per_cpu_second", "bytes_per_connection")


def values(rounds, figure):
    return [round_[figure] for round_ in rounds if figure in round_]


def median(rounds, figure):
    known = values(rounds, figure)
    return statistics.median(known) if known else None


def paired(ours, theirs, figure, peer_figure=None, combine=lambda our, their: our / their):
    """Combines the figures of each round, as ratios or as differences."""
    peer_figure = peer_figure or figure
    return [
        combine(our[figure], their[peer_figure])
        for our, their in zip(ours, theirs)
        if figure in our and their.get(peer_figure)
    ]


def noise(result, figure):
    """How far the contestant that ran twice was from itself, as a share; None where that is not known."""
    twice = result.get("twice")
    if twice is None or twice + AGAIN not in result["runs"]:
        return None
    distances = sorted(abs(ratio - 1) for ratio in paired(result["runs"][twice + AGAIN], result["runs"][twice], figure))
    return distances[-1 - len(distances) // ROUNDS_WITH_AN_OUTLIER] if distances else None


def waited(rounds):
    """Whether the server waited for its client."""
    busy = median(rounds, "busy")
    return busy is not None and busy < BUSY_ENOUGH


@dataclasses.dataclass(frozen=True)
class Promise:
    """A figure of chainring's is to be at least or at most so much: by itself, or as a multiple of a peer's."""

    of: str  # the part of the project
    shape: str
    ours: str  # the contestant, or a table's row
    figure: str  # a figure, or a table's column
    peer: str | None = None
    peer_figure: str | None = None
    least: float | None = None
    most: float | None = None
    difference: bool = False  # the limit is to what it is more than the peer's
    unit: str = ""
    scale: float = 1  # from the figure to the unit


@dataclasses.dataclass(frozen=True)
class Verdict:
    word: str  # met, tie, MISSED or not measured
    by_round: tuple[float, ...] = ()
    noise: float | None = None
    note: str = ""


def judge(promise, results):
    """A promise is met or missed if the bounds of its median are on that side, and the median beyond the noise; else it is a tie."""
    result = results.get(promise.shape)
    if result is None:
        return Verdict("not measured")
    runs = result["runs"]
    absent = [name for name in (promise.ours, promise.peer) if name and name not in runs]
    if absent:
        return Verdict("not measured", note=f"no {' and no '.join(absent)}")
    ours, theirs = runs[promise.ours], runs.get(promise.peer)
    figure, note, combine = promise.figure, "", lambda our, their: our / their
    if theirs and figure == "per_second" and (waited(ours) or waited(theirs)):
        # What the servers could do on a core of their own, had the client kept them busy.
        figure, combine = "cpu_us", lambda our, their: their / our
        note = "by CPU time: the client was the limit"
    if promise.difference:
        by_round = paired(ours, theirs, figure, combine=lambda our, their: our - their)
    elif theirs:
        by_round = paired(ours, theirs, figure, promise.peer_figure, combine)
    else:
        by_round = values(ours, figure)
    by_round = tuple(value * promise.scale for value in by_round)
    if not by_round:
        return Verdict("not measured", note=f"no {figure}")
    measured = statistics.median(by_round)
    limit = promise.least if promise.least is not None else promise.most
    margin = noise(result, figure) if theirs and not promise.difference else None
    kept = {value >= limit if promise.least is not None else value <= limit for value in bounds(by_round)}
    close = bool(margin) and abs(measured - limit) <= margin * abs(limit)
    return Verdict("tie" if close or len(kept) > 1 else "met" if True in kept else "MISSED", by_round, margin, note)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One of chainring's contestants beside a peer, by a figure."""

    ours: str
    peer: str
    figure: str
    by_round: tuple[float, ...]
    noise: float | None

    @property
    def ratio(self):
        return statistics.median(self.by_round)

    @property
    def outcome(self):
        """better, worse or tie: a tie too where it may be either by the bounds of the median."""
        low, high = bounds(self.by_round)
        if self.noise is None or abs(self.ratio - 1) <= self.noise or low <= 1 <= high:
            return "tie"
        return "better" if (self.ratio > 1) == (self.figure in LARGER_IS_BETTER) else "worse"


def is_ours(name):
    return name.startswith("chainring")


def compared_pairs(result):
    """Each of chainring's contestants with each that is not, in a shape's result, if the shape says nothing else. Where all are
    chainring's the one that runs twice is the peer."""
    if "beside" in result:
        return result["beside"]
    once = [name for name in result["runs"] if not name.endswith(AGAIN)]
    peers = [name for name in once if not is_ours(name)] or [result["twice"]]
    return [(ours, peer) for ours in once if is_ours(ours) and ours not in peers for peer in peers]


def comparisons(result, figures):
    runs = result["runs"]
    for ours, peer in compared_pairs(result):
        if ours not in runs or peer not in runs:
            continue
        for figure in figures:
            if figure == "per_second" and (waited(runs[ours]) or waited(runs[peer])):
                continue
            by_round = paired(runs[ours], runs[peer], figure)
            if by_round:
                yield Comparison(ours, peer, figure, tuple(by_round), noise(result, figure))
