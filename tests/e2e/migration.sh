#!/usr/bin/env bash
# The migration listener: clients of the Java server, without certificates, by their address; what they may, what they see,
# and that nothing of it opens the listener of the edges.
. "$(dirname "$0")/lib.sh" "$@"
here=$(cd "$(dirname "$0")" && pwd)

make_pki
# A server certificate below an authority between, so that there is a chain to be cut.
printf 'basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\n' >"$work/ca.ext"
printf 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n' >"$work/server.ext"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=root" -keyout "$work/root.key" -out "$work/root.pem" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=between" -keyout "$work/between.key" -out "$work/between.csr" 2>/dev/null
openssl x509 -req -in "$work/between.csr" -extfile "$work/ca.ext" -CA "$work/root.pem" -CAkey "$work/root.key" -days 5 -out "$work/between.pem" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=key server" -keyout "$work/server.key" -out "$work/server.csr" 2>/dev/null
openssl x509 -req -in "$work/server.csr" -extfile "$work/server.ext" -CA "$work/between.pem" -CAkey "$work/between.key" -days 5 -out "$work/leaf.pem" 2>/dev/null
cat "$work/leaf.pem" "$work/between.pem" >"$work/server.pem"
cat "$work/root.pem" "$work/between.pem" >>"$work/pki/ca.pem" # whom curl trusts here; edges are signed by the first

site old -newkey rsa:2048
site other -newkey rsa:2048
site frozen -newkey rsa:2048
import --label old "$work/site/old".* >"$work/import.log"
import "$work/site/other".* >>"$work/import.log"
import --label old --label frozen "$work/site/frozen".* >>"$work/import.log"

