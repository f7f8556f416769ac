"""Why chainring loses where it does: what is known of it."""

# Beginnings of the shape's name, of chainring's contestant or the table's row, and of the peer's name.
REASONS = (
    ("streaming", "chainring", "liburing", "the echo sample confirms each block of 4 KiB before it takes the next; the loop gathers up to 16 (seen in the sources)"),
    ("idle", "chainring", "", "a loop by hand keeps one small struct; here it is a task's frame, a stream and its two queues"),
)


def reason(shape, ours, peer):
    for begins, who, whom, why in REASONS:
        if shape.startswith(begins) and ours.startswith(who) and peer.startswith(whom):
            return why
    return "not known"
