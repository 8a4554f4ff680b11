#!/usr/bin/env bash
# The access policy: who may use which key, by which method, how fast, from where; who is revoked; reloads, good and broken.
. "$(dirname "$0")/lib.sh" "$@"

make_pki
site public -newkey rsa:2048
site private -newkey ec -pkeyopt ec_paramgen_curve:P-256
site frozen -newkey ec -pkeyopt ec_paramgen_curve:P-256
"$bin/certs" import --store "$work/store" --master-key "$work/master.key" --label web --label eu "$work/site/public".* >"$work/import.log"
import "$work/site/private".* >>"$work/import.log"
import --label frozen "$work/site/frozen".* >>"$work/import.log"
labels() { "$bin/certs" show --store "$work/store" --json "$work/site/$1.pem" | has -F "\"labels\":$2"; }
check "labels are in the record" labels public '["web","eu"]'
import "$work/site/public".* >>"$work/import.log"
check "and stay when it is imported again" labels public '["web","eu"]'
import --label eu "$work/site/public".* >>"$work/import.log"
check "until there are others" labels public '["eu"]'
refuse "no label" import --label 'a b' "$work/site/public".*
"$bin/certs" recode --store "$work/store" --master-key "$work/master.key" --encoding compact >>"$work/import.log"
check "a recoded key keeps them" labels public '["eu"]'

# ---- edges of our CA beside edge-1 and edge-2: certificates made here, so that they can be revoked by serial number
ca=(-CA "$work/pki/ca.pem" -CAkey "$work/pki/ca.key")
edge_cert() { # edge_cert NAME X509-OPTIONS...: for $san, or DNS name NAME.test
    local name=$1
    shift
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$work/$name.key" -out "$work/$name.csr" 2>/dev/null
    printf 'extendedKeyUsage=clientAuth\nsubjectAltName=%s\n' "${san:-DNS:$name.test}" >"$work/ext"
    openssl x509 -req -in "$work/$name.csr" -extfile "$work/ext" -out "$work/$name.pem" "$@" 2>/dev/null
}
edge_cert lost "${ca[@]}" -days 5
edge_cert stolen "${ca[@]}" -days 5
san=URI:spiffe://test/edge/roaming edge_cert roaming "${ca[@]}" -days 5
san=DNS:nobody.example edge_cert nobody "${ca[@]}" -days 5
edge_cert expired "${ca[@]}" -days -1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=other CA" -keyout "$work/other.key" -out "$work/other.pem" 2>/dev/null
edge_cert stranger -CA "$work/other.pem" -CAkey "$work/other.key" -days 5
mkdir "$work/ca"
: >"$work/ca/index"
echo 1000 >"$work/ca/crlnumber"
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/ca/index\ncrlnumber=%s/ca/crlnumber\nserial=%s/ca/serial\nnew_certs_dir=%s/ca\ndefault_md=sha256\ndefault_crl_days=5\npolicy=p\n[p]\ncommonName=supplied\n' \
    "$work" "$work" "$work" "$work" >"$work/ca.cnf"
our_ca() { openssl ca -batch -config "$work/ca.cnf" -cert "$work/pki/ca.pem" -keyfile "$work/pki/ca.key" "$@" 2>/dev/null; }
make_crl() { our_ca -gencrl -out "$work/edges.crl"; }
edge_cert future "${ca[@]}" -days 5
printf 'extendedKeyUsage=clientAuth\nsubjectAltName=DNS:future.test\n' >"$work/ext"
echo 77 >"$work/ca/serial"
our_ca -in "$work/future.csr" -extfile "$work/ext" -startdate 20990101000000Z -enddate 20991231000000Z -notext -out "$work/future.pem"
make_crl

