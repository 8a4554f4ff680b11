"""Statistics of few, noisy runs: nothing here assumes a distribution."""
import math
import statistics
from itertools import combinations

EXACT = 200_000  # arrangements that are counted one by one


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def percentile(values, percent):
    """The smallest of the values that at least `percent` % of them do not exceed; None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    rank = math.ceil(percent / 100 * len(ordered) - 1e-9)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def median_interval(values, confidence=0.95):
    """(low, high) of order statistics that cover the median with this confidence at least; None when there are too few values."""
    ordered, n = sorted(values), len(values)
    below, best = 0.0, None
    for k in range(n // 2):  # the k-th smallest and the k-th largest
        below += math.comb(n, k) / 2**n
        if 1 - 2 * below < confidence:
            break
        best = ordered[k], ordered[n - 1 - k]
    return best


def ranks(values):
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    out, i = [0.0] * len(values), 0
    while i < len(order):
        j = i
        while j < len(order) and values[order[j]] == values[order[i]]:
            j += 1
        for k in order[i:j]:
            out[k] = (i + j + 1) / 2
        i = j
    return out


def least_p(n, m):
    """The smallest two-sided p that Mann-Whitney's test of so many values can give."""
    return 2 / math.comb(n + m, n) if n and m else 1.0


def mann_whitney(a, b):
    """(U of a, two-sided p): whether a and b come from the same source."""
    n, m = len(a), len(b)
    if not n or not m:
        return 0.0, 1.0
    rank = ranks(list(a) + list(b))
    u = sum(rank[:n]) - n * (n + 1) / 2
    off = abs(u - n * m / 2)
    if math.comb(n + m, n) > EXACT:
        return u, _normal_p(n, m, off, rank)
    as_far = total = 0
    for chosen in combinations(rank, n):
        total += 1
        as_far += abs(sum(chosen) - n * (n + 1) / 2 - n * m / 2) >= off - 1e-9
    return u, as_far / total


def _normal_p(n, m, off, rank):
    size = n + m
    ties = sum(t**3 - t for t in (rank.count(r) for r in set(rank)))
    variance = n * m / 12 * (size + 1 - ties / (size * (size - 1)))
    if variance <= 0:
        return 1.0
    return math.erfc(max(off - 0.5, 0) / math.sqrt(2 * variance))


def ratio(a, b):
    return a / b if a is not None and b else None
