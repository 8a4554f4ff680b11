"""What a part has found: figures that can be compared, tables and plots to be read, the commands that gave them, and what was left out."""
import contextlib
import json
import os

from . import stats


class LeftOut(Exception):
    """A part that cannot be measured here, and why."""


class Result:
    def __init__(self, name, title):
        self.name, self.title = name, title
        self.kept = set()  # numbers of commands that are shown though no figure names them: how servers were started
        self.method, self.notes, self.left_out, self.commands = "", [], [], []
        self.figures, self.tables, self.plots = [], [], []

    def command(self, text, keep=True):
        """The number of a command, from 1; the same text has the same number. Not kept: shown only when a figure, a row or a plot names it, so
        that of many runs of one measurement the first is shown."""
        if text not in self.commands:
            self.commands.append(text)
        number = self.commands.index(text) + 1
        if keep:
            self.kept.add(number)
        return number

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def leave_out(self, what, why):
        entry = {"what": what, "why": why}
        if entry not in self.left_out:
            self.left_out.append(entry)

    def figure(self, name, title, unit, better, values, command=None):
        """better: "higher", "lower" or "none". Values of all runs; those that failed are None and dropped. Returns the median."""
        values = [float(v) for v in values if v is not None]
        if not values:
            return None
        interval = stats.median_interval(values)
        self.figures.append({
            "id": f"{self.name}.{name}", "title": title, "unit": unit, "better": better, "values": values, "median": stats.median(values),
            "min": min(values), "max": max(values), "interval": list(interval) if interval else None, "command": command,
        })  # fmt: skip
        return stats.median(values)

    def table(self, name, title, columns, note=""):
        """Rows are added by the returned function: add(*cells, command=N)."""
        table = {"id": f"{self.name}.{name}", "title": title, "columns": columns, "rows": [], "note": note}
        self.tables.append(table)

        def add(*cells, command=None):
            assert len(cells) == len(columns), (title, cells)
            table["rows"].append({"cells": list(cells), "command": command})

        return add

    def plot(self, name, title, x, panels, marks=(), commands=()):
        """panels: list of {"y": axis, "series": [{"name", "points": [[x, y], ...]}]} one above the other on one x axis; axis: {"label", "log"}."""
        if any(s["points"] for p in panels for s in p["series"]):
            self.plots.append({
                "id": f"{self.name}.{name}", "title": title, "x": x, "panels": panels, "marks": [{"x": m[0], "text": m[1]} for m in marks],
                "commands": sorted(set(commands)),
            })  # fmt: skip

    def json(self):
        named = {f["command"] for f in self.figures} | {row["command"] for t in self.tables for row in t["rows"]}
        named |= {n for p in self.plots for n in p["commands"]} | self.kept
        shown = sorted(named - {None})
        new = {None: None, **{n: i + 1 for i, n in enumerate(shown)}}
        return {
            "name": self.name, "title": self.title, "status": "done", "why": "", "method": self.method, "notes": self.notes,
            "left_out": self.left_out, "commands": [self.commands[n - 1] for n in shown],
            "figures": [{**f, "command": new[f["command"]]} for f in self.figures],
            "tables": [{**t, "rows": [{**row, "command": new[row["command"]]} for row in t["rows"]]} for t in self.tables],
            "plots": [{**p, "commands": sorted(new[n] for n in p["commands"])} for p in self.plots],
        }  # fmt: skip


def axis(label, log=False, low=None, high=None, step=None):
    return {"label": label, "log": log, "min": low, "max": high, "step": step}


def series(name, points):
    """Points whose values are there."""
    return {"name": name, "points": [[x, y] for x, y in points if x is not None and y is not None]}


def write_json(path, value):
    """As a whole or not at all."""
    write_whole(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_whole(path, text):
    try:
        with open(path + ".new", "w", encoding="utf-8", newline="") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(path + ".new", path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(path + ".new")
        raise


def read_json(path):
    """ValueError says which file."""
    with open(path, encoding="utf-8") as f:
        try:
            return json.load(f)
        except ValueError as e:
            raise ValueError(f"{path}: not JSON: {e}") from None


def words_of(e):
    """An error as people read it; of the system's: file and reason."""
    if isinstance(e, OSError) and e.strerror:
        return f"{e.filename}: {e.strerror}" if e.filename else e.strerror
    return str(e)
