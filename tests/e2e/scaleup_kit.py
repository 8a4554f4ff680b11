"""What the scenarios of scaleup.py run in: a memory cgroup, the programs, what is sampled of them, what is left behind."""

import contextlib
import errno
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

MB = 1 << 20
SCALE = int(os.environ.get("MEC_SCALEUP_LONG", "1"))
KEYS, VALUE = 12000 * SCALE, 16384
TABLE = KEYS * (VALUE + 128)
MIN = 96 * MB
MAX = (MIN + TABLE) // (2 * MB) * 2 * MB
QUIET = 500  # lookups a second
BUSY = 4000
DEVICE_READS = 400  # the goal: no more misses a second than these, and ...
HIT_GOAL = 20  # ... at least so many percent of hits
LEAVE = 12 * MB  # a limit is lowered to no less above what is in use: 8 MiB that the store may grow by unseen, and what else moves
SEGMENT = "8mb"  # the last one is read through the page cache, which is the group's, too


def ok(text):
    print(f"ok 0 {text}", flush=True)


def note(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def expect(condition, text, *details):
    if not condition:
        sys.exit(f"not ok: {text}: {' '.join(str(d) for d in details)}")
    ok(text)


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, "w") as f:
        f.write(str(text))


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            value = condition()
            if value:
                return value
        time.sleep(0.02)
    sys.exit(f"not ok: {what}: not within {seconds} s")


class Group:
    """A memory cgroup under our own, version 1 or 2."""

    def __init__(self, limit):
        parent, self.v2 = None, False
        lines = [line.strip().split(":", 2) for line in open("/proc/self/cgroup")]
        for _, controllers, path in lines:
            if "memory" in controllers.split(","):
                parent = "/sys/fs/cgroup/memory" + path.rstrip("/")
        for _, controllers, path in lines:
            if parent is None and controllers == "":
                parent, self.v2 = "/sys/fs/cgroup" + path.rstrip("/"), True
        if parent is None:
            raise OSError("no memory cgroup")
        self.path = f"{parent}/mec-scaleup-{os.getpid()}"
        os.mkdir(self.path)
        self.limit_file = self.path + ("/memory.max" if self.v2 else "/memory.limit_in_bytes")
        try:
            self.set_limit(limit)
        except OSError:
            self.remove()
            raise

    def set_limit(self, limit):
        write(self.limit_file, limit)

    def lower_to(self, limit):
        """The limit is `limit()`; asked again where version 1's kernel refuses, since what is in use rose meanwhile."""
        for _ in range(50):
            try:
                return self.set_limit(limit())
            except OSError as e:
                if e.errno != errno.EBUSY:
                    raise
            time.sleep(0.02)
        sys.exit("not ok: the kernel refuses every limit above what is in use")

    def limit(self):
        text = read(self.limit_file).strip()
        return 1 << 62 if text == "max" else int(text)

    def usage(self):
        """What is charged, page cache left out."""
        stat = dict(line.split() for line in read(self.path + "/memory.stat").splitlines())
        if self.v2:
            return int(read(self.path + "/memory.current")) - int(stat["inactive_file"]) - int(stat["active_file"])
        return int(read(self.path + "/memory.usage_in_bytes")) - int(stat["total_cache"])

    def reset_events(self):
        if not self.v2:
            write(self.path + "/memory.failcnt", 0)
        self.base = self.raw_events()

    def raw_events(self):
        if self.v2:
            e = dict(line.split() for line in read(self.path + "/memory.events").splitlines())
            return {"limit_hit": int(e["max"]), "oom_kills": int(e["oom_kill"])}
        oom = dict(line.split() for line in read(self.path + "/memory.oom_control").splitlines())
        return {"limit_hit": int(read(self.path + "/memory.failcnt")), "oom_kills": int(oom.get("oom_kill", 0))}

    def events(self):
        now = self.raw_events()
        return {k: now[k] - self.base[k] for k in now}

    def enter(self):  # in the child, before exec
        write(self.path + "/cgroup.procs", os.getpid())

    def remove(self):
        for _ in range(100):
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
                return
            time.sleep(0.05)
        note(f"{self.path}: cannot be removed")


