"""What the parts of tests/bench/store/run share: the engines, asking them, their stored data sets."""
import contextlib, os, shutil, tempfile, time

import measure
from measure import MB, note, write

PEERS = {"kv": "bin/kvbench", "lmdb": "bench/bench_lmdb", "rocksdb": "bench/bench_rocksdb", "ideal": "bench/bench_ideal"}


class Bench(measure.Bench):
    """With the data sets; `with` removes them at the end, unless they are to be kept."""

    def __init__(self, build, folder, runs, quick, keep):
        super().__init__(build, folder, runs, quick)
        self.keep = keep
        self.loads = {}  # (engine, keys) -> the result of making the data set

    def __enter__(self):
        if not self.keep:
            return super().__enter__()
        self.folder = os.path.join(self.parent, "kvbench-data")
        os.makedirs(self.folder, exist_ok=True)
        return self

    def __exit__(self, *_):
        if not self.keep:
            super().__exit__()

    def has(self, engine):
        return os.access(os.path.join(self.build, PEERS[engine]), os.X_OK)

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
