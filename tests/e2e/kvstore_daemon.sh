#!/usr/bin/env bash
# The daemon kvstore: Redis clients over TCP and a Unix socket, kill -9, drain, reload, operators' port, and what it refuses.
. "$(dirname "$0")/lib.sh" "$@"
command -v redis-cli >/dev/null || fail "redis-cli is missing (Debian package redis-tools)"

log=$work/kvstore.log
start() { # start OPTION...: sets kv_pid; the log is in $log
    : >"$log"
    "$bin/kvstore" --dir "$work/db" "$@" 2>>"$work/kvstore.log" &
    kv_pid=$!
    pids+=("$kv_pid")
    wait_for 60 grep -q ' ready ' "$log" || fail "kvstore did not start"
    port=$(log_addr "$log" listening | sed 's/.*://')
}
stop() {
    kill -TERM "$kv_pid"
    local status=0
    wait "$kv_pid" || status=$?
    [ "$status" -eq 0 ] || fail "kvstore ended with status $status"
}
cli() { redis-cli -p "$port" "$@"; }
is() { [ "$(cat)" = "$1" ]; }

refuse "--check before there is a store" "$bin/kvstore" --dir "$work/db" --listen 127.0.0.1:0 --check
check "says so" has '^kvstore: store: ' "$work/refused.out"
check "and makes none" [ ! -e "$work/db/MANIFEST" ]

check "the manual page has every option" page_has_options kvstore "$(dirname "$0")/../../kvstore/kvstore.1"

