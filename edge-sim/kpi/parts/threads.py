"""Store and key server over threads."""
import os

from .. import stats
from ..result import axis, series
from ..servers import Keyserver, Sites

TITLE = "Scaling over threads"
METHOD = (
    "The engine: gets with copy of 4 KiB by so many threads, all in memory, uniform. The key server: RSA-2048 signatures with so many "
    "crypto threads, closed loop; the load generator and the connections' threads share the processors, so that the last step gains less "
    "than a processor."
)


def counts(most):
    """1, 2, 4 ... and the most."""
    return sorted({*(1 << i for i in range(16) if 1 << i <= most), most})


def seconds(s):
    cores = len(os.sched_getaffinity(0))
    return 4 + s.runs * (len(counts(2 * cores)) * (s.seconds(4, 0.5) + 0.6) + len(counts(cores)) * (s.seconds(4, 0.8) + 0.3))


def measure(w, r):
    cores = len(os.sched_getaffinity(0))
    store = engine(w, r, counts(2 * cores))
    server = keyserver(w, r, counts(cores))
    lines = [("engine, gets", store), ("key server, RSA-2048", server)]
    commands = [command for rates in (store, server) for *_, command in rates]
    r.plot("speedup", "Rate over threads, as a multiple of one thread's", axis("threads", low=0, step=1 if os.cpu_count() <= 6 else None), [{"y": axis("times one thread"), "series": [
        series(name, [[n, stats.ratio(rate, rates[0][1])] for n, rate, _ in rates]) for name, rates in lines]}], commands=commands)  # fmt: skip


def engine(w, r, threads):
    s, keys = w.settings, w.settings.pick(200_000, 20_000)
    store = w.path("store")
    w.json([w.need("kvbench"), "--quiet", "--operation", "load", "--keys", keys, "--dir", store, "--keep", "--memory", "400mb"], keep=True)
    got = {n: [] for n in threads}
    for run in range(s.runs):
        for n in threads:
            w.step(f"engine, {n} threads, run {run + 1} of {s.runs}")
            get = [w.need("kvbench"), "--quiet", "--operation", "get", "--keys", keys, "--existing", store, "--memory", "2gb", "--touch"]
            get += ["--no-latency", "--threads", n, "--warm-up", s.span(1, 0.1), "--duration", s.span(4, 0.5)]
            got[n].append(w.json(get))
    add = r.table("engine", "Gets of 4 KiB from memory", ["threads", "gets/s", "times one thread"])
    return rows(r, add, "engine", "gets", got, lambda x: x["measured"]["rate"])


def keyserver(w, r, threads):
    s, sites = w.settings, Sites(w, ("rsa2048",))
    got = {n: [] for n in threads}
    for n in threads:
        server = Keyserver(w, "--crypto-threads", n, name=f"keyserver-{n}")
        for run in range(s.runs):
            w.step(f"key server, {n} crypto threads, run {run + 1} of {s.runs}")
            got[n].append(server.load(sites, "rsa2048", "--method", "ECDHE", "--connections", 32, "--in-flight", 4, "--duration", s.span(4, 0.8)))
        server.stop()
    add = r.table("keyserver", "RSA-2048 signatures", ["crypto threads", "signatures/s", "times one thread"])
    return rows(r, add, "keyserver", "signatures", got, lambda x: x["right_per_second"])


def rows(r, add, name, words, got, rate):
    out = []
    for n, runs in got.items():
        command = runs[0][1]
        out.append((n, r.figure(f"{name}.{n}", f"{n} {'thread' if n == 1 else 'threads'}: {words}", "1/s", "higher", [rate(x[0]) for x in runs], command), command))
        add(n, out[-1][1], stats.ratio(out[-1][1], out[0][1]), command=command)
    return out