class Run:
    """The programs and what is sampled of them."""

    def __init__(self, scenario, bin_folder, work):
        self.scenario, self.bin, self.work = scenario, bin_folder, work
        self.children, self.rows, self.stop_sampling, self.group = [], [], threading.Event(), None
        self.admin, self.sampler, self.load_result, self.marks = None, None, None, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_sampling.set()
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        if self.group is not None:
            self.group.remove()

    def spawn(self, name, *args, group=None):
        log = open(f"{self.work}/{name}.log", "ab")
        child = subprocess.Popen(
            [f"{self.bin}/{name}", *args], stdout=log, stderr=log, preexec_fn=group.enter if group is not None else None
        )
        log.close()
        self.children.append(child)
        return child

    def mark(self, what):
        self.marks.append({"t": time.time(), "what": what})

    def ready(self, name, child, since):
        def look():
            if child.poll() is not None:
                sys.exit(f"not ok: {name} ended with status {child.returncode}")
            return " ready " in read(f"{self.work}/{name}.log")[since:]

        wait_for(f"{name} is ready", 60, look)

    def log_size(self, name):
        path = f"{self.work}/{name}.log"
        return len(read(path)) if os.path.exists(path) else 0

    # -- kvstore and its load

    def server(self):
        return f"unix:{self.work}/kv.sock"

    def fill(self):
        """Outside the group: what loading leaves in the page cache is not ours."""
        child = self.spawn("kvstore", "--dir", f"{self.work}/db", "--listen", self.server(), "--memory", "64mb", "--segment-bytes", SEGMENT)
        self.ready("kvstore", child, 0)
        self.edge("--fill", "--duration", "0s").wait()
        expect(self.load_child.returncode == 0, f"{KEYS} keys of {VALUE} bytes are stored")
        child.terminate()
        expect(child.wait() == 0, "kvstore drains")

    def start_kvstore(self, *args):
        since = self.log_size("kvstore")
        self.kv = self.spawn(
            "kvstore", "--dir", f"{self.work}/db", "--listen", self.server(), "--admin", "127.0.0.1:0",
            "--segment-bytes", SEGMENT, *args, group=self.group
        )
        self.ready("kvstore", self.kv, since)
        text = read(f"{self.work}/kvstore.log")[since:]
        self.admin = "http://" + text.split("admin_listening addr=")[1].split()[0]
        self.group.reset_events()

    def edge(self, *args):
        self.load_child = self.spawn(
            "edge-sim", "load", "lookup", "--server", self.server(), "--keys", str(KEYS), "--value-bytes", str(VALUE), "--quiet", *args
        )
        return self.load_child

    def start_load(self, schedule, seconds):
        return self.edge(
            "--workload", "zipf:0.9", "--schedule", schedule, "--duration", f"{seconds}s", "--verify", "--interval", "100ms",
            "--json", f"{self.work}/load.json",
        )  # fmt: skip

    def finish_load(self):
        status = self.load_child.wait()
        self.load_result = r = json.load(open(f"{self.work}/load.json"))
        bad = {k: r[k] for k in ("missing", "wrong", "errors", "lost", "unanswered")}
        expect(status == 0 and not any(bad.values()) and r["right"] == r["sent"], f"{r['right']} lookups, none failed, no value wrong", status, bad)

    def status(self):
        with urllib.request.urlopen(self.admin + "/status", timeout=5) as f:
            return json.load(f)

    # -- scaleupd

    def start_scaleupd(self):
        since = self.log_size("scaleupd")
        self.scaleupd = self.spawn(
            "scaleupd", "--listen", f"unix:{self.work}/su.sock", "--book", f"{self.work}/su.book", "--pool", str(2 * MAX), "--lease", "10s",
            "--vnf", f"kv1 backend=cgroup path={self.group.path} min={MIN} max={MAX} allow=uid:{os.getuid()}",
        )  # fmt: skip
        self.ready("scaleupd", self.scaleupd, since)

    def configure(self, most):
        """A store that has just been opened knows nothing of what is asked for, and every first lookup of a key looks like a reason for memory: until it
        knows, there is no more than the minimum."""
        write(f"{self.work}/kv.ini", f"memory-max = {most}\n")

    def warm_up(self):
        self.start_load(f"0s={QUIET}", 6 * SCALE).wait()
        expect(self.group.limit() == MIN, "the maximum is kept while the load is learned", self.group.limit())
        self.configure(MAX)
        self.kv.send_signal(signal.SIGHUP)
        wait_for("the new maximum", 20, lambda: " reloaded " in read(f"{self.work}/kvstore.log"))

    def scaleup_args(self):
        self.configure(MIN)
        return ["--config", f"{self.work}/kv.ini","--scaleup", f"unix:{self.work}/su.sock", "--vnf", "kv1", "--memory", "48mb", "--memory-min", str(MIN),
                "--device-reads", str(DEVICE_READS), "--hit-goal", str(HIT_GOAL), "--return-after", f"{2 * SCALE}s"]  # fmt: skip

    # -- sampling

    def sample(self):
        before = self.group.limit()
        rss = next(int(line.split()[1]) * 1024 for line in read(f"/proc/{self.kv.pid}/status").splitlines() if line.startswith("VmRSS"))
        usage, t = self.group.usage(), time.time()
        after = self.group.limit()
        row = {"t": t, "limit": after, "rss": rss, "usage": usage, "within": max(rss, usage) <= max(before, after), **self.group.events()}
        s = self.status()
        m = s["memory"]
        row |= {"hits": s["store"]["hits"], "misses": s["store"]["misses"], "miss_ns": s["store"]["miss_ns"], "store_limit": s["store"]["limit_bytes"],
                "state": m["state"], "ceiling": m["ceiling_bytes"], "target": m["target_bytes"], "need": m["policy"]["need_bytes"],
                "reason": m["policy"]["reason"], "load": m["policy"]["expected_load"], "over_ceiling_ticks": m["counts"]["over_ceiling_ticks"]}  # fmt: skip
        if m["orchestrator"] is not None:
            row |= {"granted": m["orchestrator"]["granted_bytes"], "connected": m["orchestrator"]["connected"]}
        self.rows.append(row)

    def start_sampling(self):
        def loop():
            while not self.stop_sampling.wait(0.1):
                try:
                    self.sample()
                except Exception as e:  # the programs end when the test does
                    if not self.stop_sampling.is_set() and self.kv.poll() is None:
                        self.rows.append({"t": time.time(), "error": str(e)})

        self.sampler = threading.Thread(target=loop, daemon=True)
        self.sampler.start()

    def end_sampling(self):
        self.stop_sampling.set()
        self.sampler.join()

    def good_rows(self, since=0.0, until=1e18):
        return [r for r in self.rows if "limit" in r and since <= r["t"] < until]

    def check_always(self, limit_hits=0):
        """limit_hits: how often the kernel may have had to drop page cache; None: as often as it likes."""
        rows = self.good_rows()
        lost = [r for r in self.rows if "error" in r]
        expect(len(rows) >= 10 and len(lost) <= len(rows) // 10, f"{len(rows)} samples of the group and the server", lost[:3])
        # Resident size counts the program's own text, which is another group's: while somebody else takes the limit down to what is in use, what the group is
        # charged with is what counts.
        over = [r for r in rows if (r["usage"] > r["limit"] if limit_hits is None else not r["within"])]
        expect(not over, "resident size is within the limit at all times", over[:3])
        events = self.group.events()
        if limit_hits is None:
            note(f"page cache dropped for the limit: {events['limit_hit']} times")
            limit_hits = events["limit_hit"]
        expect(events["limit_hit"] <= limit_hits and events["oom_kills"] == 0, "the kernel never had to hold it back", events)
        expect(self.kv.poll() is None, "the server lives")

    def average(self, since, until):
        """Hit ratio, mean time that a lookup waits for the disk (us), reads a second, between two moments."""
        rows = self.good_rows(since, until)
        if len(rows) < 2:
            sys.exit(f"not ok: {len(rows)} samples between {since} and {until}")
        hits, misses, ns = (rows[-1][k] - rows[0][k] for k in ("hits", "misses", "miss_ns"))
        gets = max(hits + misses, 1)
        return {"hit": hits / gets, "us": ns / gets / 1000, "reads": misses / (rows[-1]["t"] - rows[0]["t"])}

    # -- what is left behind

    def report_latency(self, device_ms):
        r = self.load_result
        late = max((row["max_us"] for row in r["series"]), default=0) / 1000
        device = f"; the device's own worst meanwhile {device_ms:.1f} ms" if device_ms else ""
        note(f"within 5 ms: {r['within_goal_percent']:.4f} % of {r['right']}; worst {late:.1f} ms{device}")
        if device_ms and os.environ.get("MEC_SCALEUP_STRICT"):
            expect(r["over_goal"] == 0 or late <= 5 + device_ms, "every lookup within 5 ms, or as the device", r["over_goal"], late)

    def save(self, device_ms):
        """Before the checks: what fails is there to look at."""
        out = os.environ.get("MEC_SCALEUP_OUT")
        if not out:
            return
        os.makedirs(out, exist_ok=True)
        load = self.load_result
        with open(f"{out}/{self.scenario}.json", "w") as f:
            json.dump({"scenario": self.scenario, "keys": KEYS, "value_bytes": VALUE, "device_worst_ms": device_ms, "marks": self.marks,
                       "samples": self.rows, "load": load}, f, indent=1)  # fmt: skip
        plot(out, self.scenario, self.good_rows(), load)


def plot(out, name, rows, load):
    if shutil.which("gnuplot") is None:
        note("no plot: gnuplot is not installed (Debian package gnuplot-nox)")
        return
    t0, hits = load["started_unix_ms"] / 1000, 0
    with open(f"{out}/{name}.dat", "w") as f:
        for a, b in zip(rows, rows[10:]):
            hits, misses = b["hits"] - a["hits"], b["misses"] - a["misses"]
            f.write(f"{b['t'] - t0} {b['limit'] / MB} {b['rss'] / MB} {b['need'] / MB} {hits / max(hits + misses, 1)} {misses / (b['t'] - a['t'])}\n")
        f.write("\n\n")
        for row in load["series"]:
            f.write(f"{row['t']} {row['wanted']} {row['rate']} {row['p50_us'] / 1000} {row['p99_us'] / 1000} {row['max_us'] / 1000}\n")
    commands = f"""set terminal svg size 900,900; set output '{out}/{name}.svg'; set multiplot layout 4,1; set grid; set key left top; set xlabel 's'
set ylabel 'lookups/s'; plot '{out}/{name}.dat' index 1 using 1:2 with steps title 'wanted', '' index 1 using 1:3 with lines title 'answered'
set ylabel 'MiB'; plot '{out}/{name}.dat' index 0 using 1:2 with steps title 'limit', '' index 0 using 1:3 with lines title 'resident', '' index 0 using 1:4 with lines title 'need'
set ylabel 'hit ratio'; set yrange [0:1]; plot '{out}/{name}.dat' index 0 using 1:5 with lines title 'hits'
set ylabel 'ms'; set yrange [*:*]; set logscale y; plot '{out}/{name}.dat' index 1 using 1:4 with lines title 'p50', '' index 1 using 1:5 with lines title 'p99', '' index 1 using 1:6 with lines title 'max'
"""
    if subprocess.run(["gnuplot"], input=commands, text=True).returncode != 0:
        note("no plot: gnuplot failed")


class Probe(threading.Thread):
    """The device's own worst in the run: one 4 KiB read at a time, past the page cache, fifty a second."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.fd = os.open(max((e.path for e in os.scandir(f"{work}/db") if e.is_file()), key=os.path.getsize), os.O_RDONLY | os.O_DIRECT)
        self.size, self.buffer, self.worst_ms, self.over = os.fstat(self.fd).st_size, mmap.mmap(-1, 4096), 0.0, threading.Event()

    def run(self):
        at = 0
        while not self.over.wait(0.02):
            at = (at + 7919 * 4096) % max(self.size - 4096, 4096)
            start = time.monotonic()
            os.preadv(self.fd, [self.buffer], at // 4096 * 4096)
            self.worst_ms = max(self.worst_ms, (time.monotonic() - start) * 1000)

    def end(self):
        self.over.set()
        self.join()
        return self.worst_ms
