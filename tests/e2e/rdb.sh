#!/usr/bin/env bash
# RDB files and DUMP payloads, against a real redis-server: it loads what we write and holds the same, we read what it saves, payloads go both ways.
# Skipped where there is no Redis (the Debian package redis-tools has the program).
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/redis_lib.sh"

driver=$(dirname "$bin")/tests/rdb_driver
[ -x "$driver" ] || fail "$driver is missing"
redis_program

redis=
start_redis() { # start_redis FILE [OPTION...]: loads FILE of the work folder if it is there
    rm -f "$work/redis.sock"
    "$work/redis-server" --port 0 --unixsocket "$work/redis.sock" --save '' --appendonly no --dir "$work" --dbfilename "$@" \
        --enable-debug-command yes >"$work/redis.log" 2>&1 &
    redis=$!
    pids+=("$redis")
    wait_for 60 answers || fail "redis-server did not start, or did not load $1"
}
answers() { [ "$(r PING 2>/dev/null)" = PONG ]; }
stop_redis() {
    kill "$redis"
    wait "$redis" || true
}
# A line for each string of Redis, as rdb_driver prints it: db, kind, key, value, expiry.
listing() {
    python3 - "$work/redis.sock" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile('rb')
def ask(*args):
    args = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    s.sendall(b'*%d\r\n' % len(args) + b''.join(b'$%d\r\n%s\r\n' % (len(a), a) for a in args))
    return answer()
def answer():
    line = f.readline()[:-2]
    if line[:1] == b'$':
        return f.read(int(line[1:]) + 2)[:-2]
    if line[:1] == b'*':
        return [answer() for _ in range(int(line[1:]))]
    return line[1:]
def text(b):
    return ''.join(chr(c) if 32 < c <= 126 and c != 37 else '%%%02x' % c for c in b)
for db in range(16):
    ask('SELECT', db)
    for key in ask('KEYS', '*'):
        if ask('TYPE', key) == b'string':
            print(db, 'string', text(key), text(ask('GET', key)), max(0, int(ask('PEXPIRETIME', key))))
PY
}

# ---- what we write, Redis loads

count=200
for how in plain compress; do
    check "written, $how" "$driver" write "$work/ours-$how.rdb" "$count" "$how"
    check "redis-check-rdb finds it sound" "$work/redis-check-rdb" "$work/ours-$how.rdb"
    start_redis "ours-$how.rdb"
    [ "$(r DBSIZE)" -eq "$count" ] && [ "$(r -n 3 DBSIZE)" -eq "$count" ] || fail "Redis has $(r DBSIZE) and $(r -n 3 DBSIZE) keys"
    r DEBUG DIGEST >"$work/digest-$how"
    listing | sort >"$work/theirs"
    "$driver" list "$work/ours-$how.rdb" | grep -v '^version' | sort >"$work/listed"
    cmp "$work/theirs" "$work/listed" || fail "Redis holds other values than the file"
    ok "Redis holds what was written, $how: $(wc -l <"$work/theirs") keys"
    # And back: what Redis saves of it.
    r SAVE | has OK
    "$driver" list "$work/ours-$how.rdb" >"$work/saved"
    has "^version 10, $((2 * count)) strings, others: $" "$work/saved" || fail "$(tail -n 1 "$work/saved")"
    grep -v '^version' "$work/saved" | sort | cmp - "$work/theirs" || fail "what Redis saved reads otherwise"
    ok "what Redis saved of it reads the same"
    stop_redis
done
check "compressed or not, the same data" cmp "$work/digest-plain" "$work/digest-compress"

# ---- types that it loads and does not write: the reader and Redis agree where each of them ends

check "types of older versions" "$driver" types "$work/types.rdb"
check "redis-check-rdb finds them sound" "$work/redis-check-rdb" "$work/types.rdb"
start_redis types.rdb
[ "$(r GET last)" = one ] && [ "$(r DBSIZE)" -eq 9 ] && [ "$(r LRANGE list 1 1)" = 7 ] || fail "Redis has $(r DBSIZE) keys"
r XPENDING stream7 g - + 10 | has '^c$'
"$driver" list "$work/types.rdb" >"$work/types"
has '^0 string last one 2147483647000$' "$work/types" || fail "the key behind them: $(cat "$work/types")"
has 'others: 1 list, 2 sets, 2 sorted sets, 1 hash, 2 streams$' "$work/types" || fail "$(tail -n 1 "$work/types")"
ok "the reader steps over them where Redis does"

# ---- what it sends to a replica

r --rdb "$work/sync.rdb" >"$work/sync.log" 2>&1 || fail "redis-cli --rdb"
"$driver" list "$work/sync.rdb" >"$work/synced"
cmp <(grep -v "^version" "$work/synced" | sort) <(grep -v "^version" "$work/types" | sort) || fail "a full sync gives other keys"
ok "the RDB of a full sync"

# ---- DUMP and RESTORE

hex() { xxd -p | tr -d '\n'; }
same() { # same VALUE: our payload is Redis's
    r SET v "$1" >/dev/null
    # redis-cli puts a newline behind it
    [ "$(r --raw DUMP v | head -c -1 | hex)" = "$("$driver" dump "$1")" ] || fail "another payload than Redis's: $1"
}
long=$(seq 1 500 | tr -d '\n')
for value in 0 -1 127 128 -129 32768 2147483647 -2147483648 2147483648 007 -0 '' hello "$(seq -s ' ' 1 60)" "$long"; do
    # Compressed payloads may differ: both sides just have to read them.
    [ ${#value} -gt 20 ] || same "$value"
    r SET v "$value" >/dev/null
    [ "$("$driver" undump "$(r --raw DUMP v | head -c -1 | hex)")" = "$value" ] || fail "Redis's payload reads otherwise: $value"
    r DEL w >/dev/null
    "$driver" dump "$value" | xxd -r -p | r -x RESTORE w 0 | has OK || fail "Redis does not take our payload: $value"
    [ "$(r --raw GET w)" = "$value" ] || fail "our payload is another value to Redis: $value"
done
ok "payloads of strings, both ways; short ones are the same"
r RPUSH l a >/dev/null
refuse "the payload of a list" "$driver" undump "$(r --raw DUMP l | head -c -1 | hex)"
stop_redis
finish
