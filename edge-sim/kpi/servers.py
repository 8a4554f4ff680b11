"""The servers that the parts ask, each in a part's folder, on free ports: ready when the constructor returns, stopped with the part or by stop()."""
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request

from . import work
from .work import Failed

CONNECTIONS = 50  # as redis-benchmark has by itself


class Server:
    """A program that says ` ready ` in its log."""

    def __init__(self, w, argv, log, group=None):
        self.work, self.log = w, log
        self.number = w.command(argv)
        since = len(work.read(log)) if os.path.exists(log) else 0
        with open(log, "ab") as f:
            self.process = w.spawn(argv, stdout=f, stderr=f, group=group)
        work.wait_for(f"{w.shown(argv[:1])} is ready", lambda: self.is_ready(work.read(log)[since:]), self.process)
        self.text = work.read(log)[since:]

    def is_ready(self, text):
        return " ready " in text

    def address(self, event):
        return re.search(rf" {event} addr=(\S+)", self.text).group(1)

    def alive(self):
        return self.process.poll() is None

    def resident(self):
        try:
            return work.resident_bytes(self.process.pid)
        except (OSError, StopIteration):
            return None

    def cpu(self):
        return work.cpu_seconds(self.process.pid)

    def stop(self):
        work.end(self.process)

    def admin_text(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=60) as page:
            return page.read().decode()

    def metric(self, name, labels=""):
        """A counter's value from /metrics."""
        found = re.search(rf"^{re.escape(name + labels)} (\S+)$", self.admin_text("/metrics"), re.M)
        if not found:
            raise Failed(f"/metrics has no {name}{labels}")
        return float(found.group(1))


class Kvstore(Server):
    def __init__(self, w, *options, store=None, group=None, name="kvstore"):
        self.store = store or w.path(name)
        argv = [w.need("kvstore"), "--listen", "127.0.0.1:0", "--dir", self.store, "--admin", "127.0.0.1:0", *options]
        super().__init__(w, argv, w.path(name + ".log"), group)
        self.server, self.admin = self.address("listening"), self.address("admin_listening")

    def gets(self):
        """(answered from memory, read from disk) until now."""
        return self.metric("kv_gets_total", '{result="memory"}'), self.metric("kv_gets_total", '{result="disk"}')


class Redis(Server):
    """redis-server, without persistence: the seed's way."""

    def __init__(self, w, group=None):
        port, folder = work.free_port(), w.fresh("redis")
        os.mkdir(folder)
        self.server = f"127.0.0.1:{port}"
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--protected-mode", "no", "--dir", folder, "--daemonize", "no"]
        super().__init__(w, argv, os.path.join(folder, "log"), group)

    def is_ready(self, text):
        return "Ready to accept connections" in text


def have_redis():
    """"", or what of the peer is missing."""
    missing = [p for p in ("redis-server", "redis-benchmark") if shutil.which(p) is None]
    return f"{' and '.join(missing)} not on this machine (Debian packages redis-server, redis-tools)" if missing else ""


