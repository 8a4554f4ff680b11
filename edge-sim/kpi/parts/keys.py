"""A million keys: imported, opened and checked, served; start-up and memory."""
import base64
import json
import os
import re
import secrets
import time

from ..servers import Keyserver, Sites
from ..work import Failed

TITLE = "Number of keys: import, start-up, memory"
METHOD = (
    "Two stores. One holds P-256 keys, each made by itself (random numbers in PKCS#8; certs computes their public keys), imported and sealed by "
    "certs, opened and checked by certs verify. The other holds RSA-4096 keys, each sealed under a name of its own in a record of 4 KiB "
    "(certificates' names fill it up). To make a million of them takes days, so these are few moduli, all distinct and real, each with many "
    "public exponents: another exponent makes another key, with a private exponent and a fingerprint of its own, which is opened, checked and "
    "served like any other. The key server is started on each store and answers, every answer checked, for keys that have certificates: of the "
    "RSA-4096 keys a sample spread over all of them, of the P-256 keys one. Start-up is from the program's start until it is ready, files "
    "as they happen to be in the page cache."
)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256's group
HEAD = bytes.fromhex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420")  # PKCS#8 of a P-256 key, up to the number
A_FILE = 4000  # keys a file: certs takes files up to 1 MiB
MEMORY = ("--memory", "256mb")


def counts(s):
    """(P-256 keys, RSA-4096 keys, moduli of these, those of them that are asked for)"""
    if s.quick:
        return max(int(1000 * s.scale), 200), max(int(1000 * s.scale), 200), 2, 8
    return s.keys(1_000_000), s.keys(1_000_000), s.keys(1000, 4), 64


def seconds(s):
    small, large, moduli, _ = counts(s)
    cores = len(os.sched_getaffinity(0))
    return 5 + small / 2000 + small / 5000 + (1.5 * moduli + large / 3000) / cores + 2 * s.runs * 0.7


def measure(w, r):
    small, large, moduli, sample = counts(w.settings)
    w.need("bench_keys")
    sites = Sites(w, ("p256", "rsa4096"))
    columns = ["keys", "number", "ready after s", "resident MB", "bytes a key, all in", "index, bytes a key", "answered, none wrong"]
    add = r.table("stores", "Stores, and the key server started on them", columns)
    imported(w, r, small)
    start(w, r, add, "", f"{small:,} P-256 keys", w.path("keys"), small, lambda server, *ask: server.load(sites, "p256", *ask))
    r.figure("count", "P-256 keys imported and served", "", "none", [small], r.command("certs verify --store $DIR/keys --master-key $DIR/master.key"))
    names = filled(w, r, large, moduli, sample)
    start(w, r, add, "rsa_", f"{large:,} RSA-4096 keys", w.path("rsa"), large, lambda server, *ask: server.load_files(sites, names, *ask))
    r.note(f"The {large:,} RSA-4096 keys are of {moduli:,} distinct moduli, {large / moduli:,.0f} public exponents each; {sample} of them, evenly spread, were asked for.")
    r.figure("pem_bytes", "An RSA-4096 key in PEM", "bytes", "none", [os.path.getsize(w.path("sites/rsa4096.key"))], sites.made["rsa4096"])


# ---- P-256 keys


def imported(w, r, count):
    """The keys made, imported into the sites' store, each opened."""
    w.step(f"making {count:,} P-256 keys")
    os.mkdir(w.path("bulk"))
    for first in range(0, count, A_FILE):
        with open(os.open(w.path(f"bulk/{first}.pem"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.writelines(pem() for _ in range(min(A_FILE, count - first)))
    w.step(f"importing {count:,} keys")
    begin = time.monotonic()
    out, command = w.run([w.need("certs"), "import", "--store", w.path("keys"), "--master-key", w.path("master.key"), w.path("bulk")])
    took = time.monotonic() - begin
    total = int(re.findall(r"^imported (\d+), ", out, re.M)[-1])
    if total != count:
        raise Failed(f"certs import: {total} of {count} keys were imported")
    r.figure("import_rate", "Import of P-256 keys", "keys/s", "higher", [count / took], command)
    w.step(f"opening and checking {count:,} keys")
    begin = time.monotonic()
    _, command = w.run([w.need("certs"), "verify", "--store", w.path("keys"), "--master-key", w.path("master.key")])
    r.figure("verify_rate", "certs verify, each key opened and checked", "keys/s", "higher", [count / (time.monotonic() - begin)], command)


def pem():
    """A new P-256 key. Its public half is left out, as PKCS#8 allows."""
    number = (secrets.randbelow(ORDER - 1) + 1).to_bytes(32, "big")
    text = base64.b64encode(HEAD + number).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text[:64]}\n{text[64:]}\n-----END PRIVATE KEY-----\n"


# ---- RSA-4096 keys


def filled(w, r, count, moduli, sample):
    """The store with RSA keys; the certificates of the sample."""
    w.step(f"making {moduli:,} RSA-4096 moduli and {count:,} keys of them")
    fill = [w.need("bench_keys"), "--store", w.path("rsa"), "--master-key", w.path("master.key"), "--keys", count, "--moduli", moduli]
    threads = min(len(os.sched_getaffinity(0)), 64)
    result, command = w.json([*fill, "--threads", threads, "--sample", sample, "--sites", w.path("sample")], timeout=24 * 3600)
    if result["keys"] != count:
        raise Failed(f"bench_keys: {result['keys']} of {count} keys were stored")
    r.figure("records", "RSA-4096 keys sealed under names of their own", "", "none", [result["keys"]], command)
    r.figure("moduli", "Distinct moduli of these", "", "none", [result["moduli"]], command)
    r.figure("record_bytes", "An RSA-4096 key's record, mean", "bytes", "none", [result["record_bytes"]], command)
    return sorted(os.path.join(w.path("sample"), name) for name in os.listdir(w.path("sample")))


# ---- the key server on either


def start(w, r, add, prefix, words, store, count, load):
    """The key server started anew in each run, then asked; a row."""
    took, resident, index, server = [], [], [], None
    for run in range(w.settings.runs):
        w.step(f"{words}: start {run + 1} of {w.settings.runs}")
        if server is not None:
            server.stop()
        begin = time.monotonic()
        server = Keyserver(w, *MEMORY, store=store)
        took.append(time.monotonic() - begin)
        resident.append(server.resident())
        state = json.loads(server.admin_text("/status"))["store"]
        index.append(state["index_bytes"] / max(state["entries"], 1))
    if state["entries"] < count:
        raise Failed(f"the key server has {state['entries']:,} of {count:,} keys")
    ask = ("--method", "ECDHE", "--connections", 8, "--duration", w.settings.span(2, 0.4))
    result, command = load(server, *ask)
    server.stop()
    figure = lambda name, what, unit, values: r.figure(prefix + name, f"{words}: {what}", unit, "lower", values, server.number)
    row = [figure("start", "until ready", "s", took), figure("resident", "resident after start", "bytes", resident) / 2**20,
           figure("resident_per_key", "resident, by their number", "bytes", [x / count for x in resident]),
           figure("index_bytes", "index, bytes a key", "bytes", index)]  # fmt: skip
    r.figure(prefix + "answered", f"{words}: signatures right, a short closed loop", "1/s", "none", [result["right_per_second"]], command)
    add(words, state["entries"], *row, f"{result['right_per_second']:,.0f}/s", command=server.number)
