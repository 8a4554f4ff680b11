"""Memory that follows the load, with a real memory cgroup: kvstore inside it, scaleupd with its cgroup back-end outside, edge-sim as the load.

usage: scaleup.py SCENARIO BIN-FOLDER WORK-FOLDER, with SCENARIO load, outside or crash. Prints "ok TEXT" for each check; exit status 1 at the first that fails, 77 when
no memory cgroup can be made. MEC_SCALEUP_OUT: a folder for SCENARIO.json (everything sampled) and, with gnuplot, SCENARIO.svg. MEC_SCALEUP_LONG=N: N times the keys and
the times. MEC_SCALEUP_STRICT=1: lookups over 5 ms fail, unless the device itself was as slow in the run; only a quiet machine passes.
"""

import contextlib
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
from scaleup_kit import BUSY, LEAVE, MB, MIN, QUIET, SCALE, TABLE, Group, Probe, Run, expect, note, ok, read, wait_for


def first(rows, condition, what):
    for row in rows:
        if condition(row):
            return row["t"]
    sys.exit(f"not ok: {what}: never; limits {sorted({r['limit'] // MB for r in rows})} MB, last {rows[-1] if rows else None}")


def load_scenario(run):
    """Load rises, limit rises, hits and waiting improve, load falls, limit falls, resident size falls."""
    up, down, end = 2 * SCALE, 10 * SCALE, 25 * SCALE
    run.start_scaleupd()
    run.start_kvstore(*run.scaleup_args())
    run.warm_up()
    run.start_load(f"0s={QUIET},{up}s={BUSY},{down}s={QUIET}", end)
    run.start_sampling()
    probe = Probe(run.work)
    probe.start()
    run.finish_load()
    device_ms = probe.end()
    run.end_sampling()
    run.save(device_ms)
    run.check_always()
    t0 = run.load_result["started_unix_ms"] / 1000
    t_up, t_down, t_end = t0 + up, t0 + down, t0 + end
    before = max(r["limit"] for r in run.good_rows(until=t_up))
    peak = max(r["limit"] for r in run.good_rows(t_up))
    expect(peak > before * 1.1, f"load rises, then the limit: {before // MB} to {peak // MB} MB", before, peak)
    t_raise = first(run.good_rows(t_up), lambda r: r["limit"] > before, "the limit rises")
    note(f"load to raised limit: {t_raise - t_up:.2f} s")
    run.mark("raised")
    early, late = run.average(t_up, t_raise + 0.5), run.average(t_down - 2 * SCALE, t_down)
    note(f"hit ratio {early['hit']:.3f} -> {late['hit']:.3f}, wait for the disk {early['us']:.0f} -> {late['us']:.0f} us a lookup, reads/s {early['reads']:.0f} -> {late['reads']:.0f}")
    expect(late["hit"] > early["hit"] + 0.02, "hit ratio improves", early, late)
    if os.environ.get("MEC_SCALEUP_STRICT"):  # the time of a read is the device's, and whoever else asks it for something
        expect(late["us"] < early["us"], "lookups wait less for the disk", early, late)
    t_return = first(run.good_rows(t_down), lambda r: r["limit"] < peak * 0.95, "load falls, then the limit")
    ok("load falls, then the limit")
    expect(t_raise < t_down < t_return, "in that order")
    note(f"fallen load to lowered limit: {t_return - t_down:.2f} s")
    last = run.good_rows(t_end - 1.5 * SCALE)[-1]
    rss_peak = max(r["rss"] for r in run.good_rows(t_raise, t_return))
    # on a machine too busy to fill what was granted there is nothing to fall
    fell = last["rss"] < rss_peak * 0.95 or rss_peak <= last["limit"]
    expect(last["limit"] < peak * 0.9 and fell, f"resident size falls: {rss_peak // MB} to {last['rss'] // MB} MB under {last['limit'] // MB} MB", last)
    run.report_latency(device_ms)


