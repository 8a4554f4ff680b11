"""The key server on many keys of which few are decoded: its rate and latency beside openssl's, and its memory over minutes."""
import contextlib, glob, os, shutil, statistics, subprocess, time

from keyserver import Server, openssl_rate, resident_bytes, run

KINDS = [  # name, openssl speed's algorithm, options of bench_keys, method, load options, part of openssl's rate that is asked
    ("rsa2048-decrypt", "rsa2048", ["--bits", "2048"], "RSA", [], 0.9),
    ("rsa3072-decrypt", "rsa3072", ["--bits", "3072"], "RSA", [], 0.9),
    ("rsa4096-decrypt", "rsa4096", ["--bits", "4096"], "RSA", [], 0.9),
    ("p256-sign", "ecdsap256", ["--type", "p256"], "ECDHE", ["--verify-every", "100"], 0.5),
]
LOAD = 0.8       # of capacity, where p99 is looked at
P99_MOST = 3.0   # times the operation
KEYS_A_MODULUS = 250
WARM_MINUTES = 1  # before memory is looked at; a tenth when the whole is short
FLAT_MOST = 1.02  # the last seconds' memory to the first ones'
AUDIT_FILE = "256mb"


@contextlib.contextmanager
def many_keys_server(bin, work, kind, args):
    """A server with args.keys keys of a kind, a tenth of them decoded, and the options of a load that asks for all of them in turn."""
    name, _, key_options, _, load_options, _ = kind
    store, sites, config = f"many-{name}", f"{work}/sites-{name}", f"{work}/{name}.conf"
    run(f"{bin}/../bench/bench_keys", "--store", f"{work}/{store}", "--master-key", f"{work}/master.key", "--keys", str(args.keys), *key_options,
        "--moduli", str(max(1, args.keys // KEYS_A_MODULUS)), "--threads", str(len(os.sched_getaffinity(0))), "--record-bytes", "0",
        "--sample", str(args.keys), "--sites", sites)
    with open(config, "w") as f:
        f.writelines(f"site = {site.path}\n" for site in os.scandir(sites))
    decoded = max(16, args.keys // 10)
    server = Server(bin, work, args.engine, name, ["--key-cache", str(decoded), "--secret-memory", f"{64 + decoded // 32}mb",
                                                   "--audit-rotate", AUDIT_FILE], store)
    try:
        yield server, [*load_options, "--config", config]
    finally:
        server.stop()
        for folder in (f"{work}/{store}", f"{work}/store-{name}", sites):
            shutil.rmtree(folder, ignore_errors=True)
        remove_audit(work, name)


def remove_audit(work, name):
    """The audit log's files that are closed already: ten minutes at the full rate write gigabytes."""
    for path in glob.glob(f"{work}/audit-{name}.log.*"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def check(checks, name, value, op, asked):
    good = value >= asked if op == ">=" else value <= asked
    checks.append({"name": name, "value": value, "op": op, "asked": asked, "pass": good})
    return "" if good else "  NOT AS ASKED"


# ---- rate and latency


def measure_kind(bin, work, kind, args, cores, checks):
    name, algorithm, _, method, _, asked = kind
    m = statistics.median
    with many_keys_server(bin, work, kind, args) as (server, options):
        server.load(None, method, options, args)  # warm: every key has its turn where there is time
        stock, ours = [], []
        before = server.metrics()
        for _ in range(args.runs):
            stock.append(openssl_rate(algorithm, cores, args.seconds))
            ours.append(server.load(None, method, options, args)["right_per_second"])
            remove_audit(work, name)
        own_us = 1e6 / m(openssl_rate(algorithm, 1, args.seconds) for _ in range(min(3, args.runs)))
        rate = LOAD * m(ours)
        loads = [server.load(None, method, [*options, "--rate", str(max(1, round(rate)))], args) for _ in range(args.runs)]
        after = server.metrics()
    hits, misses = (after[n] - before[n] for n in ("ks_key_cache_hits_total", "ks_key_cache_misses_total"))
    ratios, p99 = [o / s for o, s in zip(ours, stock)], [load["latency_us"]["p99"] for load in loads]
    words = check(checks, f"{name}: rate to openssl speed", m(ratios), ">=", asked)
    words += check(checks, f"{name}: p99 at {LOAD:.0%} to the operation's time", m(p99) / own_us, "<=", P99_MOST)
    print(f"{name:16} {m(stock):11.0f} {m(ours):12.0f} {m(ratios):6.2f} {hits / max(1, hits + misses):8.2f} {own_us / 1000:8.3f} {rate:10.0f} "
          f"{m(load['latency_us']['p50'] for load in loads) / 1000:8.2f} {m(p99) / 1000:8.2f} {m(p99) / own_us:8.2f}{words}", flush=True)
    return {"openssl_per_second": stock, "keyserver_per_second": ours, "ratios": ratios, "ratio_median": m(ratios), "decoded_part": hits / max(1, hits + misses),
            "operation_us": own_us, "rate_at_load": rate, "at_load": [{"right_per_second": load["right_per_second"], "latency_us": load["latency_us"]}
                                                                      for load in loads],
            "p99_ratio": m(p99) / own_us}


def measure_acceptance(bin, work, args, cores):
    checks, kinds = [], {}
    print(f"{args.keys} keys of each kind, {max(16, args.keys // 10)} of them decoded")
    print(f"{'':16} {'openssl/s':>11} {'keyserver/s':>12} {'ratio':>6} {'decoded':>8} {'op ms':>8} {'offered/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'p99/op':>8}")
    for kind in KINDS:
        if args.only in (None, kind[0]):
            kinds[kind[0]] = measure_kind(bin, work, kind, args, cores, checks)
    return {"keys": args.keys, "kinds": kinds, "checks": checks}


# ---- memory


def slope(points):
    """Of a line through (x, y) by least squares; 0 with fewer than two."""
    if len(points) < 2:
        return 0.0
    x0, y0 = (statistics.fmean(p[i] for p in points) for i in (0, 1))
    over = sum((x - x0) ** 2 for x, _ in points)
    return sum((x - x0) * (y - y0) for x, y in points) / over if over else 0.0


def measure_flat(bin, work, args):
    kind, checks, resident = KINDS[0], [], []
    seconds = round(60 * args.minutes)
    with many_keys_server(bin, work, kind, args) as (server, options):
        result = f"{work}/load.json"
        load = subprocess.Popen(server.load_command(None, kind[3], options, args.connections, args.in_flight, seconds, result),
                                stdout=subprocess.DEVNULL)
        begin = time.monotonic()
        while load.poll() is None:
            resident.append((time.monotonic() - begin, resident_bytes(server.pid)))
            remove_audit(work, kind[0])
            time.sleep(1)
        if load.returncode != 0:
            raise SystemExit(f"edge-sim: exit status {load.returncode}")
    warm = min(60 * WARM_MINUTES, seconds / 10)
    points = [p for p in resident if warm <= p[0] <= seconds]
    few = max(1, len(points) // 20)
    first, last = (statistics.median(y for _, y in part) for part in (points[:few], points[-few:]))
    per_minute = 60 * slope(points)
    words = check(checks, "memory at the end to that after the first minute", last / first, "<=", FLAT_MOST)
    print(f"{kind[0]}, {args.minutes:g} minutes at saturation: resident {first / 2**20:.1f} MB after {warm:.0f} s, {last / 2**20:.1f} MB at the end "
          f"({last / first:.3f}), {per_minute / 1024:+.0f} KB a minute{words}")
    return {"minutes": args.minutes, "resident": [{"seconds": round(s, 1), "bytes": b} for s, b in resident], "first_bytes": first, "last_bytes": last,
            "last_over_first": last / first, "slope_bytes_per_minute": per_minute, "checks": checks}