# ---- TCP on loopback
start --listen 127.0.0.1:0 --admin 127.0.0.1:0 --memory 32mb
admin=$(log_addr "$work/kvstore.log" admin_listening)
cli set greeting hello | is OK
cli get greeting | is hello
ok "SET and GET over TCP"
for i in $(seq 200); do printf 'SET k%d v%d\r\n' "$i" "$i"; done | redis-cli -p "$port" --pipe >"$work/pipe.out"
cli dbsize | is 201
ok "a pipeline of 200"
[ "$(curl -sS "http://$admin/healthz")" = ok ]
[ "$(metric kv_keys)" = 201 ] && [ "$(metric kv_puts_total)" = 201 ] && [ "$(metric 'kv_gets_total{result="memory"}')" = 1 ]
[ "$(metric 'kv_commands_total{cmd="set"}')" = 201 ] && [ "$(metric 'kv_commands_total{cmd="get"}')" = 1 ] && [ "$(metric 'kv_commands_total{cmd="append"}')" = "" ]
cli config resetstat | is OK
[ "$(metric 'kv_commands_total{cmd="set"}')" = 201 ] && [ "$(metric 'kv_commands_total{cmd="config|resetstat"}')" = 1 ]
ok "commands by name"
curl -sS "http://$admin/status" | python3 -c '
import json, sys
s = json.load(sys.stdin)
assert s["state"] == "serving" and s["store"]["keys"] == 201 and s["store"]["limit_bytes"] == 32 << 20 and s["server"]["commands"] >= 203, s'
ok "metrics, status, healthz"
python3 - "$(dirname "$0")/../../kvstore/kv.h" <(curl -sS "http://$admin/status") <<'PY'
import json, re, sys
fields = re.search(r"struct kv_stats \{(.*?)\};", open(sys.argv[1]).read(), re.S).group(1)
fields = re.sub(r"//.*", "", fields)
names = {n.strip() for line in re.findall(r"(?:uint64_t|bool) ([^;]*);", fields) for n in line.split(",")}
have = set(json.load(open(sys.argv[2]))["store"])
assert names == have, names ^ have
PY
ok "every member of kv_stats is shown"
refuse "a second server on the folder" "$bin/kvstore" --dir "$work/db" --listen 127.0.0.1:0
check "--check while it runs" "$bin/kvstore" --dir "$work/db" --listen 127.0.0.1:0 --check

# ---- kill -9 and SIGTERM
kill -9 "$kv_pid"
{ wait "$kv_pid" || true; } 2>/dev/null
start --listen "unix:$work/kv.sock" --memory 32mb --fsync always
redis-cli -s "$work/kv.sock" get k200 | is v200
ok "everything is there after kill -9, over a Unix socket now"
[ "$(stat -c %a "$work/kv.sock")" = 600 ]
ok "which is its user's own"
stop
check "SIGTERM removes the socket" [ ! -e "$work/kv.sock" ]

# ---- a connection's share of little memory
memory_kib=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
start --listen 127.0.0.1:0 --memory 32mb --memory-reserve $(((memory_kib - 131072) * 1024))
for name in proto-max-bulk-len client-query-buffer-limit; do
    [ "$(cli config get $name | tail -1)" -le $((16 << 20)) ]
done
ok "a value or a command is at most an eighth of what the process may use"
[ "$(sed -n 's/.* listening .* output_limit=\([0-9]*\).*/\1/p' "$log" | tail -n 1)" -le $((16 << 20)) ]
ok "and so are waiting replies"
cli set small ok | is OK
[ "$(head -c 17000000 /dev/zero | cli -x set big 2>&1 | grep -c OK)" = 0 ]
cli get small | is ok
ok "what is larger is refused, and the server goes on"
stop

# ---- reload
printf 'memory = 16mb\nlog-level = info\n' >"$work/kv.ini"
log=$work/own.log
start --config "$work/kv.ini" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --log-file "$log"
admin=$(log_addr "$log" admin_listening)
limit_is() { [ "$(metric kv_store_limit_bytes)" = "$1" ]; }
check "the limit of the file" limit_is $((16 << 20))
printf 'memory = 24mb\nlog-level = debug\n' >"$work/kv.ini"
mv "$work/own.log" "$work/old.log"
kill -HUP "$kv_pid"
check "SIGHUP takes over another" wait_for 60 limit_is $((24 << 20))
check "and reopens the log" wait_for 60 grep -q ' reloaded ' "$work/own.log"
printf 'memory = lots\n' >"$work/kv.ini"
kill -HUP "$kv_pid"
check "a file that is wrong is refused" wait_for 60 grep -q 'reload_failed .*lots' "$work/own.log"
check "and all stays" limit_is $((24 << 20))
stop
ok "SIGTERM"

# ---- refusals
for addr in 0.0.0.0:0 '*:0' '[::]:0' 192.0.2.1:6379 nonsense 127.0.0.1; do
    refuse "--listen $addr" "$bin/kvstore" --dir "$work/db" --listen "$addr" --check
    has "^kvstore: --listen: " "$work/refused.out"
done
for bad in "--hit-goal 100" "--scaleup unix:/x" "--memory-min 2gb --memory-max 1gb" "--scaleup 127.0.0.1:1 --vnf a" "--memory-price 5"; do
    # shellcheck disable=SC2086
    refuse "$bad" "$bin/kvstore" --dir "$work/db" --listen 127.0.0.1:0 --check $bad
done
check "--check reads what is good" "$bin/kvstore" --dir "$work/db" --listen 127.0.0.1:0 --check
for file in "--password-file $work/none" "--masterauth-file $work/none --replicaof 127.0.0.1:1" "--replica-ca $work/none --replicaof 127.0.0.1:1" \
    "--tls-listen 127.0.0.1:0 --tls-cert $work/none --tls-key $work/none --tls-ca $work/none"; do
    # shellcheck disable=SC2086
    refuse "--check reads ${file%% *}" "$bin/kvstore" --dir "$work/db" --listen 127.0.0.1:0 --check $file
    check "and names the file" has "$work/none" "$work/refused.out"
done
status=0
"$bin/kvstore" --dir "$work/fresh" --listen "unix:$work/k.sock" --load "$work/none.rdb" --replicaof 127.0.0.1:1 2>"$work/refused.out" || status=$?
[ "$status" -eq 2 ] && [ ! -e "$work/fresh" ] || fail "--load with --replicaof: exit status $status"
check "--load with --replicaof is refused before anything is touched" has '^kvstore: --load: not with --replicaof: ' "$work/refused.out"
refuse "no --dir" "$bin/kvstore" --listen 127.0.0.1:0
refuse "a folder that cannot be" "$bin/kvstore" --listen 127.0.0.1:0 --dir "$work/kv.ini"
status=0
"$bin/kvstore" --nonsense 2>/dev/null || status=$?
check "usage errors end with 2" [ "$status" -eq 2 ]
"$bin/kvstore" --print-config >"$work/sample.ini"
check "--print-config" has '^# *listen = ' "$work/sample.ini"
finish
