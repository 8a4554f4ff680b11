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

# start_keyserver [OPTION...]: sets ks_pid, ks (host:port) and admin.
start_keyserver() {
    : >"$work/keyserver.log"
    "$bin/keyserver" --listen 127.0.0.1:0 --store "$work/store" --master-key "$work/master.key" \
        --cert "$work/pki/server.pem" --key "$work/pki/server.key" --client-ca "$work/pki/ca.pem" \
        --admin 127.0.0.1:0 --audit-log "$work/audit.log" "$@" 2>>"$work/keyserver.log" &
    ks_pid=$!
    pids+=("$ks_pid")
    wait_for 20 grep -q ' ready ' "$work/keyserver.log" || fail "the key server did not start"
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
