"""kpi/compare.py: what is called a change, and what is not."""
import unittest

import kit
from kpi import compare

OLD = [100.0, 101.0, 99.0, 100.5, 99.5]


def moved(factor):
    return [v * factor for v in OLD]


class Judge(unittest.TestCase):
    def test_real_changes(self):
        self.assertEqual(compare.judge(OLD, moved(1.2), "higher")[0], "better")
        self.assertEqual(compare.judge(OLD, moved(1.2), "lower")[0], "worse")
        self.assertEqual(compare.judge(OLD, moved(0.8), "higher")[0], "worse")
        self.assertEqual(compare.judge(OLD, moved(0.8), "none")[0], "changed")
        verdict, p, change = compare.judge(OLD, moved(1.2), "higher")
        self.assertAlmostEqual(p, 2 / 252)
        self.assertAlmostEqual(change, 0.2)

    def test_overlap_is_noise(self):
        self.assertEqual(compare.judge(OLD, [98.0, 102.0, 100.0, 99.0, 101.0], "higher")[0], "within noise")
        self.assertEqual(compare.judge(OLD, [130.0, 131.0, 129.0, 130.5, 99.7], "higher")[0], "within noise")

    def test_too_small_to_matter(self):
        verdict, p, _ = compare.judge(OLD, [101.9, 102.0, 101.8, 101.95, 101.85], "higher")
        self.assertLessEqual(p, compare.ALPHA)
        self.assertEqual(verdict, "within noise")

    def test_too_few_runs(self):
        for n, m in ((1, 1), (3, 3), (4, 4), (1, 50)):
            verdict, p, change = compare.judge([100.0] * n, [200.0] * m, "higher")
            self.assertEqual((verdict, p), ("too few runs", None))
            self.assertAlmostEqual(change, 1.0)

    def test_from_zero(self):
        self.assertEqual(compare.judge([0.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], "lower")[0], "worse")
        self.assertEqual(compare.judge([0.0] * 5, [0.0] * 5, "lower"), ("within noise", 1.0, None))


def report(values, **machine):
    return {
        "created": "2026-01-01T00:00:00Z", "settings": {"form": "full", "scale": 1.0, "runs": 5}, "versions": {"source": "abc", "openssl": "3"},
        "machine": {"cpu": "x", "cores": 2, "memory_bytes": 1, "kernel": "k", **machine}, "parts": [kit.part("ski", values)],
    }  # fmt: skip


class Compare(unittest.TestCase):
    def test_rows(self):
        c = compare.compare(report(OLD), report(moved(1.5)), "old.json")
        self.assertEqual([(r["id"], r["verdict"]) for r in c["rows"]], [("ski.rate", "better")])
        self.assertEqual((c["differences"], c["only_old"], c["only_new"]), ([], [], []))
        self.assertEqual(compare.summary(c), "1 better")

    def test_other_conditions_are_named(self):
        self.assertEqual(compare.compare(report(OLD, cores=4), report(OLD), "old.json")["differences"], ["machine: cores was 4, is 2"])

    def test_figures_that_only_one_has(self):
        old, new = report(OLD), report(OLD)
        new["parts"][0]["figures"][0]["id"] = "ski.other"
        c = compare.compare(old, new, "old.json")
        self.assertEqual((c["rows"], c["only_old"], c["only_new"]), ([], ["ski.rate"], ["ski.other"]))
        self.assertEqual(compare.summary(c), "no figure in common")

    def test_another_unit_is_another_figure(self):
        old = report(OLD)
        old["parts"][0]["figures"][0]["unit"] = "ms"
        self.assertEqual(compare.compare(old, report(OLD), "old.json")["rows"], [])


if __name__ == "__main__":
    unittest.main()
