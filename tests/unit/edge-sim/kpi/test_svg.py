"""kpi/svg.py: scales and ticks, and plots that are well-formed XML."""
import unittest
import xml.etree.ElementTree as xml

import kit
from kpi import svg
from kpi.result import axis, series


class Ticks(unittest.TestCase):
    def test_nice_steps(self):
        self.assertEqual([svg.nice_step(s, 5) for s in (1, 10, 7, 100, 23, 0)], [0.2, 2, 2, 20, 5, 1])

    def test_linear(self):
        self.assertEqual(svg.linear_ticks(0, 10), [0, 2, 4, 6, 8, 10])
        self.assertEqual(svg.linear_ticks(0, 0.3, 3), [0, 0.1, 0.2, 0.3])

    def test_own_steps(self):
        hours = svg.Scale([0, 24], axis("hour", low=0, high=24, step=3), 0, 1)
        self.assertEqual(hours.ticks, [0, 3, 6, 9, 12, 15, 18, 21, 24])
        self.assertEqual(svg.Scale([1, 2, 4], axis("threads", low=0, step=1), 0, 1).ticks, [0, 1, 2, 3, 4])

    def test_log(self):
        self.assertEqual(svg.log_ticks(1, 1000), [1, 10, 100, 1000])
        self.assertEqual(svg.log_ticks(1, 10), [1, 2, 5, 10])
        self.assertEqual(svg.log_ticks(20, 500), [20, 50, 100, 200, 500])

    def test_numbers(self):
        self.assertEqual([svg.number(v) for v in (0, 0.25, 5000, 30_000, 1.5e6, 2e9)], ["0", "0.25", "5000", "30k", "1.5M", "2G"])


class Scale(unittest.TestCase):
    def test_linear(self):
        s = svg.Scale([3, 8], axis("x"), 100, 200)
        self.assertEqual((s.low, s.high, s(0), s(5), s(10)), (0, 8, 100, 162.5, 202))
        self.assertEqual(svg.Scale([3, 9.5], axis("x"), 0, 1).high, 10)

    def test_upside_down(self):
        s = svg.Scale([0, 10], axis("y"), 300, 100)
        self.assertEqual((s(0), s(10)), (300, 100))

    def test_own_ends(self):
        s = svg.Scale([3, 8], axis("x", low=2, high=12), 0, 10)
        self.assertEqual((s(2), s(7), s(12)), (0, 5, 10))

    def test_log(self):
        s = svg.Scale([12, 900], axis("y", log=True), 0, 100)
        self.assertEqual((s.low, s.high), (10, 1000))
        self.assertAlmostEqual(s(100), 50)
        self.assertAlmostEqual(s(0), 0)  # what a logarithm cannot show lies on the edge

    def test_degenerate(self):
        self.assertEqual(svg.Scale([], axis("y"), 0, 1)(0), 0)
        self.assertEqual(svg.Scale([5, 5], axis("y", log=True), 0, 1).ticks, [5, 10, 20, 50])
        flat = svg.Scale([0, 0], axis("y"), 0, 1)
        self.assertEqual((flat.low, flat.high), (0, 1))


class Thin(unittest.TestCase):
    def test_peaks_stay(self):
        points = [(i, 0) for i in range(10_000)]
        points[7777] = (7777, 99)
        out = svg.thin(points, 100)
        self.assertLessEqual(len(out), 200)
        self.assertIn((7777, 99), out)
        self.assertEqual(out, sorted(out))
        self.assertEqual(svg.thin(points[:50], 100), points[:50])


class Plot(unittest.TestCase):
    def plot(self, panels):
        return {"id": "a.b", "title": "T <&>", "x": axis("x < y"), "panels": panels, "marks": [{"x": 1, "text": "<+>"}], "commands": []}

    def test_well_formed(self):
        lines = [series(f"a <{i}>", [(x, x * i) for x in range(5)]) for i in range(12)]
        root = xml.fromstring(svg.plot(self.plot([{"y": axis("&"), "series": lines}, {"y": axis("log", log=True), "series": lines[1:3]}])))
        self.assertEqual(len(root.findall("polyline")), 14)
        self.assertIn("T <&>", [t.text for t in root.findall("text")])

    def test_inside_the_frame(self):
        lines = [series("s", [(0, 3), (10, 1e6), (5, 42)])]
        root = xml.fromstring(svg.plot(self.plot([{"y": axis("y"), "series": lines}])))
        _, _, width, height = map(float, root.get("viewBox").split())
        for x, y in (p.split(",") for line in root.findall("polyline") for p in line.get("points").split()):
            self.assertTrue(svg.LEFT <= float(x) <= width and 0 <= float(y) <= height)

    def test_nothing_outside(self):
        text = svg.plot(kit.part()["plots"][0])
        for word in ("<script", "http", "href", "url("):
            self.assertNotIn(word, text)

    def test_empty_series(self):
        xml.fromstring(svg.plot(self.plot([{"y": axis("y"), "series": [series("none", []), series("one", [(1, 1)])]}])))


if __name__ == "__main__":
    unittest.main()
