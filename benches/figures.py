"""Figures of the load tool's JSON reports, as lines and as result files."""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess

BUSY = 0.03
"""Share of its processor time the floor may have waited for a core before a run counts as noisy."""

SPREAD = 0.05
"""What the floor's own figures may differ by, as a share of their median."""


def read(path):
    return json.loads(pathlib.Path(path).read_text())


def line(report):
    """One run in one line."""
    server, found = report["server"] or {}, report["deliveries"]
    parts = [f"{report['connections']['opened']} streams"]
    if report["scenario"] == "idle":
        if server["bytes_per_connection"] is not None:
            parts.append(f"{server['bytes_per_connection']:.0f} B a stream")
            parts.append(f"{server['bytes_per_connection_upper_half']:.0f} B in the upper half")
        parts.append(f"{server['cpu_holding_s']:.2f} s of CPU while held")
    else:
        latency = found["latency"] or {"p50_us": 0, "p99_us": 0}
        cpu = server.get("cpu_us_per_delivery")
        parts.append("no delivery" if cpu is None else f"{cpu:.3f} us a delivery")
        parts.append(f"{report['publishes']['per_second']:.0f} publishes/s")
        parts.append(f"p50 {latency['p50_us'] / 1000:.1f} ms, p99 {latency['p99_us'] / 1000:.1f} ms")
        parts.append(f"waited {waited(report):.0%}")
        parts.append(f"client {report['client']['busiest_thread_percent']:.0f} %")
    parts.append(f"lost {found['lost']} of {found['expected']}")
    return ", ".join(parts)


def waited(report):
    server = report["server"]
    return server["waited_delivering_s"] / max(server["cpu_delivering_s"], 1e-9)


def git(*arguments):
    folder = pathlib.Path(__file__).parent
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True)
    return done.stdout.strip()


def machine():
    """What a reader must know of the place."""
    info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((text.split(":", 1)[1].strip() for text in info if "model name" in text), "?")
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    elsewhere = (":(top)", ":(top,exclude)benches/results")
    changes = git("status", "--porcelain", "--untracked-files=no", "--", *elsewhere)
    commit = git("rev-parse", "--short", "HEAD") + (" with changes" if changes else "")
    return [
        f"- commit {commit}",
        f"- kernel {platform.release()}, {os.cpu_count()} cores, {model},"
        f" {pages * size / 2**30:.0f} GiB",
    ]


def publish(arguments, title, body):
    head = [f"# {title}", "", *machine(), f"- `{arguments.command}`"]
    head.append(f"- load average before: {arguments.load_before}")
    text = "\n".join([*head, "", *body]) + "\n"
    pathlib.Path(arguments.out).write_text(text)
    print("\n".join(body))


def fanout(arguments):
    folder = pathlib.Path(arguments.folder)
    pairs = len(list(folder.glob("floor-*.json")))
    rows, ratios, floors, noisy = [], [], [], False
    for pair in range(1, pairs + 1):
        floor, ringcast = (read(folder / f"{name}-{pair}.json") for name in ("floor", "ringcast"))
        cpu = [report["server"]["cpu_us_per_delivery"] for report in (floor, ringcast)]
        ratios.append(cpu[1] / cpu[0])
        floors.append(cpu[0])
        p50, p99 = (
            [report["deliveries"]["latency"][key] / 1000 for report in (floor, ringcast)]
            for key in ("p50_us", "p99_us")
        )
        waits = [waited(report) for report in (floor, ringcast)]
        noisy = noisy or waits[0] > BUSY
        lost = [report["deliveries"]["lost"] for report in (floor, ringcast)]
        rows.append(
            f"| {pair} | {cpu[0]:.3f} | {cpu[1]:.3f} | {ratios[-1]:.3f} "
            f"| {p50[0]:.1f} / {p99[0]:.1f} | {p50[1]:.1f} / {p99[1]:.1f} "
            f"| {waits[0]:.1%} | {waits[1]:.1%} | {lost[0]} | {lost[1]} |"
        )
    median = statistics.median(ratios)
    spread = (max(floors) - min(floors)) / statistics.median(floors)
    remark = "quiet"
    if noisy or spread > SPREAD:
        remark = f"noisy: other work ran beside it (the floor's own figures differ by {spread:.0%})"
    body = [
        f"Processor time per delivery, ringcast to floor: **{median:.3f}** "
        f"(median of {pairs} pairs, {min(ratios):.3f} to {max(ratios):.3f}); {remark}.",
        "",
        "| pair | floor us | ringcast us | ratio | floor p50 / p99 ms | ringcast p50 / p99 ms "
        "| floor waited | ringcast waited | lost | lost |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "\"Waited\" is the time the server was ready but had no core, as a share of its processor "
        "time.",
    ]
    publish(arguments, arguments.title, body)


