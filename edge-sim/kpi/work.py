"""Running programs: their commands as the report shows them, their JSON, memory groups, temporary folders. What was started ends with us."""
import contextlib
import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

PDEATHSIG = 1  # of prctl
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """A program that did not do what it was asked for."""


class Work:
    """A part's folder, the programs, the progress; `with` stops what runs and removes the folder."""

    def __init__(self, bin_folder, parent, settings, result, progress):
        self.bin, self.parent, self.settings, self.result, self.progress = bin_folder, parent, settings, result, progress
        self.bench = os.path.join(os.path.dirname(bin_folder), "bench")
        self.folder, self.children, self.groups, self.number = None, [], [], 0

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="mec-kpi-", dir=self.parent)
        return self

    def __exit__(self, *_):
        with undisturbed():
            for child in reversed(self.children):
                end(child)
            for group in self.groups:
                group.remove()
            shutil.rmtree(self.folder, ignore_errors=True)

    def step(self, text):
        self.progress(text)

    def group(self, limit, name):
        """(memory group, "") or (None, why there is none). It goes with the part, after the programs."""
        try:
            self.groups.append(Group(limit, name))
            return self.groups[-1], ""
        except OSError as e:
            return None, f"no memory group can be made ({e.strerror or e}): needs root and a memory cgroup"

    # ---- programs

    def program(self, name):
        """Of the build; None when it has not been built."""
        for path in (os.path.join(self.bin, name), os.path.join(self.bench, name)):
            if os.access(path, os.X_OK):
                return path
        return None

    def need(self, name):
        path = self.program(name)
        if path is None:
            raise Failed(f"{name} is not in {self.bin}: build it (cmake --preset release && cmake --build --preset release)")
        return path

    def shown(self, argv):
        """As it stands in the report: programs without folder, $DIR for the temporary one."""
        words = []
        for word in map(str, argv):
            for folder in (self.bin, self.bench):
                if word.startswith(folder + "/"):
                    word = word[len(folder) + 1 :]
            words.append(word.replace(self.folder, "@DIR@"))
        return shlex.join(words).replace("@DIR@", "$DIR")

    def path(self, name):
        return os.path.join(self.folder, name)

    def fresh(self, name):
        self.number += 1
        return self.path(f"{name}-{self.number}")

    def command(self, argv, keep=True):
        return self.result.command(self.shown(argv), keep)

    def run(self, argv, **options):
        """(standard output, number of the command). Failed when it ends otherwise than expected."""
        return self.execute(argv, **options), self.command(argv)

    def json(self, argv, keep=False, **options):
        """(what the program wrote by `--json`, number of the command). keep: see Result.command()."""
        path = self.fresh("result")
        self.execute([*argv, "--json", path], **options)
        try:
            with open(path) as f:
                return json.load(f), self.command([*argv, "--json", "-"], keep)
        except (OSError, ValueError) as e:
            raise Failed(f"{self.shown(argv)}: no result: {e}") from None

    def execute(self, argv, expect=(0,), group=None, env=None, timeout=7200):
        child = self.spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, group=group, env=env, text=True)
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            end(child)
            raise Failed(f"{self.shown(argv)}: no end within {timeout} s") from None
        self.children.remove(child)
        if expect is not None and child.returncode not in expect:
            raise Failed(f"{self.shown(argv)}: status {child.returncode}: {(err or out).strip()[-400:]}")
        return out

    def spawn(self, argv, group=None, **options):
        def in_child():
            LIBC.prctl(PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if group is not None:
                group.enter()

        child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, preexec_fn=in_child, start_new_session=True, **options)
        self.children.append(child)
        return child


@contextlib.contextmanager
def undisturbed():
    """Who presses Ctrl-C twice waits all the same: what was started and made has to go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def end(child, seconds=60):
    """Stops it in order; kills it when it does not."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def wait_for(what, condition, child=None, seconds=300):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError):
            value = condition()
            if value:
                return value
        if child is not None and child.poll() is not None:
            raise Failed(f"{what}: the program ended with status {child.returncode}")
        time.sleep(0.02)
    raise Failed(f"{what}: not within {seconds} s")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, "w") as f:
        f.write(str(text))


def resident_bytes(pid):
    return next(int(line.split()[1]) * 1024 for line in read(f"/proc/{pid}/status").splitlines() if line.startswith("VmRSS:"))


def cpu_seconds(pid):
    """Processor time of all its threads, user and system."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Group:
    """A memory cgroup under our own, version 1 or 2; needs root. What runs in it has so many bytes, its page cache included."""

    def __init__(self, limit, name):
        parent, self.v2 = None, False
        for line in read("/proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                parent = "/sys/fs/cgroup/memory" + path.rstrip("/")
            elif controllers == "" and parent is None:
                parent, self.v2 = "/sys/fs/cgroup" + path.rstrip("/"), True
        if parent is None:
            raise OSError("there are no memory cgroups")
        self.v2 = self.v2 and not parent.startswith("/sys/fs/cgroup/memory")
        if self.v2:
            with contextlib.suppress(OSError):  # it may be on already
                write(f"{parent}/cgroup.subtree_control", "+memory")
        self.path, self.there = f"{parent}/mec-kpi-{os.getpid()}-{name}", False
        os.mkdir(self.path)
        self.there = True
        self.limit_file = self.path + ("/memory.max" if self.v2 else "/memory.limit_in_bytes")
        try:
            write(self.limit_file, int(limit))
            if self.v2:
                with contextlib.suppress(OSError):
                    write(self.path + "/memory.swap.max", 0)
        except OSError:
            self.remove()
            raise

    def enter(self):  # in the child, before exec
        write(self.path + "/cgroup.procs", os.getpid())

    def limit(self):
        text = read(self.limit_file).strip()
        return 1 << 62 if text == "max" else int(text)

    def oom_kills(self):
        counts = read(self.path + ("/memory.events" if self.v2 else "/memory.oom_control"))
        return int(dict(line.split() for line in counts.splitlines()).get("oom_kill", 0))

    def remove(self):
        """When its processes have ended; again: nothing."""
        if not self.there:
            return
        with contextlib.suppress(OSError):
            write(self.path + "/memory.force_empty", 0)
        for _ in range(100):
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
                self.there = False
                return
            time.sleep(0.05)
