"""From the command line to the report."""
import argparse
import contextlib
import os
import shlex
import signal
import sys
import time
import traceback

from . import compare, machine, parts, plan, report
from .result import LeftOut, Result, words_of, write_json
from .work import Failed, Work

DESCRIPTION = """Measures what the key server is there for (the seed's KPIs and tables, and beyond), and writes DIR/report.html,
DIR/report.json and CSVs. What an earlier run has left in DIR is not measured again: an interrupted run goes on with the same
command."""


def arguments():
    p = argparse.ArgumentParser(prog="kpi-report", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
                                epilog="Exit status: 0 done, 1 a part failed, 2 wrong usage, 130 interrupted.")  # fmt: skip
    p.add_argument("--out", metavar="DIR", help="where the report goes, and each part's result (parts/NAME.json)")
    p.add_argument("--quick", action="store_true", help="under 3 minutes: small sizes, one run; shows that all works, the figures mean little")
    p.add_argument("--scale", type=float, default=1.0, metavar="X", help="times the keys and durations of the form (1)")
    p.add_argument("--runs", type=int, metavar="N", help="repetitions of what is compared (6; quick: 1)")
    p.add_argument("--parts", metavar="NAME,...", help="only these; the report holds all that is there")
    p.add_argument("--again", metavar="NAME,...", default="", help="measure these anew")
    p.add_argument("--render", action="store_true", help="measure nothing: the report of what is there")
    p.add_argument("--compare", metavar="FILE", help="an earlier report.json: what changed, and whether that is more than noise")
    p.add_argument("--dir", default="/var/tmp", help="where data is made while it is measured: on the device to measure; 30 GB free (/var/tmp)")
    p.add_argument("--bin", metavar="DIR", help="the programs (the folder of kpi-report, or the source's build/bin)")
    p.add_argument("--list", action="store_true", help="print the parts and about how long each takes, and exit")
    p.add_argument("--version", action="store_true", help="print the version and exit")
    return p


def folder_of_programs():
    here = os.path.dirname(os.path.abspath(sys.argv[0]))
    if os.path.isfile(os.path.join(here, "keyserver")):
        return here
    return os.path.abspath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../build/bin"))


def names(p, text, option):
    found = [n for n in (text or "").split(",") if n]
    for n in found:
        if n not in parts.PARTS:
            p.error(f"{option}: {n}: no such part; there are {', '.join(parts.PARTS)}")
    return found


def parse(argv):
    p = arguments()
    a = p.parse_args(argv)
    a.bin = os.path.abspath(a.bin) if a.bin else folder_of_programs()
    a.parts, a.again = names(p, a.parts, "--parts"), names(p, a.again, "--again")
    if not 0 < a.scale <= 100:
        p.error("--scale: expected a number over 0 and up to 100")
    if a.runs is not None and not 1 <= a.runs <= 100:
        p.error("--runs: expected a number from 1 to 100")
    if not a.out and not (a.list or a.version):
        p.error("--out is needed")
    return a


class Progress:
    """One live line on a terminal, else a line for each step."""

    def __init__(self, stream):
        self.stream, self.live = stream, stream.isatty()
        self.head, self.begin, self.left = "", 0.0, lambda elapsed: 0.0

    def part(self, head, left):
        self.head, self.begin, self.left = head, time.monotonic(), left

    def __call__(self, text):
        left = self.left(time.monotonic() - self.begin)
        words = f"{self.head}: {text} (about {duration(left)} left)"
        self.stream.write(f"\r\033[K{words[:150]}" if self.live else f"{words}\n")
        self.stream.flush()

    def clear(self):
        if self.live:
            self.stream.write("\r\033[K")
            self.stream.flush()


def duration(seconds):
    if seconds < 90:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def say(text):
    print(f"kpi-report: {text}", file=sys.stderr, flush=True)


def measure_part(a, settings, name, progress):
    """The part's result as JSON. Failed and OSError: it could not be measured."""
    part = parts.PARTS[name]
    result, begin, started = Result(name, part.TITLE), time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    result.method = part.METHOD
    value = None
    try:
        with Work(a.bin, a.dir, settings, result, progress) as w:
            part.measure(w, result)
    except LeftOut as e:
        value = {**result.json(), "status": "left out", "why": str(e)}
    return {**(value or result.json()), "started": started, "seconds": round(time.monotonic() - begin, 1)}