def gzip(arguments):
    """gzip streams beside plain ones, in pairs."""
    folder = pathlib.Path(arguments.folder)
    pairs = len(list(folder.glob("cpu-plain-*.json")))
    rows, ratios, cpus, slopes, noisy = [], [], ([], []), ([], []), False
    for pair in range(1, pairs + 1):
        both = [read(folder / f"cpu-{name}-{pair}.json") for name in ("plain", "gzip")]
        held = [read(folder / f"held-{name}-{pair}.json") for name in ("plain", "gzip")]
        cpu = [report["server"]["cpu_us_per_delivery"] for report in both]
        slope = [report["server"]["bytes_per_connection_upper_half"] for report in held]
        ratios.append(cpu[1] / cpu[0])
        for kept, values in ((cpus, cpu), (slopes, slope)):
            kept[0].append(values[0])
            kept[1].append(values[1])
        waits = [waited(report) for report in both]
        noisy = noisy or waits[0] > BUSY
        lost = sum(report["deliveries"]["lost"] for report in both + held)
        wrong = sum(report["deliveries"]["corrupt"] for report in both + held)
        limits = [report["client"]["busiest_thread_percent"] for report in both]
        rows.append(
            f"| {pair} | {cpu[0]:.3f} | {cpu[1]:.3f} | {ratios[-1]:.3f} "
            f"| {slope[0]:.0f} | {slope[1]:.0f} | {waits[0]:.1%} / {waits[1]:.1%} "
            f"| {limits[0]:.0f} % / {limits[1]:.0f} % | {lost} | {wrong} |"
        )
    median = statistics.median(ratios)
    spread = (max(cpus[0]) - min(cpus[0])) / statistics.median(cpus[0])
    remark = f"quiet (the plain figures differ by {spread:.0%})"
    if noisy or spread > SPREAD:
        remark = f"noisy: other work ran beside it (the plain figures differ by {spread:.0%})"
    plain, packed = (statistics.median(values) for values in slopes)
    between = max(map(max, slopes)) - min(map(min, slopes))
    found = both[1]["deliveries"]
    streams, kept = both[1]["connections"]["opened"], held[1]["connections"]["opened"]
    body = [
        f"Processor time per delivery, gzip to plain, {streams:,} streams: **{median:.3f}** "
        f"(median of {pairs} pairs, {min(ratios):.3f} to {max(ratios):.3f}; target <= 1.1: "
        f"{'kept' if median <= 1.1 else 'missed'}); {remark}.",
        "",
        f"Resident memory per stream, from half of {kept:,} to all: **{packed:.0f} B** with gzip, "
        f"**{plain:.0f} B** plain (medians; {between:.0f} B between the least and the most of "
        f"all {2 * pairs} runs).",
        "",
        f"Bytes of one event on the wire: {found['gzip_bytes'] / found['received']:.0f} for "
        f"{found['text_bytes'] / found['received']:.0f} of text, what opens a stream included.",
        "",
        "| pair | plain us | gzip us | ratio | plain B a stream | gzip B a stream "
        "| waited | load tool's thread | lost | corrupt |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "\"Waited\" is the time the server was ready but had no core, as a share of its processor "
        "time. Every event of every stream was unpacked and checked (docs/bench.md).",
    ]
    publish(arguments, "gzip beside plain", body)


