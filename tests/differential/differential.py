#!/usr/bin/env python3
"""The same random commands to a real redis-server 7.0 and to kvstore: whatever they answer otherwise is a failure, or intended (intended.py).

The stream is made of rounds of some 300 commands; each begins with no keys and new connections, and depends on the seed and its number only.
Exit status: 0 no difference, 1 differences, 2 wrong usage, 77 no redis-server.
"""
import argparse
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time

import scenarios
from compare import Difference, Judge, shown_command
from minimise import minimise
from servers import Pair
from session import Session
from values import Values
from wire import Malformed, Silent, shown


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("bin", nargs="?", default="build/bin", help="folder of kvstore (default %(default)s)")
    p.add_argument("--commands", type=int, default=1_000_000, metavar="N", help="how many in all (default %(default)s)")
    p.add_argument("--seed", action="append", metavar="SEED", help="may be given several times, they share the commands; 'random' draws one and prints it (default)")
    p.add_argument("--round", type=int, metavar="N", help="only this round of the seed")
    p.add_argument("--only", action="append", choices=scenarios.NAMES, metavar="GROUP", help="of " + " ".join(scenarios.NAMES))
    p.add_argument("--proto", choices=["2", "3"], help="plain commands by this protocol only (default: both)")
    p.add_argument("--differences", type=int, default=1, metavar="N", help="go on until so many different ones were found (default %(default)s)")
    p.add_argument("--no-minimise", action="store_true", help="print a difference without looking for a shorter stream")
    p.add_argument("--skip-missing", action="store_true", help="leave out commands that ours does not know, and count them")
    p.add_argument("--kvstore-option", action="append", default=[], metavar="OPTION", help="one more for kvstore")
    return p.parse_args()


class Run:
    def __init__(self, opts, pair):
        self.opts, self.pair = opts, pair
        self.judge = Judge()
        self.session = Session(pair.both, self.judge, opts.skip_missing)
        self.names = opts.only or [n for n in scenarios.NAMES if not redis_twice() or n != "types"]
        self.protocols = {"2": [0], "3": [1], None: [0, 1]}[opts.proto]
        self.found = {}
        self.commands = self.rounds = 0

    def units(self, seed, number):
        return scenarios.round_of(Values(f"{seed}/{number}"), self.names, self.protocols)

    def play(self, units):
        """The first difference and the place of its unit."""
        session, step = self.session, None
        try:
            session.clear()
            for place, unit in enumerate(units):
                for step in unit:
                    found = step.run(session)
                    if found:
                        return found, place
        except (Silent, Malformed, OSError) as why:
            dead = [server.name for server in self.pair.both if not server.alive()]
            what = f"{dead[0]} ended: {self.pair.both[[s.alive() for s in self.pair.both].index(False)].log()}" if dead else repr(why)
            return Difference([b"(no answer)"], (b"+", b""), (b"-", what.encode()[-3000:]), 0, "in or after: " + (step.show()[:300] if step else "")), len(units) - 1
        return None, 0

    def round(self, seed, number):
        units = self.units(seed, number)
        self.rounds += 1
        self.commands += sum(step.size() for unit in units for step in unit)
        difference, place = self.play(units)
        if not difference:
            return
        signature = difference.signature()
        self.found[signature] = self.found.get(signature, 0) + 1
        if self.found[signature] == 1:
            self.report(seed, number, units[:place + 1], difference)
        if not all(server.alive() for server in self.pair.both):
            raise SystemExit(f"differential: a server ended ({[s.name for s in self.pair.both if not s.alive()]})")

    def report(self, seed, number, units, difference):
        print(f"\nDIFFERENCE: seed {seed} round {number} unit {len(units) - 1} command {difference.index}"
              f"\n  command  {shown_command(difference.command)}\n  redis    {shown(difference.redis)}\n  kvstore  {shown(difference.ours)}"
              + (f"\n  note     {difference.note}" if difference.note else ""))
        if self.opts.no_minimise:
            return
        self.session.judge = Judge()  # what it lets pass while a stream is made shorter is not counted
        wanted = difference.signature()
        least = minimise(units, lambda some: (self.play(some)[0] or NOTHING).signature() == wanted)
        self.session.judge = self.judge
        print("  it does not come again from this round alone" if least is None else "  stream ([connection] command):")
        for unit in least or []:
            for step in unit:
                text = step.show()
                if text:
                    print("  " + text.replace("\n", "\n  "))
        sys.stdout.flush()


NOTHING = Difference([b"(none)"], (b"+", b""), (b"+", b""), 0)


def redis_twice():
    return os.environ.get("MEC_E2E_SERVER") == "redis"


def have_redis():
    """Debian's redis-server 7.0, or None."""
    if not shutil.which("redis-server"):
        return None
    version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\S+)", version)
    return found and found[1]


def main():
    opts = options()
    version = have_redis()
    if not version or not version.startswith("7.0."):
        print(f"SKIP: redis-server 7.0 is not here (found: {version or 'none'})")
        return 77
    binary = None if redis_twice() else os.path.join(opts.bin, "kvstore")
    if binary and not os.access(binary, os.X_OK):
        raise SystemExit(f"differential: {binary}: not there")
    seeds = [str(secrets.randbits(48)) if s == "random" else s for s in opts.seed or ["random"]]
    print(f"redis-server {version} and {'itself' if redis_twice() else binary}: seeds {' '.join(seeds)}, {opts.commands} commands", flush=True)
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end and their folder goes
    with Pair(binary, opts.kvstore_option) as pair:
        run = Run(opts, pair)
        number = opts.round or 0
        while run.commands < opts.commands and len(run.found) < opts.differences:
            for seed in seeds:
                run.round(seed, number)
            number += 1
            if opts.round is not None:
                break
    print(f"{run.commands} commands in {run.rounds} rounds, {time.monotonic() - begun:.0f} s")
    for why, count in sorted(run.judge.let_pass.items()):
        print(f"  intended, {count} times: {why}")
    for name, count in sorted(run.session.skipped.items()):
        print(f"  not there, left out {count} times: {name.decode(errors='replace')}")
    for signature, count in run.found.items():
        print(f"  DIFFERENT, {count} rounds: {signature[0].decode(errors='replace')[:60]}: {signature[1]} / {signature[2]}"[:300])
    bad = [s for s in pair.statuses if s]
    if bad:
        print(f"a server ended with status {bad}")
    return 1 if run.found or bad else 0


if __name__ == "__main__":
    sys.exit(main())
