"""report.json against its schema, the validator itself, the page, the CSVs, the KPI table."""
import contextlib
import copy
import csv
import html.parser
import json
import os
import tempfile
import types
import unittest

import kit
from kpi import kpis, page, parts, plan, report, schema, work
from kpi.result import Result, axis, series

SCHEMA = json.load(open(os.path.join(kit.SOURCE, "kpi/schema.json")))


def a_report(compared=True):
    with tempfile.TemporaryDirectory() as path, contextlib.closing(plan.Folder(path)) as folder:
        settings = plan.Settings(False)
        folder.open(settings)
        folder.save("ski", kit.part("ski", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        folder.fail("day", "broke <here>")
        a = types.SimpleNamespace(dir=path, bin=path, compare="old.json")
        old = report.make(a, settings, folder)
        return report.make(a, settings, folder, old if compared else None)


class Schema(unittest.TestCase):
    def test_report_is_valid(self):
        for compared in (True, False):
            self.assertEqual(schema.errors(a_report(compared), SCHEMA), [])

    def test_breaches_are_found(self):
        good = a_report()
        for path, value, what in (
            (("format",), "x", "$.format"),
            (("settings", "runs"), "5", "$.settings.runs: expected integer"),
            (("settings", "runs"), 0, "$.settings.runs"),
            (("created",), "yesterday", "$.created"),
            (("parts",), [], "$.parts"),
            (("parts", 0, "figures", 0, "better"), "faster", "$.parts[0].figures[0].better"),
            (("parts", 0, "figures", 0, "more"), 1, "more is not in the schema"),
            (("parts", 0, "plots", 0, "panels", 0, "series", 0, "points", 0), [1], "points[0]"),
            (("comparison",), {}, "$.comparison"),
            (("versions", "openssl"), None, "$.versions.openssl"),
        ):
            bad = copy.deepcopy(good)
            at = bad
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = value
            found = schema.errors(bad, SCHEMA)
            self.assertTrue(any(what in e for e in found), (what, found))
        del good["kpis"]
        self.assertEqual(schema.errors(good, SCHEMA), ["$: kpis is missing"])

    def test_validator(self):
        self.assertEqual(schema.errors(True, {"type": "integer"}), ["$: expected integer, found bool"])
        self.assertEqual(schema.errors(1.5, {"type": ["number", "null"]}), [])
        self.assertEqual(schema.errors({"a": 1}, {"properties": {"a": {"enum": [1, 2]}}, "additionalProperties": False}), [])
        with self.assertRaisesRegex(ValueError, "unknown keyword maxProperties"):
            schema.errors({}, {"maxProperties": 1})


class Balanced(html.parser.HTMLParser):
    VOID = {"meta", "br", "rect", "line", "circle", "polyline"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], set(), set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.ids |= {v for k, v in attrs if k == "id"}
        self.links |= {v for k, v in attrs if k in ("href", "src")}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())


class Page(unittest.TestCase):
    def test_well_formed_and_alone(self):
        text = page.html(a_report())
        p = Balanced()
        p.feed(text)
        self.assertEqual(p.open, [])
        self.assertFalse(p.tags & {"script", "link", "img", "iframe", "object"})
        self.assertTrue(all(link.startswith("#") and link[1:] in p.ids for link in p.links), p.links)

    def test_says_what_is_missing(self):
        text = page.html(a_report())
        self.assertIn("broke &lt;here&gt;", text)
        self.assertIn("redis-server not on this machine", text)
        self.assertIn("By &lt;measuring&gt; &amp; counting.", text)

    def test_numbers(self):
        shown = {None: "–", 0: "0", 1234567: "1,234,567", 1234.5: "1,234", 123.4: "123", 1.2345: "1.23", 0.00001: "1.00e-05", "text": "text"}
        for value, text in shown.items():
            self.assertEqual(page.number(value), text)


class Csv(unittest.TestCase):
    def test_tables_and_plots(self):
        with tempfile.TemporaryDirectory() as path:
            report.write(path, a_report())
            self.assertEqual(set(os.listdir(path)), {"report.json", "report.html", "csv"})
            with open(os.path.join(path, "csv/ski.rows.csv"), newline="") as f:
                self.assertEqual(list(csv.reader(f)), [["what", "how much", "command"], ["one", "1", "edge-sim load ski --json -"], ["nothing", "", ""]])
            with open(os.path.join(path, "csv/ski.line.csv"), newline="") as f:
                self.assertEqual(list(csv.reader(f))[1:], [["y", "s", "1", "10"], ["y", "s", "3", "1000"]])
            with open(os.path.join(path, "csv/figures.csv"), newline="") as f:
                self.assertEqual(list(csv.reader(f))[1][:8], ["ski.rate", "Rate", "1/s", "higher", "3.5", "1.0", "6.0", "6"])


class Kpis(unittest.TestCase):
    def judge(self, **figures):
        """KPI rows by figure, when these are what was measured."""
        part = kit.part()
        part["figures"] = [{"id": name.replace("__", "."), "median": value, "command": 1} for name, value in figures.items()]
        return {k["figure"]: k for k in kpis.judge([part], 2)}

    def test_rates(self):
        name = {"ski__p256-sign.rate": 40_000.0}
        k = self.judge(**name)["ski.p256-sign.rate"]
        self.assertTrue(k["pass"])
        self.assertEqual(k["measured"], "40,000/s on 2 cores; 20,000 a core; 1.5 cores for 30,000/s")
        self.assertEqual(k["command"], "edge-sim load ski --json -")
        self.assertFalse(self.judge(**{"ski__p256-sign.rate": 29_999.0})["ski.p256-sign.rate"]["pass"])

    def test_response_time(self):
        at = {"latency__rsa4096.p50": 1.0, "latency__rsa4096.p99": 9.0, "latency__rsa4096.p99_9": 119.0}
        self.assertTrue(self.judge(**at)["latency.rsa4096.p99_9"]["pass"])
        self.assertTrue(self.judge(**at)["latency.rsa4096.p99"]["pass"])
        self.assertFalse(self.judge(**{**at, "latency__rsa4096.p99_9": 120.0})["latency.rsa4096.p99_9"]["pass"])

    def test_small_sizes_are_not_judged(self):
        of = lambda keys: self.judge(lookup__within_goal=100.0, lookup__keys=keys, lookup__paced_max=4.0, lookup__paced_rate_asked=30_000.0)["lookup.within_goal"]
        self.assertIsNone(of(50_000.0)["pass"])
        self.assertTrue(of(1_000_000.0)["pass"])

    def test_nothing_measured(self):
        rows = kpis.judge([], 2)
        self.assertTrue(rows and all(r["pass"] is None and r["measured"] == "" and r["note"] for r in rows))


class Commands(unittest.TestCase):
    def test_of_many_runs_the_first_is_shown(self):
        r = Result("ski", "T")
        r.command("keyserver")
        runs = [r.command(f"load --rate {n}", keep=False) for n in range(5)]
        r.figure("a", "A", "s", "lower", [1.0, 2.0], runs[1])
        r.table("t", "T", ["x"])(1, command=runs[4])
        r.plot("p", "P", axis("x"), [{"y": axis("y"), "series": [series("s", [(1, 1)])]}], commands=runs[3:])
        value = r.json()
        self.assertEqual(value["commands"], ["keyserver", "load --rate 1", "load --rate 3", "load --rate 4"])
        self.assertEqual((value["figures"][0]["command"], value["tables"][0]["rows"][0]["command"], value["plots"][0]["commands"]), (2, 4, [3, 4]))

    def test_no_line_ends_after_dashes(self):
        self.assertEqual(page.command_text("x --keys 5 -d <a> --json -"), "x <span>--keys</span> 5 <span>-d</span> &lt;a&gt; <span>--json</span> -")

    def test_as_a_reader_would_type_them(self):
        w = work.Work("/b/build/bin", "/tmp", None, None, None)
        w.folder = "/tmp/mec-kpi-1"
        self.assertEqual(w.shown(["/b/build/bin/certs", "import", "/tmp/mec-kpi-1/a b", 5, "x;y"]), "certs import '$DIR/a b' 5 'x;y'")
        self.assertEqual(w.shown(["/b/build/bench/bench_device", "--dir", "/tmp/mec-kpi-1"]), "bench_device --dir $DIR")

    def test_parts_have_what_the_report_needs(self):
        for name, part in parts.PARTS.items():
            self.assertTrue(part.TITLE and part.METHOD and callable(part.measure), name)


if __name__ == "__main__":
    unittest.main()
