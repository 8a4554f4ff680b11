#!/usr/bin/env bash
# edge-sim load lookup against kvstore and against Redis: filling, checked answers, a schedule of rates, the JSON; and what it says of servers that fail.
. "$(dirname "$0")/lib.sh" "$@"

start() {
    : >"$work/kvstore.log"
    "$bin/kvstore" --dir "$work/db" --listen "unix:$work/kv.sock" --memory 8mb "$@" 2>>"$work/kvstore.log" &
    kv_pid=$!
    pids+=("$kv_pid")
    wait_for 60 grep -q ' ready ' "$work/kvstore.log" || fail "kvstore did not start"
}
lookup() { "$bin/edge-sim" load lookup --server "unix:$work/kv.sock" --keys 5000 "$@"; }
json() { python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), {k: v for k, v in r.items() if k != "series"}' "$work/out.json" "$1"; }

start
check "filling and no more" lookup --fill --duration 0s
check "closed loop, checked" lookup --verify --duration 1s --threads 2 --pipeline 4 --json "$work/out.json"
check "its JSON" json 'r["loop"] == "closed" and r["right"] == r["sent"] > 0 and r["wrong"] == r["missing"] == r["errors"] == r["lost"] == r["unanswered"] == 0 and r["verify"]'
check "the rows add up to it" json 'sum(x["right"] for x in r["series"]) == r["right"] and sum(x["over_goal"] for x in r["series"]) == r["over_goal"]'
check "a schedule" lookup --verify --workload hot:5 --schedule 0s=200,1s=1000,2s~0 --duration 2s --interval 100ms --json "$work/out.json"
check "sends what was due and when" json 'r["loop"] == "open" and r["right"] == r["sent"] == 700 and r["interval_s"] == 0.1 and r["series"][2]["wanted"] == 200 and r["series"][10]["wanted"] == 1000'
lookup --workload uniform --rate 500 --duration 1s --json - >"$work/out.json"
check "uniform, and nothing but JSON on standard output" json 'r["right"] == 500'

# ---- what is not right is told
refuse "keys that are not there" lookup --keys 6000 --workload uniform --rate 500 --duration 1s --json "$work/out.json"
check "missing" json 'r["missing"] > 0 and r["wrong"] == 0'
refuse "other values" lookup --seed 2 --verify --rate 100 --duration 1s --json "$work/out.json"
check "wrong" json 'r["wrong"] == 100'
has "wrong value: key number" "$work/refused.out"
# at_work COMMAND...: in the background, runs it when lookups have been answered for a moment, however long they take to begin.
at_work() {
    python3 - "$work/kv.sock" "$@" <<'PY' &
import re, socket, subprocess, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def commands():
    s.sendall(b"INFO stats\r\n")
    text = b""
    while not (m := re.search(rb"total_commands_processed:(\d+)\r\n", text)):
        text += s.recv(65536)
    return int(m[1])
s.settimeout(60)
asked, before = 1, commands()
while commands() - before - asked < 20:
    asked += 1
    time.sleep(0.05)
subprocess.run(sys.argv[2:], check=True)
PY
    pids+=($!)
}
at_work kill -9 "$kv_pid"
refuse "a server that is killed" lookup --rate 100 --duration 4s --json "$work/out.json"
check "lost and unanswered" json '0 < r["right"] < 400 and r["right"] + r["lost"] + r["unanswered"] == 400'
{ wait "$kv_pid" || true; } 2>/dev/null
refuse "no server" lookup --duration 1s
start
"$bin/edge-sim" load lookup --server "unix:$work/kv.sock" --keys 5000 --rate 100 --duration 10m --verify --json "$work/out.json" >/dev/null &
lookup_pid=$!
pids+=("$lookup_pid")
at_work kill -TERM "$lookup_pid"
check "SIGTERM ends a run with its result" wait "$lookup_pid"
check "all that was sent was answered" json '0 < r["right"] == r["sent"] < 60000'

# ---- usage
for bad in "--rate 5 --schedule 0s=5" "--schedule 1s=5" "--workload zipf:2" "--duration 0s" "--keys 0" "--server nonsense" "--nonsense"; do
    status=0
    # shellcheck disable=SC2086
    lookup $bad >"$work/refused.out" 2>&1 || status=$?
    [ "$status" -eq 2 ] || fail "$bad: exit status $status"
    has '^edge-sim' "$work/refused.out"
done
ok "usage errors end with 2"

if command -v redis-server >/dev/null; then
    redis-server --port 0 --unixsocket "$work/redis.sock" --save '' --dir "$work" >"$work/redis.log" &
    pids+=($!)
    wait_for 60 test -S "$work/redis.sock"
    check "Redis" "$bin/edge-sim" load lookup --server "unix:$work/redis.sock" --keys 2000 --fill --verify --duration 1s
fi
finish
