#!/usr/bin/env bash
# Who gets past the handshake, and how the server is run: certificates, chains, checks, reload, drain, admin port.
. "$(dirname "$0")/lib.sh" "$@"

make_pki
site rsa2048 -newkey rsa:2048
import "$work/site" >"$work/import.log"
start_keyserver
spki=$(spki_of "$work/site/rsa2048.pem")
{ head -c 64 /dev/urandom; printf '\003\000\035\040'; head -c 32 /dev/urandom; } >"$work/in"
request="{\"protocol\":\"TLS 1.2\",\"spki\":\"$spki\",\"method\":\"ECDHE\",\"hash\":\"SHA-256\",\"input\":\"$(base64 -w0 <"$work/in")\"}"
signs() { ski /ski "$request" "$@" | has '"output"'; }
check "an edge of ours gets an answer" signs
check "TLS 1.2 as well" signs --tls-max 1.2

check "the manual page has every option" page_has_options keyserver "$(dirname "$0")/../../keyserver/keyserver.1"

# ---- who does not get in
other() { # other NAME DAYS-OPTIONS...: a client certificate of $work/other's own CA
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=other CA" -keyout "$work/other.key" -out "$work/other.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=edge-1" -keyout "$work/c.key" -out "$work/c.csr" 2>/dev/null
}
other
raw() { curl -sS --max-time 10 --cacert "$work/pki/ca.pem" --data-binary "$request" "$@" "https://$ks/ski"; }
refuse "no certificate" raw
printf 'extendedKeyUsage=clientAuth\n' >"$work/ext"
openssl x509 -req -in "$work/c.csr" -CA "$work/other.pem" -CAkey "$work/other.key" -days 2 -extfile "$work/ext" -out "$work/c.pem" 2>/dev/null
refuse "a certificate of another CA" raw --cert "$work/c.pem" --key "$work/c.key"
ca_sign() { openssl x509 -req -in "$work/c.csr" -CA "$work/pki/ca.pem" -CAkey "$work/pki/ca.key" -extfile "$work/ext" -out "$work/c.pem" "$@" 2>/dev/null; }
ca_sign -days 2
check "a fresh certificate of our CA" raw --cert "$work/c.pem" --key "$work/c.key" -o /dev/null
ca_sign -days -1
refuse "an expired certificate" raw --cert "$work/c.pem" --key "$work/c.key"
printf 'extendedKeyUsage=serverAuth\n' >"$work/ext"
ca_sign -days 2
refuse "a server's certificate used as an edge's" raw --cert "$work/c.pem" --key "$work/c.key"
edge=(-cert "$work/pki/edge-edge-1.pem" -key "$work/pki/edge-edge-1.key" -CAfile "$work/pki/ca.pem")
client() { openssl s_client -connect "$ks" "${edge[@]}" "$@" </dev/null >"$work/client.out" 2>&1 && grep -q 'Verify return code: 0' "$work/client.out"; }
check "openssl s_client connects" client
refuse "TLS 1.1" client -tls1_1 -cipher DEFAULT@SECLEVEL=0
refuse "a CBC suite" client -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256
refuse "a suite without forward secrecy" client -tls1_2 -cipher AES128-GCM-SHA256
refuse "plain HTTP" curl -sS --max-time 5 "http://$ks/ski"
failures() { [ "$(metric ks_tls_handshake_failures_total)" -ge 6 ]; }
wait_for 60 failures || fail "handshake failures counted: $(metric ks_tls_handshake_failures_total)"
ok "failed handshakes are counted"
check "the good edge is served as before" signs