write_policy() { # write_policy [LINE...]: rules of edges, then those given
    printf 'deny key=label:frozen\nallow edge=any key=name:other.test methods=any\n' >"$work/policy.conf"
    if [ $# -gt 0 ]; then printf '%s\n' "$@" >>"$work/policy.conf"; fi
}
rule='allow edge=migration from=127.0.0.1,::1 key=label:old methods=ECDHE'
options=(--listen 127.0.0.1:0 --store "$work/store" --master-key "$work/master.key" --cert "$work/server.pem" --key "$work/server.key"
    --client-ca "$work/pki/ca.pem" --policy "$work/policy.conf" --migration-listen '[::]:0')

# ---- a start wants a list of addresses, keys and methods
refuses() { # refuses TEXT [OPTION...]
    local status=0
    "$bin/keyserver" "${@:2}" --check >"$work/refused" 2>&1 || status=$?
    [ "$status" -gt 0 ] && [ "$status" -lt 3 ] && has -F -e "$1" "$work/refused" && return
    echo "status $status: $(cat "$work/refused")" >&2
    return 1
}
check "no policy, no start" refuses '--migration-listen: needs --policy' "${options[@]:0:12}" --migration-listen 127.0.0.1:0
write_policy
check "nor with one that says nothing of it" refuses '--migration-listen: found no rule for its clients' "${options[@]}"
write_policy 'allow edge=migration key=label:old methods=ECDHE'
check "no addresses" refuses 'policy.conf:3: found "edge=migration without from="' "${options[@]}"
write_policy 'allow edge=migration from=0.0.0.0/0 key=label:old methods=ECDHE'
check "everybody is no list" refuses 'from= nearly everywhere' "${options[@]}"
write_policy 'allow edge=migration from=127.0.0.1 key=any methods=ECDHE'
check "keys by name" refuses 'edge=migration with key=any' "${options[@]}"
write_policy 'allow edge=migration from=127.0.0.1 key=label:old'
check "methods by name" refuses 'edge=migration without methods=' "${options[@]}"
check "no Unix socket" refuses 'expected ADDR:PORT' "${options[@]:0:14}" --migration-listen "unix:$work/m.sock"
write_policy "$rule"
check "--check" "$bin/keyserver" "${options[@]}" --check

# ---- the server
openssl genpkey -algorithm ed25519 -out "$work/audit.key" 2>/dev/null && chmod 600 "$work/audit.key"
start_keyserver --cert "$work/server.pem" --key "$work/server.key" --policy "$work/policy.conf" --migration-listen '[::]:0' --audit strict --audit-key "$work/audit.key" \
    --handshake-timeout 600s --idle-timeout 3600s
port=$(sed -n 's/.* migration_listener addr=.*:\([0-9]*\) rules=.*/\1/p' "$work/keyserver.log")
check "the log warns of it: address, rules" grep -q 'warn.* migration_listener addr=.* rules=1 note=.*without certificates' "$work/keyserver.log"
check "and names addresses, keys and methods" \
    grep -q 'warn.* migration_rule .*policy_line=3 methods=ECDHE from="\?127.0.0.1/32,::1/128"\? keys="\?label:old"\?' "$work/keyserver.log"

{ head -c 64 /dev/urandom; printf '\003\000\027\101'; openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -outform DER 2>/dev/null | tail -c 65; } >"$work/in"
head -c 256 /dev/urandom >"$work/rsa.in"
input=$(base64 -w0 <"$work/in")
sha1_old=$(sha1_of "$work/site/old.pem")
sha1_other=$(sha1_of "$work/site/other.pem")
sha1_frozen=$(sha1_of "$work/site/frozen.pem")
ecdhe() { printf '{\n\t"protocol": "TLS 1.2",\n\t"spki": "%s",\n\t"method": "ECDHE",\n\t"hash": "SHA-256",\n\t"input": "%s"\n}\n' "$1" "$input"; }
rsa() { printf '{\n\t"protocol": "TLS 1.2",\n\t"spki": "%s",\n\t"method": "RSA",\n\t"input": "%s"\n}\n' "$1" "$(base64 -w0 <"$work/rsa.in")"; }
# java_asks BODY [CURL-OPTION...]: as the Java server's README does; the body to $work/body, the status to $work/http.
java_asks() {
    local body=$1
    shift
    rm -f "$work/body" "$work/http"
    curl -sS --cacert "$work/pki/ca.pem" --max-time 300 --data-binary "$body" -o "$work/body" -w '%{http_code}' "$@" "https://${at:-127.0.0.1}:$port${path:-/}" >"$work/http"
}
answered() { # answered STATUS TEXT BODY [CURL-OPTION...]
    java_asks "${@:3}" && [ "$(http_status)" = "$1" ] && has -F -e "$2" "$work/body" && return
    echo "found $(http_status) $(cat "$work/body")" >&2
    return 1
}
denied_text='{"error":"request denied"}'
none=$(head -c 20 /dev/urandom | xxd -p -u | head -c 40)
java_asks "$(ecdhe "$sha1_old")"
member output <"$work/body" | base64 -d >"$work/sig"
openssl x509 -in "$work/site/old.pem" -noout -pubkey >"$work/pub"
check "curl without a certificate gets a signature" openssl dgst -sha256 -verify "$work/pub" -signature "$work/sig" "$work/in"
check "TLS 1.2" answered 200 '"output"' "$(ecdhe "$sha1_old")" --tls-max 1.2
check "TLS 1.3" answered 200 '"output"' "$(ecdhe "$sha1_old")" --tlsv1.3
check "HTTP/2 by ALPN falls back" answered 200 '"output"' "$(ecdhe "$sha1_old")" --http2
check "HTTP/1.0" answered 200 '"output"' "$(ecdhe "$sha1_old")" --http1.0
at='[::1]' check "an IPv6 address of the list" answered 200 '"output"' "$(ecdhe "$sha1_old")"
check "by the public key's fingerprint" answered 200 '"output"' "$(ecdhe "$(spki_of "$work/site/old.pem")")"

# ---- exactly one certificate, whatever --server-chain says
certificates() { openssl s_client "$@" -showcerts </dev/null 2>/dev/null | grep -c 'BEGIN CERTIFICATE'; }
for version in tls1_2 tls1_3; do
    [ "$(certificates -connect "127.0.0.1:$port" -$version)" = 1 ] || fail "$version: $(certificates -connect "127.0.0.1:$port" -$version) certificates"
    [ "$(certificates -connect "$ks" -$version -cert "$work/pki/edge-edge-1.pem" -key "$work/pki/edge-edge-1.key")" = 2 ] || fail "$version: the edges' listener sends no chain"
done
ok "one certificate; edges get the chain"
openssl s_client -connect "127.0.0.1:$port" -tls1_2 -msg </dev/null 2>/dev/null | has CertificateRequest && fail "a certificate is asked for"
ok "no certificate is asked for"

# ---- what is not allowed
check "RSA is off unless the rule names it" answered 403 "$denied_text" "$(rsa "$sha1_old")"
check "a key that the rule does not name, though every edge may use it" answered 403 "$denied_text" "$(ecdhe "$sha1_other")"
check "RSA with that" answered 403 "$denied_text" "$(rsa "$sha1_other")"
check "a key that is denied to everybody" answered 403 "$denied_text" "$(ecdhe "$sha1_frozen")"
check "a key that is not there looks the same" answered 403 "$denied_text" "$(ecdhe "$none")"
check "an address that is on no list" answered 403 "$denied_text" "$(ecdhe "$sha1_old")" --interface 127.0.0.2
check "whatever it sends" answered 403 "$denied_text" 'nonsense' --interface 127.0.0.2
path=/metrics check "and wherever" answered 403 "$denied_text" 'x' --interface 127.0.0.2
check "a header changes nothing" answered 403 "$denied_text" "$(ecdhe "$sha1_old")" --interface 127.0.0.2 -H 'X-Forwarded-For: 127.0.0.1' -H 'Forwarded: for=127.0.0.1'
check "a client certificate changes nothing" answered 403 "$denied_text" "$(ecdhe "$sha1_other")" --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key"
path=/ski check "no /ski here" answered 404 '{"error":"unspecified error"}' "$(ecdhe "$sha1_old")"
refuse "plain HTTP" curl -sS --max-time 300 "http://127.0.0.1:$port/"
refuse "TLS 1.1" openssl s_client -connect "127.0.0.1:$port" -tls1_1 -cipher DEFAULT@SECLEVEL=0
ski /ski "$(ecdhe "$sha1_other")" | has '"output"' || fail "an edge is served as before"
ski / "$(ecdhe "$sha1_old")" >/dev/null
[ "$(http_status)" = 403 ] || fail "a rule of migration clients is an edge's"
ok "an edge has its own rules and no others"
refuse "the edges' listener wants a certificate" curl -sS --max-time 300 --cacert "$work/pki/ca.pem" --data-binary "$(ecdhe "$sha1_old")" "https://$ks/"

# ---- the table of the dialect (PROTOCOLS.md 1.4), on one connection where it stays
python3 - "$port" "$sha1_old" "$input" "$work" "$none" <<'PY' || fail "the dialect"
import json, socket, ssl, sys
port, spki, data, work, none = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5]
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE  # as those clients; no SNI either
class Conn:
    def __init__(self, source="127.0.0.1"):
        raw = socket.create_connection(("127.0.0.1", port), 300, (source, 0))
        self.s = ctx.wrap_socket(raw)
        self.f = self.s.makefile("rb")
    def send(self, raw):
        self.s.sendall(raw)
    def answer(self, head=False):
        status, fields = self.f.readline(), {}
        if status == b"":
            return None
        while (line := self.f.readline().strip()) != b"":
            k, v = line.split(b":", 1)
            fields[k.strip().lower()] = v.strip()
        n = int(fields.get(b"content-length", 0))
        return int(status.split()[1]), b"" if head else self.f.read(n), fields
    def post(self, body, fields="", path="/", method="POST", version="1.1"):
        body = body if isinstance(body, bytes) else body.encode()
        self.send(f"{method} {path} HTTP/{version}\r\nHost: k\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)
        return self.answer()
    def ended(self):
        try:
            return self.f.read(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True
def body(**change):
    m = {"protocol": "TLS 1.2", "spki": spki, "method": "ECDHE", "hash": "SHA-256", "input": data}
    m.update(change)
    return json.dumps({k: v for k, v in m.items() if v is not Ellipsis}, indent="\t") + "\n"
c = Conn()
def expect(what, answer, status, text, conn=None):
    assert answer is not None and answer[0] == status and text in answer[1].decode(), (what, answer)
    assert answer[2][b"content-type"].startswith(b"application/json"), (what, answer)
    assert answer[1].endswith(b"\n"), (what, answer)
malformed = '{"error":"malformed request"}'
expect("success", c.post(body()), 200, '"output"')
for name in ("protocol", "spki", "method", "input"):
    expect("missing " + name, c.post(body(**{name: ...})), 200, malformed)
    expect("null " + name, c.post(body(**{name: None})), 200, malformed)
    expect("empty " + name, c.post(body(**{name: ""})), 200, malformed)
    expect("a number for " + name, c.post(body(**{name: 5})), 200, malformed)
for name, value in (("protocol", "tls 1.2"), ("protocol", "SSL 3.0"), ("method", "ecdhe"), ("method", "DHE"), ("hash", "sha-256"), ("hash", "MD5")):
    expect(value, c.post(body(**{name: value})), 200, malformed)
for text in ("", "{", "[]", "5", "nonsense", '"a"'):
    expect("body " + text, c.post(text), 200, malformed)
expect("bad Base64", c.post(body(input="%%%%")), 200, malformed)
expect("no padding", c.post(body(input=data.rstrip("="))), 200, '"output"')
expect("blanks", c.post(body(input=" " + data[:20] + "\r\n" + data[20:] + " ")), 200, '"output"')
expect("short", c.post(body(input=data[:40])), 200, malformed)
expect("no hash", c.post(body(hash=...)), 200, '"output"')
expect("SHA1", c.post(body(hash="SHA1")), 200, '"output"')
expect("an extra field", c.post(body(more="x")), 200, '"output"')
expect("a name twice, the last counts", c.post('{"method":"RSA",' + body().lstrip()[1:]), 200, '"output"')
expect("any Content-Type", c.post(body(), "Content-Type: text/plain\r\n"), 200, '"output"')
expect("not allowed", c.post(body(spki=none)), 403, '{"error":"request denied"}')
expect("and the connection stays", c.post(body()), 200, '"output"')
expect("another path", c.post(body(), path="/other"), 404, '{"error":"unspecified error"}')
expect("/ski", c.post(body(), path="/ski"), 404, '{"error":"unspecified error"}')
expect("GET", c.post("", method="GET"), 404, '{"error":"unspecified error"}')
raw = body().encode()
c.send(b"POST / HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(raw) + raw + b"\r\n0\r\n\r\n")
expect("chunked", c.answer(), 200, '"output"')
c.send(b"POST / HTTP/1.1\r\nHost: k\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(raw))
assert c.answer()[0] == 100
c.send(raw)
expect("Expect", c.answer(), 200, '"output"')
c.send((b"POST / HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw) * 8)
for i in range(8):
    expect("pipelined", c.answer(), 200, '"output"')
for what, head, code in (("a long header", b"POST / HTTP/1.1\r\nHost: k\r\nX: " + b"a" * 9000 + b"\r\n\r\n", None),
                         ("a long path", b"POST /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", None),
                         ("two lengths", b"POST / HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400)):
    d = Conn()
    d.send(head)
    got = d.answer()
    assert got is not None and 400 <= got[0] < 500 and (code is None or got[0] == code) and d.ended(), (what, got)
# A stranger: denied, and the connection stays, for sixteen requests.
s = Conn("127.0.0.2")
for i in range(16):
    expect("a stranger", s.post(body() if i % 2 else "{"), 403, '{"error":"request denied"}')
assert s.ended()
s = Conn("127.0.0.2")  # pipelined, as many are answered
s.send((b"POST / HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw) * 40)
for i in range(16):
    expect("a stranger in a hurry", s.answer(), 403, '{"error":"request denied"}')
assert s.answer() is None
for method, head in (("GET", False), ("HEAD", True), ("PUT", False)):
    s = Conn("127.0.0.2")
    s.send(f"{method} /anything HTTP/1.1\r\nHost: k\r\nContent-Length: 0\r\n\r\n".encode())
    assert s.answer(head)[0] == 403, method
PY
ok "the dialect's table, on connections that stay"

# ---- a program in Java
if command -v javac >/dev/null && command -v java >/dev/null; then
    javac -d "$work" "$here/MigrationClient.java" 2>"$work/javac.log" || fail "javac"
    for version in TLSv1.2 TLSv1.3; do
        printf 'TLS_1.2 %s ECDHE SHA-256 %s\n' "$sha1_old" "$input" "$none" "$input" "$sha1_old" "$input" |
            java -cp "$work" MigrationClient "https://127.0.0.1:$port/" $version >"$work/java.out" 2>"$work/java.log" || fail "java $version"
        [ "$(sed -n '1p;3p' "$work/java.out" | grep -c '^200 {"output"')" = 2 ] && [ "$(sed -n 2p "$work/java.out")" = "403 $denied_text" ] ||
            fail "java $version: $(cat "$work/java.out")"
        if printf 'TLS_1.2 %s ECDHE SHA-256 %s\n' "$sha1_old" "$input" | java -cp "$work" MigrationClient "https://$ks/" $version >/dev/null 2>&1; then
            fail "java $version gets in where edges do"
        fi
    done
    ok "a client in Java, which refuses chains, TLS 1.2 and 1.3"
else
    echo "# no Java here: its client is left out"
fi

# ---- sessions of one listener are nothing at the other
session() { # session ADDR:PORT VERSION PATH SPKI [S_CLIENT-OPTION...]: "Reused", if it was, and the answer's status
    local asks
    asks=$(ecdhe "$4")
    { printf 'POST %s HTTP/1.1\r\nHost: k\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' "$3" "${#asks}" "$asks"; } |
        openssl s_client -connect "$1" "-$2" -ign_eof -CAfile "$work/pki/ca.pem" "${@:5}" 2>>"$work/session.log" |
        sed -n 's/^\(Reused\), .*/\1/p; s/^HTTP[^ ]* \([0-9]*\).*/\1/p' | sort -u | tr '\n' ' '
}
edge=(-cert "$work/pki/edge-edge-1.pem" -key "$work/pki/edge-edge-1.key")
for version in tls1_2 tls1_3; do
    for tickets in "" -no_ticket; do
        [ "$version$tickets" != tls1_3-no_ticket ] || continue
        name=$version$tickets
        [ "$(session "127.0.0.1:$port" $version / "$sha1_old" $tickets -sess_out "$work/m.$name")" = "200 " ] || fail "$name: a session"
        [ "$(session "127.0.0.1:$port" $version / "$sha1_old" $tickets -sess_in "$work/m.$name")" = "200 Reused " ] || fail "$name: is resumed where it is from"
        [ "$(session "127.0.0.1:$port" $version / "$sha1_old" $tickets -sess_out "$work/m.$name")" = "200 " ]
        [ -z "$(session "$ks" $version / "$sha1_other" $tickets -sess_in "$work/m.$name")" ] || fail "$name: a session without a certificate opens the edges' listener"
        [ "$(session "$ks" $version / "$sha1_other" $tickets "${edge[@]}" -sess_out "$work/e.$name")" = "200 " ] || fail "$name: an edge's session"
        [ "$(session "$ks" $version / "$sha1_other" $tickets -sess_in "$work/e.$name")" = "200 Reused " ] || fail "$name: which is resumed where it is from"
        [ "$(session "$ks" $version / "$sha1_other" $tickets "${edge[@]}" -sess_out "$work/e.$name")" = "200 " ]
        [ "$(session "127.0.0.1:$port" $version / "$sha1_other" $tickets -sess_in "$work/e.$name")" = "403 " ] || fail "$name: an edge's session at the migration listener"
    done
done
ok "sessions and tickets of one listener are void at the other"

# ---- seen
[ "$(metric 'ks_migration_requests_total{result="ok"}')" -gt 10 ]
[ "$(metric 'ks_migration_requests_total{result="denied"}')" -gt 10 ]
[ "$(metric ks_migration_rules)" = 1 ]
[ "$(metric 'ks_requests_total{method="unknown",key_type="none",result="denied"}')" -gt 10 ]
curl -sS "http://$admin/status" | python3 -c '
import json, sys
m = json.load(sys.stdin)["migration"]
assert m["rules"] == 1 and m["requests"] > 20 and m["denied"] > 10 and m["address"].endswith(sys.argv[1]), m' ":$port"
ok "metrics and /status"
explain() { # explain STATUS TEXT WORD...
    local status=0
    "$bin/keyserver" "${options[@]}" --explain "${@:3}" >"$work/explained" 2>&1 || status=$?
    [ "$status" = "$1" ] && has -F -e "$2" "$work/explained" && return
    echo "status $status: $(cat "$work/explained")" >&2
    return 1
}
check "--explain: allowed, and by which line" explain 0 "allow: $work/policy.conf:3: allow edge=migration" migration:127.0.0.1 "$sha1_old" ECDHE
check "--explain: an IPv6 address" explain 0 'policy.conf:3:' migration:::1 "$sha1_old" ECDHE "TLS 1.0"
check "--explain: IPv4 as the listener sees it" explain 0 'policy.conf:3:' migration:::ffff:127.0.0.1 "$sha1_old" ECDHE
check "--explain: another address" explain 1 'deny (address)' migration:127.0.0.2 "$sha1_old" ECDHE
check "--explain: another method" explain 1 'deny (method)' migration:127.0.0.1 "$sha1_old" RSA
check "--explain: a key of edges" explain 1 'deny (key)' migration:127.0.0.1 "$sha1_other" ECDHE
check "--explain: denied to everybody" explain 1 'deny (rule)' migration:127.0.0.1 "$sha1_frozen" ECDHE
check "--explain: an edge is none of them" explain 1 'deny (key)' dns:edge-1 "$sha1_old" ECDHE "TLS 1.2" 127.0.0.1
check "--explain: no address" explain 2 'expected an IPv4 or IPv6 address' migration: "$sha1_old" ECDHE
check "--explain: two addresses" explain 2 'expected none: EDGE has it' migration:127.0.0.1 "$sha1_old" ECDHE "TLS 1.2" 127.0.0.1

# ---- a reload changes the rules, connections stay; a broken one changes nothing
python3 - "$port" "$(ecdhe "$sha1_old")" "$work" >"$work/held.log" 2>&1 <<'PY' &
# A connection that asks when there is a file "ask-N", and tells the status.
import os, socket, ssl, sys, time
port, body, work = int(sys.argv[1]), sys.argv[2].encode() + b"\n", sys.argv[3]
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
s = ctx.wrap_socket(socket.create_connection(("127.0.0.1", port), 600))
f = s.makefile("rb")
for n in range(1, 100):
    while not os.path.exists(f"{work}/ask-{n}"):
        time.sleep(0.02)
    s.sendall(b"POST / HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    status, length = f.readline().split()[1].decode(), 0
    while (line := f.readline().strip()) != b"":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    f.read(length)
    print(f"asked-{n} {status}", flush=True)
PY
pids+=($!)
asked=0
held() { # held STATUS: what the open connection gets now
    asked=$((asked + 1))
    touch "$work/ask-$asked"
    wait_for 300 grep -q "^asked-$asked " "$work/held.log" || fail "the open connection: $(cat "$work/held.log")"
    grep -qx "asked-$asked $1" "$work/held.log"
}
reloads() { grep -c " $1 " "$work/keyserver.log" || true; }
more_than() { [ "$(reloads "$1")" -gt "$2" ]; }
reload() { # reload EVENT: SIGHUP, and the event is logged once more
    local before
    before=$(reloads "$1")
    kill -HUP "$ks_pid"
    wait_for 300 more_than "$1" "$before" || fail "no $1"
}
check "an open connection" held 200
write_policy 'allow edge=migration from=127.0.0.0/8 key=label:old methods=RSA'
reload reloaded
check "gets the new rules" held 403
check "which the log warns of again" grep -q 'migration_rule .*methods=RSA from="\?127.0.0.0/8"\?' "$work/keyserver.log"
check "RSA now that it is named" answered 200 '"output"' "$(rsa "$sha1_old")" --interface 127.0.0.2
write_policy 'allow edge=migration from=0.0.0.0/0 key=label:old methods=ECDHE'
reload reload_failed
check "a list that is none keeps the old one" held 403
check "and its rules" answered 200 '"output"' "$(rsa "$sha1_old")"
write_policy 'allow edge=migration from=192.0.2.0/24 key=label:old methods=any,RSA'
reload reload_failed
write_policy 'allow edge=migration from=192.0.2.0/24 key=label:old methods=ECDHE'
reload reloaded
check "an address that is listed no longer" held 403
write_policy "$rule rate=1/h burst=2"
reload reloaded
check "listed again" held 200
check "a rate, each address by itself" answered 200 '"output"' "$(ecdhe "$sha1_old")"
check "is used up" answered 403 "$denied_text" "$(ecdhe "$sha1_old")"
at='[::1]' check "but not another's" answered 200 '"output"' "$(ecdhe "$sha1_old")"
write_policy
reload reloaded
check "without rules all are denied" held 403
check "and the log says so" grep -q 'migration_listener .* rules=0 note="no rule is for its clients' "$work/keyserver.log"
write_policy "deny edge=migration from=127.0.0.1" "$rule"
reload reloaded
check "a rule that denies them something" answered 403 "$denied_text" "$(ecdhe "$sha1_old")"
at='[::1]' check "and only that" answered 200 '"output"' "$(ecdhe "$sha1_old")"
ski / "$(ecdhe "$sha1_other")" | has '"output"' || fail "it is none of an edge's"
ok "edges are not concerned"
write_policy "$rule"
cp "$work/leaf.pem" "$work/server.pem"
reload reloaded
check "the connection has lasted through all of it" held 200

# ---- reloads under load, good and broken: no request fails
python3 - "$port" "$(ecdhe "$sha1_old")" "$work" >"$work/load.log" 2>&1 <<'PY' &
# Three clients ask without a pause until there is a file "stop". Every answer must be a 200.
import os, socket, ssl, sys, threading
port, body, work = int(sys.argv[1]), sys.argv[2].encode() + b"\n", sys.argv[3]
faults, served = [], [0] * 3
def run(i):
    try:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        s = ctx.wrap_socket(socket.create_connection(("127.0.0.1", port), 600))
        f = s.makefile("rb")
        while not os.path.exists(work + "/stop"):
            s.sendall(b"POST / HTTP/1.1\r\nHost: k\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            status, length = f.readline().split()[1], 0
            while (line := f.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert status == b"200" and b'"output"' in f.read(length)
            served[i] += 1
            if served[i] == 1:
                open(f"{work}/asking-{i}", "w").close()
    except Exception as e:
        faults.append(repr(e))
threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("served", served, "faults", faults)
sys.exit(bool(faults))
PY
load_pid=$!
pids+=("$load_pid")
asking() { [ -e "$work/asking-0" ] && [ -e "$work/asking-1" ] && [ -e "$work/asking-2" ]; }
wait_for 300 asking || fail "no load: $(cat "$work/load.log")"
for i in 1 2 3 4 5; do
    write_policy "# $i" "$rule"
    reload reloaded
    write_policy "${rule/methods=ECDHE/}"
    reload reload_failed
done
touch "$work/stop"
status=0
wait "$load_pid" || status=$?
[ "$status" = 0 ] || fail "under load: $(cat "$work/load.log")"
ok "reloads under load, good and broken"
write_policy "$rule"

# ---- limits
stop_keyserver
check "the audit log is whole" "$bin/keyserver" --verify-audit "$work/audit.log"
python3 - "$work/audit.log" <<'PY' || fail "audit lines"
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
ours = [l for l in lines if l.get("listener") == "migration"]
operations = [l for l in ours if "dialect" in l]
assert len(operations) > 50
assert all(l["dialect"] == "java" and l["edge"].startswith("migration") for l in operations)
assert {l["edge"] for l in operations} == {"migration", "migration:127.0.0.1", "migration:::1", "migration:127.0.0.2"}, {l["edge"] for l in operations}
assert {l.get("denied") for l in operations if l["edge"] == "migration"} == {"address"}
assert any(l["result"] == "ok" and l["policy_line"] == 3 for l in operations)
assert not any(l["edge"].startswith("migration") for l in lines if "edge" in l and l not in ours)
PY
ok "every line of such a request says so, and no other"
sed -i '0,/"listener":"migration"/s///' "$work/audit.log"
refuse "a line from which it was taken shows" "$bin/keyserver" --verify-audit "$work/audit.log"
rm "$work/audit.log"

start_keyserver --cert "$work/server.pem" --key "$work/server.key" --policy "$work/policy.conf" --migration-listen '127.0.0.1:0' --migration-max-connections 8 --idle-timeout 600s \
    --handshake-timeout 600s
port=$(sed -n 's/.* migration_listener addr=.*:\([0-9]*\) rules=.*/\1/p' "$work/keyserver.log")
python3 - "$port" "$ks" "$work" <<'PY' || fail "limits of connections"
import socket, ssl, sys
port, work = int(sys.argv[1]), sys.argv[3]
def come(source):
    return socket.create_connection(("127.0.0.1", port), 300, (source, 0))
def closed(s):
    s.settimeout(300)
    try:
        return s.recv(1) == b""
    except ConnectionError:
        return True
strangers = [come("127.0.0.2") for i in range(4)]
assert closed(come("127.0.0.3"))  # half for those on no list
good = [come("127.0.0.1") for i in range(4)]
assert closed(come("127.0.0.1"))  # and there are no more than that
host, edges = sys.argv[2].split(":")
ctx = ssl.create_default_context(cafile=work + "/pki/ca.pem")
ctx.load_cert_chain(work + "/pki/edge-edge-1.pem", work + "/pki/edge-edge-1.key")
ctx.check_hostname = False
s = ctx.wrap_socket(socket.create_connection((host, int(edges)), 300))
s.sendall(b"GET / HTTP/1.1\r\nHost: k\r\n\r\n")
assert s.recv(100).startswith(b"HTTP/1.1 404")  # edges have room
PY
ok "limits of connections: strangers, clients, edges"
check "the log says which limit" grep -q 'connections_rejected limit="\?addresses that the policy does not list' "$work/keyserver.log"
stop_keyserver

start_keyserver --policy "$work/policy.conf"
[ "$(curl -sS "http://$admin/status" | python3 -c 'import json,sys; print(json.load(sys.stdin)["migration"])')" = None ]
[ "$(metric ks_migration_rules)" = 0 ]
grep -q migration_ "$work/keyserver.log" && fail "it is off unless it is asked for"
ok "off unless asked for"
finish