def idle(arguments):
    kinds = (("idle", "anonymous, one channel"), ("own", "token, user, tenant, three channels"))
    reports = []
    for name, kind in kinds:
        of = [read(path) for path in pathlib.Path(arguments.folder).glob(f"{name}-*.json")]
        of.sort(key=lambda report: report["connections"]["opened"])
        reports += [(kind, report) for report in of]
    rows = []
    for kind, report in reports:
        server, found = report["server"], report["deliveries"]
        rows.append(
            f"| {kind} "
            f"| {report['connections']['opened']} of {report['connections']['wanted']} "
            f"| {report['client']['rings']} "
            f"| {server['rss_before_bytes'] / 2**20:.1f} | {server['rss_full_bytes'] / 2**20:.1f} "
            f"| {server['bytes_per_connection']:.0f} "
            f"| **{server['bytes_per_connection_upper_half']:.0f}** "
            f"| {server['cpu_holding_s']:.2f} | {report['connections']['per_second']:.0f} "
            f"| {found['received']} of {found['expected']} |"
        )
    body = [
        "Streams of one worker. Those with a token stand in the table that caps the streams of a "
        "user.",
        "",
        "| of | streams | rings of the load | MiB before | MiB with all | B a stream "
        "| B a stream, upper half | CPU s while held | opened/s | read the event at the end |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    publish(arguments, "Idle streams", body)


def million(arguments):
    (path,) = pathlib.Path(arguments.folder).glob("idle-*.json")
    report = read(path)
    server, found, opened = report["server"], report["deliveries"], report["connections"]
    again = report["reconnects"]
    count = opened["opened"]
    held = server["cpu_holding_s"] / arguments.hold
    body = [
        "One server process, one worker on one core; the load tool on the other.",
        "",
        "| what | figure |",
        "| --- | --- |",
        f"| streams | {count:,} of {opened['wanted']:,} |",
        f"| opened | {opened['seconds']:.0f} s, {opened['per_second']:,.0f} a second |",
        f"| resident memory of the server | {server['rss_full_bytes'] / 2**20:.0f} MiB |",
        f"| of that, a stream | **{server['bytes_per_connection']:.0f} B**; "
        f"{server['bytes_per_connection_upper_half']:.0f} B from half to all |",
        f"| kernel memory (slab) of the whole machine, a stream | {arguments.slab_bytes / count:,.0f}"
        " B: both ends of each connection |",
        f"| memory of the whole machine, a stream | {arguments.machine_bytes / count:,.0f} B: "
        "both ends, server and load tool |",
        f"| held for {arguments.hold:.0f} s without an event | {held:.1%} of a core, heartbeats "
        f"included: {held / count * 1e6:.3f} us a stream and second |",
        f"| events to all, before and after the reconnects | {found['received']:,} of "
        f"{found['expected']:,} read, {found['duplicates']} twice, {found['lost']} lost |",
        f"| until the last had it | {found['latency']['max_us'] / 1e6:.1f} s, "
        f"{server['cpu_us_per_delivery']:.2f} us of processor time each |",
        f"| reconnected with their ids | {again['streams']:,}, each had missed "
        f"{again['missed_each']}; {again['seconds']:.1f} s with the event to all |",
    ]
    publish(arguments, f"{count:,} streams", body)


def reports(folder, kind, name):
    """Of all rounds, those that could look at the server."""
    found = [read(path) for path in sorted(folder.glob(f"{kind}_{name}_*.json"))]
    return [report for report in found if report["server"]]


def middle(found, figure):
    """The median of a figure; none without rounds."""
    values = [value for value in map(figure, found) if value is not None]
    return statistics.median(values) if values else None


def shown(value, form, base=None):
    """A figure, with its ratio to the floor's."""
    if value is None:
        return "-"
    return form.format(value) + (f" ({value / base:.2f})" if base else "")


def cpu_of(report):
    return report["server"]["cpu_us_per_delivery"]


def p99_of(report):
    return report["deliveries"]["latency"]["p99_us"] / 1000


def lost_of(found):
    lost = sum(report["deliveries"]["lost"] for report in found)
    due = sum(report["deliveries"]["expected"] for report in found)
    return f"{lost / max(due, 1):.2%}" if found else "-"


def limited(found):
    if not found:
        return "-"
    return "yes" if any(report["client"]["was_the_limit"] for report in found) else "no"


def compare(arguments):
    folder = pathlib.Path(arguments.folder)
    names = arguments.names.split()
    body = []
    for kind, title in (
        ("single", "One event per send: the next when all have read the one before"),
        ("burst", "Burst: 32 publishers, as fast as they are answered"),
        ("channels", "1,000 channels of 10 streams, 2,000 events a second"),
    ):
        base = middle(reports(folder, kind, "floor"), cpu_of)
        body += [
            f"## {title}",
            "",
            "| server | CPU us a delivery (to the floor) | deliveries/s | p99 ms | lost "
            "| load tool was the limit |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for name in names:
            found = reports(folder, kind, name)
            rate = middle(found, lambda report: report["deliveries"]["per_second"])
            body.append(
                f"| {name} | {shown(middle(found, cpu_of), '{:.3f}', base)} "
                f"| {shown(rate, '{:,.0f}')} | {shown(middle(found, p99_of), '{:.1f}')} "
                f"| {lost_of(found)} | {limited(found)} |"
            )
        body.append("")
    body += [
        "## 8 publishers, one stream; what a stream costs",
        "",
        "Connects and bytes are those of the first run on a fresh server.",
        "",
        "| server | publishes/s (to the floor) | CPU us a publish | load tool was the limit "
        "| connects/s | CPU us a connect | user bytes a stream |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rate = lambda report: report["publishes"]["per_second"]
    base = middle(reports(folder, "publish", "floor"), rate)
    for name in names:
        found, fresh = reports(folder, "publish", name), reports(folder, "warm", name)
        cpu = middle(found, lambda report: report["server"]["cpu_us_per_publish"])
        connects = middle(fresh, lambda report: report["connections"]["per_second"])
        connect_cpu = middle(fresh, lambda report: report["server"]["cpu_us_per_connect"])
        size = middle(fresh, lambda report: report["server"]["bytes_per_connection"])
        body.append(
            f"| {name} | {shown(middle(found, rate), '{:,.0f}', base)} | {shown(cpu, '{:.2f}')} "
            f"| {limited(found)} | {shown(connects, '{:,.0f}')} | {shown(connect_cpu, '{:.1f}')} "
            f"| {shown(size, '{:,.0f}')} |"
        )
    publish(arguments, "ringcast beside its peers", body)


def proof(arguments):
    folder = pathlib.Path(arguments.folder)
    of = lambda kind, name, figure: middle(reports(folder, kind, name), figure)
    rows = []

    def row(what, found, target, kept):
        rows.append(f"| {what} | {found} | {target} | {'yes' if kept else 'no'} |")

    rate = lambda report: report["connections"]["per_second"]
    floor, ours = of("connect", "floor", rate), of("connect", "ringcast", rate)
    row(
        "connects/s, each with a token of its own, to the floor's without",
        f"{ours:,.0f} to {floor:,.0f}: **{ours / floor:.2f}**",
        ">= 0.8",
        ours / floor >= 0.8,
    )
    floor, ours = of("channels", "floor", cpu_of), of("channels", "ringcast", cpu_of)
    pairs = zip(reports(folder, "channels", "ringcast"), reports(folder, "channels", "floor"))
    ratios = sorted(cpu_of(ours) / cpu_of(floor) for ours, floor in pairs)
    ratio = statistics.median(ratios)
    row(
        "1,000 channels x 10, 2,000 publishes/s: CPU a delivery to the floor's, in pairs",
        f"{ours:.2f} to {floor:.2f} us: **{ratio:.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f} in "
        f"{len(ratios)} pairs); p99 {of('channels', 'ringcast', p99_of):.2f} to "
        f"{of('channels', 'floor', p99_of):.2f} ms",
        "<= 1.10",
        ratio <= 1.10,
    )
    single = of(
        "mixed",
        "ringcast",
        lambda report: report["deliveries"]["single_latency"]["p99_us"] / 1000,
    )
    row(
        "one-to-one p99 while 10,000 streams get a broadcast each 100 ms",
        f"**{single:.2f} ms**",
        "<= 3 ms",
        single <= 3,
    )
    for percent in (1, 10):
        ratio = of(f"stall{percent}", "ringcast", lambda report: report["stall"]["ratio"])
        row(
            f"deliveries/s to the others while {percent} % do not read, to before",
            f"**{ratio:.2f}**",
            ">= 0.95",
            ratio >= 0.95,
        )
    ratio = of("storm", "ringcast", lambda report: report["reconnects"]["ratio"])
    seconds = of("storm", "ringcast", lambda report: report["reconnects"]["seconds"])
    lost = sum(report["deliveries"]["lost"] for report in reports(folder, "storm", "ringcast"))
    row(
        f"{arguments.streams:,} reconnect at once, 100 events missed each, to the same with none",
        f"{seconds:.2f} s: **{ratio:.2f}**, {lost} lost",
        "<= 3, exact",
        ratio <= 3 and lost == 0,
    )
    rate = of("ndjson", "ringcast", lambda report: report["publishes"]["per_second"])
    row("NDJSON events/s on one core, 128 B", f"**{rate:,.0f}**", ">= 1,000,000", rate >= 1e6)
    (identity,) = reports(folder, "identity", "ringcast")
    size = identity["server"]["bytes_per_connection"]
    row(
        f"user bytes a stream with token, user, tenant and three shared channels, at "
        f"{identity['connections']['opened']:,}",
        f"**{size:.0f}** ({identity['server']['bytes_per_connection_upper_half']:.0f} from half "
        "to all)",
        "<= 384",
        size <= 384,
    )
    kernel = {}
    for label in ("bare", "watched", "lean"):
        values = [int(text) for text in (folder / f"kernel_{label}").read_text().split()]
        kernel[label] = statistics.median(values) / arguments.streams
    watched, lean = kernel["watched"] - kernel["bare"], kernel["lean"] - kernel["bare"]
    row(
        "kernel bytes a stream above the bare socket",
        f"**{watched:.0f}**; lean {lean:.0f}",
        "<= 300; 0",
        watched <= 300 and lean <= 16,
    )
    floors = [cpu_of(report) for report in reports(folder, "channels", "floor")]
    spread = (max(floors) - min(floors)) / statistics.median(floors)
    body = [
        f"Medians of {len(reports(folder, 'mixed', 'ringcast'))} rounds; with many channels the "
        f"floor's own processor time differs by {spread:.0%} between its {len(floors)} runs.",
        "",
        "| what | found | target | kept |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    publish(arguments, "Promises beside the floor", body)


def criterion(arguments):
    """Medians of what `cargo bench` has left behind."""
    rows = []
    for path in sorted(pathlib.Path(arguments.folder).glob("**/new/estimates.json")):
        about = json.loads((path.parent / "benchmark.json").read_text())
        median = json.loads(path.read_text())["median"]
        around = median["confidence_interval"]
        each = about["throughput"]
        unit, count = next(iter(each.items())) if each else (None, 1)
        rate = f"{count / median['point_estimate'] * 1e9:,.0f} {unit.lower()}/s" if unit else "-"
        rows.append(
            f"| {about['full_id']} | {median['point_estimate']:,.1f} "
            f"| {around['lower_bound']:,.1f} to {around['upper_bound']:,.1f} | {rate} |"
        )
    body = ["| bench | median ns | 95 % | rate |", "| --- | --- | --- | --- |", *rows]
    publish(arguments, "Small parts alone", body)


def wrk(arguments):
    """Medians of the lines that wrk.sh has kept: what|connections|server|rate|processor share."""
    found = {}
    for line in (pathlib.Path(arguments.folder) / "lines").read_text().splitlines():
        what, count, name, rate, share = line.split("|")
        found.setdefault((what, int(count), name), []).append((float(rate), int(share)))
    rows = []
    for (what, count, name), rounds in sorted(found.items()):
        rate = statistics.median(rate for rate, _ in rounds)
        least, most = min(rounds)[0], max(rounds)[0]
        share = statistics.median(share for _, share in rounds)
        rows.append(
            f"| {what} | {count} | {name} | {rate:,.0f} | {least:,.0f} to {most:,.0f} | {share:.0f} % |"
        )
    head = [
        "| what | connections | server | requests/s | from, to | server's core |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    publish(arguments, "wrk against publish and health", head + rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("line")
    one.add_argument("path")
    one.set_defaults(run=lambda arguments: print(line(read(arguments.path))))
    for run in (compare, million, fanout, gzip, idle, proof, criterion, wrk):
        name = run.__name__
        command = commands.add_parser(name)
        for flag in ("--folder", "--command", "--load-before", "--out"):
            command.add_argument(flag, required=True)
        if run is million:
            command.add_argument("--machine-bytes", type=int, required=True)
            command.add_argument("--slab-bytes", type=int, required=True)
            command.add_argument("--hold", type=float, required=True)
        if run is proof:
            command.add_argument("--streams", type=int, required=True)
        if run is compare:
            command.add_argument("--names", required=True)
        if run is fanout:
            command.add_argument("--title", default="Fan-out beside the floor")
        command.set_defaults(run=run)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
