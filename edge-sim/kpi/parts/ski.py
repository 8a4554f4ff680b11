"""SKI requests per second through the whole server, beside `openssl speed` on the same cores, in turn."""
import os
import shutil

from .. import seed, stats
from ..servers import Keyserver, Sites, openssl_speed

TITLE = "SKI requests per second, per key type"
METHOD = (
    "In turn, per key type: openssl speed on all cores, then for each kind of operation the key server under a closed loop of 32 "
    "connections with 4 requests under way on each. Every answer is checked (P-256 signatures: one of 100). A ratio of 1 would mean that "
    "TLS, HTTP, JSON, the look-up and the load generator cost nothing; more than 1 that the server's engine is faster than stock OpenSSL."
)
KINDS = (  # name, words, openssl speed's algorithm, site, method, options
    ("rsa2048-decrypt", "RSA-2048 decryption", "rsa2048", "rsa2048", "RSA", []),
    ("rsa2048-sign", "RSA-2048 signature", "rsa2048", "rsa2048", "ECDHE", []),
    ("rsa4096-decrypt", "RSA-4096 decryption", "rsa4096", "rsa4096", "RSA", []),
    ("rsa4096-sign", "RSA-4096 signature", "rsa4096", "rsa4096", "ECDHE", []),
    ("p256-sign", "P-256 signature", "ecdsap256", "p256", "ECDHE", ["--verify-every", 100]),
)
MORE = (  # in the full form
    ("rsa3072-sign", "RSA-3072 signature", "rsa3072", "rsa3072", "ECDHE", []),
    ("p384-sign", "P-384 signature", "ecdsap384", "p384", "ECDHE", ["--verify-every", 100]),
)


def kinds(s):
    return s.pick((*KINDS, *MORE), KINDS)


def seconds(s):
    return 3 + s.runs * (s.pick(5, 3) * max(s.seconds(4, 1), 1) + len(kinds(s)) * s.seconds(4, 1)) + len(kinds(s)) * s.seconds(1, 0.3)


def measure(w, r):
    s, sites = w.settings, Sites(w, sorted({kind[3] for kind in kinds(w.settings)}))
    cores = len(os.sched_getaffinity(0))
    server = Keyserver(w)
    got = {kind[0]: [] for kind in kinds(s)}
    for kind in kinds(s):
        load(w, server, sites, kind, s.span(1, 0.3))  # the key is decoded, the connections' code is in memory
    for run in range(s.runs):
        stock = {}
        for kind in kinds(s):
            w.step(f"{kind[1]}, run {run + 1} of {s.runs}")
            if kind[2] not in stock:
                stock[kind[2]] = openssl_speed(w, kind[2], s.seconds(4, 1), cores)
            got[kind[0]].append((*load(w, server, sites, kind, s.span(4, 1)), *stock[kind[2]]))
    columns = ["operation", "OpenSSL/s", "key server/s", "ratio", "a core", "cores for 30,000/s", "p50 ms", "p99 ms"]
    add = r.table("rates", f"Operations a second on {cores} cores", columns, f"The seed's own rate per key type: {seed.NOT_PUBLISHED}.")
    for name, words, *_ in kinds(s):
        add_kind(r, add, name, words, got[name], cores)
    peers = r.table("peers", "Others, measured apart from this report", ["operations/s", "the seed's server: Java, Redis", "gokeyless (Go)", "a keyless server in C"],
                    "On 2 cores of an AMD EPYC (Zen 4), the load generator on the same cores. Not of this run, perhaps not of this machine: no ratios.")  # fmt: skip
    for row in seed.PEERS:
        peers(*row)
    java = "" if shutil.which("java") else "java is not on this machine; besides, "
    r.leave_out("the seed's server (Java) beside ours", java + "it is no part of this tree, and edge-sim load ski does not speak its dialect")
    server.stop()


def load(w, server, sites, kind, duration):
    return server.load(sites, kind[3], "--method", kind[4], "--connections", 32, "--in-flight", 4, "--duration", duration, *kind[5])


def add_kind(r, add, name, words, runs, cores):
    rates, stock = [x[0]["right_per_second"] for x in runs], [x[2] for x in runs]
    command = runs[0][1]
    rate = r.figure(f"{name}.rate", f"{words}, key server", "1/s", "higher", rates, command)
    own = r.figure(f"{name}.openssl", f"{words}, openssl speed", "1/s", "none", stock, runs[0][3])
    over = r.figure(f"{name}.ratio", f"{words}, over openssl speed", "", "higher", [a / b for a, b in zip(rates, stock)], command)
    ms = lambda q: stats.median([x[0]["latency_us"][q] / 1000 for x in runs])
    add(words, own, rate, over, rate / cores, 30_000 / rate * cores, ms("p50"), ms("p99"), command=command)
