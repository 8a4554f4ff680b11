"""Hit ratio against memory: what the store predicts from a sample of its load, and what is measured at those sizes."""
from ..plan import MB
from ..result import axis, series
from ..servers import Kvstore, ask, fill, lookups

TITLE = "Miss-ratio curve, predicted and measured"
METHOD = (
    "kvstore with a quarter of the data in memory under a load by Zipf's law (0.9): MEMORY CURVE says what other sizes would give. Then the "
    "limit is set to each size while it serves, the load warms it, and the share of look-ups that memory answers is counted."
)
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
LOAD = ("--workload", "zipf:0.9", "--connections", 32, "--pipeline", 8)


def seconds(s):
    return 3 + s.keys(500_000) / 50_000 + s.seconds(60, 3) + len(SHARES) * s.seconds(60, 2)


def measure(w, r):
    s, keys = w.settings, w.settings.keys(500_000, 2000)
    data = keys * (4096 + 128)
    w.step(f"storing {keys:,} keys")
    server = Kvstore(w, "--memory", max(data // 4, 8 * MB))
    fill(w, server.server, keys)
    w.step("learning the load")
    lookups(w, server.server, keys, *LOAD, "--stream", 1, "--duration", s.span(60, 3))
    predicted = [(int(size), float(hit)) for size, hit in ask(server.server, "MEMORY", "CURVE")]
    command = r.command(f"redis-cli -p {server.server.rsplit(':', 1)[1]} MEMORY CURVE")
    add = r.table("sizes", f"{keys:,} keys of 4 KiB", ["memory MB", "of the data %", "predicted hits %", "measured hits %", "off by, points"])
    measured, errors = [], []
    for number, share in enumerate(SHARES):
        w.step(f"{share:.0%} of the data in memory")
        limit = max(int(share * data), 8 * MB)
        ask(server.server, "CONFIG", "SET", "maxmemory", str(limit))
        lookups(w, server.server, keys, *LOAD, "--stream", 10 + number, "--duration", s.span(40, 1.3))
        before = server.gets()
        _, load_command = lookups(w, server.server, keys, *LOAD, "--stream", 20 + number, "--duration", s.span(20, 0.7))
        hits, misses = (now - then for now, then in zip(server.gets(), before))
        hit, said = 100 * hits / max(hits + misses, 1), predict(predicted, limit)
        measured.append([limit / MB, hit])
        if said is not None:
            errors.append(abs(100 * said - hit))
        add(limit / MB, 100 * share, said and 100 * said, hit, errors[-1] if said is not None else None, command=load_command)
    server.stop()
    if s.quick:
        r.note("Quick form: the curve has seen few look-ups, and of many keys the first, which no memory answers.")
    r.figure("error", "Prediction off by, mean over the sizes", "points", "lower", [sum(errors) / len(errors)] if errors else [], command)
    quarter = [measured[SHARES.index(0.25)][1]]
    r.figure("quarter", "Hits with a quarter of the data in memory", "%", "higher", quarter, command)
    lines = [series("predicted", [(x / MB, 100 * y) for x, y in predicted if x <= 1.3 * data]), series("measured", measured)]
    panel = {"y": axis("hits, %", low=0, high=100), "series": lines}
    r.plot("curve", "Hit ratio against memory", axis("memory, MB", low=0), [panel], commands=[command])


def predict(points, limit):
    """Of the curve at this size, by straight lines; None without a curve."""
    before = None
    for size, hit in points:
        if size >= limit:
            if before is None or size == before[0]:
                return hit
            part = (limit - before[0]) / (size - before[0])
            return before[1] + part * (hit - before[1])
        before = size, hit
    return before[1] if before else None
