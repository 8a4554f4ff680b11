"""What is measured, how large, how long; what is there already."""
import fcntl
import os

from .result import read_json, words_of, write_json

MB, GB = 1 << 20, 1 << 30
# of the settings those that make measurements of one kind another: a run with others is not gone on with
BINDING = ("form", "scale", "runs")


class Settings:
    """The size of everything, from the form and the scale."""

    def __init__(self, quick, scale=1.0, runs=None):
        self.quick, self.scale = quick, scale
        self.form = "quick" if quick else "full"
        self.runs = runs or (1 if quick else 6)

    def keys(self, full, least=500):
        """So many keys in the full form; in the quick one a twentieth."""
        return max(int(full * self.scale / (20 if self.quick else 1)), least)

    def seconds(self, full, quick):
        return max((quick if self.quick else full) * self.scale, 0.2)

    def span(self, full, quick):
        """The same as the programs' options take it."""
        return f"{round(self.seconds(full, quick) * 1000)}ms"

    def pick(self, full, quick):
        return quick if self.quick else full

    def json(self):
        return {"form": self.form, "scale": self.scale, "runs": self.runs}


class Folder:
    """OUT: a part's result is parts/NAME.json; what is there is done."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.parts = os.path.join(self.path, "parts")
        self.lock = None

    def open(self, settings):
        """Raises ValueError when it holds results of another run, or another one is at work in it."""
        os.makedirs(self.parts, exist_ok=True)
        self.lock = open(os.path.join(self.path, "lock"), "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.path}: another kpi-report is at work in it") from None
        run = os.path.join(self.path, "run.json")
        if os.path.exists(run):
            before = read_json(run)["settings"]
            other = [f"{n} {before.get(n)} instead of {settings.json()[n]}" for n in BINDING if before.get(n) != settings.json()[n]]
            if other and any(name.endswith(".json") for name in os.listdir(self.parts)):
                raise ValueError(f"{self.path} holds results of another run ({', '.join(other)}): take another folder")

    def close(self):
        """Another run may have it."""
        if self.lock is not None:
            self.lock.close()
            self.lock = None

    def of(self, name):
        return os.path.join(self.parts, name + ".json")

    def failed_of(self, name):
        return os.path.join(self.parts, name + ".failed")

    def has(self, name):
        return os.path.exists(self.of(name)) and not self.broken(name)

    def broken(self, name):
        """Why a result that is there cannot be read: cut short, or no result; "" when it can, or there is none."""
        try:
            value = read_json(self.of(name))
        except FileNotFoundError:
            return ""
        except (ValueError, OSError) as e:
            return words_of(e)
        return "" if isinstance(value, dict) and value.get("name") == name and "status" in value else f"{self.of(name)}: not a part's result"

    def save(self, name, result):
        write_json(self.of(name), result)
        self.forget_failure(name)

    def fail(self, name, why):
        with open(self.failed_of(name), "w") as f:
            f.write(why.strip() + "\n")

    def forget(self, name):
        """What was measured; its failure too."""
        if os.path.exists(self.of(name)):
            os.remove(self.of(name))
        self.forget_failure(name)

    def forget_failure(self, name):
        if os.path.exists(self.failed_of(name)):
            os.remove(self.failed_of(name))

    def load(self, name):
        """The part's result; its failure; None when it has not been measured."""
        if why := self.broken(name):
            return {"status": "failed", "why": why}
        if self.has(name):
            return read_json(self.of(name))
        if os.path.exists(self.failed_of(name)):
            with open(self.failed_of(name)) as f:
                return {"status": "failed", "why": f.read().strip()}
        return None


def to_do(folder, wanted, again):
    """The parts that have to be measured, in order."""
    for name in again:
        folder.forget(name)
    return [name for name in wanted if not folder.has(name)]


class Estimate:
    """How long the rest takes, from what the parts are thought to take and what those that ended did take."""

    def __init__(self, thought):
        self.thought, self.spent, self.expected = dict(thought), 0.0, 0.0

    def ended(self, name, seconds):
        self.spent += seconds
        self.expected += self.thought.pop(name)

    def left(self, current, elapsed):
        """Seconds, the current part's rest included."""
        speed = (self.spent + 30) / (self.expected + 30)  # a short part that took long says little
        rest = sum(t for n, t in self.thought.items() if n != current)
        return speed * (rest + max(self.thought.get(current, 0) - elapsed, 0))
