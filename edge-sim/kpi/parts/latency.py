"""SKI latency against load, up to beyond saturation: the hockey stick, per key type."""
from .. import stats
from ..result import axis, series
from ..servers import Keyserver, Sites

TITLE = "SKI latency against load"
METHOD = (
    "Per key type: capacity is the rate of a closed loop (32 connections, 4 under way on each). Then open loops at shares of it over 64 "
    "connections: latency counts from when a request was due, so that what waits is seen. Beyond capacity the server answers 503 to what it "
    "cannot take; only right answers count in the percentiles."
)
KINDS = (("rsa2048", "RSA-2048", []), ("rsa4096", "RSA-4096", []), ("p256", "P-256", ["--verify-every", 100]))
POINTS = ("p50", "p99", "p99_9")
JUDGED = 0.8


def shares(s):
    return s.pick((0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1), (0.4, JUDGED, 1.1))


def seconds(s):
    return 3 + len(KINDS) * s.runs * (s.seconds(4, 0.8) * (len(shares(s)) + 1) + 1)


def measure(w, r):
    s, sites = w.settings, Sites(w)
    server = Keyserver(w)
    columns = ["key", "share of capacity", "asked/s", "right/s", "p50 ms", "p99 ms", "p99.9 ms", "slowest ms", "refused or late %"]
    add = r.table("loads", "Latency of signatures by open loops", columns)
    for kind, words, options in KINDS:
        got = {share: [] for share in shares(s)}
        capacities = []
        for run in range(s.runs):
            w.step(f"{words}, run {run + 1} of {s.runs}")
            ask = ["--method", "ECDHE", "--duration", s.span(4, 0.8), *options]
            closed, command = server.load(sites, kind, *ask, "--connections", 32, "--in-flight", 4)
            capacities.append(closed["right_per_second"])
            for share in shares(s):
                rate = max(int(share * capacities[-1]), 1)
                paced = server.load(sites, kind, *ask, "--connections", 64, "--in-flight", 8, "--rate", rate)
                got[share].append((rate, *paced))
        r.figure(f"{kind}.capacity", f"{words}: capacity, closed loop", "1/s", "higher", capacities, command)
        report_kind(r, add, kind, words, got)
    server.stop()


def report_kind(r, add, kind, words, got):
    lines = {q: [] for q in POINTS}
    for share, runs in got.items():
        ms = lambda q: stats.median([x[1]["latency_us"][q] / 1000 for x in runs])
        lost = stats.median([100 * (1 - x[1]["outcomes"].get("ok", x[1]["right"]) / x[1]["sent"]) if x[1]["sent"] else None for x in runs])
        asked, right = stats.median([x[0] for x in runs]), stats.median([x[1]["right_per_second"] for x in runs])
        add(words, share, asked, right, *(ms(q) for q in POINTS), ms("max"), lost, command=runs[0][2])
        for q in POINTS:
            lines[q].append([100 * share, ms(q)])
    for q in POINTS:
        values = [x[1]["latency_us"][q] / 1000 for x in got[JUDGED]]
        r.figure(f"{kind}.{q}", f"{words}: {q.replace('_', '.')} at {JUDGED:.0%} of capacity", "ms", "lower", values, got[JUDGED][0][2])
    panel = {"y": axis("ms", log=True), "series": [series(q.replace("_", "."), lines[q]) for q in POINTS]}
    commands = [x[0][2] for x in got.values()]
    r.plot(kind, f"{words}: latency against load", axis("load, % of capacity", low=0), [panel], commands=commands)
