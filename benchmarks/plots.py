"""What docs/benchmarks shows as charts: which figures of which shapes, drawn by svg.py."""

import statistics

import svg
from results import is_ours, values, waited
from shape import AGAIN

CONNECTIONS = (1, 64, 1000)
SIZES = {64: "64 B", 4096: "4 KiB"}
PERCENTILES = {"p50_us": "p50", "p99_us": "p99", "p999_us": "p99.9"}


def _spread(rounds, figure):
    known = values(rounds, figure)
    return svg.Spread(statistics.median(known), min(known), max(known)) if known and min(known) > 0 else None


def _series(columns):
    """From what each category of a panel shows, a pair of a shape's runs and a figure, to the lines of the contestants."""
    names = dict.fromkeys(name for runs, _ in columns for name in runs if not name.endswith(AGAIN))
    series = {name: [_spread(runs.get(name, []), figure) for runs, figure in columns] for name in names}
    return {name: spreads for name, spreads in series.items() if any(spreads)}


def _by_connections(results, size, figure, y_label):
    measured = [(count, results[f"echo-{count}x{size}"]["runs"]) for count in CONNECTIONS if f"echo-{count}x{size}" in results]
    if figure == "per_second":
        measured = [(count, {name: rounds for name, rounds in runs.items() if not waited(rounds)}) for count, runs in measured]
        measured = [(count, runs) for count, runs in measured if runs]
    categories = tuple(str(count) for count, _ in measured)
    series = _series([(runs, figure) for _, runs in measured])
    return svg.Panel(f"echo of {SIZES[size]}", "connections", y_label, categories, series) if series else None


def _latency(results, shape, title):
    if shape not in results:
        return None
    series = _series([(results[shape]["runs"], figure) for figure in PERCENTILES])
    return svg.Panel(title, "percentile of all messages", "latency, µs", tuple(PERCENTILES.values()), series)


def charts(results):
    """(File name, title, SVG) of each chart for which something was measured."""
    echo = next((result["runs"] for name, result in results.items() if name.startswith("echo-")), {})
    styles = svg.styles_of([name for name in echo if not name.endswith(AGAIN)], is_ours)
    by_connections = (
        ("throughput", "Throughput by connections", "messages/s", "per_second"),
        ("cpu", "CPU time of the server by connections", "CPU time per message, µs", "cpu_us"),
    )
    drawn = [
        (name, title, [_by_connections(results, size, figure, y_label) for size in SIZES])
        for name, title, y_label, figure in by_connections
    ]
    latency = [
        _latency(results, "echo-64x64", "echo of 64 B, 64 connections as fast as they can"),
        _latency(results, "paced-20000", "64 connections, 20,000 messages/s at fixed times"),
    ]
    drawn.append(("latency", "Latency", latency))
    batches = [
        _by_connections(results, 64, "sqes_per_enter", "SQEs per io_uring_enter"),
        _by_connections(results, 64, "system_calls", "system calls per message"),
    ]
    drawn.append(("batches", "Size of a batch by connections, of servers that count it", batches))
    for name, title, panels in drawn:
        if found := [panel for panel in panels if panel]:
            yield f"{name}.svg", title, svg.lines(title, found, styles)

    if idle := results.get("idle"):
        used = {
            name: statistics.median(known)
            for name, rounds in idle["runs"].items()
            if name in styles and (known := values(rounds, "bytes_per_connection"))
        }
        title = "Memory of an idle connection"
        yield "memory.svg", title, svg.bars(title, "bytes of resident memory per connection, of 9000", used, styles)
