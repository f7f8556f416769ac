"""Shows what was measured: medians and ranges of the rounds, ratios round by round, promises and losses."""

import json
import statistics

import losses
import results
from confidence import CONFIDENCE, bounds, left_out
from figures import FIGURES, many, markdown_table, print_table, spread, title
from plots import charts
from promises import PROMISES
from results import comparisons, judge, median, values
from shape import AGAIN, Shape

# Rounds that have bounds within their range, to tell what those are.
MANY = 21


def _figures_of(result):
    """Header and rows of what was measured. A figure that nobody has is left out."""
    runs = result["runs"]
    if "columns" in result:
        columns = list(dict.fromkeys(name for rounds in runs.values() for round_ in rounds for name in round_))
        columns = [name for name in columns if name != "ratio"]
        compared = result["columns"]
        rows = []
        for name, rounds in runs.items():
            row = [name, *(spread(values(rounds, column), 2) for column in columns)]
            if compared:
                row.append(spread(results.paired(rounds, rounds, *compared), 3))
            rows.append(row)
        return [result["unit"], *columns, *([" / ".join(compared)] if compared else [])], rows
    shown = [figure for figure in FIGURES if any(figure in round_ for rounds in runs.values() for round_ in rounds)]
    if "per_second" in shown:
        shown = [figure for figure in shown if figure != "per_cpu_second"]
    rows = []
    for name, rounds in runs.items():
        row = [name, *(spread(values(rounds, figure), FIGURES[figure][1]) for figure in shown)]
        busy = median(rounds, "busy")
        if busy is not None:
            row.append(f"{busy:.0%}" + (" *" if results.waited(rounds) else ""))
        rows.append(row)
    busy = ["busy"] if any("busy" in round_ for rounds in runs.values() for round_ in rounds) else []
    return ["median (range)", *(title(figure, result["unit"]) for figure in shown), *busy], rows


def _ratios_of(result):
    """Header and rows of chainring's figures over its peers', in every round, and of the one that ran twice over itself."""
    runs = result["runs"]
    if "columns" in result or len(runs) < 2:
        return None
    has = {figure for rounds in runs.values() for round_ in rounds for figure in round_}
    figures = [figure for figure in result.get("compared", results.COMPARED) if figure in has]
    figures = figures or [figure for figure in results.COMPARED_ELSE if figure in has]
    rows = []
    twice = result["twice"]
    if twice + AGAIN in runs:
        noise = [spread(results.paired(runs[twice + AGAIN], runs[twice], figure), 3) for figure in figures]
        rows.append([f"{twice} / itself: the noise", *noise])
    found = {}
    for each in comparisons(result, figures):
        mark = {"better": " +", "worse": " **-**", "tie": ""}[each.outcome]
        found.setdefault((each.ours, each.peer), {})[each.figure] = spread(each.by_round, 3) + mark
    for (ours, peer), cells in found.items():
        rows.append([f"{ours} / {peer}", *(cells.get(figure) for figure in figures)])
    return ["ratio by round", *(title(figure, result["unit"]) for figure in figures)], rows


def _notes_of(result):
    runs = result["runs"]
    if result.get("left_out"):
        yield f"Left out, not built: {', '.join(result['left_out'])}."
    if any(results.waited(rounds) for rounds in runs.values()):
        share = f"{results.BUSY_ENOUGH:.0%}"
        yield f"\\* below {share} busy: the client or the load was the limit, so CPU time counts, and not {many(result['unit'])}/s."
    late = sum("late" in round_ for rounds in runs.values() for round_ in rounds)
    if late:
        yield f"{late} runs were read late, since the machine was too busy: their CPU time per {result['unit']} is off."


def _rounds(count):
    return f"{count} round{'s' if count > 1 else ''}"


def print_result(result):
    print(f"\n{result['title']}; {_rounds(result['rounds'])}\n")
    print_table(*_figures_of(result))
    if ratios := _ratios_of(result):
        print()
        print_table(ratios[0], [[cell and cell.replace("**", "") for cell in row] for row in ratios[1]])
    for note in _notes_of(result):
        print(note.replace("\\", ""))
    print(flush=True)