# ---- the policy
write_policy() {
    cat >"$work/policy.conf" <<CONF
deny key=label:frozen                                          # line 1
allow edge=dns:edge-1,dns:*.test key=name:public.test methods=ECDHE protocols="TLS 1.2","TLS 1.3"
allow edge=dns:edge-1 key=label:frozen
allow edge=dns:edge-2 key=spki:$(spki_of "$work/site/private.pem") rate=1/h burst=2
allow edge=uri:spiffe://test/edge/* key=label:eu from=${network:-192.0.2.0/24}
crl edges.crl
CONF
    if [ $# -gt 0 ]; then printf '%s\n' "$@" >>"$work/policy.conf"; fi
}
write_policy
start_keyserver --policy "$work/policy.conf"
options=(--listen 127.0.0.1:0 --store "$work/store" --master-key "$work/master.key" --cert "$work/pki/server.pem" --key "$work/pki/server.key"
    --client-ca "$work/pki/ca.pem" --policy "$work/policy.conf")
{ head -c 64 /dev/urandom; printf '\003\000\035\040'; head -c 32 /dev/urandom; } >"$work/in"
ask() { # ask SPKI METHOD PROTOCOL: a body
    local input=$work/in
    [ "$2" = ECDHE ] || input=$work/rsa.in
    printf '{"protocol":"%s","spki":"%s","method":"%s","input":"%s"}' "$3" "$1" "$2" "$(base64 -w0 <"$input")"
}
head -c 256 /dev/urandom >"$work/rsa.in"
as() { # as EDGE SPKI METHOD [PROTOCOL]: sets $work/http and $work/body
    local files=(--cert "$work/$1.pem" --key "$work/$1.key")
    case $1 in edge-?) files=(--cert "$work/pki/edge-$1.pem" --key "$work/pki/edge-$1.key") ;; esac
    ski "${path:-/ski}" "$(ask "$2" "$3" "${4:-TLS 1.2}")" "${files[@]}" >/dev/null
}
spki_public=$(spki_of "$work/site/public.pem")
spki_private=$(spki_of "$work/site/private.pem")
spki_frozen=$(spki_of "$work/site/frozen.pem")
spki_none=$(head -c 32 /dev/urandom | base64 -w0)
last_audit() { tail -n 1 "$work/audit.log"; }
audit_lines() { wc -l <"$work/audit.log"; }
one_more() { [ "$(audit_lines)" -gt "$1" ]; }
allowed() { # allowed LINE EDGE SPKI METHOD [PROTOCOL]
    local line=$1 before
    shift
    before=$(audit_lines)
    as "$@" || return
    [ "$(http_status)" = 200 ] && has '"output"' <"$work/body" || return
    wait_for 60 one_more "$before" && last_audit | has "\"policy_line\":$line,"
}
denied() { # denied REASON EDGE SPKI METHOD [PROTOCOL]
    local reason=$1 before
    shift
    before=$(audit_lines)
    as "$@" || return
    [ "$(http_status)" = 403 ] && [ "$(cat "$work/body")" = '{"error":"request denied"}' ] || return
    wait_for 60 one_more "$before" && last_audit | has "\"result\":\"denied\",\"denied\":\"$reason\""
}
check "an edge of the policy signs" allowed 2 edge-1 "$spki_public" ECDHE
check "by the certificate's fingerprint as well" allowed 2 edge-1 "$(sha1_of "$work/site/public.pem")" ECDHE
check "a pattern of edges" allowed 2 lost "$spki_public" ECDHE
check "RSA is not allowed unless a rule says so" denied method edge-1 "$spki_public" RSA
check "a protocol that no rule allows" denied protocol lost "$spki_public" ECDHE "TLS 1.1"
check "a key that is not its own" denied key edge-1 "$spki_private" ECDHE
check "the same by its alias" denied key edge-1 "$(sha1_of "$work/site/private.pem")" ECDHE
check "a key under a deny rule" denied rule edge-1 "$spki_frozen" ECDHE
check "a key that is not there looks the same" denied key edge-1 "$spki_none" ECDHE
path=/ check "in the dialect of the Java server" denied key edge-1 "$spki_private" ECDHE
path=/ check "and there a key that is not there" denied key edge-1 "$(head -c 20 /dev/urandom | xxd -p)" ECDHE
check "another address" denied address roaming "$spki_public" ECDHE
check "an edge that no rule names" denied edge nobody "$spki_public" ECDHE
check "an edge's own key, as fast as its burst" allowed 4 edge-2 "$spki_private" ECDHE
check "twice" allowed 4 edge-2 "$spki_private" ECDHE
check "and no more" denied rate edge-2 "$spki_private" ECDHE
decoded() { curl -sS "http://$admin/status" | python3 -c 'import json,sys; print(json.load(sys.stdin)["decoded_keys"])'; }
[ "$(decoded)" = 2 ] || fail "$(decoded) keys decoded, expected 2: a denied request must not open a record"
ok "denied requests open no record"
[ "$(metric 'ks_policy_decisions_total{decision="deny",reason="rate"}')" = 1 ]
[ "$(metric 'ks_policy_decisions_total{decision="allow",reason="rule"}')" = 5 ]
[ "$(metric ks_policy_rules)" = 5 ]
ok "metrics"

