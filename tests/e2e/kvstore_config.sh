#!/usr/bin/env bash
# CONFIG REWRITE and SHUTDOWN of the daemon: what clients set outlives a restart, what they may not set stays, and a file that cannot be written stays whole.
. "$(dirname "$0")/lib.sh" "$@"

need_tool redis-cli redis-tools

config=$work/kvstore.ini
socket=$work/kv.sock
cat >"$config" <<'EOF'
# Kept.
[kvstore]
; memory = 1gb
max-clients = 50
redis-set = slowlog-max-len 5
EOF
daemon=
start() {
    rm -f "$socket"
    "$bin/kvstore" --config "$config" --listen "unix:$socket" --dir "$work/store" 2>>"$work/kv.log" &
    daemon=$!
    pids+=("$daemon")
    wait_for 60 test -S "$socket" || fail "kvstore did not start: $(tail -n 3 "$work/kv.log")"
    wait_for 60 answers || fail "kvstore does not answer"
}
answers() { [ "$(cli ping 2>/dev/null)" = PONG ]; }
cli() { redis-cli -s "$socket" "$@"; }
value() { cli config get "$1" | sed -n 2p; }
is() { [ "$(value "$1")" = "$2" ] || fail "$1 is $(value "$1"), not $2"; }

start
is slowlog-max-len 5
is maxclients 50
cli config set maxclients 60 timeout 77 slowlog-max-len 9 hz 20 loglevel warning >"$work/out"
cli config rewrite >"$work/out"
cat >"$work/expected" <<'EOF'
# Kept.
[kvstore]
; memory = 1gb
max-clients = 60
redis-set = slowlog-max-len 9
idle-timeout = 77s
log-level = warn
redis-set = hz 20
EOF
check "CONFIG REWRITE changes what was set, and nothing else" cmp "$config" "$work/expected"
cli set key value >"$work/out"
cli shutdown >"$work/out"
wait "$daemon" || fail "the daemon ended with $? after SHUTDOWN"
ok "SHUTDOWN ends the daemon well"

start
is maxclients 60
is timeout 77
is slowlog-max-len 9
is hz 20
is loglevel warning
[ "$(cli get key)" = value ] || fail "what was written before SHUTDOWN is gone"
ok "and the next start has the values"

mv "$config" "$work/elsewhere"
cli config set hz 30 >"$work/out"
cli config rewrite >"$work/out"
check "a file that is gone is an error" has "Rewriting config file" "$work/out"
mv "$work/elsewhere" "$config"
check "and the file as it was" cmp "$config" "$work/expected"
cli shutdown nosave >"$work/out"
wait "$daemon" || fail "the daemon ended with $? after SHUTDOWN NOSAVE"

sed 's/^redis-set = hz 20/redis-set = databases 3/' "$work/expected" >"$config"
"$bin/kvstore" --config "$config" --listen "unix:$socket" --dir "$work/store" 2>"$work/out" && fail "a parameter that is fixed was taken"
check "a redis-set that cannot be is named" has "databases: it is fixed" "$work/out"
finish
