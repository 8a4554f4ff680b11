#!/usr/bin/env bash
# A live replica of a real redis-server: full sync under writes, crashes of both sides, links that break, and becoming the primary.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/redis_lib.sh"
redis_program

port=$(free_port)
primary() {
    start_redis --port "$port" --requirepass hunter2 --repl-diskless-sync-delay 0 --repl-backlog-size 16mb --repl-ping-replica-period 1 "$@"
    r ACL SETUSER mover on '>pass2' '~*' '&*' +@all >/dev/null
}
export REDISCLI_AUTH=hunter2
k() { env -u REDISCLI_AUTH redis-cli -s "$work/kv.sock" "$@"; }
role() { k ROLE | sed -n "${1}p"; }
connected() { [ "$(role 4)" = connected ]; }
info() { r INFO "$1" | tr -d '\r' | sed -n "s/^$2://p"; }
caught_up() { connected && [ "$(role 5)" -ge "$(info replication master_repl_offset)" ]; }
sum() { r INFO stats | tr -d '\r' | sed -n "s/^$1://p"; }
settle() { # what the primary has now, we have, too
    wait_for 90 caught_up || fail "$1: did not catch up: $(k ROLE | tr '\n' ' '), primary at $(info replication master_repl_offset)"
    wait_for 60 same_data_as_primary || fail "$1: $(diff "$work/theirs" "$work/ours" | head -n 3)"
}
same_data_as_primary() {
    listing "$work/redis.sock" hunter2 >"$work/theirs"
    listing "$work/kv.sock" >"$work/ours"
    cmp -s "$work/theirs" "$work/ours"
}
writer() { # writes until the file goes away
    while [ -e "$work/write" ]; do
        for n in $(seq 1 50); do
            echo "SET w:$((RANDOM % 500)) $RANDOM$RANDOM"
            echo "SET e:$((RANDOM % 200)) v EX 3000"
            echo "DEL w:$((RANDOM % 500))"
            echo "PEXPIRE key:$((RANDOM % 5000)) 90000000"
        done | r >/dev/null 2>&1 || true
    done
}

# ---- full sync while a client writes

primary
fill "$work/redis.sock" 20000
r RPUSH list a b >/dev/null
touch "$work/write"
writer &
pids+=($!)
writing=$!
echo pass2 >"$work/password"
chmod 600 "$work/password"
mkdir -p "$work/kv"
start_kv
k SET stale 1 | has OK
stop_kv
start_kv --replicaof "127.0.0.1:$port" --masteruser mover --masterauth-file "$work/password" --repl-timeout 5s
wait_for 60 connected || fail "no link: $(k ROLE | tr '\n' ' ')"
sleep 1
rm "$work/write"
wait "$writing" || true
r DEL list >/dev/null
settle "full sync"
[ -z "$(k GET stale)" ] || fail "what was there before is still there"
grep -q 'replica_loaded .*other_types="1 list"' "$work/kvstore.log" || fail "the list is not named"
ok "full sync of $(wc -l <"$work/ours") keys while a client writes: the same data"
k SET x 1 2>&1 | has "READONLY You can't write against a read only replica."
[ "$(role 1)" = slave ] && [ "$(role 3)" = "$port" ] || fail "ROLE"
r ROLE | has slave || r INFO replication | has 'slave0:.*state=online' || fail "the primary does not see us online"
r SADD set a >/dev/null
r SADD set b >/dev/null
r SET after-a-set 1 >/dev/null
wait_for 60 eval '[ "$(k GET after-a-set)" = 1 ]' || fail "the stream stops at another type"
[ "$(grep -c 'replica_command_skipped command="[sS][aA][dD][dD]"' "$work/kvstore.log")" -eq 1 ] || fail "SADD is not named once"
r DEL set >/dev/null
ok "clients cannot write; commands of other types are named once and passed over"
sleep 7
connected || fail "a quiet link is not kept"
full_before=$(sum sync_full)
ok "a quiet link is kept"

# ---- links that break

partial=$(sum sync_partial_ok)
r CLIENT KILL TYPE replica >/dev/null
r SET after-kill 1 >/dev/null
settle "cut link"
[ "$(sum sync_partial_ok)" -gt "$partial" ] && [ "$(sum sync_full)" -eq "$full_before" ] || fail "a cut link: full $(sum sync_full), partial $(sum sync_partial_ok)"
ok "a link that was cut goes on by a partial resync"

partial=$(sum sync_partial_ok)
kill -STOP "$redis"
wait_for 60 eval '! connected' || fail "a silent primary is not noticed"
kill -CONT "$redis"
r SET after-stop 1 >/dev/null
settle "silent primary"
[ "$(sum sync_partial_ok)" -gt "$partial" ] || fail "silent primary: no partial resync"
ok "a primary that is silent for too long is left, then followed on"

# ---- our end

partial=$(sum sync_partial_ok)
r -n 3 SET before-restart 1 >/dev/null
settle "before restart"
stop_kv
r -n 3 SET while-away 1 >/dev/null
r -n 3 SET while-away-2 1 >/dev/null
start_kv --replicaof "127.0.0.1:$port" --masteruser mover --masterauth-file "$work/password" --repl-timeout 5s
settle "restart"
[ "$(sum sync_partial_ok)" -gt "$partial" ] && [ "$(sum sync_full)" -eq "$full_before" ] || fail "a restart: full $(sum sync_full), partial $(sum sync_partial_ok)"
ok "a restart goes on by a partial resync"
stop_kv KILL
r SET after-crash 1 >/dev/null
start_kv --replicaof "127.0.0.1:$port" --masteruser mover --masterauth-file "$work/password" --repl-timeout 5s
settle "crash"
[ "$(sum sync_full)" -gt "$full_before" ] || fail "after a crash nobody knows what was carried out: a full resync is due"
ok "a crash is followed by a full resync"

# ---- the primary restarts (another history), with a file of its own

r SAVE | has OK
kill -9 "$redis"
wait "$redis" 2>/dev/null || true
primary
r SET second-life 1 >/dev/null
settle "primary restarted"
ok "a primary that restarted is followed"

# ---- refused, then by command

k REPLICAOF no one | has OK
k SET own 1 | has OK
[ "$(role 1)" = master ] || fail "ROLE of a primary"
[ -n "$(k GET second-life)" ] || fail "lost by REPLICAOF NO ONE"
ok "REPLICAOF NO ONE: a primary with all data, written to by clients"
r SET unseen 1 >/dev/null
sleep 0.5
[ -z "$(k GET unseen)" ] || fail "the stream goes on"
k REPLICAOF 127.0.0.1 x 2>&1 | has 'ERR Invalid master port'
k SLAVEOF 127.0.0.1 "$port" | has '^OK$'
k REPLICAOF 127.0.0.1 "$port" | has 'OK Already connected to specified master'
settle "by command"
[ -z "$(k GET own)" ] || fail "what was written meanwhile is still there"
ok "REPLICAOF by command"
nobody=$(free_port)
k REPLICAOF 127.0.0.1 "$nobody" | has OK
wait_for 60 grep -q "replica_link_down .*port=$nobody error=\"connect: Connection refused\"" "$work/kvstore.log" || fail "refused connection"
[ "$(k GET unseen)" = 1 ] || fail "data is served without a link"
[ "$(role 4)" != connected ] || fail "ROLE without a link"
ok "a primary that is not there: told, tried again, the data served"
k REPLICAOF NO ONE | has OK
stop_kv
stop_redis
! grep -E 'pass2|hunter2' "$work/kvstore.log" || fail "a password in the log"
ok "no password in the log"
finish
