"""The seed's Tables 1 to 4: more and more entries in one memory group, Redis and ours."""
import csv
import io
import signal
import subprocess

from .. import seed, stats
from ..plan import GB, MB
from ..servers import CONNECTIONS, Kvstore, Redis, have_redis
from ..work import Failed

TITLE = "Tables 1 to 4: entries beyond memory, Redis and ours"
METHOD = (
    "A server in a memory group as large as the seed's virtual machine (1.7 GB; ours has --memory 1.5gb, Redis no limit of its own) is "
    "filled with 4 KiB entries, then asked uniformly: an open loop of GETs at a constant rate whose values are compared, then redis-benchmark as it "
    "comes, SET and GET. The clients are outside the group. What a server that dies has acknowledged before is shown as stored."
)
SIZES = (250_000, 500_000, 750_000, 1_000_000)
GROUP, TIER = 1.7 * GB, 1.5 * GB
WORDS = {"redis": "Redis", "ours": "kvstore"}
PACED = ["entries", "server", "stored", "answered/s", "p50 ms", "p99 ms", "slowest ms", "resident MB", "end"]
SIDE = ["entries", "asked", "Redis: /s", "p99 ms", "slowest ms", "kvstore: /s", "p99 ms", "slowest ms", "ratio"]
COMMANDS = ("SET", "GET")


def sizes(s):
    return s.pick(SIZES, (SIZES[0], SIZES[1], SIZES[3]))


def seconds(s):
    return 2 + sum(2 * (0.8 + 2 * s.keys(n) / 60_000 + s.seconds(40, 1.1) + s.pick(20, 0.6)) for n in sizes(s))


def measure(w, r):
    s, missing = w.settings, have_redis()
    w.need("bench_respload")  # it fills with the names that redis-benchmark asks for
    share = s.keys(SIZES[0]) / SIZES[0]
    own = 0 if share >= 1 else 32 * MB  # a small group, too, has to hold the program itself
    limit = int(GROUP * share + own)
    group, why = w.group(limit, "probe")
    if group is not None:
        group.remove()
    else:
        r.leave_out("the memory group", why)
    if missing:
        r.leave_out("Redis; redis-benchmark", missing)
    elif group is None:
        r.leave_out("Redis", "without a memory group it would take what it likes: " + why)
    names = ["ours"] if missing or group is None else ["redis", "ours"]
    size = f"entries of 4 KiB, memory {limit / MB:,.0f} MB"
    side = None if missing else r.table("unpaced", f"Tables 1 to 4: redis-benchmark, {size}", SIDE, "ratio: kvstore's rate over that of Redis. What ended before it was asked has no figures: the next table says how.")
    paced = r.table("paced", f"Filled, then asked at {rate(s):,}/s, {size}", PACED)
    for full in sizes(s):
        entries, got = s.keys(full), {}
        for name in names:
            w.step(f"{WORDS[name]}, {entries:,} entries")
            got[name] = one(w, name, entries, limit if group is not None else None, int(TIER * share), missing)
            paced_row(r, paced, name, full, entries, got[name])
        if side is not None:
            for kind in COMMANDS:
                side_row(r, side, kind, full, entries, got)
    said = r.table("seed", "The seed's own: Redis 4.0rc3 by redis-benchmark, hardware of 2017", ["memory", "Redis"],
                   f"Per number of entries, and for the seed's own store by sockets: {seed.NOT_PUBLISHED}.")  # fmt: skip
    for row in seed.TABLES:
        said(*row)


def rate(s):
    return s.pick(30_000, 10_000)


def one(w, name, entries, limit, tier, missing):
    """What a server did. One that dies is what is measured, too."""
    group, why = w.group(limit, name) if limit else (None, "")
    if limit and group is None:
        raise Failed(why)
    server = Kvstore(w, "--memory", tier, group=group, name=f"tables-{entries}") if name == "ours" else Redis(w, group=group)
    got = ask(w, server, entries, missing)
    got["resident"], status = server.resident(), server.process.poll()
    killed = status == -signal.SIGKILL and (group is None or group.oom_kills() > 0)
    server.stop()
    if group is not None:
        group.remove()
    got["end"] = "" if status is None else "killed for want of memory" if killed else f"ended with status {status}"
    return got


