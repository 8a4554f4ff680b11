# Common to the end-to-end tests: own folder, own PKI, free ports, clean-up, logs shown on failure.
# A test sources it as `. lib.sh BIN`, then calls ok/fail/check, and ends with finish.
set -euo pipefail
bin=${1:?usage: test BIN-FOLDER}
bin=$(cd "$bin" && pwd)
export no_proxy="*" NO_PROXY="*" # everything here is on loopback
work=$(mktemp -d /tmp/mec-e2e.XXXXXX)
pids=()
passed=0

stop_all() {
    local pid
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}

# A test that has more to clean up, or something to keep, defines at_end. (A trap of its own would lose the exit status.)
cleanup() {
    local status=$?
    if declare -F at_end >/dev/null; then at_end || true; fi
    stop_all
    if [ "$status" -ne 0 ]; then
        local log
        for log in "$work"/*.log; do
            [ -f "$log" ] || continue
            echo "---- $(basename "$log") (last 40 lines)"
            tail -n 40 "$log" | cut -c1-400
        done
    fi
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'echo "not ok: line $LINENO: $BASH_COMMAND" >&2' ERR

ok() {
    passed=$((passed + 1))
    echo "ok $passed $1"
}

fail() {
    echo "not ok: $1" >&2
    exit 1
}

# COMMAND | has GREP-ARGUMENT...: as grep -q, but reads to the end: grep -q closes the pipe at its first match, and pipefail
# then reports the command that was still writing.
has() { grep "$@" | wc -l >/dev/null; }

# check NAME COMMAND...: the command must succeed.
check() {
    local name=$1
    shift
    "$@" || fail "$name"
    ok "$name"
}

# refuse NAME COMMAND...: the command must fail, but not by a signal.
refuse() {
    local name=$1 status=0
    shift
    "$@" >"$work/refused.out" 2>&1 || status=$?
    [ "$status" -ne 0 ] || fail "$name: succeeded"
    [ "$status" -lt 126 ] || fail "$name: exit status $status"
    ok "$name"
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local end=$(($(date +%s%N) + $1 * 1000000000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s%N)" -lt "$end" ] || return 1
        sleep 0.02
    done
}

finish() {
    echo "$passed checks passed"
}

# site NAME SUBJECT KEY-OPTIONS...: a self-signed certificate $work/site/NAME.pem and its key, for host NAME.test.
site() {
    local name=$1
    shift
    mkdir -p "$work/site"
    openssl req -x509 -nodes -days 30 -subj "/CN=$name.test" -addext "subjectAltName=DNS:$name.test" \
        -keyout "$work/site/$name.key" -out "$work/site/$name.pem" "$@" 2>/dev/null
}

make_pki() {
    "$bin/certs" pki --out "$work/pki" --server localhost --server 127.0.0.1 --edge edge-1 --edge edge-2 >"$work/pki.log"
    "$bin/certs" master-key --out "$work/master.key" >>"$work/pki.log"
}

import() {
    "$bin/certs" import --store "$work/store" --master-key "$work/master.key" "$@"
}

log_addr() { # log_addr LOG EVENT: the address of the last such event
    sed -n "s/.* $2 addr=\([^ ]*\).*/\1/p" "$1" | tail -n 1
}

has_addr() {
    [ -n "$(log_addr "$1" "$2")" ]
}

# start_keyserver [OPTION...]: sets ks_pid, ks (host:port) and admin. MEC_E2E_ENGINE names an RSA engine (--rsa-engine): portable sends
# every RSA operation through batches, slowly. The limits of time are not to be reached, however slow the machine: a test of them gives
# its own.
start_keyserver() {
    [ -z "${MEC_E2E_ENGINE:-}" ] || set -- --rsa-engine "$MEC_E2E_ENGINE" "$@"
    : >"$work/keyserver.log"
    "$bin/keyserver" --listen 127.0.0.1:0 --store "$work/store" --master-key "$work/master.key" \
        --cert "$work/pki/server.pem" --key "$work/pki/server.key" --client-ca "$work/pki/ca.pem" \
        --admin 127.0.0.1:0 --audit-log "$work/audit.log" --handshake-timeout 60s --request-timeout 60s --operation-timeout 60s --queue-delay 60s \
        "$@" 2>>"$work/keyserver.log" &
    ks_pid=$!
    pids+=("$ks_pid")
    wait_for 60 grep -q ' ready ' "$work/keyserver.log" || fail "the key server did not start"
    ks=$(log_addr "$work/keyserver.log" listening)
    admin=$(log_addr "$work/keyserver.log" admin_listening)
}

stop_keyserver() { # stop_keyserver [SIGNAL]
    kill "-${1:-TERM}" "$ks_pid"
    local status=0
    wait "$ks_pid" || status=$?
    if [ "${1:-TERM}" = TERM ] && [ "$status" -ne 0 ]; then
        fail "the key server ended with status $status"
    fi
}

# ski PATH JSON [CURL-OPTION...]: the body of the answer; the HTTP status goes to $work/http.
ski() {
    local path=$1 json=$2
    shift 2
    rm -f "$work/body" "$work/http"
    curl -sS --cacert "$work/pki/ca.pem" --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key" \
        -H 'Content-Type: application/json' --data-binary "$json" -o "$work/body" -w '%{http_code}' \
        "$@" "https://$ks$path" >"$work/http" || return
    cat "$work/body"
}

http_status() {
    cat "$work/http"
}

# member NAME <JSON: a string member of a flat object.
member() {
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"
}

spki_of() { # spki_of CERT: Base64 of SHA-256 of its SubjectPublicKeyInfo
    openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64 -w0
}

