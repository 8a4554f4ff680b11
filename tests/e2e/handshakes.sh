#!/usr/bin/env bash
# The main job: real clients fetch a page over HTTPS from an edge that holds certificates only; the key server does the private-key operations.
. "$(dirname "$0")/lib.sh" "$@"

make_pki
site rsa2048 -newkey rsa:2048
site rsa3072 -newkey rsa:3072
site rsa4096 -newkey rsa:4096
site p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
site p384 -newkey ec -pkeyopt ec_paramgen_curve:P-384
site both -newkey rsa:2048
openssl req -x509 -nodes -days 30 -subj "/CN=both.test" -addext "subjectAltName=DNS:both.test" -newkey ec \
    -pkeyopt ec_paramgen_curve:P-256 -keyout "$work/site/both-ec.key" -out "$work/site/both-ec.pem" 2>/dev/null
import "$work/site" >"$work/import.log"

# The edge gets certificates; the only other copies of the keys are gone before it starts.
mkdir "$work/edge" "$work/www"
cp "$work"/site/*.pem "$work/edge/"
rm "$work"/site/*.key
grep -rl 'PRIVATE KEY' "$work/edge" && fail "a private key at the edge"
echo "hello from the edge" >"$work/www/index.html"
head -c 300000 /dev/urandom >"$work/www/big.bin"
start_keyserver

start_edge() { # start_edge [OPTION...]
    local site sites=()
    for site in "$work"/edge/*.pem; do sites+=(--site "$site"); done
    : >"$work/edge.log"
    "$bin/edge-sim" serve --listen 127.0.0.1:0 --keyserver "https://$ks" --cert "$work/pki/edge-edge-1.pem" \
        --key "$work/pki/edge-edge-1.key" --ca "$work/pki/ca.pem" "${sites[@]}" --root "$work/www" "$@" 2>>"$work/edge.log" &
    edge_pid=$!
    pids+=("$edge_pid")
    wait_for 60 has_addr "$work/edge.log" listening || fail "the edge did not start"
    edge=$(log_addr "$work/edge.log" listening)
}
start_edge

fetch() { # fetch SITE [CURL-OPTION...]
    local name=$1 cert=${cert:-$1}
    shift
    curl -sS --max-time 20 --cacert "$work/edge/$cert.pem" --resolve "$name.test:${edge##*:}:127.0.0.1" "$@" "https://$name.test:${edge##*:}/"
}
page() { [ "$(fetch "$@")" = "hello from the edge" ]; }

for name in rsa2048 rsa3072 rsa4096; do
    check "curl: TLS_RSA, $name" page "$name" --tls-max 1.2 --ciphers AES128-GCM-SHA256
    check "curl: ECDHE-RSA, $name" page "$name" --tls-max 1.2 --ciphers ECDHE-RSA-AES256-GCM-SHA384
    check "curl: TLS 1.3, $name" page "$name" --tlsv1.3
done
for name in p256 p384; do
    check "curl: ECDHE-ECDSA, $name" page "$name" --tls-max 1.2 --ciphers ECDHE-ECDSA-AES128-GCM-SHA256
    check "curl: TLS 1.3, $name" page "$name" --tlsv1.3
done
cert=both check "one name, two keys: RSA" page both --tls-max 1.2 --ciphers ECDHE-RSA-AES128-GCM-SHA256
cert=both-ec check "one name, two keys: ECDSA" page both --tls-max 1.2 --ciphers ECDHE-ECDSA-AES128-GCM-SHA256

s_client() { # s_client SITE CIPHER [OPTION...]: a page over openssl s_client; the suite must be the one asked for
    local name=$1 cipher=$2
    shift 2
    rm -f "$work/s_client.out"
    { printf 'GET / HTTP/1.1\r\nHost: %s.test\r\nConnection: close\r\n\r\n' "$name"; wait_for 60 grep -q 'hello from the edge' "$work/s_client.out" || true; } |
        openssl s_client -connect "$edge" -servername "$name.test" -CAfile "$work/edge/$name.pem" "$@" >"$work/s_client.out" 2>&1 || true
    grep -q "hello from the edge" "$work/s_client.out" && grep -q "Cipher is $cipher" "$work/s_client.out" &&
        grep -q 'Verify return code: 0' "$work/s_client.out"
}
check "openssl s_client: TLS_RSA" s_client rsa2048 AES256-GCM-SHA384 -tls1_2 -cipher AES256-GCM-SHA384
check "openssl s_client: ECDHE-RSA" s_client rsa4096 ECDHE-RSA-AES128-GCM-SHA256 -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256
check "openssl s_client: ECDHE-RSA with PSS" s_client rsa2048 ECDHE-RSA-AES128-GCM-SHA256 -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -sigalgs rsa_pss_rsae_sha384
check "openssl s_client: ECDHE-ECDSA" s_client p256 ECDHE-ECDSA-AES256-GCM-SHA384 -tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384

curl -sS --max-time 20 --cacert "$work/edge/rsa2048.pem" --resolve "rsa2048.test:${edge##*:}:127.0.0.1" "https://rsa2048.test:${edge##*:}/big.bin" -o "$work/big"
check "a large file arrives whole" cmp "$work/big" "$work/www/big.bin"

# Many users at once.
for i in $(seq 1 40); do
    page rsa2048 --tls-max 1.2 &
    fetches[i]=$!
done
for i in $(seq 1 40); do wait "${fetches[i]}" || fail "one of 40 users at once got no page"; done
ok "40 users at once"

# The key server goes away and comes back: users wait or fail meanwhile, and are served again.
stop_keyserver KILL
refuse "no page without the key server" page rsa2048 --tls-max 1.2 --max-time 8
start_keyserver --listen "$ks"
wait_for 60 page rsa2048 --tls-max 1.2 || fail "no page after the key server came back"
ok "the edge finds the key server again"

# An edge must not be given keys.
openssl req -x509 -nodes -days 2 -subj /CN=x.test -newkey rsa:2048 -keyout "$work/x.pem" -out "$work/xc.pem" 2>/dev/null
cat "$work/xc.pem" >>"$work/x.pem"
refuse "the edge refuses a --site file with a private key" timeout 10 "$bin/edge-sim" serve --listen 127.0.0.1:0 --keyserver "https://$ks" \
    --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key" --ca "$work/pki/ca.pem" --site "$work/x.pem" --root "$work/www"

# Load, checked answer by answer.
load() {
    "$bin/edge-sim" load ski --keyserver "https://$ks" --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key" \
        --ca "$work/pki/ca.pem" --site "$work/edge/rsa2048.pem" --site "$work/edge/rsa4096.pem" --site "$work/edge/p256.pem" \
        --connections 8 --duration 2s --json "$work/load.json" "$@" >"$work/load.log" 2>&1
}
check "edge-sim load ski: closed loop, every answer right" load --method mix --in-flight 4
check "edge-sim load ski: open loop" load --rate 100
python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$work/load.json"
kill -TERM "$edge_pid"
wait "$edge_pid"
ok "the edge stops on SIGTERM"
check_engine
stop_keyserver
finish
