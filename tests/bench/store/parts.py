"""The parts of tests/bench/store/run, one function a group of figures: each takes a Bench and returns a Part."""
import json, os, signal, subprocess

from benchlib import latency, rate, without_series
from measure import GB, MB, MemoryGroup, Part, median, note, ratio

VALUE = 4096
MILLION = 1_000_000
DEPTH = 32
RECORD = 4096 + 16 + 64  # a record on disk: head, key, value; O_DIRECT reads the blocks that it touches


def table5(b):
    """[a] The seed's Table 5."""
    part = Part("[a] 50,000 x 4 KiB, one thread, get into a buffer")
    keys, rates = 50_000, {}
    seconds = ["--duration", b.seconds(3, 1), "--warm-up", b.seconds(1, 0.2), "--touch"]
    sizes = [0, 0.1, 0.2, 0.5, 1, 2]
    beside, views = [], []
    for run in range(b.runs):
        note(f"table5: run {run + 1} of {b.runs}")
        for size in sizes:
            r = b.ask("kv", "--operation", "get", *seconds, *(["--no-latency"] if size else []), keys=keys, memory=size * GB)
            rates.setdefault(size, []).append(r and (rate(r), r["measured"]["hit_ratio"]))
        for engine in ("lmdb", "ideal"):
            r = b.ask(engine, "--operation", "get", *seconds, "--no-latency", keys=keys) if b.has(engine) else None
            rates.setdefault(engine, []).append(r and (rate(r), None))
        beside.append(ratio(rates[2][-1] and rates[2][-1][0], rates["lmdb"][-1] and rates["lmdb"][-1][0]))
        r = b.ask("kv", "--operation", "view", *seconds, keys=keys, memory=2 * GB)
        views.append(latency(r) and latency(r)["p50"])
    part.row("memory", "gets/s", "us", "hits")
    for name, values in rates.items():
        r, hits = median([v and v[0] for v in values]), median([v and v[1] for v in values])
        part.row(f"{name} GB" if not isinstance(name, str) else name, r, ratio(1e6, r), hits)
        part.figures[str(name)] = {"rate": r, "mean_us": ratio(1e6, r), "hit_ratio": hits}
    part.figures["view_p50_us"] = median(views)
    part.check("all in memory, rate over LMDB's", median(beside), ">=", 1.6)
    part.check("borrowed view, p50 us", median(views), "<=", 0.3)
    return part


def memory(b):
    """[b] A million values, all in memory."""
    part = Part("[b] 1 M x 4 KiB, all in memory")
    keys = b.keys(MILLION)
    rates = {}
    for run in range(b.runs):
        for workload in ("uniform", "zipf"):
            for threads in (1, 2):
                note(f"memory: run {run + 1} of {b.runs}, {workload}, {threads} threads")
                for engine in filter(b.has, ("kv", "lmdb", "ideal")):
                    r = b.ask(engine, "--workload", workload, "--threads", threads, "--touch", "--no-latency", "--warm-up",
                              b.seconds(2, 0.3), "--duration", b.seconds(5, 1), keys=keys, memory=8 * GB)
                    rates.setdefault((workload, threads, engine), []).append(rate(r))
    part.row("workload", "threads", "kvstore/s", "LMDB/s", "ideal/s")
    pair = lambda a, c: median([ratio(x, y) for x, y in zip(rates.get(a, []), rates.get(c, []))])
    for workload in ("uniform", "zipf"):
        for threads in (1, 2):
            row = {e: median(rates.get((workload, threads, e), [])) for e in ("kv", "lmdb", "ideal")}
            part.row(workload, threads, row["kv"], row["lmdb"], row["ideal"])
            part.figures[f"{workload}_{threads}"] = row
        one = (workload, 1, "kv")
        part.check(f"{workload}: rate over LMDB's", pair(one, (workload, 1, "lmdb")), ">=", 1.7)
        part.check(f"{workload}: ideal's rate over ours", pair((workload, 1, "ideal"), one), "<=", 1.25)
        part.check(f"{workload}: two threads over one", pair((workload, 2, "kv"), one), ">=", 1.8)
    return part


