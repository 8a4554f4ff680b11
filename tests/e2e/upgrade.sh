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
# Time is not what this is about.
options=(--audit-key "$work/audit.key" --drain-timeout 10m --drain-grace 10m --request-timeout 10m)

# server OPTION...: as start_keyserver starts one, in the foreground; its log goes behind the others'.
server() {
    exec "$bin/keyserver" --listen 127.0.0.1:0 --store "$work/store" --master-key "$work/master.key" --cert "$work/pki/server.pem" \
        --key "$work/pki/server.key" --client-ca "$work/pki/ca.pem" --admin 127.0.0.1:0 --audit-log "$work/audit.log" \
        --handshake-timeout 60s --request-timeout 60s --operation-timeout 60s "${options[@]}" "$@" 2>>"$work/keyserver.log"
}
second() { (server "$@"); }
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
listed() { "$bin/certs" list --store "$work/store" | has p256.test; }
check "and the control socket" listed

# ---- a new one that fails: the old one goes on
stays() { # stays NAME: the server is the one that it was, and answers
    kill -0 "$ks_pid" && signs || fail "$1: the old server does not answer"
    ok "$1: the old server goes on"
}
echo broken >"$work/broken.pem"
refuse "a new one with a broken certificate" second --take-over --cert "$work/broken.pem"
stays "a broken certificate"
"$bin/certs" master-key --out "$work/wrong.key" >/dev/null
refuse "a new one with another master key" second --take-over --master-key "$work/wrong.key"
stays "another master key"
refuse "a new one with a broken policy" second --take-over --policy "$work/broken.pem"
stays "a broken policy"
taken=$(free_port)
python3 -c 'import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); print("up", flush=True); time.sleep(3600)' "$taken" >"$work/taken" &
pids+=("$!")
wait_for 60 test -s "$work/taken"
refuse "a new one that cannot have its address" second --take-over --listen "127.0.0.1:$taken"
stays "an address in use"
refuse "a second server that does not ask to take over" second
stays "a second server"

