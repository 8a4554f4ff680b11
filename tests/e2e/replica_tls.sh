#!/usr/bin/env bash
# A live replica of a real redis-server over TLS: full sync, stream and partial resync; whom it does not follow, and who does not let it follow.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/redis_lib.sh"
redis_program
umask 077

port=$(free_port)
k() { redis-cli -s "$work/kv.sock" "$@"; }
role() { k ROLE | sed -n "${1}p"; }
connected() { [ "$(role 4)" = connected ]; }
sum() { r INFO stats | tr -d '\r' | sed -n "s/^$1://p"; }
settle() {
    wait_for 90 connected || fail "$1: no link: $(k ROLE | tr '\n' ' ')"
    wait_for 60 same_data || fail "$1: $(diff "$work/theirs" "$work/ours" | head -n 3)"
}
primary() { # primary PKI [WHETHER-CLIENTS-SHOW-A-CERTIFICATE]
    start_redis --tls-port "$port" --tls-cert-file "$1/server.pem" --tls-key-file "$1/server.key" --tls-ca-cert-file "$1/ca.pem" \
        --tls-auth-clients "${2:-yes}" --repl-diskless-sync-delay 0 --repl-backlog-size 16mb
}
follow() { # follow PKI HOST [CLIENT-PKI]: as an edge of CLIENT-PKI, if the primary is PKI's
    start_kv --replicaof "$2:$port" --replica-ca "$1/ca.pem" --replica-cert "${3:-$1}/edge-edge-1.pem" --replica-key "${3:-$1}/edge-edge-1.key" --repl-timeout 10s
}
down_for() { # the link is down, for a reason of TLS that matches
    wait_for 60 grep -Eq "replica_link_down .*error=\"TLS: $1" "$work/kvstore.log" || fail "$2: $(grep replica_link "$work/kvstore.log" | tail -n 2)"
    ! connected || fail "$2: connected"
    [ "$(k GET kept)" = 1 ] || fail "$2: what was there is gone"
}

"$bin/certs" pki --out "$work/pki" --server localhost --server 127.0.0.1 --edge edge-1 >"$work/pki.log"
"$bin/certs" pki --out "$work/named" --server localhost --edge edge-1 >>"$work/pki.log"

# ---- sync and stream

primary "$work/pki"
fill "$work/redis.sock" 5000
mkdir -p "$work/kv"
follow "$work/pki" 127.0.0.1
settle "full sync"
ok "full sync over TLS of $(wc -l <"$work/ours") keys"
for n in $(seq 1 500); do echo "SET stream:$n $n"; done | r >/dev/null
settle "stream"
ok "the stream over TLS"
full=$(sum sync_full) partial=$(sum sync_partial_ok)
r CLIENT KILL TYPE replica >/dev/null
r SET kept 1 >/dev/null
settle "cut link"
[ "$(sum sync_full)" -eq "$full" ] && [ "$(sum sync_partial_ok)" -gt "$partial" ] || fail "a cut link: full $(sum sync_full), partial $(sum sync_partial_ok)"
ok "a link that was cut goes on by a partial resync"
stop_kv

# ---- whom it does not follow

: >"$work/kvstore.log"
follow "$work/named" 127.0.0.1 "$work/pki"
down_for "(self.signed|unable to get)" "a primary of another authority"
ok "a primary whose certificate another authority has signed is not followed; the data stays"
stop_kv
stop_redis
primary "$work/named"
r SET kept 2 >/dev/null
: >"$work/kvstore.log"
follow "$work/named" 127.0.0.1
down_for "(IP address|[Hh]ostname) mismatch" "a primary of another name"
ok "a primary whose certificate names another host is not followed; the data stays"
stop_kv

# ---- who does not let it follow

: >"$work/kvstore.log"
follow "$work/named" localhost "$work/pki"
wait_for 60 grep -q replica_link_down "$work/kvstore.log" || fail "a certificate that the primary does not know: no word"
! connected || fail "a certificate that the primary does not know"
[ "$(k GET kept)" = 1 ] || fail "a certificate that the primary does not know: what was there is gone"
ok "a certificate that the primary does not know: the link is down, the data stays"
stop_kv
: >"$work/kvstore.log"
start_kv --replicaof "localhost:$port" --repl-timeout 10s
wait_for 60 grep -q replica_link_down "$work/kvstore.log" || fail "in clear: no word"
[ "$(k GET kept)" = 1 ] || fail "in clear: what was there is gone"
ok "in clear to a port for TLS: the link is down, the data stays"
stop_kv
follow "$work/named" localhost
settle "by name"
[ "$(k GET kept)" = 2 ] || fail "by name: $(k GET kept)"
ok "by the name that the certificate has: followed"
stop_kv
stop_redis
primary "$work/pki" no
r SET kept 3 >/dev/null
start_kv --replicaof "127.0.0.1:$port" --replica-ca "$work/pki/ca.pem" --repl-timeout 10s
settle "no certificate of its own"
[ "$(k GET kept)" = 3 ] || fail "no certificate of its own: $(k GET kept)"
ok "a primary that asks for no certificate is followed without one"
stop_kv
stop_redis

# ---- options

for bad in "--replica-cert $work/pki/edge-edge-1.pem" "--replica-cert $work/pki/edge-edge-1.pem --replica-key $work/pki/edge-edge-1.key" "--replica-key $work/pki/edge-edge-1.key --replica-ca $work/pki/ca.pem"; do
    # shellcheck disable=SC2086
    refuse "one without the others" "$bin/kvstore" --dir "$work/kv" --listen "unix:$work/kv.sock" --replicaof 127.0.0.1:1 $bad --check
    has '^kvstore: --replica-cert, --replica-key: expected both or none, and --replica-ca with them' "$work/refused.out"
done
refuse "a key of another certificate" timeout 60 "$bin/kvstore" --dir "$work/kv" --listen "unix:$work/kv.sock" --replicaof 127.0.0.1:1 \
    --replica-cert "$work/pki/edge-edge-1.pem" --replica-key "$work/named/edge-edge-1.key" --replica-ca "$work/pki/ca.pem"
check "names the file" has "$work/named/edge-edge-1.key" "$work/refused.out"
finish