def tenth(b):
    """[c] A tenth in memory, in a memory group of 12 %."""
    part = Part("[c] 1 M x 4 KiB, 10 % in memory, in a memory group of 12 %")
    keys = b.keys(MILLION)
    engines = [("kv", []), ("rocksdb", []), ("rocksdb", ["--buffered"]), ("lmdb", [])]
    engines = [e for e in engines if b.has(e[0])]
    for engine, _ in engines:
        b.data_set(engine, keys)
    data = keys * VALUE
    with MemoryGroup(0.12 * data + (32 * MB if b.quick else 0)) as group:
        files = b.data_set("kv", keys)
        ask = lambda engine, *o: b.ask(engine, "--clear-cache", *o, keys=keys, memory=0.1 * data, group=group)
        paced(b, part, group, files, ask)
        runs = [one_round(b, part, group, files, ask, engines, n) for n in range(b.runs)]
    summarise(part, runs)
    return part


def paced(b, part, group, files, ask):
    note("tenth: paced at 30,000/s")
    seconds = b.seconds(60, 3)
    d = b.device("--files", files, "--depth", 128, "--rate", 27000, "--duration", seconds, group=group)
    r = ask("kv", "--operation", "async", "--depth", 128, "--rate", 30000, "--warm-up", b.seconds(10, 1), "--duration", seconds)
    own = d and d["latency_us"]
    part.row("30,000/s, us", "rate", "p50", "p99", "p99.9", "p99.99", "max")
    for name, rate_, l in (("kvstore", rate(r), latency(r)), ("device, 27,000 reads/s", d and d["rate"], own)):
        if l:
            part.row(name, rate_, l["p50"], l["p99"], l["p99_9"], l["p99_99"], l["max"])
    part.figures["paced"] = {"kv": r and without_series(r)["measured"], "device": d}
    beside = own and f"the device's own worst {own['max'] / 1000:.2f} ms, p99.99 {own['p99_99'] / 1000:.2f} ms"
    part.check("paced: gets/s", rate(r), ">=", 29970)
    part.check("paced: gets of 5 ms or more", r and latency(r)["over_5ms"], "<=", 0, beside)
    part.check("paced: worst ms", r and latency(r)["max"] / 1000, "<=", 5, beside)


