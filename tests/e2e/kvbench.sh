#!/usr/bin/env bash
# kvbench: every operation and workload for a moment, every answer checked; its JSON; what it refuses; what it leaves behind.
. "$(dirname "$0")/lib.sh"
keys=$((2000 / ${MEC_E2E_SCALE:-1}))
export TMPDIR=$work

# bench NAME OPTION...: runs it with checked values; its JSON in $work/NAME.json.
bench() {
    local name=$1
    shift
    "$bin/kvbench" --quiet --verify --keys "$keys" --duration 300ms --json "$work/$name.json" "$@" >"$work/$name.log" 2>&1
}

# holds NAME EXPRESSION: a Python expression over the JSON (r: all, m: measured, l: the load).
holds() {
    python3 - "$work/$1.json" "$2" <<'PYTHON'
import json, sys
r = json.load(open(sys.argv[1]))
m, l = r["measured"], r["load"]
sys.exit(0 if eval(sys.argv[2]) else f"{sys.argv[2]} does not hold: " + json.dumps(m or l)[:2000])
PYTHON
}
right='m["gets"] > 0 and m["wrong"] == m["failed"] == m["not_found"] == 0'

check "load" bench load --operation load --threads 2 --memory 4mb
check "load: all keys, synced, as JSON" holds load "l['puts'] == $keys == r['stats']['keys'] and l['bytes'] == 4096 * $keys and m is None"
check "load, one put at a time" bench load1 --operation load --load-depth 1 --fsync always --keys 100
check "load: a latency for each" holds load1 'l["latency_us"]["put"]["count"] == 100 and l["latency_us"]["put"]["p99"] <= l["latency_us"]["put"]["max"]'

for mode in uring pread; do
    for operation in get view batch async; do
        check "$operation, $mode" bench "$operation-$mode" --operation "$operation" --read-mode "$mode" --memory 2mb
        check "$operation, $mode: right answers" holds "$operation-$mode" "$right and m['latency_us']['get']['count'] == m['gets']"
    done
done
for workload in sequential zipf scan; do
    check "$workload" bench "$workload" --workload "$workload" --memory 4mb
    check "$workload: right answers" holds "$workload" "$right"
done
check "mixed" bench mixed --operation mixed --read-percent 50 --threads 2
check "mixed: both kinds, none wrong" holds mixed "$right and 0.4 < m['gets'] / m['operations'] < 0.6"
check "values of mixed sizes" bench sizes --value-bytes 0:200kb --keys 200 --operation batch --depth 7 --memory 8mb
check "mixed sizes: right answers" holds sizes "$right"
check "keys of other lengths" bench keys --key-bytes 200 --value-bytes 20 --operation async --depth 3 --touch --warm-up 50ms
check "other keys: right answers" holds keys "$right"
check "buffered, cache cleared" bench buffered --buffered --clear-cache --memory 0
check "a limit of 0: nothing from memory" holds buffered "$right and m['hits'] == 0"

check "open loop" bench paced --operation async --rate 500 --duration 1s --workload zipf
check "open loop: the rate that was asked" holds paced "$right and 400 < m['rate'] < 520 and m['behind'] < 50"
check "a schedule of limits" bench schedule --duration 900ms --memory-schedule 0s=4mb,300ms=64mb,600ms=3mb --interval 50ms
check "schedule: two changes, a time series" holds schedule \
    'len(m["limit_changes"]) == 2 and m["limit_changes"][1]["to"] == 3 << 20 and len(m["series"]) >= 10 and m["series"][-1]["limit"] == 3 << 20'
check "schedule: quantiles in order" holds schedule \
    '0 < m["latency_us"]["get"]["min"] <= m["latency_us"]["get"]["p50"] and any(s["p95_us"] > 0 for s in m["series"]) and all(s["p95_us"] <= s["p99_us"] for s in m["series"])'
check "no latencies on request" bench rates --no-latency --operations 5000
check "rates only" holds rates 'm["operations"] == 5000 and m["latency_us"] == {} and m["rate"] > 0'

# Stores that stay
check "keep" bench keep --operation load --dir "$work/kept" --keep
check "an existing store" bench existing --existing "$work/kept" --seed 1
check "existing: right answers, no load" holds existing "$right and l is None"
refuse "values of another seed are wrong" bench seed --existing "$work/kept" --seed 2
check "other seed: said so" holds seed 'm["wrong"] == m["gets"] > 0'
status=0
bench kill --operation mixed --existing "$work/kept" --kill || status=$?
[ "$status" -eq 137 ] || fail "--kill: status $status"
ok "--kill ends by SIGKILL"
check "open after a kill" bench open --operation open --existing "$work/kept" --clear-cache
check "open: all keys" holds open "r['stats']['keys'] == $keys and r['open_seconds'] > 0"
check "after a kill: all values" bench after --existing "$work/kept" --workload sequential --operations "$keys"

# Refusals
refuse "a folder that is not empty" bench full --dir "$work/kept"
check "it is still there" test -e "$work/kept"
refuse "no such store" bench none --existing "$work/nothing"
refuse "open without a store" bench open2 --operation open
refuse "a bad schedule" bench bad --memory-schedule 2s=1gb,1s=1gb
refuse "a bad theta" bench theta --theta 1
refuse "too many keys for their digits" bench digits --keys 1000000000000
check "the man page names every option" python3 - "$bin/kvbench" "$(dirname "$0")/../../kvstore/kvbench.1" <<'PYTHON'
import re, subprocess, sys
options = set(re.findall(r"(?m)^ +--([a-z-]+)", subprocess.run([sys.argv[1], "--help"], capture_output=True, text=True).stdout))
page = open(sys.argv[2]).read().replace("\\-", "-")
sys.exit("not in the man page: " + ", ".join(o for o in options if f"--{o}" not in page) if any(f"--{o}" not in page for o in options) else 0)
PYTHON
[ -z "$(find "$work" -maxdepth 1 -name 'kvbench.*')" ] || fail "folders were left behind"
ok "nothing is left behind"
finish
