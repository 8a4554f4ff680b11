"""report.html: one file, readable on screen and on paper."""
import re
from html import escape

from . import svg
from .compare import ALPHA

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", Arial, sans-serif; color: #1c2430; background: #fff; }
body { max-width: 900px; margin: 0 auto; padding: 24px 28px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 44px 0 8px; padding-top: 10px; border-top: 2px solid #d5dbe3; }
h3 { font-size: 16px; margin: 22px 0 6px; }
p { margin: 6px 0 10px; }
a { color: #0b62a8; }
.soft { color: #566273; font-size: 13px; }
table { border-collapse: collapse; margin: 8px 0 4px; font-size: 13px; width: 100%; }
th, td { padding: 4px 8px; border-bottom: 1px solid #e2e7ee; text-align: left; vertical-align: top; }
th { background: #f2f5f9; font-weight: 600; }
td:first-child { min-width: 4.5em; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
.pass, .fail, .none { white-space: nowrap; }
.pass, .better { color: #14653a; font-weight: 600; }
.fail, .worse { color: #b3261e; font-weight: 600; }
.none { color: #566273; }
.banner { background: #fff6e0; border-left: 4px solid #c98a00; padding: 8px 12px; margin: 12px 0; }
ol.commands { font: 11.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; color: #3d4856; padding-left: 34px; }
ol.commands span { white-space: nowrap; }
td:last-child a { white-space: nowrap; }
ol.commands li { margin: 1px 0; overflow-wrap: anywhere; }
svg.plot { width: 100%; height: auto; margin: 10px 0 2px; display: block; }
svg text { font: 11.5px system-ui, "DejaVu Sans", Arial, sans-serif; fill: #2c3644; }
svg text.title { font-size: 13.5px; font-weight: 600; }
svg text.note { font-size: 10px; fill: #8a3b00; }
svg .frame { fill: none; stroke: #9aa6b5; }
svg .grid { stroke: #e6eaf0; }
svg .mark { stroke: #c2410c; stroke-dasharray: 2 3; }
nav { columns: 2; font-size: 13.5px; margin: 12px 0; }
nav a { display: block; text-decoration: none; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3 { break-after: avoid; }
  svg.plot, tr { break-inside: avoid; }
  nav { display: none; }
  a { color: inherit; text-decoration: none; }
}
"""


def number(value):
    """As a reader wants it: 1,234; 12.3; 0.0456."""
    if value is None:
        return "–"
    if isinstance(value, bool) or isinstance(value, str):
        return str(value)
    if value == 0:
        return "0"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.2e}"


def table(columns, rows, numeric=None):
    """rows: lists of cells already escaped; numeric: which columns stand to the right."""
    numeric = numeric or set()
    head = "".join(f'<th{" class=n" if i in numeric else ""}>{escape(c)}</th>' for i, c in enumerate(columns))
    body = "".join("<tr>" + "".join(f'<td{" class=n" if i in numeric else ""}>{c}</td>' for i, c in enumerate(r)) + "</tr>" for r in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def reference(part, numbers, named=False):
    """Links to commands of a part: [3]; named, for where it is not clear whose they are: [ski 3]."""
    return " ".join(f'<a href="#{part}-c{n}">[{part + " " if named else ""}{n}]</a>' for n in numbers if n)


def command_text(words):
    """A command; no line ends after the dashes of an option."""
    return re.sub(r"(?<= )(--?[a-z0-9-]+)", r"<span>\1</span>", escape(words))


def duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def verdict(passed):
    return {True: '<span class="pass">pass</span>', False: '<span class="fail">not met</span>', None: '<span class="none">not judged</span>'}[passed]


def time_words(t, form):
    full = "" if form == "full" else f"; the full form takes about {duration(t['full_form_seconds'])}"
    return f"{duration(t['measured_seconds'])} measured, of about {duration(t['expected_seconds'])} expected of this form on an idle machine{full}"


def machine_table(value):
    m, v = value["machine"], value["versions"]
    rows = [
        ("Processor", f"{m['cpu']}, {m['cores']} cores ({m['architecture']}), AVX-512 IFMA: {'yes' if m['avx512_ifma'] else 'no'}"),
        ("Memory", f"{m['memory_bytes'] / 2**30:.1f} GiB"),
        ("Kernel", m["kernel"]),
        ("Device", m["device"]),
        ("Programs", f"{v.get('programs') or 'unknown'}; source {v.get('source') or 'unknown'}"),
        ("OpenSSL", v.get("openssl") or "not there"),
        ("Redis", v.get("redis") or "not there"),
        ("Rights", "root" if m["root"] else "not root: no memory groups"),
        ("Form", f"{value['settings']['form']}, scale {number(value['settings']['scale'])}, {value['settings']['runs']} run(s) of what is compared"),
        ("Time", time_words(value["time"], value["settings"]["form"])),
        ("Command", f"<code>{escape(value['command'])}</code>"),
    ]
    return table(["", ""], [[escape(a), b if a == "Command" else escape(b)] for a, b in rows])


def kpi_table(value):
    links = {f["id"]: reference(p["name"], [f["command"]], True) for p in value["parts"] for f in p["figures"]}
    rows = []
    for k in value["kpis"]:
        name, note = escape(k["name"]), escape(k["note"])
        measured = escape(k["measured"] or "not measured")
        name += f'<br><span class="soft">{note}</span>' if note else ""
        rows.append([name, escape(k["asked"]), measured, verdict(k["pass"]), links.get(k["figure"], "")])
    return table(["KPI", "asked", "measured", "", "command"], rows)


def comparison(c):
    by_chance = f"{len(c['rows'])} figures were compared; by chance about {len(c['rows']) * ALPHA:.1f} of them would come out as real."
    old = f"Of {c['old_created']}, {c['old_version']}."
    out = [f'<h2 id="comparison">Compared with {escape(c["old_file"])}</h2>']
    out.append(f'<p class="soft">{escape(old)} {escape(c["method"])} {by_chance}</p>')
    if c["differences"]:
        out.append('<p class="banner">Not the same conditions: ' + "; ".join(map(escape, c["differences"])) + "</p>")
    rows = []
    for r in c["rows"]:
        side = lambda s: f'{number(s["median"])}<br><span class="soft">{number(s["min"])} – {number(s["max"])}, {s["runs"]} runs</span>'
        change = "–" if r["change"] is None else f"{100 * r['change']:+.1f} %"
        p = "–" if r["p"] is None else f"{r['p']:.3f}"
        title = f'{escape(r["title"])} <span class="soft">{escape(r["unit"])}</span>'
        verdict_ = f'<span class="{r["verdict"].split()[0]}">{r["verdict"]}</span>'
        rows.append([title, side(r["old"]), side(r["new"]), change, p, verdict_])
    out.append(table(["figure", "old", "new", "change", "p", ""], rows, {1, 2, 3, 4}))
    only = [f"only in the {which} report: {', '.join(c[key])}" for which, key in (("old", "only_old"), ("new", "only_new")) if c[key]]
    return "".join(out + [f'<p class="soft">{escape(t)}</p>' for t in only])


def figure_table(part):
    rows, several = [], any(len(f["values"]) > 1 for f in part["figures"])
    for f in part["figures"]:
        spread = f"{number(f['min'])} – {number(f['max'])}" if len(f["values"]) > 1 else "–"
        interval = f"{number(f['interval'][0])} – {number(f['interval'][1])}" if f["interval"] else "–"
        link = reference(part["name"], [f["command"]])
        more = [spread, interval, str(len(f["values"]))] if several else []
        rows.append([escape(f["title"]), number(f["median"]), escape(f["unit"]), *more, link])
    if not several:
        return table(["figure", "of one run", "unit", "command"], rows, {1})
    return table(["figure", "median", "unit", "least – greatest", "95 % interval", "runs", "command"], rows, {1, 3, 4, 5})


def data_table(part, t):
    numeric = {i for i in range(len(t["columns"])) if any(isinstance(r["cells"][i], (int, float)) for r in t["rows"])}
    rows = [[*(escape(number(c)) for c in r["cells"]), reference(part["name"], [r["command"]])] for r in t["rows"]]
    note = f'<p class="soft">{escape(t["note"])}</p>' if t["note"] else ""
    return f"<h3>{escape(t['title'])}</h3>{table([*t['columns'], 'command'], rows, numeric)}{note}"


def part_section(part):
    out = [f'<h2 id="{part["name"]}">{escape(part["title"])}</h2>']
    if part["status"] != "done":
        out.append(f'<p class="banner">{escape(part["status"].capitalize())}: {escape(part["why"])}</p>')
    out.append(f"<p>{escape(part['method'])}</p>")
    for entry in part["left_out"]:
        out.append(f'<p class="banner">Left out: {escape(entry["what"])}: {escape(entry["why"])}</p>')
    out += [data_table(part, t) for t in part["tables"]]
    for p in part["plots"]:
        out.append(svg.plot(p) + (f'<p class="soft">commands {reference(part["name"], p["commands"])}</p>' if p["commands"] else ""))
    out += [f'<p class="soft">{escape(n)}</p>' for n in part["notes"]]
    if part["figures"]:
        out.append("<h3>Figures</h3>" + figure_table(part))
    if part["commands"]:
        items = "".join(f'<li id="{part["name"]}-c{i + 1}">{command_text(c)}</li>' for i, c in enumerate(part["commands"]))
        out.append(f'<h3>Commands</h3><ol class="commands">{items}</ol>')
    if part["started"]:
        out.append(f'<p class="soft">Measured {escape(part["started"])}, {number(part["seconds"])} s.</p>')
    return "".join(out)


METHOD = """Everything was measured on one machine: load generators share its processors with the servers, so rates of fast
operations are of both together. Medians of the runs are shown, with the least and the greatest; the 95 % interval of the median
is by order statistics and needs six runs. Percentiles come from histograms of 1.6 % resolution. In open loops (a rate is given)
latency counts from when a request was due. In commands <code>$DIR</code> is a temporary folder."""
QUICK = """Quick form: small sizes and short runs. It shows that everything works; its figures mean little, and KPIs that ask for a
size are not judged."""


def html(value):
    nav = [f'<a href="#{p["name"]}">{escape(p["title"])}</a>' for p in value["parts"]]
    small = value["settings"]["form"] == "quick" or value["settings"]["scale"] < 1
    banner = f'<p class="banner">{QUICK}</p>' if small else ""
    missing = "".join(f"<li><b>{escape(x['part'])}</b>: {escape(x['what'])}: {escape(x['why'])}</li>" for x in value["left_out"])
    body = [
        "<h1>Key server: KPI report</h1>",
        f'<p class="soft">{escape(value["created"])} · kpi-report {escape(value["version"])}</p>', banner,
        "<h2 id=kpis>KPIs</h2>", kpi_table(value),
        f"<h3>Left out</h3><ul>{missing}</ul>" if missing else "<p>Nothing was left out.</p>",
        comparison(value["comparison"]) if value["comparison"] else "",
        "<h2 id=machine>Machine and method</h2>", machine_table(value), f"<p>{METHOD}</p>",
        f"<nav>{''.join(nav)}</nav>",
        *(part_section(p) for p in value["parts"]),
    ]  # fmt: skip
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>KPI report</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'
