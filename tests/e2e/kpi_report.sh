#!/usr/bin/env bash
# kpi-report: a very small form of everything, on a machine without a Redis and with one; the report against its schema; resumed after an interruption; compared.
. "$(dirname "$0")/lib.sh" "$@"

source_root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
scale=0.05
kpi() { "$bin/kpi-report" --quick --scale $scale --dir "$work" "$@"; }
valid() { # valid FILE [CONDITION on r]
    PYTHONPATH=$source_root/edge-sim python3 -B - "$source_root/edge-sim/kpi/schema.json" "$@" <<'PY'
import json, sys
from kpi import schema
r = json.load(open(sys.argv[2]))
found = schema.errors(r, json.load(open(sys.argv[1])))
assert not found, found[:5]
part = {p["name"]: p for p in r["parts"]}
out = [(x["part"], x["what"], x["why"]) for x in r["left_out"]]
assert len(sys.argv) < 4 or eval(sys.argv[3]), (sys.argv[3], out, {n: (p["status"], p["why"]) for n, p in part.items()})
PY
}
nothing_left() { # no folder of a part, no program that was started from here, no memory group (whose name has the process's id)
    [ -z "$(find "$work" -maxdepth 1 -name 'mec-kpi-*' -print -quit)" ] && ! pgrep -f "$work/mec-kpi-" >/dev/null &&
        [ -z "$(find /sys/fs/cgroup -maxdepth 6 -type d -name "mec-kpi-${1:-none}-*" -print -quit 2>/dev/null)" ]
}

# browse NAME OPTION...: headless Chromium on a page that is a file; it may reach nothing else.
browse() {
    timeout 300 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --user-data-dir="$work/chromium" \
        --proxy-server=127.0.0.1:9 "$@" >"$work/browser.out" 2>"$work/browser.log"
}
# ink FILE.png: how many different rows of pixels the picture has, of how many.
ink() {
    python3 -B - "$1" <<'PY'
import struct, sys, zlib
data = open(sys.argv[1], "rb").read()
at, body = 8, b""
width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
while at < len(data):
    size, name = struct.unpack(">I4s", data[at : at + 8])
    body += data[at + 8 : at + 8 + size] if name == b"IDAT" else b""
    at += 12 + size
rows = zlib.decompress(body)
stride = 1 + width * depth // 8 * {0: 1, 2: 3, 4: 2, 6: 4}[kind]
assert len(rows) == stride * height, (len(rows), stride, height)
print(len({rows[i * stride : (i + 1) * stride] for i in range(height)}))
PY
}

check "--help" kpi --help >/dev/null
check "--list names every part" test "$(kpi --list | grep -c .)" -eq 14
check "--version" has '^kpi-report [0-9]' <<<"$(kpi --version)"
refuse "no --out" kpi
refuse "an unknown part" kpi --out "$work/out" --parts nonsense
refuse "no programs" kpi --out "$work/none" --bin "$work"

# Everything, where there is no Redis: its programs are hidden, all others are there.
mkdir "$work/path"
IFS=: read -ra folders <<<"$PATH"
for ((i = ${#folders[@]} - 1; i >= 0; i--)); do
    for program in "${folders[i]}"/*; do
        case ${program##*/} in
        redis-*) ;;
        *) [ ! -x "$program" ] || ln -sf "$program" "$work/path/" ;;
        esac
    done
done
PATH=$work/path kpi --out "$work/out" >"$work/kpi.log" 2>&1 || fail "the small form without a Redis"
ok "the small form without a Redis"
check "its report is as the schema says, and no part is missing" valid "$work/out/report.json" \
    'all(p["status"] == "done" for p in r["parts"]) and len(part) == 13 and r["time"]["measured_seconds"] > 0 and all(x["commands"] for p in r["parts"] for x in p["plots"]) and all(p["commands"] and p["figures"] and p["tables"] for p in r["parts"])'
