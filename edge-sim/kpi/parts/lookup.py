"""Key look-ups: a tenth of the data in memory, the rest on disk."""
from .. import seed
from ..plan import MB
from ..servers import CONNECTIONS, Kvstore, fill, lookups
from ..work import Failed

TITLE = "Key look-ups with a tenth in memory"
METHOD = (
    "kvstore holds the keys with 4 KiB each; its memory limit is a tenth of the data, and all look-ups are uniform, so that nine of ten "
    "read the disk. Paced: an open loop at a constant rate, every value compared; latency counts from when a look-up was due. Unpaced: a "
    "closed loop with as many under way as connections times pipeline. The device alone is asked for as many reads a second in the same "
    "run: a slowest look-up of 6 ms beside a device whose own slowest read took 6 ms is the device's."
)
PIPELINE = 4


def seconds(s):
    return 6 + s.keys(1_000_000) / 60_000 + s.runs * (3 * s.seconds(20, 1.5) + s.seconds(3, 0.5)) + s.seconds(10, 1)


def measure(w, r):
    s, keys = w.settings, w.settings.keys(1_000_000)
    rate = s.pick(seed.ASKED["lookups_per_second"], 10_000)
    w.step(f"storing {keys:,} keys of 4 KiB")
    server = Kvstore(w, "--memory", "256mb")
    filled = fill(w, server.server, keys)
    server.stop()
    server = Kvstore(w, "--memory", max(keys * 4096 // 10, 8 * MB))
    r.figure("keys", "Keys stored", "", "none", [keys], filled)
    # memory fills with what is read
    lookups(w, server.server, keys, "--workload", "uniform", "--stream", 1, "--rate", rate, "--pipeline", 16, "--duration", s.span(10, 1))
    paced, free = [], []
    for run in range(s.runs):
        w.step(f"run {run + 1} of {s.runs}")
        ask = ["--workload", "uniform", "--verify", "--goal", f"{seed.ASKED['lookup_ms']}ms", "--connections", CONNECTIONS]
        paced.append(lookups(w, server.server, keys, *ask, "--stream", 10 + run, "--rate", rate, "--pipeline", 16, "--duration", s.span(20, 1.5)))
        before = server.gets()
        result, command = lookups(w, server.server, keys, *ask, "--stream", 20 + run, "--pipeline", PIPELINE, "--duration", s.span(20, 1.5))
        hits, misses = (now - then for now, then in zip(server.gets(), before))
        free.append((result, command, 100 * hits / max(hits + misses, 1)))
    server.stop()
    report(r, keys, rate, paced, free)
    device(w, r, server.store, int(0.9 * rate))
    in_memory(w, r)


def report(r, keys, rate, paced, free):
    command, words = paced[0][1], f"paced at {rate:,}/s"
    r.figure("paced_rate_asked", "Paced look-ups asked for", "1/s", "none", [rate], command)
    inside = [x[0]["within_goal_percent"] for x in paced]
    r.figure("within_goal", f"Look-ups {words} within {seed.ASKED['lookup_ms']} ms", "%", "higher", inside, command)
    row = []
    for q in ("p50", "p99", "p99_9", "max"):
        values = [x[0]["latency_us"][q] / 1000 for x in paced]
        row.append(r.figure(f"paced_{q}", f"Look-ups {words}: {q.replace('_', '.')}", "ms", "lower", values, command))
    got = r.figure("paced_rate", f"Look-ups {words}: answered", "1/s", "higher", [x[0]["right_per_second"] for x in paced], command)
    most = r.figure("rate_tenth", "Look-ups unpaced", "1/s", "higher", [x[0]["right_per_second"] for x in free], free[0][1])
    columns = ["look-ups", "answered/s", "p50 ms", "p99 ms", "p99.9 ms", "slowest ms", "from memory %"]
    add = r.table("lookups", f"{keys:,} keys of 4 KiB, a tenth in memory", columns)
    add(words, got, *row, None, command=command)
    of = lambda q: sorted(x[0]["latency_us"][q] for x in free)[len(free) // 2] / 1000
    add(f"unpaced, {CONNECTIONS * PIPELINE} under way", most, of("p50"), of("p99"), of("p99_9"), of("max"), free[0][2], command=free[0][1])


def device(w, r, store, rate):
    if w.program("bench_device") is None:
        r.leave_out("the device beside the store", "bench_device is not built (it needs liburing)")
        return
    w.step("the device alone")
    rate = min(rate, 27_000)
    try:
        read = [w.need("bench_device"), "--files", store, "--bytes", 8192, "--depth", 128]
        d, command = w.json([*read, "--rate", rate, "--duration", w.settings.span(20, 1)])
    except Failed as e:
        r.leave_out("the device beside the store", str(e))
        return
    for q in ("p50", "p99_9", "max"):
        words = f"Device alone, {rate:,} reads/s: {q.replace('_', '.')}"
        r.figure(f"device_{q}", words, "ms", "none", [d["latency_us"][q] / 1000], command)


def in_memory(w, r):
    s, values = w.settings, []
    for run in range(s.runs):
        w.step(f"engine alone, all in memory, run {run + 1} of {s.runs}")
        get = [w.need("kvbench"), "--quiet", "--operation", "get", "--keys", 10_000, "--memory", "1gb", "--touch"]
        result, command = w.json([*get, "--duration", s.span(3, 0.5), "--dir", w.fresh("memory")])
        values.append(result["measured"]["latency_us"]["get"]["p50"])
    r.figure("memory_p50", "Engine alone, all in memory: p50 of a get with copy", "us", "lower", values, command)