def one_round(b, part, group, files, ask, engines, number):
    note(f"tenth: run {number + 1} of {b.runs}")
    out = {"device": {}, "batch": {}, "one": {}}
    read = lambda size, depth: b.device("--files", files, "--bytes", size, "--depth", depth, "--seed", number + 1, "--duration",
                                        b.seconds(5, 1), group=group)
    out["device"] = {"one": read(VALUE, 1), "one_record": read(RECORD, 1), "many": read(VALUE, DEPTH), "many_record": read(RECORD, DEPTH)}
    span = ["--warm-up", b.seconds(10, 1), "--duration", b.seconds(8, 1)]
    for engine, options in engines:
        name = "rocksdb page cache" if options else engine
        r = ask(engine, "--operation", "batch", "--depth", DEPTH, *options, *span)
        out["batch"][name] = rate(r)
        for workload in ("uniform", "zipf"):
            warm = ["--warm-up", b.seconds(20, 1), "--duration", b.seconds(8, 1)]
            r = ask(engine, "--operation", "get", "--workload", workload, *options, *warm)
            out["one"][workload, name] = r and {**latency(r), "hit_ratio": r["measured"]["hit_ratio"], "best": r["best_fixed_hit_ratio"]}
    out["async"] = rate(ask("kv", "--operation", "async", "--depth", DEPTH, *span))
    for workload in ("uniform", "zipf"):
        hot = b.ask("ideal", "--workload", workload, "--touch", "--duration", b.seconds(3, 1), keys=b.keys(MILLION) // 10, group=group)
        out["one"][workload, "hit"] = latency(hot)
    return out


def summarise(part, runs):
    many = median([r["device"]["many"] and r["device"]["many"]["rate"] for r in runs])
    record = median([r["device"]["many_record"] and r["device"]["many_record"]["rate"] for r in runs])
    part.row("")
    part.row(f"depth {DEPTH}", "per second")
    part.row("device, 4 KiB", many)
    part.row("device, a record's blocks", record)
    names = list(runs[0]["batch"])
    for name in names:
        part.row(f"{name}, batch", median([r["batch"][name] for r in runs]))
    part.row("kv, async", median([r["async"] for r in runs]))
    part.figures["depth"] = {"device_4k": many, "device_record": record, "async": median([r["async"] for r in runs]),
                             "batch": {n: median([r["batch"][n] for r in runs]) for n in names}}
    over = lambda r: ratio(max(r["batch"]["kv"] or 0, r["async"] or 0), r["device"]["many"] and r["device"]["many"]["rate"])
    peers = lambda r: max([r["batch"][n] or 0 for n in names if n != "kv"], default=0)
    part.check("unpaced: rate over the device's 4 KiB reads at the same depth", median([over(r) for r in runs]), ">=", 0.85)
    part.check("batched: rate over the better peer's", median([ratio(r["batch"]["kv"], peers(r)) for r in runs]), ">=", 2.5)
    for workload in ("uniform", "zipf"):
        one_at_a_time(part, runs, workload, names)


def one_at_a_time(part, runs, workload, names):
    part.row("")
    part.row(f"{workload}, one get, us", "mean", "p50", "p99", "p99.9", "hits")
    middle = {}
    for name in names:
        took = [r["one"][workload, name] for r in runs]
        middle[name] = {k: median([t and t[k] for t in took]) for k in ("mean", "p50", "p99", "p99_9", "hit_ratio")}
        m = middle[name]
        part.row(name, m["mean"], m["p50"], m["p99"], m["p99_9"], m["hit_ratio"])
    ideals = [ideal_mean(r, workload) for r in runs]
    part.row("ideal two-tier", median(ideals))
    part.figures[workload] = {**middle, "ideal_two_tier_mean": median(ideals)}
    took = [r["one"][workload, "kv"] for r in runs]
    over = median([ratio(t and t["mean"], i) for t, i in zip(took, ideals)])
    part.check(f"{workload}: mean over the ideal two-tier store's", over, "<=", 1.3)
    for q in ("p50", "p99", "p99_9"):
        peers = [middle[n][q] for n in names if n != "kv" and middle[n][q] is not None]
        part.check(f"{workload}: {q.replace('_', '.')} over the best peer's", ratio(middle["kv"][q], min(peers, default=None)), "<=", 1.0)


def ideal_mean(run, workload):
    """The time of a hit and of the device's read of 4 KiB, weighted by the best fixed set's hit ratio."""
    hit, miss, kv = run["one"][workload, "hit"], run["device"]["one"], run["one"][workload, "kv"]
    if not (hit and miss and kv):
        return None
    return kv["best"] * hit["mean"] + (1 - kv["best"]) * miss["latency_us"]["mean"]


def rescale(b):
    """[d] The limit up and down under load, and warming without load."""
    part = Part("[d] the limit 0.4 -> 4 -> 0.4 GB")
    keys = b.keys(MILLION)
    data = keys * VALUE
    low, high = (int(0.1 * data), int(1.05 * data)) if b.quick else (400 * MB, 4 * GB)
    files = b.data_set("kv", keys)
    d = b.device("--files", files, "--depth", 128, "--rate", 27000, "--duration", b.seconds(10, 2))
    part.figures["device_paced"] = d
    own = d and f"the device's own p99.9 at 27,000 reads/s {d['latency_us']['p99_9'] / 1000:.2f} ms"
    d = b.device("--operation", "seqread", "--files", files, "--bytes", 2 * MB, "--depth", 8, "--duration", b.seconds(5, 1))
    sequential = d and d["bytes_per_second"]
    up, down, end = (2, 5, 8) if b.quick else (10, 40, 60)
    part.row("workload", "gets/s", "p50 us", "p99 us", "p99.9 us", "max us", "worst 100 ms p99", "filled s", "readjusted s", "before s", "given back s")
    for workload in ("uniform", "zipf"):
        r = rescaled(b, keys, workload, f"0s={low},{up}s={high},{down}s={low}", end)
        if r is None:
            continue
        m, l = r["measured"], latency(r)
        changes = m["limit_changes"]
        back = changes[1]["settled_seconds"] if len(changes) > 1 else None
        slow = rescaled(b, keys, workload, f"0s={low},{up}s={high}", end if b.quick else 3 * end, "--no-bring-back")
        seconds, before = readjusted(m, up, down), slow and readjusted(slow["measured"], up, 1e9)
        part.row(workload, m["rate"], l["p50"], l["p99"], l["p99_9"], l["max"], max(s["p99_us"] for s in m["series"]), filled(m, up, 0.9 * min(high, data)),
                 seconds, before, back)
        part.figures[workload] = {**m, "readjusted_seconds": seconds, "readjusted_without_bringing_back_seconds": before}  # with its time series
        part.check(f"{workload}: gets/s", m["rate"], ">=", 29970)
        part.check(f"{workload}: p99.9 ms", l["p99_9"] / 1000, "<=", 2, own)
        part.check(f"{workload}: readjusted, over without bringing back", seconds / before if seconds and before else None, "<=", 0.7,
                   f"reading what came back takes the device {(min(high, data) - low) / sequential:.1f} s" if sequential else None)
        given = back if back is not None and back >= 0 else 1e9
        part.check(f"{workload}: memory given back s", given, "<=", 0.3, f"the call {changes[1]['call_seconds']:.3f} s" if len(changes) > 1 else None)
    warming(b, part, keys, files, low, high, data)
    return part


def rescaled(b, keys, workload, schedule, end, *options):
    """30,000 gets/s while the limit changes."""
    note(f"rescale: {workload}, {end} s {' '.join(options)}")
    return b.ask("kv", "--operation", "async", "--depth", 128, "--workload", workload, "--rate", 30000, "--latency-goal", "1ms",
                 "--warm-up", b.seconds(5, 1), "--duration", f"{end}s", "--memory-schedule", schedule, *options, keys=keys)


def filled(measured, up, enough):
    """Seconds from the raised limit until so much was resident."""
    return next((s["t"] - up for s in measured["series"] if s["t"] > up and s["rss"] >= enough), None)


def readjusted(measured, up, down):
    """Seconds from the raised limit until the hit ratio of a second stays within 2 points of what it was in the last fifth before the limit fell."""
    series = [s for s in measured["series"] if up < s["t"] < down]
    seconds = {}
    for s in series:
        seconds.setdefault(int(s["t"] - up), []).append(s["hit_ratio"])
    ratios = [sum(r) / len(r) for _, r in sorted(seconds.items())]
    if len(ratios) < 5:
        return None
    steady = sum(ratios[-len(ratios) // 5:]) / len(ratios[-len(ratios) // 5:])
    below = [i for i, r in enumerate(ratios) if r < steady - 0.02]
    return below[-1] + 1 if below else 0


def warming(b, part, keys, files, low, high, data):
    """The limit raised without load. Memory that is new to the process has to be found and cleared by the machine first: bench_memory says how fast it does."""
    ratios = []
    for run in range(b.runs):
        note(f"rescale: warming without load, run {run + 1} of {b.runs}")
        d = b.device("--operation", "seqread", "--files", files, "--bytes", 2 * MB, "--depth", 8, "--duration", b.seconds(5, 1))
        t = b.execute([os.path.join(b.build, "bench/bench_memory"), "--size", high - low, "--threads", os.cpu_count()])
        r = b.ask("kv", "--rate", 100, "--clear-cache", "--duration", b.seconds(30, 4), "--memory-schedule", f"0s={low},1s={high}", keys=keys)
        if not (d and t and r):
            continue
        speed = brought_back(r, 1, 1e9, min(high, data) - low)
        bound = min(d["bytes_per_second"], t["bytes_per_second"])
        ratios.append(speed / bound)
        part.row("warming, MB/s", speed / 1e6, "device", d["bytes_per_second"] / 1e6, "first touch", t["bytes_per_second"] / 1e6)
    part.figures["warming_over_bound"] = ratios
    part.check("warming without load, over the slower of device and first touch of memory", median(ratios), ">=", 0.7)


def brought_back(result, begin, end, bytes_):
    """Bytes a second from the raised limit until nine tenths of what came back was there; 0: less than half came."""
    series = [s for s in result["measured"]["series"] if begin <= s["t"] < end]
    low, top = series[0]["rss"], max(s["rss"] for s in series)
    if top < low + 0.5 * bytes_:
        return 0.0
    there = next(s for s in series if s["rss"] >= low + 0.9 * (top - low))
    return (there["rss"] - low) / max(there["t"] - begin, 0.1)


def load(b):
    """[e] Loading a million values."""
    part = Part("[e] load 1 M x 4 KiB, fsync=interval, batches of 4000")
    keys = b.keys(MILLION)
    part.row("run", "MB/s until synced", "MB/s", "device MB/s")
    synced = []
    for run in range(b.runs):
        note(f"load: run {run + 1} of {b.runs}")
        size = keys * VALUE
        d = b.device("--operation", "seqwrite", "--dir", b.folder, "--bytes", MB, "--depth", 4, "--size", size, "--duration", "60s")
        r = b.ask("kv", "--operation", "load", "--load-depth", 4000, "--fsync", "interval", "--no-latency", keys=keys, existing=False,
                  memory=64 * MB)
        if not (d and r):
            continue
        l = r["load"]
        all_, put = l["bytes"] / (l["seconds"] + l["sync_seconds"]), l["bytes"] / l["seconds"]
        part.row(run + 1, all_ / 1e6, put / 1e6, d["bytes_per_second"] / 1e6)
        synced.append(ratio(all_, d["bytes_per_second"]))
    part.figures["over_device"] = synced
    part.check("until all is synced, over the device's sequential writes", median(synced), ">=", 0.6)
    return part


def opening(b):
    """[f] Opening after a clean stop and after kill -9."""
    part = Part("[f] opening 1 M x 4 KiB, files not in the page cache")
    keys = b.keys(MILLION)
    clean, killed = [], []
    for run in range(b.runs):
        note(f"open: run {run + 1} of {b.runs}")
        r = b.ask("kv", "--operation", "open", "--clear-cache", keys=keys, memory=400 * MB)
        clean.append(r and r["open_seconds"])
        b.ask("kv", "--operation", "mixed", "--read-percent", 0, "--duration", b.seconds(5, 1), "--kill", keys=keys, memory=400 * MB,
              expect=(-signal.SIGKILL,))
        r = b.ask("kv", "--operation", "open", "--clear-cache", keys=keys, memory=400 * MB)
        killed.append(r and r["open_seconds"])
        part.figures["stats"] = r and r["stats"]
        check = b.ask("kv", "--operation", "batch", "--workload", "sequential", "--operations", keys, "--verify", keys=keys, memory=400 * MB)
        part.check(f"after kill -9, run {run + 1}: wrong or missing values",
                   check and check["measured"]["wrong"] + check["measured"]["not_found"] + check["measured"]["failed"], "<=", 0)
    part.row("after", "median s", "worst s")
    for name, values, asked in (("clean stop", clean, 2), ("kill -9 while writing", killed, 5)):
        values = [v for v in values if v is not None]
        part.row(name, median(values), max(values, default=None))
        part.check(f"{name}: s", median(values), "<=", asked)
    part.figures.update(clean=clean, killed=killed)
    return part


def index(b):
    """[g] Bytes a key in the index, and the worst put while it grows."""
    part = Part("[g] index: small keys, each put by itself")
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) and free_bytes("/dev/shm") > 3 * GB else None
    part.row("keys", "bytes a key", "p50 us", "p99.99 us", "worst us", "over 1 ms", "table's worst us", "over 1 ms")
    for keys in (MILLION, 10 * MILLION) if not b.quick else (MILLION // 10, MILLION):
        note(f"index: {keys} keys{'' if shm else ', on the disk: no room in /dev/shm'}")
        options = ["--operation", "load", "--load-depth", 1, "--fsync", "never"]
        one = dict(keys=keys, value="20", existing=False, memory=4 * GB, dir=shm)
        r = b.ask("kv", *options, **one) or b.ask("kv", *options, "--buffered", **one)
        t = b.ask("ideal", *options, **one)
        if r is None:
            part.check(f"{keys:,} keys: bytes a key", None, "<=", 24)
            continue
        bytes_, l, own = r["stats"]["index_bytes"] / keys, latency(r, "put"), latency(t, "put") or {"max": 0, "over_1ms": None}
        part.row(keys, bytes_, l["p50"], l["p99_99"], l["max"], l["over_1ms"], own["max"], own["over_1ms"])
        part.figures[str(keys)] = {"bytes_a_key": bytes_, "put": l, "table": own, "stats": r["stats"]}
        part.check(f"{keys:,} keys: bytes a key", bytes_, "<=", 24)
        part.check(f"{keys:,} keys: worst put ms", l["max"] / 1000, "<=", max(1.0, own["max"] / 1000),
                   f"{l['over_1ms']} of {l['count']:,} over 1 ms; a plain table's worst on this machine {own['max'] / 1000:.2f} ms, "
                   f"{own['over_1ms']} over 1 ms")
    return part


def free_bytes(path):
    s = os.statvfs(path)
    return s.f_bavail * s.f_frsize


def hit_ratios(b):
    """[h] What stays in memory, beside the policies of the simulator."""
    part = Part("[h] hit ratios on the simulator's traces")
    program = os.path.join(b.build, "bin/storesim")
    if not os.access(program, os.X_OK):
        note("hit-ratios: bin/storesim is not built")
        return part
    options = ["--keys", "20000", "--gets", "400000"] if b.quick else []
    note("hit-ratios: storesim")
    done = subprocess.run([program, "--json", "--dir", b.folder, *options], capture_output=True, text=True)
    if done.returncode != 0:
        note(f"  storesim: status {done.returncode}: {done.stderr.strip()[-300:]}")
        return part
    worst = {}
    for line in filter(None, done.stdout.splitlines()):
        trace = json.loads(line)
        part.figures[trace["workload"]] = trace["sizes"]
        names = [p["policy"] for p in trace["sizes"][0]["policies"]]
        part.row(trace["workload"], *names)
        for size in trace["sizes"]:
            hits = {p["policy"]: p["hit_ratio"] for p in size["policies"]}
            part.row(f"{size['percent']} %", *(100 * hits[n] for n in names))
            best = max(v for n, v in hits.items() if n != "store")
            lru = next((v for n, v in hits.items() if n.lower() == "lru"), None)
            w = worst.setdefault(trace["workload"], [1.0, 0.0])
            w[0] = min(w[0], hits["store"] - (lru if lru is not None else 0))
            w[1] = max(w[1], best - hits["store"])
    worst.pop("mixed", None)  # values of 20 bytes to 8 MB whose hot set moves on: reported beside the others, no figure is asked for
    for workload, (over_lru, below_best) in worst.items():
        part.check(f"{workload}: points over LRU, at the worst size", 100 * over_lru, ">=", 0.0)
        part.check(f"{workload}: points below the best policy, at the worst size", 100 * below_best, "<=", 2.0)
    return part


PARTS = {"table5": table5, "memory": memory, "tenth": tenth, "rescale": rescale, "load": load, "open": opening, "index": index,
         "hit-ratios": hit_ratios}
