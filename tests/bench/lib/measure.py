"""What the measurements in tests/bench share: running programs that write JSON, a memory group, medians, checks, the run of all parts."""
import argparse, contextlib, json, os, shutil, signal, statistics, subprocess, sys, tempfile, time

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
        self.path = f"{parent}/mec-bench-{os.getpid()}"
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

    def oom_kills(self):
        for name in ("memory.events", "memory.oom_control"):  # version 2, version 1
            with contextlib.suppress(OSError), open(f"{self.path}/{name}") as f:
                return int(dict(line.split() for line in f).get("oom_kill", 0))
        return 0

    def enter_child(self):
        write(f"{self.path}/cgroup.procs", str(os.getpid()))


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


class Bench:
    """The programs of a build, the folder, the settings; `with` makes the folder and removes it at the end."""

    def __init__(self, build, folder, runs, quick):
        self.build, self.parent, self.runs, self.quick, self.folder = build, folder, runs, quick, None

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="mec-bench-", dir=self.parent)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

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

    def device(self, *options, group=None):
        return self.execute([os.path.join(self.build, "bench/bench_device"), *options], group)


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


# ---- from the command line to the exit status


def arguments(doc, parts, folder_help):
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(root, "build"), help="build folder of the preset release")
    p.add_argument("--dir", default="/var/tmp", help=folder_help)
    p.add_argument("--runs", type=int, default=None, help="repetitions; what is reported are medians (3; quick: 1)")
    p.add_argument("--quick", action="store_true", help="a twentieth of the keys, short: shows that it works, the figures mean little")
    p.add_argument("--json", help="where the results are written")
    p.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    return p


def parse(p, parts):
    a = p.parse_args()
    for name in a.parts:
        if name not in parts:
            p.error(f"{name}: no such part; there are {', '.join(parts)}")
    a.runs = a.runs or (1 if a.quick else 3)
    a.build = os.path.abspath(a.build)
    return a


def run_part(bench, name, function):
    begin = time.time()
    try:
        part = function(bench)
    except OSError as e:
        note(f"{name}: NOT RUN: {e}")
        return {"error": str(e), "seconds": time.time() - begin, "checks": []}
    part.print()
    sys.stdout.flush()
    return {**part.json(), "seconds": round(time.time() - begin, 1)}


def run_parts(tool, a, bench, parts):
    """Runs what was asked for; the exit status."""
    # with an exit that unwinds, servers are stopped and folders removed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    result = {"tool": tool, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cpus": os.cpu_count(),
              "kernel": os.uname().release, "quick": a.quick, "runs": a.runs, "parts": {}}
    with bench:
        for name in a.parts or parts:
            result["parts"][name] = run_part(bench, name, parts[name])
            if a.json:
                with open(a.json, "w") as f:
                    json.dump(result, f, indent=1)
    checks = [c for part in result["parts"].values() for c in part["checks"]]
    errors = [n for n, part in result["parts"].items() if "error" in part]
    failed = sum(c["pass"] is False for c in checks)
    print(f"\n{sum(c['pass'] is True for c in checks)} as asked, {failed} not, {sum(c['pass'] is None for c in checks)} not measured" +
          (f"; not run: {', '.join(errors)}" if errors else ""))
    return 1 if failed or errors else 0