check "what was left out is named" valid "$work/out/report.json" 'any(p == "tables" and "redis-server" in why for p, _, why in out)'
check "ours was measured all the same" valid "$work/out/report.json" 'all("Redis" not in row["cells"] for row in part["tables"]["tables"][0]["rows"]) and len(part["tables"]["tables"][0]["rows"]) >= 3'
check "nothing was lost or wrong" valid "$work/out/report.json" '[f["median"] for f in part["day"]["figures"] if f["id"] == "day.failed"] == [0]'
check "KPIs of sizes are not judged" valid "$work/out/report.json" '[k["pass"] for k in r["kpis"] if k["name"].startswith("Number of keys")] == [None, None]'
check "every KPI has its command" valid "$work/out/report.json" 'all(k["command"] for k in r["kpis"] if k["figure"])'
check "the page says so, too" grep -q 'redis-server and redis-benchmark not on this machine' "$work/out/report.html"
check "the page needs nothing else" test "$(grep -Eci '<script|<link|<img|src=|url\(' "$work/out/report.html")" -eq 0
check "no address but those of the commands, none of them a link" test "$(grep -Eoci '(href|src|action|data|poster)="?(https?:)?//|@import|xlink' "$work/out/report.html")" -eq 0
if command -v chromium >/dev/null; then
    browse --dump-dom "file://$work/out/report.html" || fail "Chromium on the report"
    mv "$work/browser.out" "$work/dom.html"
    check "in Chromium every table, row and plot is there" valid "$work/out/report.json" \
        '(lambda t: t.count("<svg") == sum(len(p["plots"]) for p in r["parts"]) > 8 and t.count("<h2") >= 15 and all(x["title"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in t for p in r["parts"] for x in p["tables"] + p["plots"]) and all("id=\"%s\"" % p["name"] in t for p in r["parts"]))(open("'"$work/dom.html"'").read())'
    browse --screenshot="$work/shot.png" --window-size=1000,3000 "file://$work/out/report.html" || fail "Chromium's picture of the report"
    check "and its picture is not blank" test "$(ink "$work/shot.png")" -gt 200
    browse --print-to-pdf="$work/report.pdf" "file://$work/out/report.html" || fail "Chromium prints the report"
    check "it prints" test "$(head -c 5 "$work/report.pdf")" = %PDF- -a "$(wc -c <"$work/report.pdf")" -gt 50000
else
    echo "SKIPPED: no chromium: the report was not looked at as a picture (Debian package chromium)"
fi
check "CSVs" test -s "$work/out/csv/table5.memory.csv" -a -s "$work/out/csv/kpis.csv" -a -s "$work/out/csv/day.day.csv"
check "nothing is left behind" nothing_left
check "a second run measures nothing" test "$(kpi --out "$work/out" 2>&1 >/dev/null | wc -l)" -eq 0
refuse "another form into the same folder" kpi --runs 3 --out "$work/out"
exec {held}>"$work/out/lock"
flock -n "$held"
refuse "two runs in one folder" kpi --out "$work/out"
check "and says why" grep -q "another kpi-report is at work in it" "$work/refused.out"
exec {held}>&-
refuse "a folder that cannot be" kpi --out "$work/kpi.log"
check "and says why" grep -q "^kpi-report: $work/kpi.log/parts: Not a directory$" "$work/refused.out"

# Interrupted in the middle of a part, and gone on with.
"$bin/kpi-report" --quick --scale $scale --dir "$work" --out "$work/two" --parts table5,day >"$work/two.log" 2>&1 &
kpi_pid=$!
pids+=("$kpi_pid")
wait_for 600 test -s "$work/two/parts/table5.json" || fail "no first part"
wait_for 600 grep -q 'day: the load is learned' "$work/two.log" || fail "no second part"
kill -TERM "$kpi_pid"
status=0
wait "$kpi_pid" || status=$?
[ "$status" -eq 130 ] || fail "interrupted: exit status $status"
ok "interrupted"
check "it says how to go on" grep -q "To go on: kpi-report --quick --scale $scale --dir $work --out $work/two" "$work/two.log"
check "its programs, folders and groups are gone" wait_for 120 nothing_left "$kpi_pid"
check "what was measured is kept, what was not is not there" test -s "$work/two/parts/table5.json" -a ! -e "$work/two/parts/day.json"
kept=$(stat -c %Y.%i "$work/two/parts/table5.json")
kpi --out "$work/two" --parts table5,day --compare "$work/out/report.json" >"$work/on.log" 2>&1 || fail "it goes on"
ok "it goes on"
check "and measures no part twice" test "$kept" = "$(stat -c %Y.%i "$work/two/parts/table5.json")"
check "compared: one run each is too few" valid "$work/two/report.json" 'r["comparison"]["rows"] and all(x["verdict"] == "too few runs" for x in r["comparison"]["rows"])'
check "parts that were not asked for are named" valid "$work/two/report.json" 'part["ski"]["status"] == "not measured" and any(p == "ski" for p, _, _ in out)'

if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
    kpi --out "$work/redis" --parts tables >"$work/redis.log" 2>&1 || fail "beside a Redis"
    ok "beside a Redis"
    check "both have their rows" valid "$work/redis/report.json" \
        '{row["cells"][1] for t in part["tables"]["tables"] if t["id"] == "tables.paced" for row in t["rows"]} == ({"kvstore", "Redis"} if not part["tables"]["left_out"] else {"kvstore"}) and len(next(t for t in part["tables"]["tables"] if t["id"] == "tables.unpaced")["rows"]) == 6'
fi
finish