# ---- who does not get in at all
refuse "an edge of another CA" as stranger "$spki_public" ECDHE
refuse "an expired certificate" as expired "$spki_public" ECDHE
refuse "one that is not valid yet" as future "$spki_public" ECDHE

# ---- explained, beside the running server and without it
explain() { "$bin/keyserver" "${options[@]}" --explain "$@" 2>&1; }
explains() { # explains STATUS TEXT WORD...
    local status=0 wanted=$1 text=$2
    shift 2
    explain "$@" >"$work/explained" || status=$?
    [ "$status" = "$wanted" ] && has -F -e "$text" "$work/explained" && return
    echo "status $status: $(cat "$work/explained")" >&2
    return 1
}
explained() {
    check "--explain: allowed ($1)" explains 0 "allow: $work/policy.conf:2: allow edge=dns:edge-1" dns:edge-1 "$spki_public" ECDHE
    check "--explain: files of certificates ($1)" explains 0 'policy.conf:2:' "$work/pki/edge-edge-1.pem" "$work/site/public.pem" ECDHE "TLS 1.3" 127.0.0.1
    check "--explain: method ($1)" explains 1 'deny (method)' dns:edge-1 "$spki_public" RSA
    check "--explain: a deny rule ($1)" explains 1 "deny (rule): $work/policy.conf:1: deny key=label:frozen" dns:edge-1 "$(sha1_of "$work/site/frozen.pem")" ECDHE
    check "--explain: not its own ($1)" explains 1 'deny (key)' dns:edge-1 "$spki_private" ECDHE
    check "--explain: not there ($1)" explains 1 'not in the store' dns:edge-1 "$spki_none" ECDHE
    check "--explain: address ($1)" explains 1 'deny (address)' uri:spiffe://test/edge/x "$spki_public" ECDHE "TLS 1.2" 192.0.3.1
    check "--explain: the right address ($1)" explains 0 'policy.conf:5:' uri:spiffe://test/edge/x "$spki_public" ECDHE "TLS 1.2" 192.0.2.1
    check "--explain: a made-up key ($1)" explains 0 'policy.conf:5:' uri:spiffe://test/edge/x label:eu ECDHE
    check "--explain: nobody ($1)" explains 1 'deny (edge)' dns:nobody "$spki_public" ECDHE
}
explained "running server"
check "--explain: a wrong word" explains 2 'METHOD: found DHE' dns:edge-1 "$spki_public" DHE
check "--explain: too few words" explains 2 'expected EDGE KEY METHOD' dns:edge-1

