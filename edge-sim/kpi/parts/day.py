"""A day of load in minutes: memory that follows it, by scaleupd."""
import json
import os
import threading
import time

from .. import work
from ..plan import MB
from ..result import axis, series
from ..servers import Kvstore, Scaleupd, fill, lookups
from ..work import Failed

TITLE = "A day of load: memory that follows it"
METHOD = (
    "kvstore asks scaleupd for memory, with a goal: no more reads a second than a modest device serves well. Look-ups by Zipf's law (0.9) "
    "over values of 16 KiB follow the shape of a day, low at night, high in the morning, low again past noon, highest in the evening; an "
    "hour takes seconds. Latency counts from when a look-up was due."
)
SHAPE = ((0, 0.1), (5, 0.1), (7, 0.5), (8, 0.9), (10, 0.8), (12, 0.2), (15, 0.15), (17, 0.8), (19, 1.0), (20, 0.6), (21, 0.1), (24, 0.1))
VALUE, READS, PEAK = 16384, 400, 4000


def seconds(s):
    return 6 + length(s) + warm_up(s) + keys_of(s) / 8000


def length(s):
    return max(s.seconds(480, 15), 4)


def warm_up(s):
    return max(s.seconds(30, 4), 1)


def keys_of(s):
    return s.pick(48_000, 12_000) if s.scale >= 0.5 else 4000


def measure(w, r):
    s, keys = w.settings, keys_of(w.settings)
    least = s.pick(192, 96) * MB
    most = (least + keys * (VALUE + 128)) // (2 * MB) * 2 * MB
    w.step(f"storing {keys:,} values of 16 KiB")
    first = Kvstore(w, "--memory", "64mb", "--segment-bytes", "8mb")
    fill(w, first.server, keys, "--value-bytes", VALUE)
    first.stop()
    group, why = w.group(least, "day")
    if group is None:
        r.leave_out("the memory group", f"{why}; scaleupd's simulated back-end grants in its place, and the limit shown is the grant")
    day(w, r, keys, least, most, group, first.store)


def day(w, r, keys, least, most, group, store):
    s = w.settings
    backend = f"backend=cgroup path={group.path}" if group is not None else "backend=simulated delay=200ms"
    vnf = f"kv1 {backend} min={least} max={most} allow=uid:{os.getuid()}"
    scaleupd = Scaleupd(w, "--book", w.path("book"), "--pool", 2 * most, "--lease", "10s", "--vnf", vnf)
    # a store that was just opened takes every key's first look-up for a reason to want memory: until it knows better there is no more than the least
    work.write(w.path("kv.ini"), f"memory-max = {least}\n")
    options = ["--config", w.path("kv.ini"), "--segment-bytes", "8mb", "--scaleup", f"unix:{scaleupd.socket}", "--vnf", "kv1"]
    options += ["--memory", "48mb", "--memory-min", least, "--device-reads", READS, "--hit-goal", 20]
    server = Kvstore(w, *options, "--return-after", f"{max(int(length(s) / 24), 1)}s", store=store, group=group)
    load = ["--value-bytes", VALUE, "--workload", "zipf:0.9", "--connections", 32, "--pipeline", 4]
    w.step("the load is learned")
    lookups(w, server.server, keys, *load, "--stream", 1, "--rate", int(PEAK * SHAPE[0][1]), "--duration", f"{int(1000 * warm_up(s))}ms")
    work.write(w.path("kv.ini"), f"memory-max = {most}\n")
    server.process.send_signal(work.signal.SIGHUP)
    work.wait_for("the new maximum", lambda: " reloaded " in work.read(server.log), server.process)
    w.step(f"a day in {length(s):.0f} s")
    sampler = Sampler(server, group, length(s) / 240)
    sampler.start()
    times = ["--duration", f"{int(1000 * length(s))}ms", "--interval", f"{max(int(1000 * length(s) / 240), 20)}ms"]
    result, command = lookups(w, server.server, keys, *load, "--schedule", schedule(length(s)), *times)
    sampler.end()
    status = json.loads(server.admin_text("/status"))
    server.stop()
    scaleupd.stop()
    report(r, s, result, command, sampler.rows, status["memory"]["counts"])


def schedule(total):
    """Straight lines between the hours."""
    points = [f"{int(1000 * total * hour / 24)}ms{'~' if i else '='}{int(PEAK * share)}" for i, (hour, share) in enumerate(SHAPE)]
    return ",".join(points)


