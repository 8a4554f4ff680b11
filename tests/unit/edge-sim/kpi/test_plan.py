"""kpi/plan.py and kpi/main.py: sizes, resuming, time left, interruption."""
import contextlib
import errno
import io
import os
import signal
import tempfile
import types
import unittest
from unittest import mock

import kit
from kpi import main, parts, plan
from kpi.result import LeftOut, read_json
from kpi.work import Failed


class Settings(unittest.TestCase):
    def test_forms(self):
        full, quick = plan.Settings(False), plan.Settings(True)
        self.assertEqual((full.runs, quick.runs), (6, 1))
        self.assertEqual((full.keys(1_000_000), quick.keys(1_000_000)), (1_000_000, 50_000))
        self.assertEqual((full.span(4, 1), quick.span(4, 1), plan.Settings(True, 0.1).span(4, 1)), ("4000ms", "1000ms", "200ms"))
        self.assertEqual(plan.Settings(True, 0.001).keys(1000), 500)

    def test_quick_form_is_quick(self):
        s = plan.Settings(True)
        self.assertLess(sum(p.seconds(s) for p in parts.PARTS.values()), 180)
        for name, p in parts.PARTS.items():
            self.assertGreater(p.seconds(s), 0, name)
            self.assertRegex(name, "^[a-z][a-z0-9-]*$")


