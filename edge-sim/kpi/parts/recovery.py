"""Opening a store against the number of its keys: after a clean stop, and after kill -9 while it was written."""
import shutil
import signal

from .. import stats
from ..result import axis, series

TITLE = "Start-up and recovery against the number of keys"
METHOD = (
    "kvbench loads so many keys with values of 256 bytes and opens the store anew, its files not in the page cache: after a clean stop, and "
    "after kill -9 in the middle of writes. The key server and kvstore open their stores by the same code."
)
COUNTS = (100_000, 1_000_000, 3_000_000, 10_000_000)


def counts(s):
    return s.pick(COUNTS, COUNTS[:3])


def seconds(s):
    return sum(1 + s.keys(n) / 150_000 + s.runs * (0.8 + s.seconds(2, 0.3) + s.keys(n) / 2_000_000) for n in counts(s))


def measure(w, r):
    s, bench = w.settings, w.need("kvbench")
    add = r.table("opening", "Seconds until the store is open", ["keys", "after a clean stop", "after kill -9", "index, bytes a key"])
    lines, commands = {"clean": [], "killed": []}, []
    for full in counts(s):
        keys, store = s.keys(full), w.fresh("store")
        w.step(f"{keys:,} keys")
        base = [bench, "--quiet", "--keys", keys, "--value-bytes", 256, "--memory", "2gb"]
        loaded, _ = w.json([*base, "--operation", "load", "--load-depth", 1024, "--dir", store, "--keep"], keep=True)
        clean, killed = [], []
        for run in range(s.runs):
            w.step(f"{keys:,} keys, run {run + 1} of {s.runs}")
            opened, command = w.json([*base, "--existing", store, "--operation", "open", "--clear-cache"])
            clean.append(opened["open_seconds"])
            write = ["--operation", "mixed", "--read-percent", 0, "--duration", s.span(2, 0.3), "--kill"]
            w.run([*base, "--existing", store, *write], expect=(-signal.SIGKILL,))
            killed.append(w.json([*base, "--existing", store, "--operation", "open", "--clear-cache"])[0]["open_seconds"])
        a = r.figure(f"clean.{full}", f"{keys:,} keys: opening after a clean stop", "s", "lower", clean, command)
        b = r.figure(f"killed.{full}", f"{keys:,} keys: opening after kill -9", "s", "lower", killed, command)
        commands.append(command)
        lines["clean"].append([keys, a])
        lines["killed"].append([keys, b])
        add(keys, a, b, stats.ratio(loaded["stats"].get("index_bytes"), keys), command=command)
        shutil.rmtree(store, ignore_errors=True)
    r.plot("opening", "Opening against keys", axis("keys", log=True), [{"y": axis("seconds", log=True), "series": [
        series("after a clean stop", lines["clean"]), series("after kill -9", lines["killed"])]}], commands=commands)  # fmt: skip
