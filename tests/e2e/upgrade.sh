#!/usr/bin/env bash
# Another process takes the place of a running key server: under load and without a failed request, and what becomes of it when
# the new one fails. Sockets of the service manager; what it is told, and its watchdog; the log level while it serves.
. "$(dirname "$0")/lib.sh" "$@"
here=$(cd "$(dirname "$0")" && pwd)

make_pki
site rsa2048 -newkey rsa:2048
site p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
import "$work/site" >"$work/import.log"
openssl genpkey -algorithm ed25519 -out "$work/audit.key" 2>/dev/null
chmod 600 "$work/audit.key"
spki=$(spki_of "$work/site/p256.pem")
{ head -c 64 /dev/urandom; printf '\003\000\035\040'; head -c 32 /dev/urandom; } >"$work/in"
request="{\"protocol\":\"TLS 1.2\",\"spki\":\"$spki\",\"method\":\"ECDHE\",\"hash\":\"SHA-256\",\"input\":\"$(base64 -w0 <"$work/in")\"}"
signs() { ski /ski "$request" "$@" | has '"output"'; }
lines() { grep -c " $1" "$work/keyserver.log" || true; }
# Connections wait for their first request as long as it takes, in a test.
options=(--audit-key "$work/audit.key" --drain-timeout 10m --drain-grace 10m)

# server OPTION...: as start_keyserver starts one, in the foreground; its log goes behind the others'.
server() {
    exec "$bin/keyserver" --listen 127.0.0.1:0 --store "$work/store" --master-key "$work/master.key" --cert "$work/pki/server.pem" \
        --key "$work/pki/server.key" --client-ca "$work/pki/ca.pem" --admin 127.0.0.1:0 --audit-log "$work/audit.log" \
        --handshake-timeout 60s --request-timeout 60s --operation-timeout 60s "${options[@]}" "$@" 2>>"$work/keyserver.log"
}
# take_over OPTION...: another server in the place of ks_pid, which ends well.
take_over() {
    local before status=0 old=$ks_pid
    before=$(lines 'ready ')
    server --take-over "$@" &
    ks_pid=$!
    pids+=("$ks_pid")
    one_more() { [ "$(lines 'ready ')" -gt "$before" ]; }
    wait_for 300 one_more || fail "the new server does not serve"
    wait "$old" || status=$?
    [ "$status" = 0 ] || fail "the old server ended with status $status"
}

# ---- under load
start_keyserver "${options[@]}"
"$bin/edge-sim" load ski --keyserver "https://$ks" --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key" --ca "$work/pki/ca.pem" \
    --site "$work/site/rsa2048.pem" --site "$work/site/p256.pem" --connections 8 --in-flight 4 --duration 3600s --json "$work/load.json" >"$work/load.log" 2>&1 &
load=$!
pids+=("$load")
for client in 1 2; do
    python3 "$here/patient.py" "$ks" "$work" "$request" "$work/stop" >"$work/patient.$client" 2>"$work/patient.$client.log" &
    pids+=("$!")
    eval "patient_$client=$!"
done
audit_lines() { [ "$(wc -l <"$work/audit.log")" -gt "$1" ]; }
upgrades=5
for ((i = 1; i <= upgrades; i++)); do
    seen=$(wc -l <"$work/audit.log")
    wait_for 300 audit_lines $((seen + 200)) || fail "no load"
    take_over
done
seen=$(wc -l <"$work/audit.log")
wait_for 300 audit_lines $((seen + 200)) || fail "the last server is not asked"
[ "$(lines 'handed_over ')" = "$upgrades" ] || fail "$(lines 'handed_over ') hand-overs"
touch "$work/stop"
wait "$patient_1" && wait "$patient_2" || fail "a client that repeats nothing saw a failure"
grep -q "connections [2-9]" "$work/patient.1" || fail "no connection was closed: $(cat "$work/patient.1")"
ok "clients that repeat nothing see no failure in $upgrades upgrades: $(cat "$work/patient.1")"
kill -INT "$load"
wait "$load" || fail "the load failed"
python3 - "$work/load.json" <<'PY' || fail "requests failed"
import json, sys
r = json.load(open(sys.argv[1]))
bad = {k: n for k, n in r["outcomes"].items() if n and k != "ok"}
print("# load:", r["right"], "right,", r["retried"], "sent again,", bad, "latency", r["latency_us"])
sys.exit(bool(bad) or r["wrong"] != 0 or r["right"] < 1000 or r["right"] != r["sent"])
PY
ok "the load sees no failure: all that it sent was answered rightly"
grep ' took_over ' "$work/keyserver.log" | sed 's/^/# /'
check "the newest server has the sockets: same address" signs
[ "$(curl -sS "http://$admin/readyz")" = ready ]
ok "and the admin port"
check "and the control socket" "$bin/certs" list --store "$work/store" --master-key "$work/master.key" -- 2>/dev/null

# ---- a new one that fails: the old one goes on
stays() { # stays NAME: the server is the one that it was, and answers
    kill -0 "$ks_pid" && signs || fail "$1: the old server does not answer"
    ok "$1: the old server goes on"
}
echo broken >"$work/broken.pem"
refuse "a new one with a broken certificate" server --take-over --cert "$work/broken.pem"
stays "a broken certificate"
head -c 32 /dev/urandom | xxd -p -c 64 >"$work/wrong.key"
refuse "a new one with a broken policy" server --take-over --policy "$work/broken.pem"
stays "a broken policy"
taken=$(free_port)
python3 -c 'import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); print("up", flush=True); time.sleep(3600)' "$taken" >"$work/taken" &
pids+=("$!")
wait_for 60 test -s "$work/taken"
refuse "a new one that cannot have its address" server --take-over --listen "127.0.0.1:$taken"
stays "an address in use"
refuse "a second server that does not ask to take over" server
stays "a second server"
if [ "$(id -u)" = 0 ]; then
    # Who is neither root nor the server's user gets nothing, even with the socket open to all.
    install -d -m 755 "$work/open"
    chmod 755 "$work"
    options+=(--upgrade "unix:$work/open/upgrade.sock")
    take_over --upgrade "unix:$work/open/upgrade.sock" || true
fi