class Sites:
    """A PKI for the channel, a master key, sites' certificates with keys of each kind, imported into a store."""

    KINDS = {
        "rsa2048": ("RSA-2048", ["-newkey", "rsa:2048"]),
        "rsa4096": ("RSA-4096", ["-newkey", "rsa:4096"]),
        "p256": ("P-256", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        "rsa3072": ("RSA-3072", ["-newkey", "rsa:3072"]),
        "p384": ("P-384", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    }

    def __init__(self, w, kinds=("rsa2048", "rsa4096", "p256")):
        self.work, self.made, certs = w, {}, w.need("certs")
        w.step("making keys and certificates")
        w.run([certs, "pki", "--out", w.path("pki"), "--server", "127.0.0.1", "--edge", "kpi"])
        w.run([certs, "master-key", "--out", w.path("master.key")])
        os.mkdir(w.path("sites"))
        for name in kinds:
            about = ["-days", "2", "-subj", f"/CN={name}.test", "-addext", f"subjectAltName=DNS:{name}.test"]
            files = ["-keyout", w.path(f"sites/{name}.key"), "-out", w.path(f"sites/{name}.pem")]
            _, self.made[name] = w.run(["openssl", "req", "-x509", "-nodes", *about, *files, *self.KINDS[name][1]])
        self.import_into(w.path("keys"), w.path("sites"))

    def import_into(self, store, path):
        return self.work.run([self.work.need("certs"), "import", "--store", store, "--master-key", self.work.path("master.key"), path])

    def certificate(self, name):
        return self.work.path(f"sites/{name}.pem")

    def edge(self):
        """The edge's options for its channel to the key server."""
        p = self.work.path
        return ["--cert", p("pki/edge-kpi.pem"), "--key", p("pki/edge-kpi.key"), "--ca", p("pki/ca.pem")]


class Keyserver(Server):
    def __init__(self, w, *options, store=None, name="keyserver"):
        p = w.path
        argv = [w.need("keyserver"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store", store or p("keys")]
        argv += ["--master-key", p("master.key"), "--cert", p("pki/server.pem"), "--key", p("pki/server.key")]
        argv += ["--client-ca", p("pki/ca.pem"), "--audit-log", p("audit.log"), "--queue-delay", "10s", *options]  # closed loops wait as long as it takes
        super().__init__(w, argv, w.path(name + ".log"))
        self.server, self.admin = self.address("listening"), self.address("admin_listening")

    def load(self, sites, key, *options):
        """One run of `edge-sim load ski` for one site: (result, command)."""
        return self.load_files(sites, [sites.certificate(key)], *options)

    def load_files(self, sites, certificates, *options):
        """The same for sites by their certificates' files, in turn."""
        w = self.work
        which = [word for file in certificates for word in ("--site", file)]
        return w.json([w.need("edge-sim"), "load", "ski", "--quiet", "--keyserver", f"https://{self.server}", *sites.edge(), *which, *options])


class Edge(Server):
    """`edge-sim serve`, a folder with one page of 1 KiB."""

    def __init__(self, w, keyserver, sites, kinds):
        root = w.path("www")
        os.makedirs(root, exist_ok=True)
        work.write(os.path.join(root, "index.html"), "<!doctype html><title>MEC edge</title>" + "x" * 986)
        argv = [w.need("edge-sim"), "serve", "--listen", "127.0.0.1:0", "--keyserver", f"https://{keyserver.server}", *sites.edge(), "--root", root]
        for name in kinds:
            argv += ["--site", sites.certificate(name)]
        super().__init__(w, argv, w.path("edge.log"))
        self.server = self.address("listening")

    def is_ready(self, text):
        return " listening " in text


class Scaleupd(Server):
    def __init__(self, w, *options):
        self.socket = w.path("scaleupd.sock")
        super().__init__(w, [w.need("scaleupd"), "--listen", f"unix:{self.socket}", *options], w.path("scaleupd.log"))


def lookups(w, server, keys, *options):
    """One run of `edge-sim load lookup`: (result, command). A wrong value is a failure; look-ups that had no answer when the time was up are
    slow ones, which the latency counts: a machine that stood still for seconds does not end the part. A run without any is done again."""
    for _ in range(3):
        result, command = w.json([w.need("edge-sim"), "load", "lookup", "--quiet", "--server", server, "--keys", keys, *options], expect=(0, 1))
        if result["right"]:
            break
    bad = [f"{result[kind]} {kind}" for kind in ("missing", "wrong", "errors", "lost") if result[kind]]
    if bad or not result["right"]:
        raise Failed(f"edge-sim load lookup: {', '.join(bad) or 'no look-up was answered'}")
    if result["unanswered"]:
        w.result.note(f"{result['unanswered']:,} look-ups had no answer in time (command {command}).")
    return result, command


def fill(w, server, keys, *options):
    """Stores all keys; the command."""
    return w.run([w.need("edge-sim"), "load", "lookup", "--quiet", "--server", server, "--keys", keys, *options, "--fill", "--duration", "0s"])[1]


def ask(server, *words):
    """One command by the Redis protocol, its answer as nested lists: what no program of ours prints."""
    host, port = server.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as s, s.makefile("rb") as f:
        s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(x), x) for x in (w.encode() for w in words)))
        return answer(f)


def answer(f):
    line = f.readline().rstrip(b"\r\n")
    kind, rest = line[:1], line[1:].decode()
    if kind == b"*":
        return [answer(f) for _ in range(int(rest))]
    if kind == b"$":
        return f.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
    if kind in (b"-", b""):
        raise Failed(f"the server answered {rest or 'nothing'}")
    return int(rest) if kind == b":" else rest


def s_time(w, server, seconds, *options):
    """`openssl s_time`: (connections, seconds, command). It connects anew each time, one after the other; its own clock knows whole seconds only."""
    begin = time.monotonic()
    out, number = w.run(["openssl", "s_time", "-connect", server, "-time", max(round(seconds), 1), *options], expect=(0, 1))
    took = time.monotonic() - begin
    found = re.findall(r"(\d+) connections in \d+ real seconds", out)
    if not found or int(found[-1]) == 0:
        raise Failed(f"openssl s_time: {out.strip()[-300:]}")
    return int(found[-1]), took, number


def openssl_speed(w, algorithm, seconds, cores):
    """Private-key operations a second of stock OpenSSL on so many processors: (rate, command)."""
    out, number = w.run(["openssl", "speed", "-multi", cores, "-seconds", max(int(seconds), 1), algorithm])
    lines = [l for l in out.splitlines() if re.search(r"rsa|ecdsa", l) and re.search(r"\d+\.\d+s", l)]
    if not lines:
        raise Failed(f"openssl speed: {out.strip()[-300:]}")
    return float(re.findall(r"([\d.]+)(?!\S)", lines[-1])[-2]), number


def openssl_version():
    return subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.strip()