sha1_of() { # sha1_of CERT: upper-case hex of SHA-1 of its DER
    openssl x509 -in "$1" -noout -fingerprint -sha1 | sed 's/.*=//; s/://g'
}

metric() { # metric 'NAME{LABELS}'
    curl -sS "http://$admin/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}

# start_kvstore [OPTION...]: a server of the Redis protocol, ours with no special options; sets server_pid and $port.
# MEC_E2E_SERVER=redis takes redis-server itself instead, which shows that a test asks for nothing but what Redis does.
start_kvstore() {
    local log=$work/server.log
    : >"$log"
    if [ "${MEC_E2E_SERVER:-}" = redis ]; then
        start_redis "$log" "$@"
        return
    fi
    "$bin/kvstore" --dir "$work/db" --listen 127.0.0.1:0 "$@" 2>>"$log" &
    server_pid=$!
    pids+=("$server_pid")
    wait_for 60 grep -q ' ready ' "$log" || fail "kvstore did not start"
    port=$(log_addr "$log" listening | sed 's/.*://')
}

# start_kvstore_tls: the same with TLS, by the PKI that this makes; clients must show a certificate. Sets $tls_port, and tls_options for redis-cli and its like.
start_kvstore_tls() {
    "$bin/certs" pki --out "$work/pki" --server localhost --server 127.0.0.1 --edge edge-1 >"$work/pki.log"
    start_kvstore --tls-listen 127.0.0.1:0 --tls-cert "$work/pki/server.pem" --tls-key "$work/pki/server.key" --tls-ca "$work/pki/ca.pem"
    [ "${MEC_E2E_SERVER:-}" = redis ] || tls_port=$(log_addr "$work/server.log" tls_listening | sed 's/.*://')
    tls_options=(--tls --cacert "$work/pki/ca.pem" --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key")
}

# Below those that the kernel gives to connections and to port 0: one of them could be taken before it is used.
free_port() {
    python3 - <<'PY'
import random, socket
while True:
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(10000, 32000)))
    except OSError:
        continue
    print(s.getsockname()[1])
    break
PY
}

start_redis() { # start_redis LOG: options of ours become Redis's
    local log=$1 option=()
    shift
    port=$(free_port)
    while [ $# -gt 0 ]; do
        case $1 in
        --tls-listen) tls_port=$(free_port) && option+=(--tls-port "$tls_port") ;;
        --tls-cert) option+=(--tls-cert-file "$2") ;;
        --tls-key) option+=(--tls-key-file "$2") ;;
        --tls-ca) option+=(--tls-ca-cert-file "$2") ;;
        --password-file) option+=(--requirepass "$(cat "$2")") ;;
        *) fail "start_redis: $1" ;;
        esac
        shift 2
    done
    mkdir -p "$work/db"
    redis-server --save '' --dir "$work/db" --bind 127.0.0.1 --port "$port" "${option[@]}" "${redis_options[@]}" >>"$log" 2>&1 &
    server_pid=$!
    pids+=("$server_pid")
    wait_for 60 grep -q 'Ready to accept' "$log" || fail "redis-server did not start"
}

# start_cluster_node [OPTION...]: for clients of clusters. Ours is a cluster of one as it is, Redis must be told. Options are for ours.
start_cluster_node() {
    [ "${MEC_E2E_SERVER:-}" = redis ] || { start_kvstore "$@" && return; }
    redis_options=(--cluster-enabled yes --cluster-announce-ip 127.0.0.1 --cluster-port "$(free_port)")
    start_kvstore
    redis_options=()
    redis-cli -p "$port" cluster addslotsrange 0 16383 >/dev/null
    cluster_ok() { redis-cli -p "$port" cluster info | has cluster_state:ok; }
    wait_for 60 cluster_ok || fail "no cluster of one"
}

redis_options=()
stop_kvstore() { # SIGTERM; it must end well
    kill -TERM "$server_pid"
    local status=0
    wait "$server_pid" || status=$?
    [ "$status" -eq 0 ] || fail "the server ended with status $status"
}

# check_engine: with MEC_E2E_ENGINE=portable, every RSA operation of a size that has batches went through one, and no lane failed.
check_engine() {
    [ "${MEC_E2E_ENGINE:-}" = portable ] || return 0
    curl -sS "http://$admin/metrics" >"$work/engine.metrics"
    has -F 'ks_rsa_engine_info{engine="portable"} 1' "$work/engine.metrics" || fail "another engine runs"
    awk '/^ks_rsa_batches_total/ { n += $2 } END { exit n == 0 }' "$work/engine.metrics" || fail "no batches"
    awk '/^ks_rsa_singles_total{bits="[234]/ || /^ks_rsa_engine_(faults|refused)_total/ { n += $2 } END { exit n != 0 }' "$work/engine.metrics" ||
        fail "RSA operations outside of batches, or failed lanes: $(grep -E 'singles|faults|refused' "$work/engine.metrics")"
    ok "RSA operations went through batches"
}

# page_has_options PROGRAM PAGE: the manual page has an entry for each option of --help.
page_has_options() {
    local option missing=0
    for option in $("$bin/$1" --help | sed -n 's/^ *\(--[a-z-]*\).*/\1/p'); do
        has -F -e "\\fB${option//-/\\-}\\fR" "$2" && continue
        echo "$2 lacks $option" >&2
        missing=1
    done
    return "$missing"
}

# need_tool NAME PACKAGE: without it the test says SKIP and ends with 77.
need_tool() {
    command -v "$1" >/dev/null || skip "$1 is missing ($2)"
}

skip() {
    echo "SKIP: $1"
    exit 77
}
