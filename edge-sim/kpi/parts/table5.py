"""The seed's Table 5: retrievals from the engine with 0 to 2 GB of memory."""
from .. import seed
from ..plan import GB
from ..result import axis

TITLE = "Table 5: retrievals over memory, direct calls"
METHOD = (
    "50,000 entries of 4 KiB, one thread, get into a buffer by direct calls, keys at random, with so much memory. Rates are from runs "
    "without a clock around each get, times from runs with one: where a get takes less than a microsecond the clock is a part of it. The "
    "seed's numbers are of its own hardware of 2017."
)
SIZES = (0, 0.1, 0.2, 0.5, 1, 2)
ENTRIES = 50_000


def seconds(s):
    return 3 + len(SIZES) * s.runs * 2 * (s.seconds(3, 0.4) + s.seconds(1, 0.1) + 0.2)


def measure(w, r):
    s = w.settings
    keys = max(int(ENTRIES * min(s.scale, 1)), 500)
    store, bench = w.path("table5"), w.need("kvbench")
    w.step(f"storing {keys:,} entries")
    w.json([bench, "--quiet", "--operation", "load", "--keys", keys, "--dir", store, "--keep", "--memory", "400mb"], keep=True)
    got = {size: [] for size in SIZES}
    for run in range(s.runs):
        for size in SIZES:
            w.step(f"{size} GB, run {run + 1} of {s.runs}")
            memory = int(size * GB * keys / ENTRIES)
            ask = [bench, "--quiet", "--operation", "get", "--keys", keys, "--existing", store, "--memory", memory, "--touch",
                   "--warm-up", s.span(1, 0.1), "--duration", s.span(3, 0.4)]  # fmt: skip
            fast, command = w.json([*ask, "--no-latency"])
            timed, timed_command = w.json(ask)
            got[size].append((fast["measured"], command, timed["measured"]["latency_us"]["get"], timed_command))
    if keys < ENTRIES:
        r.note(f"Scaled down: {keys:,} entries, and memory in proportion.")
    columns = ["memory GB", "requests/s", "seed's", "Tavg us", "seed's", "Tmin us", "Tmax us", "p50 us", "p99 us", "hits %"]
    note = f"Where the seed's column is empty: {seed.NOT_PUBLISHED}. Tmax of one run in a shared machine is that machine's; p99 says more."
    add = r.table("memory", f"{keys:,} entries of 4 KiB", columns, note)
    points = []
    for size in SIZES:
        points.append((size, add_size(r, add, size, got[size])))
    r.plot("rate", "Requests a second over memory", axis("memory, GB", low=0, high=2),
           [{"y": axis("requests/s", low=0), "series": [
               {"name": "ours", "points": points}, {"name": "the seed (2017)", "points": [[g, v["rate"]] for g, v in seed.TABLE5.items()]}]}],
           commands=[got[size][0][1] for size in SIZES])  # fmt: skip


def add_size(r, add, size, runs):
    name, asked = f"{size}gb".replace(".", "_"), seed.TABLE5.get(size, {})
    rate = r.figure(f"{name}.rate", f"{size} GB: requests", "1/s", "higher", [x[0]["rate"] for x in runs], runs[0][1])
    of = lambda q, words: r.figure(f"{name}.{q}", f"{size} GB: {words}", "us", "lower", [x[2][q] for x in runs], runs[0][3])
    mean, least, most, p50, p99 = of("mean", "Tavg"), of("min", "Tmin"), of("max", "Tmax"), of("p50", "p50"), of("p99", "p99")
    hits = sum(x[0]["hit_ratio"] for x in runs) / len(runs)
    add(size, rate, asked.get("rate"), mean, asked.get("mean_us"), least, most, p50, p99, 100 * hits, command=runs[0][1])
    return rate