# ---- reload under load: no request fails; a broken policy changes nothing
reloads() { grep -c "$1" "$work/keyserver.log" || true; }
more_than() { [ "$(reloads "$1")" -gt "$2" ]; }
reload() { # reload EVENT: SIGHUP, and the event is logged once more
    local before
    before=$(reloads " $1 ")
    kill -HUP "$ks_pid"
    wait_for 300 more_than " $1 " "$before" || fail "no $1"
}
python3 - "$ks" "$work" "$(ask "$spki_public" ECDHE "TLS 1.2")" >"$work/load.log" 2>&1 <<'PY' &
# Four edges ask without a pause, each on one connection, until there is a file "stop". Every answer must be a 200.
import os, socket, ssl, sys, threading
(host, port), work, request = sys.argv[1].split(":"), sys.argv[2], sys.argv[3].encode()
served, faults = [0] * 4, []
def run(i):
    ctx = ssl.create_default_context(cafile=work + "/pki/ca.pem")
    ctx.load_cert_chain(work + "/pki/edge-edge-1.pem", work + "/pki/edge-edge-1.key")
    with ctx.wrap_socket(socket.create_connection((host, int(port)), 300), server_hostname="127.0.0.1") as s:
        s.settimeout(300)
        answers = s.makefile("rb")
        while not os.path.exists(work + "/stop"):
            s.sendall(b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n" % len(request) + request)
            head, length = answers.readline(), 0
            while (line := answers.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = answers.read(length)
            assert head.split()[1] == b"200" and b'"output"' in body, (head, body)
            served[i] += 1
            if served[i] == 1:
                open(work + "/asking-%d" % i, "w").close()
def guard(i):
    try:
        run(i)
    except Exception as e:
        faults.append(repr(e))
threads = [threading.Thread(target=guard, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("served", served, "faults", faults)
sys.exit(bool(faults))
PY
load_pid=$!
pids+=("$load_pid")
asking() { [ -e "$work/asking-0" ] && [ -e "$work/asking-1" ] && [ -e "$work/asking-2" ] && [ -e "$work/asking-3" ]; }
wait_for 300 asking || fail "no load"
loaded=0
while [ "$loaded" -lt 15 ]; do
    write_policy "# $loaded"
    reload reloaded
    write_policy "allow edge=dns:edge-1"
    reload reload_failed
    loaded=$((loaded + 1))
done
touch "$work/stop"
status=0
wait "$load_pid" || status=$?
[ "$status" = 0 ] || fail "under load: $(cat "$work/load.log")"
ok "reloads under load, good and broken ($loaded of each): no request failed"
check "the log says file, line, what was found and what was expected" \
    grep -q 'reload_failed.*policy.conf:7: found .*allow without edge= or key=.*expected both' "$work/keyserver.log"
check "the old policy stays" allowed 2 edge-1 "$spki_public" ECDHE
check "and denies" denied key edge-1 "$spki_private" ECDHE
[ "$(metric 'ks_policy_reloads_total{result="failed"}')" = "$loaded" ]
refuse "--check refuses what a reload does" "$bin/keyserver" "${options[@]}" --check
cp "$work/other.pem" "$work/edges.crl"
write_policy
reload reload_failed
check "a list that is none keeps the old one" grep -q 'policy.conf:6: .*edges.crl: found no CRL' "$work/keyserver.log"
openssl ca -batch -config "$work/ca.cnf" -cert "$work/other.pem" -keyfile "$work/other.key" -gencrl -out "$work/edges.crl" 2>/dev/null
reload reload_failed
check "so does a list of another authority" grep -q 'expected one signed by an authority of --client-ca' "$work/keyserver.log"
make_crl
network=127.0.0.0/8 write_policy
reload reloaded
check "the right address now" allowed 5 roaming "$spki_public" ECDHE

# ---- revoked: open connections of the edge end, those of others stay
python3 - "$ks" "$work" "$(ask "$spki_public" ECDHE "TLS 1.2")" >"$work/held.log" 2>&1 <<'PY' &
# Three connections: tells when each has been served, then when it ends.
import select, socket, ssl, sys, time
(host, port), work, request = sys.argv[1].split(":"), sys.argv[2], sys.argv[3].encode()
def connect(name, cert):
    ctx = ssl.create_default_context(cafile=work + "/pki/ca.pem")
    ctx.load_cert_chain(work + "/" + cert + ".pem", work + "/" + cert + ".key")
    s = ctx.wrap_socket(socket.create_connection((host, int(port)), 300), server_hostname="127.0.0.1")
    s.settimeout(300)
    assert ask(s) == 200
    return s
def ask(s):
    s.sendall(b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n" % len(request) + request)
    return int(s.recv(65536).split()[1])
def ended(s):
    try:
        return s.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True
lost, stolen, good = connect("lost", "lost"), connect("stolen", "stolen"), connect("good", "pki/edge-edge-1")
print("served", flush=True)
assert ended(lost)
print("lost ended", flush=True)
assert ended(stolen)
print("stolen ended", flush=True)
assert ask(good) == 200
print("good served", flush=True)
PY
held_pid=$!
pids+=("$held_pid")
wait_for 300 grep -q served "$work/held.log" || fail "$(cat "$work/held.log")"
our_ca -revoke "$work/lost.pem"
make_crl
reload reloaded
check "a connection whose certificate is on the CRL ends" wait_for 300 grep -q 'lost ended' "$work/held.log"
grep -q 'stolen ended' "$work/held.log" && fail "a connection that is not revoked ended"
check "another edge is not concerned" allowed 2 stolen "$spki_public" ECDHE
refuse "a certificate on the CRL" as lost "$spki_public" ECDHE
write_policy "revoke spki:$(spki_of "$work/stolen.pem")"
reload reloaded
check "a connection whose key is revoked ends" wait_for 300 grep -q 'stolen ended' "$work/held.log"
status=0
wait "$held_pid" || status=$?
[ "$status" = 0 ] || fail "$(cat "$work/held.log")"
ok "a connection of another edge goes on"
refuse "a revoked key" as stolen "$spki_public" ECDHE
openssl x509 -req -in "$work/stolen.csr" -extfile "$work/ext" "${ca[@]}" -days 5 -out "$work/stolen.pem" 2>/dev/null
refuse "also in a fresh certificate" as stolen "$spki_public" ECDHE
[ "$(metric ks_policy_connections_revoked_total)" -ge 5 ]

# A revoked authority between: no session is had from the handshake, so that none can be resumed. (s_client writes one when a ticket comes.)
printf 'basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\n' >"$work/ca.ext"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=between" -keyout "$work/between.key" -out "$work/between.csr" 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=wide CA" -keyout "$work/wide.key" -out "$work/wide.pem" 2>/dev/null
openssl x509 -req -in "$work/between.csr" -extfile "$work/ca.ext" -CA "$work/wide.pem" -CAkey "$work/wide.key" -days 5 -out "$work/between.pem" 2>/dev/null
cat "$work/wide.pem" >>"$work/pki/ca.pem" # ours signs no authorities
reload reloaded
edge_cert below -CA "$work/between.pem" -CAkey "$work/between.key" -days 5
cat "$work/between.pem" >>"$work/below.pem"
session() { # session VERSION [S_CLIENT-OPTION...]: a request of the edge below; the answer's status
    { printf 'POST /ski HTTP/1.1\r\nHost: k\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' "${#below_asks}" "$below_asks" && sleep 2; } |
        openssl s_client -connect "$ks" "-$1" -quiet -CAfile "$work/pki/ca.pem" -cert "$work/below.pem" -cert_chain "$work/between.pem" -key "$work/below.key" \
            "${@:2}" 2>>"$work/session.log" | sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p'
}
below_asks=$(ask "$spki_public" ECDHE "TLS 1.2")
for version in tls1_2 tls1_3; do
    [ "$(session $version -sess_out "$work/good.$version")" = 200 ] || fail "the edge below: $(tail -n 3 "$work/session.log")"
    [ "$(session $version -sess_in "$work/good.$version")" = 200 ] || fail "the edge below, resumed"
done
ok "an edge of an authority between, also resumed"
write_policy "revoke spki:$(spki_of "$work/between.pem")"
reload reloaded
for version in tls1_2 tls1_3; do
    [ -z "$(session $version -sess_in "$work/good.$version" -sess_out "$work/bad.$version")" ] || fail "$version: the authority between is revoked, the session of before is taken"
    [ ! -s "$work/bad.$version" ] || [ -z "$(session $version -sess_in "$work/bad.$version")" ] || fail "$version: a session from a handshake that was refused"
done
ok "when it is revoked neither, and its sessions are void"
write_policy "revoke spki:$(spki_of "$work/stolen.pem")"
reload reloaded
[ "$(metric ks_policy_revocations)" = 2 ]
check "--explain: revoked" explains 1 'deny (revoked)' "$work/lost.pem" "$spki_public" ECDHE
stop_keyserver
explained "no server"

# ---- RSA where a rule says so, switched off above by key and by edge
write_policy "allow edge=dns:edge-1,dns:edge-2 key=any methods=any"
start_keyserver --policy "$work/policy.conf"
check "RSA by a rule that names it" allowed 7 edge-1 "$spki_public" RSA
check "a key that is not there, to who may use any" test "$(as edge-1 "$spki_none" RSA; http_status)" = 403
stop_keyserver
printf 'deny key=label:eu methods=RSA\nallow edge=any key=any methods=any\n' >"$work/policy.conf"
start_keyserver --policy "$work/policy.conf"
check "RSA switched off for a key" denied rule edge-1 "$spki_public" RSA
check "which signs" allowed 2 edge-1 "$spki_public" ECDHE
printf 'deny edge=dns:edge-1 methods=RSA\nallow edge=any key=any methods=any\n' >"$work/policy.conf"
reload reloaded
check "RSA switched off for an edge" denied rule edge-1 "$spki_public" RSA
check "but not for another" allowed 2 edge-2 "$spki_public" RSA
check "a key that is not there" test "$(as edge-2 "$spki_none" ECDHE; http_status)" = 404
printf 'allow edge=any key=any\n' >"$work/policy.conf"
reload reloaded
chmod o+w "$work/policy.conf"
reload reloaded
check "a policy that others can change is warned of" grep -q policy_file_open "$work/keyserver.log"
check "frozen no more" allowed 1 edge-1 "$spki_frozen" ECDHE

# ---- the sample is a policy
sed 's/^#crl .*//' "$(dirname "$0")/../../keyserver/policy.sample.conf" >"$work/policy.conf"
check "the sample is taken" "$bin/keyserver" "${options[@]}" --check
finish
