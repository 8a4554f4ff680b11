#!/usr/bin/env bash
# An edge that asks for more than can be computed waits for itself: another one beside it is answered in turn, and refused nothing.
. "$(dirname "$0")/lib.sh" "$@"

make_pki
site rsa4096 -newkey rsa:4096
import "$work/site" >"$work/import.log"
start_keyserver --queue-limit 600

load() { # [how=exec] load EDGE OPTION...: with exec it is the background job itself, and ends with it
    ${how:-} "$bin/edge-sim" load ski --keyserver "https://$ks" --cert "$work/pki/edge-$1.pem" --key "$work/pki/edge-$1.key" --ca "$work/pki/ca.pem" \
        --site "$work/site/rsa4096.pem" --method RSA --json "$work/$1.json" "${@:2}" >"$work/$1.log" 2>&1
}
how=exec load edge-1 --connections 64 --in-flight 16 --duration 600s & # until it is stopped
flood=$!
pids+=("$flood")
wait_for 120 grep -q '"edge":"edge-1".*"result":"busy"' "$work/audit.log" || fail "the flood does not fill the queue"
load edge-2 --connections 4 --in-flight 4 --rate 20 --duration 6s || fail "the other edge: $(cat "$work/edge-2.log")"
kill "$flood" && wait "$flood" || true

check "the other edge is refused nothing" python3 - "$work/edge-2.json" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
sys.exit(not (r["right"] > 0 and r["outcomes"].get("busy", 0) == 0))
PY
check "it waits less than half as long as the flood" python3 - "$work/audit.log" <<'PY'
import json, statistics, sys
waits = {"edge-1": [], "edge-2": []}
for line in open(sys.argv[1]):
    op = json.loads(line)
    if op.get("result") == "ok" and op.get("edge") in waits:
        waits[op["edge"]].append(op["wait_us"])
flood, other = (statistics.median(waits[edge]) for edge in ("edge-1", "edge-2"))
print(f"median wait: the flood {flood} us, the other {other} us")
sys.exit(other * 2 > flood)
PY
stop_keyserver
finish