successor() { # successor SAY...: a successor by hand, in the background; "go" keeps it until it is killed
    python3 "$here/successor.py" "$work/store/upgrade.sock" "$@" >"$work/successor.out" 2>&1 &
    successor=$!
    pids+=("$successor")
}
successor ask
wait "$successor" || fail "no offer: $(cat "$work/successor.out")"
grep -q '"say":"offer".*descriptors 4' "$work/successor.out" || fail "$(cat "$work/successor.out")"
stays "one that goes away behind the offer"
successor nonsense
wait "$successor" || true
stays "one that says something else"
python3 "$here/held.py" "$ks" "$work" "$request" >"$work/held" 2>&1 &
held=$!
pids+=("$held")
wait_for 60 grep -q begun "$work/held" || fail "no request was begun: $(cat "$work/held")"
successor ask go
draining() { [ "$(curl -sS "http://$admin/readyz")" = draining ]; }
wait_for 60 draining || fail "the server does not drain"
kill -9 "$successor"
ready() { [ "$(curl -sS "http://$admin/readyz")" = ready ]; }
wait_for 60 ready || fail "the server does not go on"
grep -q ' handover_abandoned ' "$work/keyserver.log" || fail "nothing in the log"
stays "one that is killed while the old one drains"
kill -USR1 "$held"
wait "$held" || fail "the request that was held: $(cat "$work/held")"
ok "the request that had begun is answered"
take_over
check "after all that a good one takes over" signs
if [ "$(id -u)" = 0 ]; then
    mkdir -p /tmp/mec-upgrade.$$ && chmod 755 /tmp/mec-upgrade.$$
    at_end() { rm -rf /tmp/mec-upgrade.$$; }
    stop_keyserver
    start_keyserver "${options[@]}" --upgrade unix:/tmp/mec-upgrade.$$/s
    chmod 666 /tmp/mec-upgrade.$$/s
    SUCCESSOR_UID=65534 python3 "$here/successor.py" /tmp/mec-upgrade.$$/s ask >"$work/nobody.out" 2>&1 || true
    if grep -q offer "$work/nobody.out"; then fail "another user got the sockets"; fi
    grep -q ' handover_refused uid=65534' "$work/keyserver.log" || fail "another user was not refused: $(cat "$work/nobody.out")"
    stays "another user"
fi
stop_keyserver
[ ! -e "$work/store/upgrade.sock" ] && [ ! -e "$work/store/control.sock" ] || fail "socket files are left: $(ls "$work/store")"
ok "the last server takes its socket files away"
openssl pkey -in "$work/audit.key" -pubout -out "$work/audit.pub"
check "the audit log is one chain through all of them" "$bin/keyserver" --verify-audit --audit-public "$work/audit.pub" "$work/audit.log"

# ---- the service manager: sockets that it keeps, what it is told
python3 "$here/notify_socket.py" "$work/notify.sock" "$work/notify" &
pids+=("$!")
wait_for 60 test -S "$work/notify.sock"
rm -f "$work/stop" "$work/audit.log"
: >"$work/keyserver.log"
manager() { # keeps the sockets and starts a server on them again and again
    exec python3 "$here/activate.py" "$work/activated" "$work/stop" ski admin -- "$bin/keyserver" --listen 127.0.0.1:1 --admin 127.0.0.1:1 \
        --store "$work/store" --master-key "$work/master.key" --cert "$work/pki/server.pem" --key "$work/pki/server.key" \
        --client-ca "$work/pki/ca.pem" --audit-log "$work/audit.log" --handshake-timeout 60s --request-timeout 60s --operation-timeout 60s \
        "${options[@]}" 2>>"$work/keyserver.log"
}
NOTIFY_SOCKET=$work/notify.sock WATCHDOG_USEC=2000000 manager &
manager=$!
pids+=("$manager")
wait_for 60 grep -q ' ready ' "$work/keyserver.log" || fail "no server on the manager's sockets"
ks=$(log_addr "$work/keyserver.log" listening)
admin=$(log_addr "$work/keyserver.log" admin_listening)
check "a server on sockets of the service manager" signs
for client in 1 2; do
    python3 "$here/patient.py" "$ks" "$work" "$request" "$work/stop" >"$work/patient.$client" 2>"$work/patient.$client.log" &
    pids+=("$!")
    eval "patient_$client=$!"
done
for i in 1 2 3; do
    seen=$(wc -l <"$work/audit.log")
    wait_for 300 audit_lines $((seen + 50)) || fail "no load"
    one_more_ready() { [ "$(lines 'ready ')" -gt "$i" ]; }
    kill -TERM "$(tail -n 1 "$work/activated")"
    wait_for 300 one_more_ready || fail "no other server"
done
pid=$(tail -n 1 "$work/activated")
told() { grep -q "^[0-9.]* $pid .*$1" "$work/notify"; }
check "READY=1 and STATUS" told "READY=1 STATUS=serving"
check "EXTEND_TIMEOUT_USEC while the store is opened" told EXTEND_TIMEOUT_USEC=
check "STOPPING=1 of those before" grep -q "STOPPING=1" "$work/notify"
kill -HUP "$pid"
check "RELOADING=1 with the time" wait_for 60 told "RELOADING=1 MONOTONIC_USEC=[0-9]"
alive() { [ "$(grep -c "^[0-9.]* $pid WATCHDOG=1" "$work/notify")" -gt "$1" ]; }
check "WATCHDOG=1 comes again and again" wait_for 300 alive 3

# A stuck thread loses the watchdog: whatever time passes, nothing comes any more.
for thread in ks-crypto ks-io ks-audit; do
    known=$(lines "thread_stuck threads=.*$thread")
    python3 "$here/stop_thread.py" "$pid" "$thread" >"$work/stopped" 2>"$work/stopped.err" &
    tracer=$!
    pids+=("$tracer")
    wait_for 60 grep -q . "$work/stopped" "$work/stopped.err" || true
    if ! grep -q stopped "$work/stopped"; then
        echo "# skipped: threads cannot be stopped here: $(cat "$work/stopped.err")"
        break
    fi
    stuck() { [ "$(lines "thread_stuck threads=.*$thread")" -gt "$known" ]; }
    wait_for 300 stuck || fail "$thread stands and the log does not say so"
    count=$(grep -c "^[0-9.]* $pid WATCHDOG=1" "$work/notify")
    sleep 3
    [ "$(grep -c "^[0-9.]* $pid WATCHDOG=1" "$work/notify")" = "$count" ] || fail "$thread stands, and WATCHDOG=1 comes"
    kill -9 "$tracer"
    wait_for 300 alive "$count" || fail "$thread goes on, and WATCHDOG=1 does not"
    ok "$thread stands: no WATCHDOG=1 until it goes on"
done

# ---- the log level
level() { redis-cli -s "$work/store/control.sock" CONFIG SET loglevel "$1" | has -x OK; }
if command -v redis-cli >/dev/null; then
    level debug
    signs -o /dev/null || signs
    check "debug lines after CONFIG SET loglevel debug" wait_for 60 grep -q ' debug keyserver connected ' "$work/keyserver.log"
    level notice
    debug=$(grep -c ' debug ' "$work/keyserver.log")
    for i in 1 2 3; do signs; done
    kill -HUP "$pid"
    reloads() { [ "$(lines 'reloaded ')" -ge 2 ]; }
    wait_for 60 reloads
    [ "$(grep -c ' debug keyserver connected ' "$work/keyserver.log")" -le "$debug" ] || fail "still debug lines"
    ok "none after CONFIG SET loglevel notice"
fi
touch "$work/stop"
wait "$patient_1" && wait "$patient_2" || fail "a client saw a failure when the server was restarted"
ok "restarts on sockets that the manager keeps: no failure: $(cat "$work/patient.1")"
kill -TERM "$pid"
wait "$manager" || fail "the last server ended with a fault"
python3 "$here/activate.py" "$work/activated" "$work/stop" ski control -- "$bin/keyserver" --listen 127.0.0.1:1 --store "$work/store" \
    --cert "$work/pki/server.pem" --key "$work/pki/server.key" --client-ca "$work/pki/ca.pem" --master-key "$work/master.key" 2>"$work/two.err" &&
    fail "a control socket that the network reaches was taken"
grep -q 'socket control of the service manager: found 127.0.0.1:[0-9]*, expected a Unix socket' "$work/two.err" || fail "$(cat "$work/two.err")"
ok "a control socket of the manager has to be a Unix socket"
finish
