#!/usr/bin/env bash
# redis-cli as people use it: non-interactive, at a terminal, its scanning and watching modes, --pipe, --rdb, RESP3, AUTH, TLS.
. "$(dirname "$0")/lib.sh" "$@"
need_tool redis-cli "Debian package redis-tools"
need_tool redis-server "Debian package redis-server: it loads what --rdb wrote"
is() {
    local got
    got=$(cat)
    [ "$got" = "$1" ] || { echo "found '$got', expected '$1'" >&2 && return 1; }
}
start_kvstore
cli() { redis-cli -p "$port" "$@"; }

# ---- one command a call
cli set greeting "hello world" | is OK
cli get greeting | is "hello world"
cli get nothing | is ""
cli --no-raw get nothing | is "(nil)"
cli --no-raw incr counter | is "(integer) 1"
printf 'a\r\n\0b' | cli -x set binary | is OK
cli --no-raw get binary | is '"a\r\n\x00b"'
cli -n 3 set there 1 | is OK
cli -n 3 dbsize | is 1
cli -n 1 dbsize | is 0
cli -r 3 incr counter | tail -n 1 | is 4
printf 'MULTI\nSET m 1\nINCR m\nEXEC\n' | cli | tr '\n' ' ' | is "OK QUEUED QUEUED OK 2 "
cli --json get greeting | is '"hello world"'
cli -3 --no-raw hello 3 | has '"proto" => (integer) 3'
cli -e nosuch 2>"$work/err" && fail "an error with -e"
has "unknown command" "$work/err"
ok "commands, binary values, databases, MULTI, RESP3, --json, errors"

# ---- at a terminal: hints and help come from COMMAND DOCS, completion by TAB
python3 "$(dirname "$0")/terminal.py" redis-cli -p "$port" >"$work/terminal.log" || { cat "$work/terminal.log" && fail "terminal"; }
ok "interactive: prompt, completion, hints, help, SELECT in the prompt, MULTI in the prompt, subscribing"

# ---- mass insertion
python3 -c '
for i in range(10000):
    words = ["SET", f"mass:{i}", "v" * (i % 100)]
    print(f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words), end="")' >"$work/mass.resp"
cli --pipe <"$work/mass.resp" >"$work/pipe.out"
has 'errors: 0, replies: 10000' "$work/pipe.out"
cli strlen mass:99 | is 99
ok "--pipe, 10,000 keys"

# ---- looking around
[ "$(cli --scan --pattern 'mass:99*' | sort | uniq | wc -l)" -eq 111 ] || fail "--scan --pattern"
[ "$(cli --scan | sort | uniq | wc -l)" -ge 10004 ] || fail "--scan"
cli --bigkeys >"$work/bigkeys.out"
has "Sampled 100[0-9][0-9] keys in the keyspace" "$work/bigkeys.out"
has "Biggest string found .* has 99 bytes" "$work/bigkeys.out"
cli --memkeys >"$work/memkeys.out"
has "Sampled 100[0-9][0-9] keys in the keyspace" "$work/memkeys.out"
ok "--scan, --bigkeys, --memkeys"
timeout 120 redis-cli -p "$port" --latency -i 1 --raw </dev/null >"$work/latency.out" &
pids+=($!)
latency=${pids[-1]}
stdbuf -oL redis-cli -p "$port" --stat -i 0.5 </dev/null >"$work/stat.out" &
pids+=($!)
wait_for 60 grep '^100[0-9][0-9] ' "$work/stat.out" || fail "--stat: $(cat "$work/stat.out")"
kill "${pids[-1]}"
wait "$latency" || fail "--latency ended with an error"
has '^[0-9. ]*$' "$work/latency.out"
ok "--latency, --stat"
cli info >"$work/info.out"
for field in redis_version redis_mode tcp_port uptime_in_seconds connected_clients used_memory maxmemory total_connections_received role; do
    has "^$field:" "$work/info.out"
done
ok "INFO"

# ---- a dump that redis-server loads
cli set kept forever ex 1000000 | is OK
cli --rdb "$work/dump.rdb" >"$work/rdb.log" 2>&1
mkdir "$work/loaded"
cp "$work/dump.rdb" "$work/loaded/dump.rdb"
redis-server --port 0 --unixsocket "$work/loaded.sock" --dir "$work/loaded" --save '' >"$work/loaded.log" 2>&1 &
pids+=($!)
wait_for 60 redis-cli -s "$work/loaded.sock" ping || fail "redis-server did not load the dump"
loaded() { redis-cli -s "$work/loaded.sock" "$@"; }
[ "$(loaded dbsize)" = "$(cli dbsize)" ] || fail "the dump has not all keys"
loaded get greeting | is "hello world"
loaded -n 3 get there | is 1
loaded strlen mass:99 | is 99
[ "$(loaded ttl kept)" -gt 900000 ] || fail "the dump has not the time to live"
ok "--rdb: redis-server has all keys of all databases, with their times"
stop_kvstore

# ---- a cluster of one
mv "$work/db" "$work/db.plain"
start_cluster_node --cluster-enabled yes
cli -c set in-cluster 1 | is OK
cli -c get in-cluster | is 1
timeout 60 redis-cli --cluster check "127.0.0.1:$port" >"$work/check.out" || { cat "$work/check.out" && fail "--cluster check"; }
has "All 16384 slots covered" "$work/check.out"
ok "-c, --cluster check"
stop_kvstore
rm -r "$work/db"
mv "$work/db.plain" "$work/db"

# ---- AUTH
echo -n 'hunter2 long' >"$work/password"
chmod 600 "$work/password"
start_kvstore --password-file "$work/password"
cli get greeting 2>&1 | has NOAUTH
cli --no-auth-warning -a wrong get greeting 2>&1 | has WRONGPASS
cli --no-auth-warning -a 'hunter2 long' ping | is PONG
cli --no-auth-warning --user default --pass 'hunter2 long' -3 ping | is PONG
REDISCLI_AUTH='hunter2 long' redis-cli -p "$port" ping | is PONG
redis-cli -u "redis://default:hunter2%20long@127.0.0.1:$port/2" set in-two 1 | is OK
ok "AUTH: by -a, --user, environment and URI; without it and with a wrong one refused"
stop_kvstore

# ---- TLS
start_kvstore_tls
tls() { redis-cli -p "$tls_port" "${tls_options[@]}" "$@"; }
tls ping | is PONG
head -c 300000 /dev/zero | tr '\0' x | tls -x set large | is OK
tls strlen large | is 300000
[ "$(tls get large | wc -c)" -eq 300001 ] || fail "a large value over TLS"
cli strlen large | is 300000
timeout 20 redis-cli -p "$tls_port" ping >"$work/clear.out" 2>&1 </dev/null || true
grep -q PONG "$work/clear.out" && fail "an answer in clear"
timeout 20 redis-cli -p "$tls_port" --tls --cacert "$work/pki/ca.pem" ping >"$work/uncertified.out" 2>&1 </dev/null || true
grep -q PONG "$work/uncertified.out" && fail "an answer without a certificate"
ok "TLS; nothing in clear, nothing without a certificate"
stop_kvstore
finish
