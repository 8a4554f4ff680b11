#!/usr/bin/env bash
# Keys kept as their primes: handshakes with them, recoding both ways with and without a key server in between, the same files exported
# byte for byte, and kill -9 in the middle of it all. MEC_E2E_SCALE=N divides the number of kills.
. "$(dirname "$0")/lib.sh" "$@"

rsa="rsa2048 rsa3072 rsa4096"
make_pki
for name in $rsa; do site "$name" -newkey "rsa:${name#rsa}"; done
site p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
import --encoding compact "$work/site" >"$work/import.log"

certs() { # certs COMMAND [OPTION...]
    local command=$1
    shift
    "$bin/certs" "$command" --store "$work/store" --master-key "$work/master.key" "$@"
}
encoding() { # encoding SITE
    "$bin/certs" show --store "$work/store" --json "$work/site/$1.pem" | member encoding
}
bytes() { # bytes SITE
    "$bin/certs" show --store "$work/store" --json "$work/site/$1.pem" | sed 's/.*"bytes":\([0-9]*\).*/\1/'
}
all_are() { # all_are ENCODING: the RSA keys
    local name
    for name in $rsa; do [ "$(encoding "$name")" = "$1" ] || return 1; done
    [ "$(encoding p256)" = pkcs8 ]
}
same_files() { # what is exported is what was imported
    local name
    for name in $rsa p256; do
        certs export --force --out "$work/exported" "$work/site/$name.pem" >/dev/null && cmp "$work/exported" "$work/site/$name.key" || return 1
    done
}

check "certs import --encoding compact" all_are compact
check "an RSA-4096 key and its certificate in 650 bytes" test "$(bytes rsa4096)" -lt 650
check "the files come back byte for byte" same_files
check "certs verify --deep" certs verify --deep
certs verify | has '^3 keys are compact$'
ok "certs verify counts them"