class Folder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.folder = plan.Folder(self.dir.name)
        self.addCleanup(self.folder.close)
        self.folder.open(plan.Settings(True))

    def test_what_is_there_is_done(self):
        self.folder.save("ski", kit.part())
        self.folder.fail("day", "it broke\n")
        self.assertEqual(plan.to_do(self.folder, ["ski", "day", "tls"], []), ["day", "tls"])
        self.assertEqual(self.folder.load("day"), {"status": "failed", "why": "it broke"})
        self.assertIsNone(self.folder.load("tls"))
        self.assertEqual(plan.to_do(self.folder, ["ski", "day"], ["ski"]), ["ski", "day"])
        self.assertFalse(self.folder.has("ski"))

    def test_success_ends_failure(self):
        self.folder.fail("ski", "no")
        self.folder.save("ski", kit.part())
        self.assertEqual(self.folder.load("ski")["status"], "done")
        self.assertEqual(os.listdir(self.folder.parts), ["ski.json"])

    def test_half_written_is_not_there(self):
        with self.assertRaises(ValueError):
            self.folder.save("ski", {"bad": float("nan")})
        self.assertFalse(self.folder.has("ski"))

    def test_another_form_is_refused(self):
        from kpi.result import write_json

        write_json(os.path.join(self.dir.name, "run.json"), {"settings": plan.Settings(True).json()})
        self.folder.save("ski", kit.part())
        self.folder.close()
        self.folder.open(plan.Settings(True))
        for other, words in ((plan.Settings(False), "form quick instead of full"), (plan.Settings(True, 1.0, 3), "runs 1 instead of 3")):
            self.folder.close()
            with self.assertRaisesRegex(ValueError, words):
                self.folder.open(other)

    def test_two_at_once_are_refused(self):
        other = plan.Folder(self.dir.name)
        self.addCleanup(other.close)
        with self.assertRaisesRegex(ValueError, "another kpi-report is at work in it"):
            other.open(plan.Settings(True))
        other.close()
        self.folder.close()
        other.open(plan.Settings(True))

    def test_a_result_cut_in_half_is_said_and_not_there(self):
        self.folder.save("ski", kit.part())
        for content in ("cut", "", "[]", '{"name": "day", "status": "done"}'):
            with open(self.folder.of("ski"), "r+") as f:
                text = f.read()
                f.truncate(0 if content != "cut" else len(text) // 2)
                f.seek(0)
                f.write("" if content == "cut" else content)
            self.assertIn("ski.json", self.folder.broken("ski"), content)
            self.assertFalse(self.folder.has("ski"))
            self.assertEqual(plan.to_do(self.folder, ["ski"], []), ["ski"])
            self.assertEqual(self.folder.load("ski")["status"], "failed")
            self.folder.save("ski", kit.part())
        self.assertEqual((self.folder.broken("ski"), self.folder.broken("tls")), ("", ""))

    def test_a_full_disk_leaves_what_was_there(self):
        self.folder.save("ski", kit.part())
        with mock.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")), self.assertRaises(OSError):
            self.folder.save("ski", kit.part(values=[1.0]))
        self.assertEqual(self.folder.load("ski")["figures"][0]["values"], kit.part()["figures"][0]["values"])
        self.assertEqual(os.listdir(self.folder.parts), ["ski.json"])


class Estimate(unittest.TestCase):
    def test_follows_what_was(self):
        e = plan.Estimate({"a": 100, "b": 100})
        self.assertAlmostEqual(e.left("a", 0), 200)
        self.assertAlmostEqual(e.left("a", 60), 140)
        self.assertAlmostEqual(e.left("a", 500), 100)  # longer than thought: the others remain
        e.ended("a", 230)
        self.assertAlmostEqual(e.left("b", 0), 200)  # (230 + 30) / (100 + 30) times as slow


def fake_part(measure):
    return types.SimpleNamespace(TITLE="Fake", METHOD="None.", seconds=lambda s: 1, measure=measure)


def good(w, r):
    w.step("a step")
    r.figure("x", "X", "s", "lower", [1.0], r.command("true"))


def raising(e):
    def measure(w, r):
        r.figure("x", "X", "s", "lower", [1.0])
        raise e

    return measure


class Run(unittest.TestCase):
    """The whole of main() with parts made up: nothing is started but `--version` of programs."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        self.out = os.path.join(self.dir.name, "out")
        self.bin = os.path.join(self.dir.name, "bin")
        os.mkdir(self.bin)
        for name in ("keyserver", "edge-sim"):
            with open(os.path.join(self.bin, name), "w") as f:
                f.write(f"#!/bin/sh\necho {name} 1.2.3\n")
            os.chmod(os.path.join(self.bin, name), 0o755)

    def main(self, fakes, *options):
        self.said, self.printed = io.StringIO(), io.StringIO()
        with mock.patch.object(parts, "PARTS", fakes), contextlib.redirect_stderr(self.said), contextlib.redirect_stdout(self.printed):
            return main.main(["--quick", "--out", self.out, "--dir", self.dir.name, "--bin", self.bin, *options])

    def measured(self):
        return sorted(n for n in os.listdir(os.path.join(self.out, "parts")) if n.endswith(".json"))

    def test_failure_leaves_the_others(self):
        fakes = {"one": fake_part(raising(Failed("it said no"))), "two": fake_part(good), "three": fake_part(raising(KeyError("x")))}
        self.assertEqual(self.main(fakes), 1)
        self.assertEqual(self.measured(), ["two.json"])
        self.assertIn("one: failed: it said no", self.said.getvalue())
        report = read_json(os.path.join(self.out, "report.json"))
        self.assertEqual([p["status"] for p in report["parts"]], ["failed", "done", "failed"])
        fakes["one"] = fakes["three"] = fake_part(good)
        fakes["two"] = fake_part(raising(AssertionError("measured again")))
        self.assertEqual(self.main(fakes), 0)
        self.assertEqual(self.measured(), ["one.json", "three.json", "two.json"])

    def test_left_out_is_an_answer(self):
        self.assertEqual(self.main({"one": fake_part(raising(LeftOut("no redis-server")))}), 0)
        report = read_json(os.path.join(self.out, "report.json"))
        self.assertEqual(report["parts"][0]["status"], "left out")
        self.assertEqual(report["left_out"], [{"part": "one", "what": "all of it", "why": "left out: no redis-server"}])

    def test_interrupted_and_gone_on_with(self):
        fakes = {"one": fake_part(good), "two": fake_part(raising(KeyboardInterrupt()))}
        self.assertEqual(self.main(fakes, "--again", "one"), 130)
        self.assertEqual(self.measured(), ["one.json"])
        self.assertIn(f"To go on: kpi-report --quick --out {self.out}", self.said.getvalue())
        self.assertNotIn("--again", self.said.getvalue())
        self.assertEqual([n for n in os.listdir(self.dir.name) if n.startswith("mec-kpi-")], [])
        fakes = {"one": fake_part(raising(AssertionError("measured again"))), "two": fake_part(good)}
        self.assertEqual(self.main(fakes), 0)
        self.assertEqual(self.measured(), ["one.json", "two.json"])

    def test_again_and_compare(self):
        fakes = {"one": fake_part(good)}
        self.assertEqual(self.main(fakes), 0)
        first = os.path.join(self.dir.name, "first.json")
        os.rename(os.path.join(self.out, "report.json"), first)
        self.assertEqual(self.main(fakes, "--again", "one", "--compare", first), 0)
        self.assertIn("1 too few runs", self.printed.getvalue())
        with open(first, "w") as f:
            f.write('{"format": "other"}')
        self.assertEqual(self.main(fakes, "--compare", first), 1)
        self.assertIn("not a report of this format", self.said.getvalue())

    def test_a_broken_result_is_measured_anew(self):
        fakes = {"one": fake_part(good)}
        self.assertEqual(self.main(fakes), 0)
        path = os.path.join(self.out, "parts/one.json")
        os.truncate(path, os.path.getsize(path) // 2)
        self.assertEqual(self.main(fakes), 0)
        self.assertRegex(self.said.getvalue(), "one: measured anew: .*parts/one.json: not JSON")
        self.assertEqual(read_json(path)["status"], "done")

    def test_a_folder_that_cannot_be(self):
        with open(self.out, "w"):
            pass
        self.assertEqual(self.main({"one": fake_part(good)}), 1)
        self.assertEqual(self.said.getvalue(), f"kpi-report: {self.out}/parts: Not a directory\n")

    def test_compared_with_half_a_report(self):
        fakes = {"one": fake_part(good)}
        self.assertEqual(self.main(fakes), 0)
        old = os.path.join(self.dir.name, "old.json")
        for text, why in (("[]", "not a report of this format"), ('{"format": "mec-kpi-report/1"}', "not a whole report: .* is missing"), ("{", "not JSON")):
            with open(old, "w") as f:
                f.write(text)
            self.assertEqual(self.main(fakes, "--compare", old), 1)
            self.assertRegex(self.said.getvalue(), f"^kpi-report: {old}: {why}")

    def test_no_programs(self):
        os.remove(os.path.join(self.bin, "keyserver"))
        self.assertEqual(self.main({"one": fake_part(good)}), 1)
        self.assertIn("no programs in", self.said.getvalue())

    def test_usage(self):
        for bad in (["--parts", "nothing"], ["--scale", "0"], ["--runs", "0"], ["--again", "x,one"]):
            with self.assertRaises(SystemExit) as e:
                self.main({"one": fake_part(good)}, *bad)
            self.assertEqual(e.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