class Sampler:
    """What the server says of itself and the kernel of its group, now and then."""

    def __init__(self, server, group, interval):
        self.server, self.group, self.interval, self.rows, self.stop = server, group, max(interval, 0.05), [], threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    def start(self):
        self.thread.start()

    def end(self):
        self.stop.set()
        self.thread.join()
        if len(self.rows) < 3:
            raise Failed("the server's state could not be had while it was loaded")

    def loop(self):
        while not self.stop.wait(self.interval):
            try:
                self.rows.append(self.sample())
            except (OSError, ValueError, KeyError, StopIteration):
                continue  # a busy moment: the next one will do

    def sample(self):
        s = json.loads(self.server.admin_text("/status"))
        o = s["memory"]["orchestrator"]
        limit = self.group.limit() if self.group is not None else o["granted_bytes"] if o else s["memory"]["ceiling_bytes"]
        row = {"t": time.time(), "limit": limit, "resident": self.server.resident(), "target": s["memory"]["target_bytes"]}
        return {**row, "hits": s["store"]["hits"], "misses": s["store"]["misses"]}


def changes(rows, total):
    """Rescales: (begin, from, to), steps of one direction that follow each other closely as one."""
    out = []
    for a, b in zip(rows, rows[1:]):
        if a["limit"] == b["limit"]:
            continue
        up = b["limit"] > a["limit"]
        if out and b["t"] - out[-1][3] < total / 48 and (out[-1][2] > out[-1][1]) == up:
            out[-1][2:] = [b["limit"], b["t"]]
        else:
            out.append([b["t"], a["limit"], b["limit"], b["t"]])
    return [(t, a, b) for t, a, b, _ in out]


def report(r, s, result, command, rows, counts):
    total, begin = length(s), result["started_unix_ms"] / 1000
    hour = lambda t: 24 * (t - begin) / total
    rows = [x for x in rows if 0 <= hour(x["t"]) <= 24.5]
    events = changes(rows, total)
    hits = [(hour(b["t"]), 100 * (b["hits"] - a["hits"]) / (b["hits"] - a["hits"] + b["misses"] - a["misses"])) for a, b in zip(rows, rows[1:])
            if b["hits"] + b["misses"] > a["hits"] + a["misses"]]  # fmt: skip
    of = lambda name, scale=1: [(24 * x["t"] / total, x[name] / scale) for x in result["series"] if x["right"] > 0 or name in ("wanted", "rate")]
    mb = lambda name: [(hour(x["t"]), x[name] / MB) for x in rows if x[name]]
    r.plot("day", f"A day in {total:.0f} s", axis("hour of the day", low=0, high=24, step=3), [
        {"y": axis("requests/s", low=0), "series": [series("wanted", of("wanted")), series("answered", of("rate"))]},
        {"y": axis("MB", low=0), "series": [
            series("limit", mb("limit")), series("wanted by the policy", mb("target")), series("resident", mb("resident"))]},
        {"y": axis("hits, %", low=0, high=100), "series": [series("hit ratio", hits)]},
        {"y": axis("ms", log=True), "series": [
            series("p50", of("p50_us", 1000)), series("p99", of("p99_us", 1000)), series("p100", of("max_us", 1000))]},
    ], marks=[(hour(t), f"{(b - a) / MB:+,.0f}") for t, a, b in events], commands=[command])  # fmt: skip
    add = r.table("events", "Rescales", ["hour", "from MB", "to MB"], "Steps of one direction that follow each other closely are one row.")
    for t, a, b in events:
        add(hour(t), a / MB, b / MB, command=command)
    totals(r, result, command, rows, counts, events)


def totals(r, result, command, rows, counts, events):
    bad = sum(result[k] for k in ("missing", "wrong", "errors", "lost", "unanswered"))
    hits, misses = (rows[-1][k] - rows[0][k] for k in ("hits", "misses"))
    r.figure("failed", "Look-ups of the day that failed", "", "lower", [bad], command)
    r.figure("within_goal", "Look-ups of the day within 5 ms", "%", "higher", [result["within_goal_percent"]], command)
    r.figure("p99", "Look-ups of the day: p99", "ms", "lower", [result["latency_us"]["p99"] / 1000], command)
    r.figure("max", "Look-ups of the day: slowest", "ms", "lower", [result["latency_us"]["max"] / 1000], command)
    r.figure("hits", "Hit ratio over the day", "%", "higher", [100 * hits / max(hits + misses, 1)], command)
    r.figure("mean_limit", "Memory limit over the day, mean", "MB", "lower", [sum(x["limit"] for x in rows) / len(rows) / MB], command)
    r.figure("largest_limit", "Memory limit, largest", "MB", "none", [max(x["limit"] for x in rows) / MB], command)
    ended = sum(counts[k] for k in ("done", "partial", "denied", "infeasible", "error", "no_answer"))
    r.figure("rescales", "Rescales that ended", "", "none", [ended], command)
    if not events:
        r.note("The limit did not move: the day was too short, or the least memory was enough for its load.")