def come_first():
    """Between reading what is in use and writing a limit the store grows on: that must not take longer than it takes to be read."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def outside_scenario(run):
    """Somebody else lowers the group's limit in steps, each above what is in use: the store makes room before the next."""
    step, steps = 4 * MB, 16 * SCALE
    start = 64 * MB + TABLE
    run.group.set_limit(start)
    run.start_kvstore("--memory", str(start))
    run.start_load(f"0s={QUIET * 4}", 600 * SCALE)
    run.start_sampling()
    come_first()

    def full():
        return run.group.usage() > start - 26 * MB or run.group.usage() > TABLE

    wait_for("the load runs", 30, lambda: run.status()["store"]["hits"] > 0)
    # read everything once, so that memory is full
    wait_for("memory is full", 120, lambda: full() or run.status()["store"]["cached_bytes"] > TABLE * 0.6)
    # DESIGN.md, V6: also while values are being brought back
    run.group.lower_to(lambda: max(run.group.usage() + 2 * LEAVE, 80 * MB))
    time.sleep(1)
    times = []
    for i in range(steps):
        usage = run.group.usage()
        limit = run.group.limit() - step
        # at or below this the store has its margin of 16 MB again, less what moves meanwhile
        goal = limit - 13 * MB
        if usage > limit - LEAVE:
            wait_for("room for the next step", 10, lambda: run.group.usage() <= run.group.limit() - step - LEAVE)
        run.group.lower_to(lambda: limit)
        began = time.monotonic()
        run.mark(f"limit {limit // MB} MB")
        wait_for(f"step {i + 1}: usage at or below {goal // MB} MB", 20, lambda: run.group.usage() <= goal)
        times.append(time.monotonic() - began)
    note("followed within " + " ".join(f"{t * 1000:.0f}" for t in times) + " ms")
    expect(sorted(times)[len(times) // 2] <= 1, f"the store follows within a second: {max(times) * 1000:.0f} ms at most", times)
    run.load_child.send_signal(signal.SIGTERM)
    run.finish_load()
    run.end_sampling()
    run.save(0)
    run.check_always(None)  # who lowers the limit leaves no room for the page cache
    lowest = min(r["limit"] for r in run.good_rows())
    run.group.set_limit(lowest + 64 * MB)
    wait_for("a raised limit is used, too", 20, lambda: run.status()["store"]["limit_bytes"] > lowest)
    ok("a raised limit is used, too")
    run.report_latency(0)


def crash_scenario(run):
    """scaleupd dies while the load is high, comes back, and all goes on."""
    down, end = 6 * SCALE, 9 * SCALE
    run.start_scaleupd()
    run.start_kvstore(*run.scaleup_args())
    run.warm_up()
    run.start_load(f"0s={BUSY},{down}s={QUIET}", end)
    wait_for("the load runs", 30, lambda: run.status()["store"]["hits"] > 0)
    run.start_sampling()
    wait_for("a raise", 20, lambda: run.group.limit() > MIN or run.status()["memory"]["state"] == "raising")
    run.mark("scaleupd is killed")
    run.scaleupd.kill()
    run.scaleupd.wait()
    wait_for("the server notices", 30, lambda: not run.status()["memory"]["orchestrator"]["connected"])
    ok("scaleupd is killed, and the server says so")
    time.sleep(1.5)
    run.start_scaleupd()
    run.mark("scaleupd is back")
    wait_for("the server finds it again", 30, lambda: run.status()["memory"]["orchestrator"]["connected"])
    ok("scaleupd is back, and the server finds it")

    def agreed():
        o = run.status()["memory"]["orchestrator"]
        return o["granted_bytes"] if o["granted_bytes"] == run.group.limit() and o["connected"] else 0

    wait_for("grant and limit of the group agree", 30, agreed)
    run.finish_load()
    wait_for("grant and limit of the group agree at the end", 30, agreed)
    ok("grant and limit of the group agree")
    peak = max(r["limit"] for r in run.good_rows())
    expect(peak > MIN, f"the limit had risen to {peak // MB} MB")
    wait_for("the limit falls again", 60, lambda: run.group.limit() < peak)
    ok("and falls again")
    run.end_sampling()
    run.save(0)
    run.check_always()

    def book_agrees():  # a return is in the group first, then in the book
        return json.loads(read(f"{run.work}/su.book"))["book"]["vnfs"][0]["granted_bytes"] == run.group.limit()

    wait_for("the book says the same", 30, book_agrees)
    ok("and the book says the same")
    run.report_latency(0)


def main():
    scenario, bin_folder, work = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    with Run(scenario, bin_folder, work) as run:
        try:
            run.group = Group(MIN)
        except OSError as e:
            note(f"no memory cgroup can be made: {e}")
            sys.exit(77)
        if not os.path.exists(f"{work}/db/MANIFEST"):
            run.fill()
        {"load": load_scenario, "outside": outside_scenario, "crash": crash_scenario}[scenario](run)


if __name__ == "__main__":
    main()