def paced_row(r, add, name, full, entries, got):
    paced, command = got["paced"], got["command"]
    us = (paced or {}).get("latency_us", {}).get("all", {})
    ms = lambda q: us[q] / 1000 if q in us and paced["requests"] else None
    resident = got["resident"] and got["resident"] / MB
    add(entries, WORDS[name], got["stored"], paced and paced["rate"], ms("p50"), ms("p99"), ms("max"), resident, got["end"], command=command)
    if paced and paced["rate"]:
        words = f"{WORDS[name]}, {entries:,} entries: paced"
        r.figure(f"{name}.{full}.paced", words, "1/s", "higher", [paced["rate"]], command)
        r.figure(f"{name}.{full}.paced_p99", f"{words} p99", "ms", "lower", [ms("p99")], command)


def side_row(r, add, kind, full, entries, got):
    """One command of redis-benchmark, Redis and ours beside each other."""
    cells, rates, command = [], {}, None
    for name in ("redis", "ours"):
        free = got[name]["free"].get(kind) if name in got else None
        ended = "ended" if name in got and got[name]["end"] else None
        cells += [free["rate"], free["p99"], free["max"]] if free else [ended, None, None]
        if free:
            command = free["command"]
            rates[name] = free["rate"]
            ident = f"{name}.{full}.unpaced" if kind == "GET" else f"{name}.{full}.unpaced_set"
            r.figure(ident, f"{WORDS[name]}, {entries:,} entries: redis-benchmark {kind}", "1/s", "higher", [free["rate"]], free["command"])
    add(entries, kind, *cells, stats.ratio(rates.get("ours"), rates.get("redis")), command=command)


def ask(w, server, entries, missing):
    """{"stored", "paced", its "command", "free": redis-benchmark's by command}"""
    s = w.settings
    light = [w.need("bench_respload"), "--server", server.server, "--keys", entries, "--value-bytes", "4kb", "--connections", CONNECTIONS]
    load, command = result_of(w, [*light, "--operation", "load", "--pipeline", 16], keep=True)
    got = {"stored": load["requests"] if load else 0, "paced": None, "command": command, "free": {}}
    if not survived(server, load):
        return got
    open_loop = ["--rate", rate(s), "--pipeline", 16, "--warm-up", s.span(10, 0.3), "--duration", s.span(30, 0.8)]
    got["paced"], got["command"] = result_of(w, [*light, *open_loop, "--verify"])
    if missing or not survived(server, got["paced"]):
        return got
    try:  # last, since it stores values of its own
        got["free"] = redis_benchmark(w, server, entries, s.pick(400_000, max(int(10_000 * s.scale), 1000)))
    except Failed:
        if survived(server, None):
            raise
    return got  # when it is the server that ended, its row says so


def result_of(w, argv, keep=False):
    """A run whose server may die: what it has by then, or None."""
    try:
        return w.json(argv, keep, expect=(0, 1))
    except Failed:
        return None, w.command([*argv, "--json", "-"])


def survived(server, result):
    """One that loses its connections may be about to end."""
    if result is None or result["connections_lost"] != 0:
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
    return server.alive()


def redis_benchmark(w, server, keys, requests):
    """What it says of each command."""
    host, port = server.server.rsplit(":", 1)
    argv = ["redis-benchmark", "-h", host, "-p", port, "-c", CONNECTIONS, "-n", requests, "-r", keys, "-t", "set,get", "-d", 4096]
    argv += ["--csv", "--precision", 3]
    out, command = w.run(argv, timeout=1800)
    rows = {row.get("test"): row for row in csv.DictReader(io.StringIO(out))}
    if not all(kind in rows for kind in COMMANDS):
        raise Failed(f"redis-benchmark: {out.strip()[-200:]}")
    ms = lambda kind, name: float(rows[kind][name + "_latency_ms"])
    return {k: {"rate": float(rows[k]["rps"]), "p99": ms(k, "p99"), "max": ms(k, "max"), "command": command} for k in COMMANDS}
