"""What the parts of tests/bench/store/run share: running the programs, a memory group, the stored data sets, medians, checks."""
import contextlib, json, os, shutil, statistics, subprocess, sys, tempfile, time

PEERS = {"kv": "bin/kvbench", "lmdb": "bench/bench_lmdb", "rocksdb": "bench/bench_rocksdb", "ideal": "bench/bench_ideal"}
MB, GB = 1 << 20, 1 << 30


def note(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def ratio(a, b):
    return a / b if a is not None and b else None


class MemoryGroup:
    """A memory cgroup under our own, version 1 or 2: what runs in it has so many bytes, its page cache included. Needs root."""

    def __init__(self, limit_bytes):
        self.limit, self.path = int(limit_bytes), None

    @staticmethod
    def parent():
        with open("/proc/self/cgroup") as f:
            lines = [line.strip().split(":", 2) for line in f]
        for _, controllers, path in lines:
            if "memory" in controllers.split(","):
                return "/sys/fs/cgroup/memory" + path.rstrip("/"), "memory.limit_in_bytes"
        for _, controllers, path in lines:
            if controllers == "":
                return "/sys/fs/cgroup" + path.rstrip("/"), "memory.max"
        return None, None

    def __enter__(self):
        parent, limit_file = self.parent()
        if parent is None:
            raise OSError("no memory cgroup")
        if limit_file == "memory.max":
            with contextlib.suppress(OSError):  # it may be switched on already
                write(f"{parent}/cgroup.subtree_control", "+memory")
        self.path = f"{parent}/kvbench-{os.getpid()}"
        os.mkdir(self.path)
        try:
            write(f"{self.path}/{limit_file}", str(self.limit))
            if limit_file == "memory.max":
                with contextlib.suppress(OSError):
                    write(f"{self.path}/memory.swap.max", "0")
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            write(f"{self.path}/memory.force_empty", "0")
        for _ in range(50):
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
                return
            time.sleep(0.1)
        note(f"{self.path}: cannot be removed")

    def enter_child(self):
        write(f"{self.path}/cgroup.procs", str(os.getpid()))


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


class Bench:
    """The programs, the folder, the settings; `with` removes the data sets at the end."""

    def __init__(self, build, folder, runs, quick, keep):
        self.build, self.runs, self.quick, self.keep = build, runs, quick, keep
        self.parent, self.folder = folder, None
        self.loads = {}  # (engine, keys) -> the result of making the data set

    def __enter__(self):
        self.folder = os.path.join(self.parent, "kvbench-data") if self.keep else tempfile.mkdtemp(prefix="kvbench-", dir=self.parent)
        os.makedirs(self.folder, exist_ok=True)
        return self

    def __exit__(self, *_):
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def has(self, engine):
        return os.access(os.path.join(self.build, PEERS[engine]), os.X_OK)

    def seconds(self, full, quick):
        return f"{quick if self.quick else full}s"

    def keys(self, full):
        return full // 20 if self.quick else full

    def execute(self, command, group=None, expect=(0,)):
        """Runs a program that writes JSON where `--json` says; its result, or None when it failed (out of memory, say)."""
        path = os.path.join(self.folder, "result.json")
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
        done = subprocess.run([str(c) for c in command] + ["--json", path], capture_output=True, text=True,
                              preexec_fn=group.enter_child if group else None)
        if done.returncode not in expect or not os.path.exists(path):
            note(f"  status {done.returncode}: {' '.join(str(c) for c in command)}\n    {done.stderr.strip()[-500:]}")
            return None
        with open(path) as f:
            return json.load(f)

    def ask(self, engine, *options, keys, existing=True, group=None, expect=(0,), memory=None, value="4kb", dir=None):
        """One run of kvbench or of a peer on the stored data set (existing) or on a store of its own."""
        command = [os.path.join(self.build, PEERS[engine]), "--quiet", "--keys", keys, "--value-bytes", value, *options]
        if memory is not None:
            command += ["--memory", int(memory)]
        if existing and engine != "ideal":
            command += ["--existing", self.data_set(engine, keys)]
        else:
            command += ["--dir", tempfile.mkdtemp(prefix="store-", dir=dir or self.folder)]
        result = self.execute(command, group, expect)
        if not existing or engine == "ideal":
            shutil.rmtree(command[-1], ignore_errors=True)
        if result and not self.quick:
            time.sleep(0.5)
        return result

    def device(self, *options, group=None):
        return self.execute([os.path.join(self.build, "bench/bench_device"), *options], group)

    def data_set(self, engine, keys):
        """The folder of an engine's store with so many 4 KiB values, made when it is first asked for."""
        folder = os.path.join(self.folder, f"{engine}-{keys}")
        if os.path.exists(folder + ".made"):
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        note(f"  making {folder}")
        program = os.path.join(self.build, PEERS[engine])
        result = self.execute([program, "--quiet", "--operation", "load", "--keys", keys, "--value-bytes", "4kb", "--dir", folder,
                               "--keep", "--memory", 400 * MB])
        if result is None:
            raise SystemExit(f"run: {engine}: loading failed")
        self.loads[engine, keys] = result
        write(folder + ".made", "")
        return folder

    def drop(self, engine, keys):
        folder = os.path.join(self.folder, f"{engine}-{keys}")
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.remove(folder + ".made")


def latency(result, kind="get"):
    if result is None:
        return None
    source = result["measured"] or result["load"]
    return source["latency_us"].get(kind)


def rate(result):
    return result and (result["measured"] or result["load"])["rate"]


def without_series(result):
    for part in ("load", "measured"):
        if result and result.get(part):
            result[part].pop("series", None)
    return result


class Part:
    """The result of one part: figures for the JSON, rows for the table, checks against what was asked."""

    def __init__(self, title):
        self.title, self.figures, self.rows, self.checks = title, {}, [], []

    def row(self, *cells):
        self.rows.append([text(c) for c in cells])

    def check(self, name, value, op, asked, beside=None):
        ok = None if value is None else value >= asked if op == ">=" else value <= asked
        self.checks.append({"name": name, "value": value, "op": op, "asked": asked, "pass": ok, **({"beside": beside} if beside else {})})

    def print(self):
        print(f"\n== {self.title}")
        widths = [max(len(r[i]) if i < len(r) else 0 for r in self.rows) for i in range(max(map(len, self.rows)))] if self.rows else []
        for row in self.rows:
            print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
        for c in self.checks:
            verdict = {True: "pass", False: "FAIL", None: "not measured"}[c["pass"]]
            print(f"  {verdict:12s}  {c['name']}: {text(c['value'])} (asked {c['op']} {text(c['asked'])})" +
                  (f"  [{c['beside']}]" if "beside" in c else ""))

    def json(self):
        return {"title": self.title, "figures": self.figures, "checks": self.checks}


def text(value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
