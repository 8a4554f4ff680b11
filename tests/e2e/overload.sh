#!/usr/bin/env bash
# Too much: refusals are 503 with Retry-After, at once and in the order of the requests; what has waited past its deadline is not computed;
# an edge has as many connections and requests in flight as it may and no more; nothing is lost.
. "$(dirname "$0")/lib.sh" "$@"

make_pki
site rsa4096 -newkey rsa:4096
import "$work/site" >"$work/import.log"

load() { # load EDGE OPTION...
    ${how:-} "$bin/edge-sim" load ski --keyserver "https://$ks" --cert "$work/pki/edge-$1.pem" --key "$work/pki/edge-$1.key" --ca "$work/pki/ca.pem" \
        --site "$work/site/rsa4096.pem" --method RSA --json "$work/$1.json" "${@:2}" >"$work/$1.log" 2>&1
}
edge() { # edge FILE EXPRESSION: of the JSON of a load run, as r
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); sys.exit(not eval(f"({sys.argv[2]})"))' "$work/$1.json" "$2"
}
metric() { # metric 'NAME{LABELS}': its value
    curl -sS "http://$admin/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}
above() { # above NUMBER METRIC
    [ "$(metric "$2")" -gt "$1" ]
}
counted() { # counted NUMBER METRIC
    [ "$(metric "$2")" = "$1" ]
}
flood() { # flood OPTION...: edge-1 asks for more than can be computed, until it is stopped
    how=exec load edge-1 --duration 600s "$@" &
    flood=$!
    pids+=("$flood")
}
stop_flood() {
    kill "$flood" && wait "$flood" || fail "the flood: $(cat "$work/edge-1.log")"
}

# ---- a queue that stands, and deadlines
start_keyserver --queue-delay 20ms --crypto-threads 1
flood --connections 300 --in-flight 1
wait_for 300 above 100 'ks_requests_busy_total{reason="queue_long"}'
wait_for 300 above 100 'ks_requests_total{method="RSA",key_type="RSA",result="ok"}'
stop_flood
check "refused and right answers are all there are" edge edge-1 'r["sent"] == r["answers"] and r["wrong"] == 0 and
    r["outcomes"]["busy"] > 100 and r["right"] > 100 and r["right"] + r["outcomes"]["busy"] == r["answers"] and r["connections_lost"] == 0'
check "audit lines say what was too much" grep -q '"result":"busy","busy":"queue_long"' "$work/audit.log"
stop_keyserver

# Many wait on one thread, each longer than a millisecond: those whose client waits no longer are not computed.
start_keyserver --crypto-threads 1
flood --connections 16 --in-flight 16
wait_for 300 above 100 'ks_requests_total{method="RSA",key_type="RSA",result="ok"}'
ask() { # ask MILLISECONDS: as edge-2, for a decryption
    curl -sS -i --cacert "$work/pki/ca.pem" --cert "$work/pki/edge-edge-2.pem" --key "$work/pki/edge-edge-2.key" \
        -H "X-Envoy-Expected-Rq-Timeout-Ms: $1" -d "$json" "https://$ks/ski" >"$work/answer"
}
spki=$(openssl x509 -in "$work/site/rsa4096.pem" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64)
json=$(SPKI=$spki python3 -c 'import base64, json, os
print(json.dumps({"protocol": "TLS 1.2", "spki": os.environ["SPKI"], "method": "RSA", "input": base64.b64encode(b"\x01" + bytes(511)).decode()}))')
# How long one waits depends on the machine, and what cannot be in time by far is refused before it waits: so all sorts of times.
expired() {
    local ms
    for ms in 1 2 3 4 6 8 12 16 24 32 64 128 256 512; do
        ask "$ms"
        ! curl -sS "http://$admin/metrics" | grep -q '^ks_requests_total{.*result="expired"} [1-9]' || return 0
    done
    return 1
}
wait_for 600 expired
check "it is answered 503" grep -q '^HTTP/1.1 503' "$work/answer"
check "with Retry-After" grep -qi '^Retry-After: 1' "$work/answer"
wait_for 60 grep -q '"edge":"edge-2".*"result":"expired"' "$work/audit.log"
check "it was not computed, since it had waited too long" python3 - "$work/audit.log" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
expired = [line for line in lines if line.get("result") == "expired"]
sys.exit(not expired or any(line["edge"] != "edge-2" or line["wait_us"] < 1000 for line in expired))
PY
ask 60000
check "one that has time is computed" grep -q '^HTTP/1.1 200' "$work/answer"
for bad in 0 -1 1.5 x 123456789 "1, 2"; do
    ask "$bad"
    check "a timeout of '$bad' is malformed" grep -q '^HTTP/1.1 400' "$work/answer"
done
stop_flood
check "the others lost nothing" edge edge-1 'r["sent"] == r["answers"] == r["right"]'
stop_keyserver

# ---- limits of an edge
start_keyserver --crypto-threads 1 --max-connections-per-edge 4 --max-in-flight-per-edge 6
flood --connections 4 --in-flight 8
wait_for 300 above 100 'ks_requests_busy_total{reason="edge_limit"}'
load edge-2 --connections 2 --in-flight 3 --duration 2s || fail "the other edge: $(cat "$work/edge-2.log")"
check "another edge is refused nothing" edge edge-2 'r["sent"] == r["answers"] == r["right"]'
ski_as() { # ski_as EDGE: the status of some answer, 000 without one
    curl -s -o /dev/null -w '%{http_code}' --cacert "$work/pki/ca.pem" --cert "$work/pki/edge-$1.pem" --key "$work/pki/edge-$1.key" \
        "https://$ks/nothing" || true
}
check "a fifth connection is closed" [ "$(ski_as edge-1)" = 000 ]
check "that is counted" above 0 ks_connections_edge_rejected_total
check "and logged" grep -q 'edge_connections_rejected limit=max-connections-per-edge .*edge="\?edge-1' "$work/keyserver.log"
check "other edges come in" [ "$(ski_as edge-2)" = 404 ]
stop_flood
check "answers are right, in order, and none is missing" edge edge-1 'r["wrong"] == 0 and r["sent"] == r["answers"] and
    r["right"] + r["outcomes"]["busy"] == r["answers"] and r["right"] > 0 and r["connections_lost"] == 0'
wait_for 60 counted 0 ks_edges_connected
check "its connections gone, the edge comes in again" [ "$(ski_as edge-1)" = 404 ]
stop_keyserver
finish
