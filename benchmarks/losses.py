"""Where chainring loses, by which figures, and why."""

import results
from confidence import bounds
from figures import markdown_table, spread, title
from promises import PROMISES
from reasons import reason

LOOKED_AT = ("per_second", "cpu_us", "p50_us", "p99_us", "peak_mib", *results.COMPARED_ELSE)
# It is much the same in all shapes: one row for all of them.
OF_ALL_SHAPES = "peak_mib"

HEAD = """\
By the bounds of the median and by more than the noise, to any peer, with the reason where it is known. Looked at are messages/s (of servers
that did not wait), CPU time per message, p50, p99, peak MiB, bytes per idle connection, and the times that Asio has in `micro`. User time is
left out, since it is part of the CPU time, and so are p90 and p99.9, which stand in the tables below. What chainring has missed beside itself
is here too.
"""


def section(measured):
    yield "## Where chainring loses\n"
    yield HEAD
    rows = []
    reasons = {}

    def add(where, figure, to, why):
        rows.append([where, figure, to, f"[{reasons.setdefault(why, len(reasons) + 1)}]"])

    memory = {}
    for name, result in measured["results"].items():
        if "columns" in result:
            for row, ratios in _lost_rows(result):
                peer = row.split("(")[1].split(")")[0] if "(" in row else "Asio"
                add(f"{name}: {row}", "ns", f"{peer} {spread(ratios, 2)}", reason(name, row, "", ""))
            continue
        found = {}
        for each in comparisons(result):
            if each.outcome != "worse" or not results.is_ours(each.ours) or results.is_ours(each.peer):
                continue
            why = reason(name, each.ours, each.peer, each.figure)
            if each.figure == OF_ALL_SHAPES:
                memory.setdefault((each.ours, why), {}).setdefault(each.peer, {})[name] = each.ratio
            else:
                found.setdefault((each.ours, each.figure, why), []).append(f"{each.peer} {spread(each.by_round, 2)}")
        for (ours, figure, why), peers in found.items():
            add(f"{name}: {ours}", title(figure, result["unit"]), ", ".join(peers), why)
    for (ours, why), peers in memory.items():
        shapes = list(dict.fromkeys(name for ratios in peers.values() for name in ratios))
        add(f"{', '.join(shapes)}: {ours}", title(OF_ALL_SHAPES, ""), ", ".join(map(_over_shapes, peers.items())), why)
    for promise, verdict in _missed_beside_itself(measured["results"]):
        unit = measured["results"][promise.shape]["unit"]
        why = reason(promise.shape, promise.ours, promise.peer, promise.figure)
        to = f"{promise.peer} {spread([*verdict.by_round], 2)}"
        add(f"{promise.shape}: {promise.ours}", title(promise.figure, unit), to, why)
    if not rows:
        yield "Nowhere in this run.\n"
        return
    yield from markdown_table(["where", "in", "to, ratio by round", "why"], rows, words=("in", "to, ratio by round", "why"))
    for why, number in reasons.items():
        yield f"- [{number}] {why}"
    yield ""


def _lost_rows(result):
    """Of a table of chainring's and a peer's times."""
    if not result["columns"] or result["columns"][0] != "chainring":
        return
    for row, rounds in result["runs"].items():
        ratios = results.paired(rounds, rounds, *result["columns"])
        if ratios and bounds(ratios)[0] > 1:
            yield row, ratios


def comparisons(result):
    """By the figures that are looked at. Messages per CPU second are the CPU time of a message once more, where both are there."""
    for each in results.comparisons(result, LOOKED_AT):
        if each.figure != "per_cpu_second" or "cpu_us" not in result["runs"][each.ours][0]:
            yield each


def _over_shapes(lost):
    peer, ratios = lost
    least, most = (f"{end(ratios.values()):.2f}" for end in (min, max))
    return f"{peer} {least}" + (f" to {most}" if most != least else "")


def _missed_beside_itself(measured):
    for promise in PROMISES:
        verdict = results.judge(promise, measured)
        if verdict.word == "MISSED" and promise.peer and results.is_ours(promise.peer):
            yield promise, verdict
