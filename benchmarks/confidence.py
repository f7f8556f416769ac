"""Within which bounds the median lies that ever more rounds would come to."""

import math

CONFIDENCE = 0.98


def left_out(count):
    """How many numbers the bounds leave out at each end. That the true median is above all but the k smallest fails as often as a coin falls
    the same way up in all but k of so many throws, whatever the distribution is."""
    below = 0
    for most in range(count // 2):
        below += math.comb(count, most)
        if 1 - 2 * below / 2**count < CONFIDENCE:
            return max(most - 1, 0)
    return max(count // 2 - 1, 0)


def bounds(numbers):
    """Of less than seven numbers all of them, and less confidence."""
    ordered = sorted(numbers)
    ends = left_out(len(ordered))
    return ordered[ends], ordered[-1 - ends]
