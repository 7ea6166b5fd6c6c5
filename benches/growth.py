"""Plots how cost grows with the work, from the load tool's JSON reports."""

import argparse
import pathlib

import matplotlib

matplotlib.use("svg")
# The same run gives the same file.
matplotlib.rcParams["svg.hashsalt"] = "ringcast"

import figures
from matplotlib import pyplot


def series(folder, kind, name, figure):
    """Sizes and figures of one kind of run, by size."""
    found = []
    for path in folder.glob(f"{kind}_{name}_*.json"):
        found.append((int(path.stem.rsplit("_", 1)[1]), figure(figures.read(path))))
    return sorted(pair for pair in found if pair[1] is not None)


def plot(out, name, title, x, y, lines, log=True):
    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    for label, points in lines.items():
        if points:
            axes.plot(*zip(*points), marker="o", label=label)
    if log:
        axes.set_xscale("symlog", linthresh=1)
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(f"{out}-{name}.svg", metadata={"Date": None})
    pyplot.close(figure)
    return f"![{title}]({pathlib.Path(out).name}-{name}.svg)"


def table(head, lines, form):
    """One row a size, one column a line."""
    sizes = sorted({size for points in lines.values() for size, _ in points})
    rows = [f"| {head} | " + " | ".join(lines) + " |", "| --- |" + " --- |" * len(lines)]
    for size in sizes:
        cells = [dict(points).get(size) for points in lines.values()]
        shown = ["-" if cell is None else form.format(cell) for cell in cells]
        rows.append(f"| {size:,} | " + " | ".join(shown) + " |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("--folder", "--command", "--load-before", "--out"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--hold", type=float, required=True)
    arguments = parser.parse_args()
    folder, out = pathlib.Path(arguments.folder), arguments.out

    delivery = lambda report: report["server"]["cpu_us_per_delivery"]
    publish = lambda report: report["server"]["cpu_us_per_publish"]
    held = lambda report: report["server"]["cpu_holding_s"] / arguments.hold * 100
    body = []
    for name, title, x, y, lines, form in (
        (
            "streams",
            "One event per send",
            "streams",
            "CPU us a delivery",
            {label: series(folder, "streams", label, delivery) for label in ("floor", "ringcast")},
            "{:.2f}",
        ),
        (
            "channels",
            "Publishing to many channels (NDJSON, 1,000 lines a request)",
            "channels",
            "CPU us a publish",
            {"ringcast": series(folder, "channels", "ringcast", publish)},
            "{:.2f}",
        ),
        (
            "idle",
            "Holding idle streams, heartbeats each 30 s",
            "streams",
            "% of a core",
            {"ringcast": series(folder, "idle", "ringcast", held)},
            "{:.2f}",
        ),
        (
            "workers",
            "10,000 streams, one event per send, workers and load on the same two cores",
            "workers",
            "CPU us a delivery",
            {"ringcast": series(folder, "workers", "ringcast", delivery)},
            "{:.2f}",
        ),
    ):
        picture = plot(out, name, title, x, y, lines, log=name != "workers")
        body += [f"## {title}", "", f"{y}:", "", *table(x, lines, form), "", picture, ""]
    body += [
        "The floor holds its streams by plain descriptors: above RLIMIT_NOFILE it has no figure.",
    ]
    arguments.out = f"{out}.md"
    figures.publish(arguments, "How cost grows", body)


if __name__ == "__main__":
    main()
