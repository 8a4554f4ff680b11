"""Line plots as SVG text: scales, ticks, panels that share their x axis. No scripts, no outside resources."""
import math
from html import escape

WIDTH, LEFT, RIGHT, TOP, GAP, BOTTOM = 760, 72, 16, 34, 26, 44
PANEL_ALONE, PANEL_STACKED = 250, 120
COLOURS = ("#0b62a8", "#c2410c", "#15803d", "#7e22ce", "#475569", "#b91c1c", "#0f766e", "#a16207")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "1 4", "12 4", "5 5", "3 1")  # prints in black and white, too


def nice_step(span, count):
    """1, 2 or 5 times a power of ten, so that about `count` steps make the span."""
    if span <= 0:
        return 1.0
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1, 2, 5, 10):
        if raw <= factor * power * (1 + 1e-9):
            return factor * power
    return 10 * power


def linear_ticks(low, high, count=5, step=None):
    step = step or nice_step(high - low, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(low, high):
    """Powers of ten; within less than three decades 2 and 5 times them, too."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    factors = (1, 2, 5) if math.log10(high / low) < 3 else (1,)
    ticks = [f * 10.0**e for e in range(first, last + 1) for f in factors]
    return [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]


class Scale:
    """From values to places. A linear one that has no lower end of its own begins at zero, one of a logarithm at a power of ten or a tick."""

    def __init__(self, values, axis, begin, end, ticks=5):
        self.log, self.begin, self.end = axis["log"], begin, end
        values = [v for v in values if math.isfinite(v) and (v > 0 or not self.log)]
        low = axis.get("min") if axis.get("min") is not None else min(values, default=1.0 if self.log else 0.0)
        high = axis.get("max") if axis.get("max") is not None else max(values, default=1.0)
        if self.log:
            low, high = self._log_bounds(low, high)
            self.ticks = log_ticks(low, high)
        else:
            low, high = self._linear_bounds(low, high, axis, ticks)
            self.ticks = linear_ticks(low, high, ticks, axis.get("step"))
        self.low, self.high = low, high

    @staticmethod
    def _log_bounds(low, high):
        def outward(value, down):
            power = 10.0 ** math.floor(math.log10(value) + 1e-12)
            steps = [f * power for f in (1, 2, 5, 10)]
            return max(s for s in steps if s <= value * (1 + 1e-9)) if down else min(s for s in steps if s >= value * (1 - 1e-9))

        low, high = outward(low, True), outward(high, False)
        return (low, high) if high > low else (low, low * 10)

    @staticmethod
    def _linear_bounds(low, high, axis, count):
        if axis.get("min") is None:
            low = min(low, 0.0)
        if high <= low:
            high = low + 1.0
        if axis.get("max") is None:
            step = axis.get("step") or nice_step(high - low, count)
            high = math.ceil(high / step - 1e-9) * step
        return low, high

    def __call__(self, value):
        if self.log:
            value = max(value, self.low)
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.begin + min(max(part, -0.02), 1.02) * (self.end - self.begin)


def number(value):
    """A tick's text: 30k, 1.5M, 0.25."""
    for limit, divisor, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / divisor:.4g}{unit}"
    return f"{value:.4g}"


def text(x, y, content, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(str(content))}</text>'


def line(x1, y1, x2, y2, css):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def curve(points, colour, dash, dots):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>']
    if dots:
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in points]
    return out


def thin(points, most=800):
    """Of very many points those at even distances, and of each stretch the highest: peaks stay."""
    if len(points) <= most:
        return points
    size = math.ceil(2 * len(points) / most)
    out = []
    for i in range(0, len(points), size):
        part = points[i : i + size]
        high = max(part, key=lambda p: p[1])
        out += [part[0]] if part[0] is high else [part[0], high]
    return out


def legend(series, y):
    out, x = [], LEFT + 4.0
    for i, s in enumerate(series):
        dash = f' stroke-dasharray="{DASHES[i % len(DASHES)]}"' if DASHES[i % len(DASHES)] else ""
        width = 30 + 6.4 * len(s["name"])
        if x + width > WIDTH - RIGHT and i:
            x, y = LEFT + 4.0, y + 14
        colour = COLOURS[i % len(COLOURS)]
        place = f'x1="{x:.1f}" y1="{y - 4:.1f}" x2="{x + 20:.1f}" y2="{y - 4:.1f}"'
        out.append(f'<line {place} stroke="{colour}" stroke-width="2.4"{dash}/>')
        out.append(text(x + 24, y, s["name"]))
        x += width + 8
    return out, y


def legend_rows(series):
    return (legend(series, 0)[1]) // 14 + 1


def panel(data, xs, top, height):
    """One panel's elements, from its upper edge downward."""
    shown = [s for s in data["series"] if s["points"]]
    out, bottom = [], top + height
    ys = Scale([y for s in shown for _, y in s["points"]], data["y"], bottom, top, 5 if height > 150 else 3)
    for tick in ys.ticks:
        out += [line(LEFT, ys(tick), WIDTH - RIGHT, ys(tick), "grid"), text(LEFT - 6, ys(tick) + 4, number(tick), "end")]
    out += [line(xs(tick), top, xs(tick), bottom, "grid") for tick in xs.ticks]
    out.append(f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{height}" class="frame"/>')
    middle = (top + bottom) / 2
    out.append(text(16, middle, data["y"]["label"], "middle", f' transform="rotate(-90 16 {middle:.1f})"'))
    for i, s in enumerate(shown):
        points = [(xs(x), ys(y)) for x, y in s["points"] if not ys.log or y > 0]
        points = [(x, top + bottom - y) for x, y in thin([(x, top + bottom - y) for x, y in points])]
        if points:
            out += curve(points, COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)], len(points) <= 30)
    return out, shown


def marks(entries, xs, top, bottom):
    out, last = [], -1e9
    for m in entries:
        x = xs(m["x"])
        out.append(line(x, top, x, bottom, "mark"))
        if x > last:  # a text that would cover the one before is left to the table
            out.append(text(x + 3, top + 11, m["text"], "start", ' class="note"'))
            last = x + 6 + 6 * len(m["text"])
    return out


def plot(p):
    """The SVG element of a plot of report.json."""
    alone = len(p["panels"]) == 1
    height = PANEL_ALONE if alone else PANEL_STACKED
    all_x = [pt[0] for pn in p["panels"] for s in pn["series"] for pt in s["points"]] + [m["x"] for m in p["marks"]]
    xs = Scale(all_x, p["x"], LEFT, WIDTH - RIGHT, 8)
    out, y = [text(LEFT, 16, p["title"], "start", ' class="title"')], TOP
    first = None
    for data in p["panels"]:
        rows = legend_rows([s for s in data["series"] if s["points"]])
        top = y + 14 * rows
        elements, shown = panel(data, xs, top, height)
        out += legend(shown, y + 8)[0] + elements
        first = top if first is None else first
        y = top + height + GAP
    bottom = y - GAP
    out += marks(p["marks"], xs, first, bottom)
    out += [text(xs(t), bottom + 16, number(t), "middle") for t in xs.ticks]
    out.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, p["x"]["label"], "middle"))
    total = bottom + BOTTOM
    return f'<svg viewBox="0 0 {WIDTH} {total}" role="img" aria-label="{escape(p["title"])}" class="plot">' + "".join(out) + "</svg>"
