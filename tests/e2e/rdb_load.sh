#!/usr/bin/env bash
# Moving a data set in and out as an RDB: kvstore --load, SAVE, BGSAVE, redis-cli --rdb, against a real redis-server.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/redis_lib.sh"
redis_program

# ---- in

start_redis
fill "$work/redis.sock" 5000
r RPUSH list a b >/dev/null
r HSET hash f v >/dev/null
r -n 3 ZADD zset 1 a >/dev/null
r DEBUG SET-ACTIVE-EXPIRE 0 >/dev/null
r SET late 1 PX 1500 >/dev/null
r SAVE | has OK
sleep 1.6
start_kv --load "$work/redis/dump.rdb" --fsync always
grep -q 'load_done .*keys=5000 .*expired=1 other_types="1 list, 1 sorted set, 1 hash"' "$work/kvstore.log" || fail "$(grep load_ "$work/kvstore.log")"
r DEL late list hash >/dev/null
r -n 3 DEL zset >/dev/null
same_data || fail "loaded: $(diff "$work/theirs" "$work/ours" | head -n 3)"
ok "a file of Redis is loaded: $(wc -l <"$work/ours") keys of 3 databases"
k SET key:1 changed >/dev/null
k SET own 1 >/dev/null
stop_kv
start_kv --load - <"$work/redis/dump.rdb"
[ "$(k GET key:1)" = "$(r GET key:1)" ] && [ "$(k GET own)" = 1 ] || fail "loaded again"
k DEL own >/dev/null
same_data || fail "loaded again: other data"
[ "$(k DBSIZE)" -eq "$(r DBSIZE)" ] || fail "DBSIZE: $(k DBSIZE)"
wait_for 60 eval '[ "$(k -n 3 DBSIZE)" -eq "$(r -n 3 DBSIZE)" ]' || fail "DBSIZE of database 3: $(k -n 3 DBSIZE)"
ok "again, from standard input: keys are replaced, others stay, databases are counted"

# ---- out

[ "$(k SAVE)" = OK ] || fail "SAVE: $(k SAVE)"
[ "$(stat -c %a "$work/kv/dump.rdb")" = 600 ] || fail "its mode"
check "redis-check-rdb finds it sound" "$work/redis-check-rdb" "$work/kv/dump.rdb"
stop_redis
cp "$work/kv/dump.rdb" "$work/redis/ours.rdb"
start_redis --dbfilename ours.rdb
same_data || fail "Redis loads: $(diff "$work/theirs" "$work/ours" | head -n 3)"
ok "Redis loads what SAVE wrote, the same"

before=$(k LASTSAVE)
sleep 1.1
[ "$(k BGSAVE)" = "Background saving started" ] || fail "BGSAVE"
wait_for 60 eval '[ "$(k LASTSAVE)" -gt "$before" ]' || fail "BGSAVE did not end"
k BGSAVE SCHEDULE | has "Background saving started"
k BGSAVE x 2>&1 | has 'ERR syntax error'
ok "BGSAVE, LASTSAVE"
stop_kv
start_kv
same_data || fail "after a restart beside its own dump"
ok "the store opens beside its dump"

k --rdb "$work/fetched.rdb" >"$work/fetch.log" 2>&1 || fail "redis-cli --rdb: $(cat "$work/fetch.log")"
check "redis-cli --rdb fetches a sound file" "$work/redis-check-rdb" "$work/fetched.rdb"
stop_redis
cp "$work/fetched.rdb" "$work/redis/fetched.rdb"
start_redis --dbfilename fetched.rdb
same_data || fail "Redis loads what was fetched: $(diff "$work/theirs" "$work/ours" | head -n 3)"
ok "and Redis loads it, the same"
python3 - "$work/kv.sock" >"$work/psync" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'REPLCONF listening-port 7\r\nPSYNC ? -1\r\nSYNC\r\nPING\r\n')
f = s.makefile()
print(*(f.readline() for _ in range(4)), sep='')
PY
has '^-ERR This server has no replicas' "$work/psync" || fail "a replica of us: $(head -c 200 "$work/psync")"
k REPLCONF foo 1 2>&1 | has 'ERR Unrecognized REPLCONF option: foo'
k REPLCONF rdb-only 2>&1 | has 'ERR syntax error'
ok "no replicas of us"

# ---- refusals

stop_kv
loads_not() { # loads_not NAME FILE PATTERN
    local status=0
    "$bin/kvstore" --listen "unix:$work/no.sock" --dir "$work/no" --memory 64mb --load "$2" >"$work/no.out" 2>&1 || status=$?
    [ "$status" -eq 1 ] || fail "$1: exit status $status"
    has -E "$3" "$work/no.out" || fail "$1: $(tail -n 1 "$work/no.out")"
    ok "$1: $(grep '^kvstore: ' "$work/no.out" | sed "s|$work/||g")"
}
head -c 60000 "$work/redis/dump.rdb" >"$work/short.rdb"
loads_not "a file that is cut" "$work/short.rdb" 'kvstore: --load: .*offset [0-9]+: .*; [0-9]+ keys were loaded before$'
cp "$work/redis/dump.rdb" "$work/flipped.rdb"
printf '\377' | dd of="$work/flipped.rdb" bs=1 seek=$(($(stat -c %s "$work/flipped.rdb") - 3)) conv=notrunc status=none
loads_not "a wrong checksum" "$work/flipped.rdb" 'offset [0-9]+: .*; 5000 keys were loaded before$'
head -c 4096 /dev/zero >"$work/zero.rdb"
loads_not "no RDB" "$work/zero.rdb" 'offset 0: .*; 0 keys were loaded before$'
loads_not "no file" "$work/absent.rdb" 'absent.rdb: No such file'
loads_not "a folder" "$work" 'Is a directory; 0 keys'
start_kv --save-dir "$work/nowhere"
k SAVE 2>&1 | has 'ERR The RDB could not be saved: .*No such file' || fail "SAVE into nowhere"
ok "SAVE into nowhere is an error"
stop_kv
if [ -w /dev/full ]; then
    refuse "another name than a file's" "$bin/kvstore" --listen "unix:$work/no.sock" --dir "$work/no" --memory 64mb --dbfilename ../x
fi
stop_redis
finish
