"""Within which bounds the median lies that ever more rounds would come to."""

import math

CONFIDENCE = 0.98


def left_out(count):
    """How many numbers the bounds leave out at each end. That the true median is above all but the k smallest fails as often as a coin falls
    the same way up in all but k of so many throws, whatever the distribution is."""
    ends, failing = 0, 1 + count  # of all throws, with one more left out
    while 1 - 2 * failing / 2**count >= CONFIDENCE:
        ends += 1
        failing += math.comb(count, ends + 1)
    return ends


def bounds(numbers):
    """Of less than seven numbers all of them, and less confidence."""
    ordered = sorted(numbers)
    ends = left_out(len(ordered))
    return ordered[ends], ordered[-1 - ends]
