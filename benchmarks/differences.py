"""What another run says of the same: opposite conclusions, and ratios that are apart."""

import losses
import results
from figures import spread
from promises import PROMISES

MOST_SHOWN = 20


def show(measured, other):
    """Promises whose verdict is the opposite in the other run, comparisons with the opposite outcome, and ratios whose ranges do not
    overlap, those that are furthest apart first."""
    differ = 0
    for promise in PROMISES:
        words = [results.judge(promise, each["results"]).word for each in (measured, other)]
        if set(words) == {"met", "MISSED"}:
            differ += 1
            print(f"{promise.shape}: {promise.ours}: {promise.figure}: {words[0]}, there {words[1]}")
    pairs = list(_pairs(measured["results"], other["results"]))
    for name, here, there in pairs:
        if {here.outcome, there.outcome} == {"better", "worse"}:
            differ += 1
            print(f"{name}: {here.ours} / {here.peer}: {here.figure}: {here.outcome}, there {there.outcome}")
    apart = [each for each in pairs if _distance(*each[1:]) > 1]
    apart.sort(key=lambda each: _distance(*each[1:]), reverse=True)
    end = ":" if apart else ""
    print(f"{differ} conclusions are the opposite; of {len(pairs)} ratios the ranges of {len(apart)} do not overlap{end}")
    for name, here, there in apart[:MOST_SHOWN]:
        print(f"  {name}: {here.ours} / {here.peer}: {here.figure}: {spread(here.by_round, 2)}, there {spread(there.by_round, 2)}")
    if len(apart) > MOST_SHOWN:
        print(f"  and {len(apart) - MOST_SHOWN} more, which are less far apart")


def _pairs(measured, other):
    """(Shape, comparison, the same comparison in the other run) of what both have."""
    for name, result in measured.items():
        if "columns" in result or name not in other:
            continue
        theirs = {(each.ours, each.peer, each.figure): each for each in losses.comparisons(other[name])}
        for each in losses.comparisons(result):
            if there := theirs.get((each.ours, each.peer, each.figure)):
                yield name, each, there


def _distance(here, there):
    """How many times the nearer end of one range is that of the other; at most 1 where they overlap."""
    ends = ((min(here.by_round), max(there.by_round)), (min(there.by_round), max(here.by_round)))
    return max(low / high if high > 0 else 0 for low, high in ends)