def measure(a, settings, folder):
    """Measures what is to be measured; the number of parts that failed."""
    wanted = plan.to_do(folder, a.parts or list(parts.PARTS), a.again)
    for name in wanted:
        if why := folder.broken(name):
            say(f"{name}: measured anew: {why}")
    estimate = plan.Estimate({n: parts.PARTS[n].seconds(settings) for n in wanted})
    progress, failed = Progress(sys.stderr), 0
    for i, name in enumerate(wanted):
        progress.part(f"[{i + 1}/{len(wanted)}] {name}", lambda elapsed, n=name: estimate.left(n, elapsed))
        progress("begins")
        begin = time.monotonic()
        try:
            folder.save(name, measure_part(a, settings, name, progress))
        except (Failed, OSError, KeyError, ValueError, TypeError, ZeroDivisionError) as e:
            # whatever a program's unexpected answer makes of a part, the others are measured
            progress.clear()
            why = words_of(e) if isinstance(e, (Failed, OSError)) else f"{type(e).__name__}: {e} ({traceback.extract_tb(e.__traceback__)[-1].name})"
            say(f"{name}: failed: {why}")
            folder.fail(name, why)
            failed += 1
        estimate.ended(name, time.monotonic() - begin)
    progress.clear()
    return failed


def write_report(a, settings, folder):
    old = report.read(a.compare) if a.compare else None
    value = report.make(a, settings, folder, old)
    report.write(folder.path, value)
    words = {True: "pass", False: "NOT", None: "-"}
    for kpi in value["kpis"]:
        print(f"{words[kpi['pass']]:5s} {kpi['name']}: {kpi['measured'] or 'not measured'} (asked: {kpi['asked'] or 'nothing'})")
    if value["comparison"]:
        print(f"compared with {a.compare}: {compare.summary(value['comparison'])}")
    print(os.path.join(folder.path, "report.html"))


def list_parts(settings):
    total = 0
    for name, part in parts.PARTS.items():
        seconds = part.seconds(settings)
        total += seconds
        print(f"{name:10s} {duration(seconds):>8s}  {part.TITLE}")
    print(f"{'':10s} {duration(total):>8s}  in all, {settings.form} form")


def open_run(a, settings, folder):
    """Checks what can be checked before hours of measuring."""
    if a.compare:
        report.read(a.compare)
    folder.open(settings)
    if not a.render:
        if not os.access(os.path.join(a.bin, "keyserver"), os.X_OK):
            raise ValueError(f"no programs in {a.bin}: cmake --preset release && cmake --build --preset release, or --bin")
        write_json(os.path.join(folder.path, "run.json"), report.conditions(a, settings))


def main(argv=None):
    a = parse(argv)
    settings = plan.Settings(a.quick, a.scale, a.runs)
    if a.version:
        print(f"kpi-report {machine.said_by(os.path.join(a.bin, 'edge-sim'), '--version').split(' ')[-1] or 'of an unknown build'}")
        return 0
    if a.list:
        list_parts(settings)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.closing(plan.Folder(a.out)) as folder:
        return run(a, settings, folder, argv)


def run(a, settings, folder, argv):
    """The exit status."""
    try:
        open_run(a, settings, folder)
        failed = 0 if a.render else measure(a, settings, folder)
        write_report(a, settings, folder)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        say(f"interrupted; what is measured is kept. To go on: {shlex.join(resume(argv))}")
        return 130
    except (OSError, ValueError) as e:
        say(words_of(e))
        return 1
    return 1 if failed else 0


def resume(argv):
    """The command that goes on: without --again, whose parts would be measured once more."""
    words, out = list(sys.argv[1:] if argv is None else argv), []
    while words:
        word = words.pop(0)
        if word == "--again":
            words[:1] = []
        elif not word.startswith("--again="):
            out.append(word)
    return ["kpi-report", *out]
