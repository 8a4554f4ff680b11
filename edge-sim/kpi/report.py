"""report.json, the CSVs beside it, and report.html."""
import csv
import io
import os
import shlex
import time

from . import compare, kpis, machine, page, parts, plan, schema
from .result import Result, read_json, write_json, write_whole

FORMAT = "mec-kpi-report/1"
SCHEMA = os.path.join(os.path.dirname(os.path.realpath(__file__)), "schema.json")


def collect(folder):
    """All parts in their order: measured, failed, or not measured yet."""
    found = []
    for name, part in parts.PARTS.items():
        value = folder.load(name)
        if value is None:
            value = {"status": "not measured", "why": "not asked for yet, or interrupted before"}
        if value["status"] in ("failed", "not measured"):
            nothing = Result(name, part.TITLE).json()
            value = {**nothing, "method": part.METHOD, "started": "", "seconds": 0, **value}
        found.append(value)
    return found


def left_out(found):
    out = []
    for part in found:
        if part["status"] != "done":
            out.append({"part": part["name"], "what": "all of it", "why": f"{part['status']}: {part['why']}"})
        out += [{"part": part["name"], **entry} for entry in part["left_out"]]
    return out


def command(settings, out):
    words = ["kpi-report"] + (["--quick"] if settings["form"] == "quick" else [])
    words += ["--scale", str(settings["scale"])] if settings["scale"] != 1 else []
    return shlex.join([*words, "--runs", str(settings["runs"]), "--out", out])


def conditions(a, settings):
    """What run.json holds: under what was measured."""
    version = machine.said_by(os.path.join(a.bin, "edge-sim"), "--version").split(" ")[-1]
    return {"settings": settings.json(), "machine": machine.machine(a.dir), "versions": machine.versions(a.bin), "version": version}


def times(settings, found):
    expected = lambda s: sum(part.seconds(s) for part in parts.PARTS.values())
    measured = sum(part["seconds"] for part in found)
    return {"measured_seconds": measured, "expected_seconds": expected(settings), "full_form_seconds": expected(plan.Settings(False))}


def make(a, settings, folder, old=None):
    """The value of report.json."""
    run_file = os.path.join(folder.path, "run.json")
    run = read_json(run_file) if os.path.exists(run_file) else conditions(a, settings)
    found = collect(folder)
    value = {
        "format": FORMAT, "tool": "kpi-report", "version": run["version"], "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command(run["settings"], os.path.basename(folder.path)), "settings": run["settings"], "machine": run["machine"],
        "versions": run["versions"], "time": times(settings, found), "kpis": kpis.judge(found, run["machine"]["cores"]), "parts": found, "left_out": left_out(found),
        "comparison": None,
    }  # fmt: skip
    if old is not None:
        value["comparison"] = compare.compare(old, value, a.compare)
    return value


def read(path):
    """An earlier report. ValueError when it is none; members that a later version has added do not matter."""
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError(f"{path}: not a report of this format ({FORMAT})")
    wrong = [e for e in schema.errors(value, read_json(SCHEMA)) if not e.endswith("is not in the schema")]
    if wrong:
        raise ValueError(f"{path}: not a whole report: {wrong[0]}")
    return value


def write(path, value):
    write_json(os.path.join(path, "report.json"), value)
    write_whole(os.path.join(path, "report.html"), page.html(value))
    write_csvs(os.path.join(path, "csv"), value)


def write_csvs(folder, value):
    """One file for each table and plot, one for the KPIs, one for all figures."""
    os.makedirs(folder, exist_ok=True)
    write_csv(folder, "kpis", ["name", "asked", "measured", "pass", "note", "command"],
              [[k["name"], k["asked"], k["measured"], k["pass"], k["note"], k["command"]] for k in value["kpis"]])  # fmt: skip
    figures = [(part, f) for part in value["parts"] for f in part["figures"]]
    write_csv(folder, "figures", ["id", "title", "unit", "better", "median", "min", "max", "runs", "values", "command"],
              [[f["id"], f["title"], f["unit"], f["better"], f["median"], f["min"], f["max"], len(f["values"]), " ".join(map(repr, f["values"])),
                command_text(part, f["command"])] for part, f in figures])  # fmt: skip
    for part in value["parts"]:
        for t in part["tables"]:
            write_csv(folder, t["id"], [*t["columns"], "command"], [[*r["cells"], command_text(part, r["command"])] for r in t["rows"]])
        for p in part["plots"]:
            rows = [[n["y"]["label"], s["name"], x, y] for n in p["panels"] for s in n["series"] for x, y in s["points"]]
            write_csv(folder, p["id"], ["panel", "series", p["x"]["label"], "y"], rows)


def command_text(part, number):
    return part["commands"][number - 1] if number else ""


def write_csv(folder, name, head, rows):
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    write_whole(os.path.join(folder, name + ".csv"), out.getvalue())


