"""The parts of tests/bench/redis/run, one function a group of figures: each takes a Bench and returns a Part."""
import os

from measure import GB, MB, MemoryGroup, Part, median, note, ratio
from servers import CONNECTIONS, VALUE

MILLION = 1_000_000
DEEP = 16
PASSES = 40  # over all keys, at most, until they are in memory
RATE = 30_000
SIZES = (250_000, 330_000, 500_000, 750_000, MILLION)  # of the seed's Tables 1 to 4
READ = 2 * VALUE  # what the store has to read for a value without the page cache: the blocks of 4 KiB that its record lies in
GROUP, TIER = 1.7 * GB, 1.5 * GB


def fill(server, keys):
    """Sets each key once, then reads them all: that shows that they are there. Ours is read until memory answers nearly all, so that it is all in memory indeed;
    how often that took."""
    note(f"  {server.name}: {keys:,} keys")
    if server.light("--operation", "load", "--pipeline", DEEP, keys=keys) is None:
        raise OSError(f"{server.name}: loading failed")
    for passes in range(1, PASSES + 1):
        before = server.gets()
        if server.light("--workload", "sequential", "--operations", keys, "--pipeline", DEEP, "--verify", keys=keys) is None:
            raise OSError(f"{server.name}: not all that was set can be got")
        hits, misses = (now - then for now, then in zip(server.gets(), before))
        if misses <= (hits + misses) / 1000:
            break
    note(f"  {server.name}: read {passes} times")
    return passes


def by_light_client(server, operation, depth, keys):
    b = server.bench
    r = server.light("--operation", operation, "--pipeline", depth, "--warm-up", b.seconds(1, 0.2), "--duration", b.seconds(8, 1), keys=keys)
    return r and {"rate": r["rate"], **{q: r["latency_us"]["all"][q] for q in ("p50", "p99", "p99_9", "max")}}


