"""The two servers that tests/bench/redis/run compares, each in a folder of its own, and the two clients that ask them."""
import csv, ctypes, io, os, re, shutil, signal, socket, subprocess, tempfile, time, urllib.request

import measure
from measure import note

VALUE = 4096
CONNECTIONS = 50
PDEATHSIG = 1  # of prctl
LIBC = ctypes.CDLL(None)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A running server; `with` stops it and removes its folder. Whatever becomes of us, it does not outlive us."""

    name = None

    def __init__(self, bench, *options, group=None, unix=False):
        self.bench, self.group = bench, group
        self.folder = tempfile.mkdtemp(prefix=self.name + "-", dir=bench.folder)
        self.port = None if unix else free_port()
        self.path = os.path.join(self.folder, "socket")
        self.admin = free_port()
        self.address = f"unix:{self.path}" if unix else f"127.0.0.1:{self.port}"
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([str(c) for c in [*self.command(), *options]], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd=self.folder, preexec_fn=self.in_child)
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def in_child(self):
        LIBC.prctl(PDEATHSIG, signal.SIGKILL)
        if self.group:
            self.group.enter_child()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until_it_answers(self):
        end = time.monotonic() + 60
        while time.monotonic() < end and self.alive():
            try:
                with socket.socket(socket.AF_INET if self.port else socket.AF_UNIX) as s:
                    s.settimeout(5)
                    s.connect(("127.0.0.1", self.port) if self.port else self.path)
                    s.sendall(b"PING\r\n")
                    if s.recv(64).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            time.sleep(0.05)
        with open(self.log) as f:
            raise OSError(f"{self.name} does not start: {f.read()[-500:]}")

    def alive(self):
        return self.process.poll() is None

    def survived(self, result):
        """Whether it lives on after this run of the light client. One that loses its connections may be about to end."""
        if result is None or result["connections_lost"] != 0:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        return self.alive()

    def killed(self):
        """By the kernel, for want of memory in its group."""
        return self.process.poll() == -signal.SIGKILL and (self.group is None or self.group.oom_kills() > 0)

    def resident(self):
        try:
            with open(f"/proc/{self.process.pid}/status") as f:
                return next((int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS:")), None)
        except OSError:
            return None

    def halt(self):
        """Stops it and leaves its files."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                note(f"  {self.name} does not stop: killed")
                self.process.kill()
        self.process.wait()

    def stop(self):
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def gets(self):
        """Gets until now: those whose value was in memory, those whose value was on disk. (0, 0): it does not say."""
        raise NotImplementedError

    # ---- clients

    def light(self, *options, keys, expect=(0,)):
        """One run of bench_respload; its result, or None."""
        return self.bench.execute([os.path.join(self.bench.build, "bench/bench_respload"), "--server", self.address, "--keys", keys,
                                   "--value-bytes", VALUE, "--connections", CONNECTIONS, *options], expect=expect)

    def benchmark(self, test, requests, keys, depth=1):
        """One run of redis-benchmark: requests a second and latencies in us, or None."""
        where = ["-h", "127.0.0.1", "-p", self.port] if self.port else ["-s", self.path]
        command = ["redis-benchmark", *where, "-c", CONNECTIONS, "-n", requests, "-r", keys, "-t", test, "-d", VALUE, "-P", depth, "--csv",
                   "--precision", 3]
        try:
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=1800)
        except subprocess.TimeoutExpired:
            note("  redis-benchmark: no end within half an hour")
            return None
        rows = [r for r in csv.DictReader(io.StringIO(done.stdout)) if r.get("test") == test.upper()]
        if done.returncode != 0 or not rows:
            note(f"  redis-benchmark: status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
            return None
        us = lambda name: float(rows[0][name + "_latency_ms"]) * 1000
        return {"rate": float(rows[0]["rps"]), "p50": us("p50"), "p99": us("p99"), "max": us("max")}


class Redis(Server):
    name = "redis"

    def command(self):
        where = ["--bind", "127.0.0.1", "--port", self.port] if self.port else ["--port", 0, "--unixsocket", self.path]
        return ["redis-server", *where, "--save", "", "--protected-mode", "no", "--dir", self.folder, "--daemonize", "no"]

    def gets(self):
        return 0.0, 0.0


class Ours(Server):
    name = "kvstore"

    def command(self):
        return [os.path.join(self.bench.build, "bin/kvstore"), "--listen", self.address, "--dir", self.store(), "--admin",
                f"127.0.0.1:{self.admin}"]

    def store(self):
        return os.path.join(self.folder, "store")

    def gets(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as page:
            body = page.read().decode()
        value = lambda result: float(re.search(rf'^kv_gets_total{{result="{result}"}} (\S+)$', body, re.M).group(1))
        return value("memory"), value("disk")


class Bench(measure.Bench):
    def __init__(self, build, folder, runs, quick, unix):
        super().__init__(build, folder, runs, quick)
        self.unix = unix

    def __enter__(self):
        missing = [p for p in ("redis-server", "redis-benchmark") if shutil.which(p) is None]
        missing += [p for p in ("bin/kvstore", "bench/bench_respload") if not os.access(os.path.join(self.build, p), os.X_OK)]
        if missing:
            raise SystemExit(f"run: not there: {', '.join(missing)} (deploy/install-packages bench; cmake --build --preset release)")
        return super().__enter__()

    def ours(self, *options, group=None):
        return Ours(self, *options, group=group, unix=self.unix)

    def redis(self, *options, group=None):
        return Redis(self, *options, group=group, unix=self.unix)