# ---- served
mkdir "$work/www"
echo "hello from the edge" >"$work/www/index.html"
start_edge() {
    local name sites=()
    for name in $rsa p256; do sites+=(--site "$work/site/$name.pem"); done
    : >"$work/edge.log"
    "$bin/edge-sim" serve --listen 127.0.0.1:0 --keyserver "https://$ks" --cert "$work/pki/edge-edge-1.pem" \
        --key "$work/pki/edge-edge-1.key" --ca "$work/pki/ca.pem" "${sites[@]}" --root "$work/www" 2>>"$work/edge.log" &
    edge_pid=$!
    pids+=("$edge_pid")
    wait_for 60 has_addr "$work/edge.log" listening || fail "the edge did not start"
    edge=$(log_addr "$work/edge.log" listening)
}
page() { # page SITE [CURL-OPTION...]
    local name=$1
    shift
    [ "$(curl -sS --max-time 30 --cacert "$work/site/$name.pem" --resolve "$name.test:${edge##*:}:127.0.0.1" "$@" \
        "https://$name.test:${edge##*:}/")" = "hello from the edge" ]
}
all_pages() {
    local name
    for name in $rsa; do
        page "$name" --tls-max 1.2 --ciphers AES128-GCM-SHA256 || return 1
        page "$name" --tls-max 1.2 --ciphers ECDHE-RSA-AES256-GCM-SHA384 || return 1
        page "$name" --tlsv1.3 || return 1
    done
    page p256 --tlsv1.3
}
start_keyserver
start_edge
check "handshakes with compact keys: TLS_RSA, ECDHE-RSA, TLS 1.3" all_pages

# ---- recoded through the running server, which goes on serving
certs recode --encoding pkcs8 >"$work/recode.log"
check "recoded to PKCS#8 through the key server" all_are pkcs8
check "handshakes after it" all_pages
certs recode --encoding compact "$work/site/rsa4096.pem" >>"$work/recode.log"
check "one key by its certificate" test "$(encoding rsa4096) $(encoding rsa2048)" = "compact pkcs8"
certs recode --encoding compact >"$work/recode.log"
has '^recoded 2, unchanged 1, whole 1, faults 0; ' <"$work/recode.log"
check "the rest, and what stayed whole" has '^1 kept whole: no RSA key$' <"$work/recode.log"
check "handshakes again" all_pages
refuse "a key that is not there" certs recode --encoding compact "$work/pki/server.pem"
"$bin/certs" master-key --out "$work/other.key" >>"$work/pki.log"
refuse "another master key" "$bin/certs" recode --store "$work/store" --encoding pkcs8 --master-key "$work/other.key"
check "and nothing is changed by it" all_are compact

# A key that is deleted while it is recoded does not come back.
(
    while [ ! -e "$work/enough" ]; do
        certs recode --encoding pkcs8 && certs recode --encoding compact
    done >"$work/loop.log" 2>&1
) &
loop=$!
pids+=("$loop")
for i in $(seq 1 10); do
    "$bin/certs" delete --store "$work/store" "$work/site/rsa2048.pem" >>"$work/delete.log"
    sleep 0.05
    ! "$bin/certs" show --store "$work/store" "$work/site/rsa2048.pem" >/dev/null 2>&1 || fail "round $i: a deleted key came back"
    import --encoding compact "$work/site/rsa2048.pem" "$work/site/rsa2048.key" >>"$work/delete.log"
done
touch "$work/enough"
wait "$loop" || fail "recoding beside deleting: $(tail -n 3 "$work/loop.log")"
ok "a key that is deleted while it is recoded stays deleted"
check "verify" certs verify --deep
check "the same files" same_files
kill "$edge_pid"
stop_keyserver

# ---- kill -9
mkdir "$work/many"
make_many() { for i in $(seq "$1" 2 80); do openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/many/$i.key" 2>/dev/null; done; }
make_many 1 &
other=$!
make_many 2
wait "$other"
rm -rf "$work/store"
import "$work/many" >"$work/import.log"
judge() { # every key is there and whole; what was reported as recoded has that encoding
    certs verify >"$work/verify.out" 2>&1 || fail "round $1: $(tail -n 3 "$work/verify.out")"
    has '^keys 80, aliases 0, faults 0$' <"$work/verify.out" || fail "round $1: $(cat "$work/verify.out")"
    "$bin/certs" list --store "$work/store" --json >"$work/list.json"
    python3 - "$work/list.json" "$work/reported" "$2" <<'PY' || fail "round $1"
import json, sys
encodings = {key["spki"]: key["encoding"] for key in json.load(open(sys.argv[1]))}
for line in open(sys.argv[2], errors="replace"):
    try:
        entry = json.loads(line)
    except ValueError:
        continue
    if entry.get("result") == "recoded" and encodings[entry["spki"]] != sys.argv[3]:
        sys.exit("reported and not so: " + entry["spki"])
PY
}
kills=$((16 / ${MEC_E2E_SCALE:-1}))
to=pkcs8
for i in $(seq 1 "$kills"); do
    case $to in pkcs8) to=compact ;; *) to=pkcs8 ;; esac
    [ $((i % 2)) -ne 0 ] || start_keyserver
    certs recode --json --encoding "$to" >"$work/reported" 2>>"$work/recode.log" &
    recode_pid=$!
    sleep "0.$(printf %03d $((RANDOM % 400)))"
    if [ $((i % 2)) -eq 0 ]; then stop_keyserver KILL 2>/dev/null || true; else kill -9 "$recode_pid" 2>/dev/null || true; fi
    wait "$recode_pid" 2>/dev/null || true
    judge "$i" "$to"
done
ok "$kills times kill -9 of certs recode, or of the key server that it goes through"
certs recode --encoding compact | tail -n 1 | has 'whole 0, faults 0'
for key in "$work"/many/*.key; do
    openssl pkey -in "$key" -pubout -outform DER | openssl dgst -sha256 -binary | base64 -w0 >"$work/name"
    certs export --force --out "$work/exported" "$(cat "$work/name")" >/dev/null
    cmp "$work/exported" "$key"
done
ok "every key is exported as it was imported"
finish
