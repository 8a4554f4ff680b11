"""kpi/stats.py against answers worked out by hand or taken from tables."""
import unittest

import kit  # noqa: F401
from kpi import stats


class Median(unittest.TestCase):
    def test_odd_even_and_missing(self):
        self.assertEqual(stats.median([3, 1, 2]), 2)
        self.assertEqual(stats.median([4, 1, 3, 2]), 2.5)
        self.assertEqual(stats.median([None, 5, None]), 5)
        self.assertIsNone(stats.median([None]))
        self.assertIsNone(stats.median([]))


class Percentile(unittest.TestCase):
    def test_nearest_rank(self):
        values = [15, 20, 35, 40, 50]  # the textbook's example
        self.assertEqual([stats.percentile(values, p) for p in (5, 30, 40, 50, 100)], [15, 20, 20, 35, 50])

    def test_of_a_hundred(self):
        values = list(range(1, 101))
        self.assertEqual([stats.percentile(values, p) for p in (0, 1, 50, 95, 99, 99.9, 100)], [1, 1, 50, 95, 99, 100, 100])

    def test_order_does_not_matter_and_none_has_none(self):
        self.assertEqual(stats.percentile([9, 1, 5], 50), 5)
        self.assertIsNone(stats.percentile([], 50))


class MedianInterval(unittest.TestCase):
    def test_by_order_statistics(self):
        # coverage of (1st, nth): 1 - 2 / 2^n; tables of the sign test give these ranks for 95 %
        self.assertIsNone(stats.median_interval([1, 2, 3, 4, 5]))  # 93.75 %
        self.assertEqual(stats.median_interval([6, 5, 4, 3, 2, 1]), (1, 6))  # 96.9 %
        self.assertEqual(stats.median_interval(list(range(1, 11))), (2, 9))  # 97.9 %
        self.assertEqual(stats.median_interval(list(range(1, 21))), (6, 15))  # 95.9 %

    def test_other_confidence(self):
        self.assertEqual(stats.median_interval([1, 2, 3, 4, 5], 0.9), (1, 5))
        self.assertIsNone(stats.median_interval([1, 2, 3, 4, 5, 6], 0.99))
        self.assertIsNone(stats.median_interval([]))


class Ranks(unittest.TestCase):
    def test_ties_share(self):
        self.assertEqual(stats.ranks([10, 30, 20]), [1, 3, 2])
        self.assertEqual(stats.ranks([5, 5, 1, 9]), [2.5, 2.5, 1, 4])
        self.assertEqual(stats.ranks([7, 7, 7]), [2, 2, 2])


class MannWhitney(unittest.TestCase):
    def test_no_overlap(self):
        u, p = stats.mann_whitney([1, 2, 3], [4, 5, 6])
        self.assertEqual(u, 0)
        self.assertAlmostEqual(p, 2 / 20)
        self.assertAlmostEqual(stats.mann_whitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])[1], 2 / 252)

    def test_known_answer(self):
        # U = 4, n = m = 5: of the 252 arrangements 12 + 12 are as far out (tables: P(U <= 4) = 0.0476)
        u, p = stats.mann_whitney([1, 2, 3, 4, 9], [5, 6, 7, 8, 10])
        self.assertEqual(u, 4)
        self.assertAlmostEqual(p, 24 / 252)

    def test_symmetric(self):
        a, b = [3, 1, 4, 1, 5], [9, 2, 6, 5, 3, 5]
        self.assertAlmostEqual(stats.mann_whitney(a, b)[1], stats.mann_whitney(b, a)[1])

    def test_the_same_values(self):
        self.assertEqual(stats.mann_whitney([2, 2, 2], [2, 2, 2])[1], 1.0)
        self.assertEqual(stats.mann_whitney([2] * 30, [2] * 30)[1], 1.0)

    def test_normal_approximation_beside_the_exact(self):
        a, b = [i * 1.0 for i in range(10)], [i * 1.0 + 3.5 for i in range(10)]
        exact = stats.mann_whitney(a, b)[1]
        limit, stats.EXACT = stats.EXACT, 0
        try:
            near = stats.mann_whitney(a, b)[1]
        finally:
            stats.EXACT = limit
        self.assertAlmostEqual(exact, near, delta=0.01)

    def test_many_values(self):
        self.assertLess(stats.mann_whitney(list(range(50)), list(range(40, 90)))[1], 1e-9)
        self.assertEqual(stats.mann_whitney([], [1])[1], 1.0)

    def test_least_p(self):
        self.assertAlmostEqual(stats.least_p(3, 3), 0.1)
        self.assertAlmostEqual(stats.least_p(5, 5), 2 / 252)
        self.assertEqual(stats.least_p(0, 5), 1.0)


if __name__ == "__main__":
    unittest.main()