# ---- operators
[ "$(curl -sS "http://$admin/healthz")" = ok ]
[ "$(curl -sS "http://$admin/readyz")" = ready ]
curl -sS "http://$admin/status" | python3 -c 'import json,sys; s = json.load(sys.stdin); assert s["state"] == "serving" and s["store"]["entries"] >= 2, s'
ok "/healthz, /readyz, /status"
curl -sS "http://$admin/metrics" | has '^ks_build_info{version='
ok "/metrics"

# ---- reload: new certificates, connections stay, a bad file changes nothing
serial() { openssl s_client -connect "$ks" "${edge[@]}" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
before=$(serial)
cp "$work/pki/server.pem" "$work/server.good"
echo broken >"$work/pki/server.pem"
kill -HUP "$ks_pid"
wait_for 60 grep -q reload_failed "$work/keyserver.log"
check "a reload with a broken certificate keeps the old one" test "$(serial)" = "$before"
cp "$work/server.good" "$work/pki/server.pem"
rm -f "$work/audit.log"
rm "$work/pki/server.pem" "$work/pki/server.key"
"$bin/certs" pki --out "$work/pki" --server localhost --server 127.0.0.1 --edge edge-3 >>"$work/pki.log"
kill -HUP "$ks_pid"
wait_for 60 grep -q ' reloaded ' "$work/keyserver.log"
[ "$(serial)" != "$before" ] || fail "the certificate did not change"
ok "SIGHUP takes a new server certificate"
check "and serves" signs
check "the audit log was reopened" wait_for 60 test -s "$work/audit.log"

limit() { curl -sS "http://$admin/status" | python3 -c 'import json,sys; print(json.load(sys.stdin)["store"]["limit_bytes"])'; }
[ "$(limit)" = $((256 << 20)) ]
redis-cli -s "$work/store/control.sock" CONFIG SET maxmemory 128mb | has -x OK
check "the store's memory limit changes while it serves" test "$(limit)" = $((128 << 20))
check "and it still serves" signs

# A connection that is open when its edge loses trust: answered before, refused after; one of a trusted edge goes on.
printf 'extendedKeyUsage=clientAuth\n' >"$work/ext"
ca_sign -days 2
python3 - "$ks" "$work" "$request" "$ks_pid" <<'PY'
import os, signal, ssl, socket, sys, time
(host, port), work, request, pid = sys.argv[1].split(":"), sys.argv[2], sys.argv[3].encode(), int(sys.argv[4])
def connect(cert, key):
    ctx = ssl.create_default_context(cafile=work + "/pki/ca.pem")
    ctx.load_cert_chain(cert, key)
    return ctx.wrap_socket(socket.create_connection((host, int(port)), 60), server_hostname="127.0.0.1")
def ask(s):
    s.sendall(b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n" % len(request) + request)
    return int(s.recv(65536).split()[1])
def reloads():
    return open(work + "/keyserver.log").read().count(" reloaded ")
def reload():
    before, end = reloads(), time.monotonic() + 60
    os.kill(pid, signal.SIGHUP)
    while reloads() == before:
        assert time.monotonic() < end, "no reload"
        time.sleep(0.02)
ca = work + "/pki/ca.pem"
good = open(ca).read()
s, t = connect(work + "/c.pem", work + "/c.key"), connect(work + "/pki/edge-edge-1.pem", work + "/pki/edge-edge-1.key")
assert ask(s) == 200 and ask(t) == 200
reload()
assert ask(s) == 200 and ask(t) == 200, "a reload with the same authority refuses"
open(ca, "w").write(open(work + "/other.pem").read())
reload()
assert ask(s) == 403 and s.recv(1) == b"", "the authority is gone, the edge is not"
assert ask(t) == 403
open(ca, "w").write(good)
reload()
PY
ok "an open connection ends when its authority is taken away"
check "and others are served" signs

# ---- stopping
stop_keyserver
ok "SIGTERM: exit status 0"
grep -q ' stopped ' "$work/keyserver.log"

# Stopped under load: busy connections are drained too, and nothing is used after it was freed (sanitizer builds).
load() {
    "$bin/edge-sim" load ski --keyserver "https://$ks" --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key" \
        --ca "$work/pki/ca.pem" --site "$work/site/rsa2048.pem" --connections 8 --in-flight 16 --duration 20s >"$work/load.log" 2>&1 &
    load_pid=$!
    pids+=("$load_pid")
    sleep "$1"
}
start_keyserver --drain-timeout 60s
load 1
kill -TERM "$ks_pid"
status=0
wait "$ks_pid" || status=$?
kill "$load_pid" && wait "$load_pid" || true
[ "$status" = 0 ] || fail "SIGTERM under load: exit status $status"
if grep -q drain_timeout "$work/keyserver.log"; then fail "busy connections were not drained in a minute"; fi
ok "SIGTERM under load drains busy connections"
for nap in 0.3 0.5 0.7; do
    start_keyserver
    load "$nap"
    kill -TERM "$ks_pid"
    sleep 0.01
    kill -TERM "$ks_pid" 2>/dev/null || true
    status=0
    wait "$ks_pid" || status=$?
    kill "$load_pid" && wait "$load_pid" || true
    [ "$status" = 0 ] || fail "two SIGTERM under load: exit status $status"
done
ok "a second SIGTERM under load ends it at once"

# ---- exactly one certificate
chain_length() { openssl s_client -connect "$ks" "${edge[@]}" -showcerts </dev/null 2>/dev/null | grep -c 'BEGIN CERTIFICATE'; }
csr() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null; }
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=root" -keyout "$work/root.key" -out "$work/root.pem" 2>/dev/null
csr middle "intermediate CA"
csr server localhost
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n' >"$work/middle.ext"
printf 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$work/server.ext"
openssl x509 -req -in "$work/middle.csr" -CA "$work/root.pem" -CAkey "$work/root.key" -days 2 -extfile "$work/middle.ext" -out "$work/middle.pem" 2>/dev/null
openssl x509 -req -in "$work/server.csr" -CA "$work/middle.pem" -CAkey "$work/middle.key" -days 2 -extfile "$work/server.ext" -out "$work/server.pem" 2>/dev/null
cat "$work/server.pem" "$work/middle.pem" >"$work/chain.pem"
start_keyserver --cert "$work/chain.pem" --key "$work/server.key"
[ "$(chain_length)" = 2 ] || fail "a chain of $(chain_length) certificates, expected 2"
check "the chain of --cert is sent, and good for clients" signs --cacert "$work/root.pem"
stop_keyserver
start_keyserver --cert "$work/chain.pem" --key "$work/server.key" --server-chain leaf
[ "$(chain_length)" = 1 ] || fail "a chain of $(chain_length) certificates, expected 1"
ok "server-chain = leaf sends exactly one certificate"

# ---- configuration
options() {
    printf '%s\n' "listen = 127.0.0.1:0" "store = $work/store" "master-key = $work/master.key" "cert = $work/pki/server.pem" \
        "key = $work/pki/server.key" "client-ca = $work/pki/ca.pem" "$@" >"$work/ks.ini"
}
checks() { "$bin/keyserver" --config "$work/ks.ini" --check "$@" 2>"$work/check.err" | has -x OK; }
options
check "--check beside a running server" checks
stop_keyserver
check "--check" checks
options "io-thread = 2"
refuse "an unknown option" checks
grep -q "ks.ini:7" "$work/check.err" || fail "the message does not name the line: $(cat "$work/check.err")"
options "memory = much"
refuse "a bad size" checks
options
head -c 32 /dev/urandom | xxd -p -c 64 >"$work/wrong.key"
chmod 600 "$work/wrong.key"
refuse "another master key" checks --master-key "$work/wrong.key"
grep -q 'another master key\|other' "$work/check.err" || fail "$(cat "$work/check.err")"
chmod 644 "$work/master.key"
refuse "a master key that others can read" checks
chmod 600 "$work/master.key"
refuse "a key that is not the certificate's" checks --key "$work/pki/edge-edge-1.key"
refuse "a missing file" checks --client-ca "$work/nothing.pem"
check "--rsa-engine portable" checks --rsa-engine portable
if ! grep -qw avx512ifma /proc/cpuinfo; then
    status=0
    "$bin/keyserver" --config "$work/ks.ini" --check --rsa-engine ifma >"$work/check.out" 2>"$work/check.err" || status=$?
    check "--rsa-engine ifma where the processor has none: status 1" test "$status" = 1
    grep -q '^keyserver: --rsa-engine: ifma: this processor has no AVX-512 IFMA' "$work/check.err" || fail "$(cat "$work/check.err")"
fi
"$bin/keyserver" --print-config >"$work/sample.ini"
grep -q 'max-connections' "$work/sample.ini"
ok "--print-config"
"$bin/keyserver" --version | has '^keyserver [0-9]'
status=0
"$bin/keyserver" --nonsense 2>/dev/null || status=$?
check "usage errors end with 2" test "$status" = 2
finish
