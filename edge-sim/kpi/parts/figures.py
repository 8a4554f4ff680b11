"""The seed's Figures 6 to 8: the 95th percentile of every 1,000 retrievals over the run, with none, half and all in memory."""
from ..result import axis, series

TITLE = "Figures 6 to 8: 95th percentile of every 1,000 retrievals over the run"
METHOD = (
    "50,000 entries of 4 KiB, one thread asking the engine directly, uniformly, 5,000 retrievals a second on a schedule, so that each step "
    "of 200 ms holds 1,000: its 95th percentile is a point. Memory holds none, half and all of the data. The seed's own curves: not "
    "published here."
)
ENTRIES, RATE, STEP = 50_000, 5000, 0.2
EVERYTHING = "2gb"
CASES = ((0, "none", "Figure 6: 0 %"), (0.5, "half", "Figure 7: 50 %"), (1.0, "all", "Figure 8: 100 %"))


def seconds(s):
    return 3 + len(CASES) * s.runs * (s.seconds(20, 2) + s.seconds(10, 0.5) + 0.6)


def measure(w, r):
    s, bench = w.settings, w.need("kvbench")
    keys = max(int(ENTRIES * min(s.scale, 1)), 500)
    store, data = w.path("entries"), 4096 * keys
    w.step(f"storing {keys:,} entries")
    w.json([bench, "--quiet", "--operation", "load", "--keys", keys, "--dir", store, "--keep", "--memory", "400mb"], keep=True)
    add = r.table("p95", "95th percentile of 1,000 retrievals", ["in memory", "steps", "least us", "median us", "greatest us", "hits %"])
    lines, commands = [], []
    for share, name, words in CASES:
        runs = []
        for run in range(s.runs):
            w.step(f"{words}, run {run + 1} of {s.runs}")
            memory = int(data * share) if share < 1 else EVERYTHING
            get = [bench, "--quiet", "--operation", "get", "--keys", keys, "--existing", store, "--memory", memory, "--touch"]
            paced = ["--rate", RATE, "--interval", f"{int(STEP * 1000)}ms", "--duration", s.span(20, 2)]
            result, command = w.json([*get, "--warm-up", s.span(10, 0.5), *paced])
            runs.append((steps(result), command, result["measured"]["hit_ratio"]))
        points, command, hits = runs[0]
        values = sorted(y for _, y in points)
        medians = [sorted(y for _, y in p)[len(p) // 2] for p, *_ in runs if p]
        r.figure(f"{name}.p95", f"{words} in memory: median of the steps' 95th percentiles", "us", "lower", medians, command)
        if values:
            add(words, len(values), values[0], values[len(values) // 2], values[-1], 100 * hits, command=command)
        lines.append(series(f"{words} in memory", points))
        commands.append(command)
    panel = {"y": axis("us", log=True), "series": lines}
    r.plot("p95", "95th percentile of every 1,000 retrievals", axis("seconds into the run", low=0), [panel], commands=commands)


def steps(result):
    """(middle of the step, its 95th percentile), whole steps only: the last one may hold a few retrievals."""
    out, before = [], 0.0
    for x in result["measured"]["series"]:
        if x["rate"] * (x["t"] - before) >= 0.9 * RATE * STEP and x["p95_us"] > 0:
            out.append(((before + x["t"]) / 2, x["p95_us"]))
        before = x["t"]
    return out