def print_list(shapes):
    for shape in shapes:
        print(f"{shape.name:20} {shape.title}")
        if isinstance(shape, Shape):
            print(f"{'':20}   {', '.join(each.name for each in shape.contestants)}")


def as_json(measured):
    """A line for each contestant and round; numbers with as many digits as mean something."""

    def short(value):
        return float(f"{value:.6g}") if isinstance(value, float) else value

    rounded = dict(measured)
    rounded["results"] = {
        name: {**result, "runs": {who: [{f: short(v) for f, v in r.items()} for r in rounds] for who, rounds in result["runs"].items()}}
        for name, result in measured["results"].items()
    }
    lines = ["{"]
    for key, value in rounded.items():
        if key != "results":
            lines.append(f" {json.dumps(key)}: {json.dumps(value)},")
    lines.append(' "results": {')
    shapes = []
    for name, result in rounded["results"].items():
        head = "".join(f"   {json.dumps(key)}: {json.dumps(value)},\n" for key, value in result.items() if key != "runs")
        runs = ",\n".join(
            f"    {json.dumps(who)}: [\n" + ",\n".join(f"     {json.dumps(round_)}" for round_ in rounds) + "]"
            for who, rounds in result["runs"].items()
        )
        shapes.append(f'  {json.dumps(name)}: {{\n{head}   "runs": {{\n{runs}}}}}')
    return "\n".join(lines) + "\n" + ",\n".join(shapes) + "}}\n"


def _promised(promise):
    limit = f"≥ {promise.least:.4g}" if promise.least is not None else f"≤ {promise.most:.4g}"
    if promise.peer is None:
        return f"{limit} {promise.unit}"
    peer = promise.peer_figure or promise.peer
    if promise.difference:
        return f"{limit} {promise.unit} more than {peer}"
    return f"{limit} × {peer}"


def _what(promise, result):
    if result and "columns" in result:
        return promise.ours + ("" if promise.figure == "chainring" else f": {promise.figure}")
    unit = result["unit"] if result else "message"
    return f"{promise.ours}: {title(promise.figure, unit)}".replace("of it user", f"user CPU time per {unit}")


def _promises(measured):
    rows = []
    verdicts = []
    for promise in PROMISES:
        verdict = judge(promise, measured["results"])
        verdicts.append(verdict.word)
        numbers = spread([*verdict.by_round], 2) if verdict.by_round else None
        between = "{:,.2f} to {:,.2f}".format(*bounds(verdict.by_round)) if left_out(len(verdict.by_round)) else None
        word = f"**{verdict.word}**" if verdict.word == "MISSED" else verdict.word
        note = f" ({verdict.note})" if verdict.note else ""
        noise = None if verdict.noise is None else f"{verdict.noise:.0%}"
        what = _what(promise, measured["results"].get(promise.shape))
        rows.append([f"{promise.of}: {promise.shape}", what, _promised(promise), numbers, between, noise, word + note])
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    yield "## What was promised\n"
    yield (
        f"{counts}. A promise is met or missed if both bounds are, of the median that ever more rounds would come to, with a confidence of "
        f"{CONFIDENCE:.0%}: of seven rounds the outermost, which are the range, of {MANY} the {left_out(MANY) + 1}th from either end. And, "
        f"where a program runs twice, by more than the noise, which is how far that was from itself (in its worst round, leaving out one in "
        f"{results.ROUNDS_WITH_AN_OUTLIER}). Else it is a tie.\n"
    )
    header = ["where", "what", "promised", "median (range)", "bounds", "noise", "verdict"]
    yield from markdown_table(header, rows, words=("what", "promised", "verdict"))


def _charts(measured, folder):
    """Written beside the report, which shows them."""
    drawn = list(charts(measured["results"]))
    if drawn:
        yield "## At a glance\n"
        yield (
            "Medians; whiskers are the range of the rounds. Vertical axes are logarithmic, and bars begin at zero. The rate of a server that "
            "waited for its client is not drawn.\n"
        )
    for file, name, drawing in drawn:
        (folder / file).write_text(drawing)
        yield f"![{name}]({file})\n"