def by_redis_benchmark(server, operation, depth, keys, requests):
    return server.benchmark(operation, requests // 20 if server.bench.quick else requests, keys, depth)


def in_turn(b, part, ours, redis, clients):
    """Each client asks ours, then Redis, in every run. Medians of the runs' ratios: {client: (rate, p99)}."""
    got = {}
    for run in range(b.runs):
        for name, ask in clients.items():
            note(f"  run {run + 1} of {b.runs}, {name}")
            os.sync()  # what one has written is not the other's to wait for
            mine = ask(ours)
            os.sync()
            got.setdefault(name, []).append((mine, ask(redis)))
    part.row("client", "ours/s", "Redis/s", "ratio", "p50 us", "Redis", "p99 us", "Redis", "ratio")
    ratios = {}
    for name, pairs in got.items():
        over = lambda q: median([ratio(a[q], r[q]) for a, r in pairs if a and r])
        side = lambda i, q: median([p[i] and p[i][q] for p in pairs])
        ratios[name] = over("rate"), over("p99")
        part.row(name, side(0, "rate"), side(1, "rate"), over("rate"), side(0, "p50"), side(1, "p50"), side(0, "p99"), side(1, "p99"), over("p99"))
        part.figures[name] = {"ours": [a for a, _ in pairs], "redis": [r for _, r in pairs], "rate_ratio": over("rate"), "p99_ratio": over("p99")}
    return ratios


def memory(b):
    """[a] GET, all in memory."""
    part = Part(f"[a] GET, 1 M x 4 KiB all in memory, 50 connections, {'Unix socket' if b.unix else 'loopback TCP'}")
    keys = b.keys(MILLION)
    tool, deep_tool, light, deep_light = "redis-benchmark", f"redis-benchmark -P {DEEP}", "light client", f"light client, {DEEP} deep"
    clients = {tool: lambda s: by_redis_benchmark(s, "get", 1, keys, 600_000), light: lambda s: by_light_client(s, "get", 1, keys),
               deep_tool: lambda s: by_redis_benchmark(s, "get", DEEP, keys, 2_400_000), deep_light: lambda s: by_light_client(s, "get", DEEP, keys)}
    note("memory")
    with b.ours("--memory", 8 * GB) as ours, b.redis() as redis:
        part.figures["passes"] = {s.name: fill(s, keys) for s in (ours, redis)}
        sizes = [s.resident() / keys for s in (ours, redis)]
        before = ours.gets()
        ratios = in_turn(b, part, ours, redis, clients)
        hits, misses = (now - then for now, then in zip(ours.gets(), before))
    part.row("resident bytes a key", *sizes, ratio(*sizes))
    part.figures["resident_bytes_a_key"] = {"ours": sizes[0], "redis": sizes[1]}
    part.figures["gets"] = {"memory": hits, "disk": misses}
    for name, asked in ((tool, 1.0), (light, 1.2), (deep_tool, 1.6)):
        part.check(f"{name}: requests/s over Redis's", ratios[name][0], ">=", asked)
    for name, (_, p99) in ratios.items():
        part.check(f"{name}: p99 over Redis's", p99, "<=", 1.0)
    part.check("resident bytes a key over Redis's", ratio(*sizes), "<=", 0.85)
    part.check("gets of ours that memory answered", ratio(hits, hits + misses), ">=", 0.999)
    return part


def sets(b):
    """[b] SET, what is written synced once a second."""
    part = Part("[b] SET of 4 KiB, 1 M keys at random, 50 connections: fsync=interval, Redis with appendfsync everysec")
    keys = b.keys(MILLION)
    clients = {"redis-benchmark": lambda s: by_redis_benchmark(s, "set", 1, keys, 400_000), "light client": lambda s: by_light_client(s, "set", 1, keys)}
    note("set")
    # a rewrite of Redis's file in the middle would be in some runs and not in others
    append_only = ["--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", 0]
    with b.ours("--memory", 8 * GB, "--fsync", "interval", "--fsync-interval", "1s") as ours, b.redis(*append_only) as redis:
        part.figures["passes"] = {s.name: fill(s, keys) for s in (ours, redis)}
        ratios = in_turn(b, part, ours, redis, clients)
    for name, (rate, _) in ratios.items():
        part.check(f"{name}: requests/s over Redis's", rate, ">=", 1.0)
    return part


def tables(b):
    """[c] The seed's Tables 1 to 4: more and more entries in one memory group."""
    part = Part(f"[c] 4 KiB entries in a memory group of {GROUP / GB:.1f} GB: GET uniform, {RATE:,}/s due for 30 s; then redis-benchmark, unpaced")
    part.row("entries", "server", "loaded", "paced/s", "p50 us", "p99 us", "p99.9 us", "p100 us", "unpaced/s", "p50 us", "p99 us", "p100 us", "resident MB", "")
    # a small group, too, has to hold the program itself
    scale, own = (20, 32 * MB) if b.quick else (1, 0)
    for full in SIZES:
        entries = b.keys(full)
        for name in ("ours", "redis"):
            note(f"tables: {name}, {entries:,} entries")
            with MemoryGroup(GROUP / scale + own) as group:
                server = b.ours("--memory", int(TIER / scale), group=group) if name == "ours" else b.redis(group=group)
                with server:
                    got = table_row(b, part, server, entries)
                    if name == "ours":
                        judge_table(b, part, server, entries, got)
            part.figures[f"{name}_{entries}"] = got
    return part


def table_row(b, part, server, entries):
    """Loads and asks one server. A server that dies is what is measured, too."""
    got = {"entries": entries, "paced": None, "unpaced": None}
    load = server.light("--operation", "load", "--pipeline", DEEP, keys=entries, expect=(0, 1))
    got["loaded"] = load["requests"] if load else 0
    if server.survived(load):
        before = server.gets()
        got["paced"] = server.light("--rate", RATE, "--pipeline", DEEP, "--warm-up", b.seconds(10, 1), "--duration", b.seconds(30, 2), "--verify",
                                    keys=entries, expect=(0, 1))
        if server.survived(got["paced"]):
            got["gets"] = [now - then for now, then in zip(server.gets(), before)]
            before = server.gets()
            got["unpaced"] = by_redis_benchmark(server, "get", 1, entries, 400_000)
            if got["unpaced"] and server.alive():
                got["unpaced_gets"] = [now - then for now, then in zip(server.gets(), before)]
    got["resident"], got["alive"], got["killed"] = server.resident(), server.alive(), server.killed()
    paced, unpaced, us = got["paced"] or {}, got["unpaced"] or {}, (got["paced"] or {"latency_us": {"all": {}}})["latency_us"]["all"]
    end = "" if got["alive"] else "KILLED for want of memory" if got["killed"] else f"ended: {server.process.returncode}"
    part.row(entries, "kvstore" if server.name == "kvstore" else "Redis", got["loaded"], paced.get("rate"), *(us.get(q) for q in ("p50", "p99", "p99_9", "max")),
             *(unpaced.get(q) for q in ("rate", "p50", "p99", "max")), got["resident"] and got["resident"] / 1e6, end)
    return got


def judge_table(b, part, server, entries, got):
    paced, beside, unpaced_beside = got["paced"], None, None
    if server.alive() and got.get("gets", (0, 0))[1] > 0:
        server.halt()
        beside, unpaced_beside = device_alone(b, server, got), device_unpaced(b, server, got)
    wrong = (paced["errors"] if paced else RATE) + entries - got["loaded"]
    part.check(f"{entries:,} entries, ours: lost, missing, wrong or refused", wrong, "<=", 0)
    part.check(f"{entries:,} entries, ours: paced requests/s", paced["rate"] if paced else 0, ">=", 0.999 * RATE)
    part.check(f"{entries:,} entries, ours: unpaced requests/s", got["unpaced"]["rate"] if got["unpaced"] else 0, ">=", RATE, unpaced_beside)
    part.check(f"{entries:,} entries, ours: paced p100 ms", paced["latency_us"]["all"]["max"] / 1000 if paced and paced["requests"] else None, "<=", 10, beside)


def device_alone(b, server, got):
    """What the device by itself does under as many reads a second as ours had to make of it."""
    hits, misses = got["gets"]
    reads = min(max(int(RATE * misses / (hits + misses)), 1), 27_000)
    got["device"] = d = b.device("--files", server.store(), "--bytes", READ, "--depth", 128, "--rate", reads, "--duration", b.seconds(30, 2))
    return d and f"{reads:,} reads/s; the device's own worst under as many {d['latency_us']['max'] / 1000:.2f} ms, p99.9 {d['latency_us']['p99_9'] / 1000:.2f} ms"


def device_unpaced(b, server, got):
    """How many requests/s the device by itself would allow, were all that the clients have under way misses, and hits took no time."""
    hits, misses = got.get("unpaced_gets", (0, 0))
    if misses == 0:
        return None
    got["device_unpaced"] = d = b.device("--files", server.store(), "--bytes", READ, "--depth", CONNECTIONS, "--duration", b.seconds(10, 1))
    limit = d and d["rate"] * (hits + misses) / misses
    return d and f"{100 * misses / (hits + misses):.0f} % misses; the device alone, {CONNECTIONS} under way: {d['rate']:,.0f} reads/s, so {limit:,.0f} requests/s"


PARTS = {"memory": memory, "set": sets, "tables": tables}
