"""Two reports: what changed, and whether that is more than noise."""
from . import stats

ALPHA = 0.01
CONDITIONS = (
    ("settings", ("form", "scale")),
    ("machine", ("cpu", "cores", "memory_bytes", "kernel")),
    ("versions", ("openssl", "redis")),
)
LEAST_CHANGE = 0.02
METHOD = (
    f"Mann-Whitney U, two-sided, exact for few runs: real when p is at most {ALPHA} and the medians differ by {LEAST_CHANGE:.0%} at least; "
    "too few runs: even runs that do not overlap at all could not reach that p."
)


def judge(old, new, better):
    """(verdict, p, relative change of the medians) of two lists of values. better: "higher", "lower" or "none"."""
    before, now = stats.median(old), stats.median(new)
    change = None if before in (None, 0) or now is None else now / before - 1
    if stats.least_p(len(old), len(new)) > ALPHA:
        return "too few runs", None, change
    p = stats.mann_whitney(old, new)[1]
    moved = now != before if change is None else abs(change) >= LEAST_CHANGE
    if p > ALPHA or not moved:
        return "within noise", p, change
    if better == "none":
        return "changed", p, change
    return ("better" if (now > before) == (better == "higher") else "worse"), p, change


def figures_of(report):
    return {f["id"]: f for part in report["parts"] for f in part["figures"]}


def differences(old, new):
    """What makes the two reports hard to compare: other machine, other sizes."""
    found = []
    for group, names in CONDITIONS:
        for name in names:
            a, b = old[group].get(name), new[group].get(name)
            if a != b:
                found.append(f"{group}: {name} was {a}, is {b}")
    return found


def compare(old, new, path):
    """The member `comparison` of a report: one row for each figure that both have, those that matter first."""
    before, now = figures_of(old), figures_of(new)
    rows = []
    for name in now:
        if name not in before or before[name]["unit"] != now[name]["unit"]:
            continue
        a, b = before[name], now[name]
        verdict, p, change = judge(a["values"], b["values"], b["better"])
        shown = {"id": name, "title": b["title"], "unit": b["unit"], "old": side(a), "new": side(b)}
        rows.append({**shown, "change": change, "p": p, "verdict": verdict})
    order = ["worse", "better", "changed", "within noise", "too few runs"]
    rows.sort(key=lambda r: (order.index(r["verdict"]), -abs(r["change"] or 0)))
    return {
        "old_file": path, "old_created": old["created"], "old_version": old["versions"].get("source", ""), "method": METHOD,
        "differences": differences(old, new), "only_old": sorted(set(before) - set(now)), "only_new": sorted(set(now) - set(before)), "rows": rows,
    }  # fmt: skip


def side(figure):
    return {"median": figure["median"], "min": figure["min"], "max": figure["max"], "runs": len(figure["values"])}


def summary(comparison):
    counts = {}
    for row in comparison["rows"]:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items()) or "no figure in common"