def _shape(name, result):
    yield f"### {name}\n"
    yield f"{result['title']}. {_rounds(result['rounds'])}" + (
        f" of {result['seconds']:g} s each" if result["rounds"] > 1 and "seconds" in result else ""
    ) + f", begun {result['at']}.\n"
    yield from markdown_table(*_figures_of(result))
    if ratios := _ratios_of(result):
        yield from markdown_table(*ratios)
    for note in _notes_of(result):
        yield note + "\n"


QUICK = (
    "A quick run: windows are short, some peers are left out of some shapes, and two such runs disagree about some figures. Believe what a "
    "whole run repeats. "
)
HEAD = """# chainring measured beside its peers

Written by `benchmarks/run`; what it says, and `raw.json`, come from one run. How to repeat it: [below](#how-to-repeat-it).
"""

METHOD = """## How to repeat it

```sh
benchmarks/run                    # all of it, on a machine that does nothing else
benchmarks/run --quick            # less than three minutes
benchmarks/run --list             # the shapes and their contestants
benchmarks/run --only echo-64     # one shape or some, shown and not written
benchmarks/run --against OLD.json # which conclusions of the report differ from other raw figures
```

It builds the contestants, and leaves out those whose library or compiler is not installed. What is here was measured so:

- The server has core 0 and the client core 1. Contestants take turns within a round (A B C A B C), and only ratios of figures of one round
  count. One contestant runs twice in every round: how far it is from itself is the noise. What lies within it is a tie, and so is what
  may be either by the bounds of the median.
- The rounds of a shape lie all over the run: this machine has speeds that last for minutes, and rounds that follow each other agree about
  a ratio that the next run finds elsewhere. Shapes whose figures are close to what was promised have three times as many.
- The clients are the same for all servers, connect before they measure, warm up, and compare every byte of every answer. A wrong one
  ends the run. There are two exceptions. redis-benchmark compares no answer: all keys are set before it begins, and read when it has
  ended; and it does not warm up: the CPU time has what its connections cost. Datagrams to a sink have no answer: they are counted, and
  what was sent was either received or counted by the kernel as one that found no room.
- A server that was busy less than 85 % of the time waited for its client: then its CPU time per message counts, and not its rate.
- CPU time is that of all the server's threads (schedstat), its user part sampled 4000 times a second. System calls and SQEs are what the
  servers count themselves. Latencies come from a histogram that is at most 1/64 off.
- At a fixed rate a latency counts from the moment at which the message should have been sent, also if the client was late.
- All servers have the same socket options, and buffers of 4 KiB, but 64 KiB where messages have as much: all in `proxy`, and in `streaming` all
  peers, and of chainring's only `into own memory`; where messages have 4 KiB the epoll loop and libuv, which have one buffer for all
  connections, have 8: they receive again after one that fills it. The peers' sources are in `benchmarks/peers`, one small file each. The load of
  the echo shapes is `samples/echo_load`, which is written with chainring; the other clients are epoll or liburing by hand.
- All of it is loopback: nothing here shows what a network card does, or sends without a copy, or busy polling.
- The two cores are those of a virtual machine, whose neighbours are not known: absolute figures differ from day to day by more than ratios.
- How much chainring gains is a matter of what a system call costs (`micro` measures it). On a machine of AMD's, measured before by the same
  programs, it took 0.60 of the CPU time of Asio's coroutines in `echo-64x64`, and had 2.3 times their rate in `seqpacket`; on one of Intel's, whose
  calls take 0.08 µs, 0.88 of the time, and 0.9 times the rate.
"""


def write(measured, folder):
    """README.md in the folder, and its charts."""
    lines = [HEAD]
    run = QUICK if measured["quick"] else ""
    rounds = statistics.mode(result["rounds"] for result in measured["results"].values())
    lines.append(f"{run}It has {_rounds(rounds)} of each shape, where it does not say otherwise, and took {measured['took']:.0f} s.\n")
    lines += [f"- {line}" for line in measured["environment"]] + [""]
    lines += _promises(measured)
    lines += losses.section(measured)
    lines += _charts(measured, folder)
    lines.append("## All figures\n")
    lines.append(
        "In tables of ratios + is better than the peer by the bounds of the median and by more than the noise, **-** is worse, and what has no "
        "mark is a tie.\n"
    )
    for name, result in measured["results"].items():
        lines += _shape(name, result)
    lines.append(METHOD)
    (folder / "README.md").write_text("\n".join(lines))
