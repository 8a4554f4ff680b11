# For end-to-end tests with a real Redis: sourced behind lib.sh. Skips (77) where there is no Redis 7.
redis_program() {
    local program
    program=$(command -v redis-server || command -v redis-check-rdb || true) # one program, known by the name it is called by
    if [ -z "$program" ] || ! command -v redis-cli >/dev/null; then
        echo "skip: no redis-server (deploy/install-packages test)"
        exit 77
    fi
    ln -s "$(readlink -f "$program")" "$work/redis-server"
    ln -s "$(readlink -f "$program")" "$work/redis-check-rdb"
    case $("$work/redis-server" --version) in
    *' v=7.'*) ;;
    *)
        echo "skip: not Redis 7: $("$work/redis-server" --version)"
        exit 77
        ;;
    esac
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

r() { redis-cli -s "$work/redis.sock" "$@"; } # Redis
k() { redis-cli -s "$work/kv.sock" "$@"; }    # ours
r_answers() { [ "$(r PING 2>/dev/null)" = PONG ]; }
k_answers() { [ "$(k PING 2>/dev/null)" = PONG ]; }

start_redis() { # start_redis [OPTION...]
    rm -f "$work/redis.sock"
    mkdir -p "$work/redis"
    "$work/redis-server" --port 0 --unixsocket "$work/redis.sock" --save '' --appendonly no --dir "$work/redis" \
        --enable-debug-command yes "$@" >>"$work/redis.log" 2>&1 &
    redis=$!
    pids+=("$redis")
    wait_for 60 r_answers || fail "redis-server did not start"
}

stop_redis() {
    kill "$redis"
    wait "$redis" || true
}

start_kv() { # start_kv [OPTION...]
    rm -f "$work/kv.sock"
    "$bin/kvstore" --listen "unix:$work/kv.sock" --dir "$work/kv" --memory 64mb "$@" <&0 2>>"$work/kvstore.log" &
    kv=$!
    pids+=("$kv")
    wait_for 60 k_answers || fail "kvstore did not start"
}

stop_kv() { # stop_kv [SIGNAL]
    local status=0
    kill "-${1:-TERM}" "$kv"
    wait "$kv" || status=$?
    [ "${1:-TERM}" != TERM ] || [ "$status" -eq 0 ] || fail "kvstore ended with status $status"
}

# listing SOCKET [PASSWORD]: a line for each string: db, key, value, expiry in ms (0: none), sorted.
listing() {
    python3 - "$@" <<'PY' | LC_ALL=C sort
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile('rb')
def pack(args):
    args = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    return b'*%d\r\n' % len(args) + b''.join(b'$%d\r\n%s\r\n' % (len(a), a) for a in args)
def answer():
    line = f.readline()[:-2]
    if line[:1] == b'$':
        return None if line == b'$-1' else f.read(int(line[1:]) + 2)[:-2]
    if line[:1] == b'*':
        return [answer() for _ in range(int(line[1:]))]
    return line[1:]
def ask(*args):
    s.sendall(pack(args))
    return answer()
def text(b):
    return ''.join(chr(c) if 32 < c <= 126 and c != 37 else '%%%02x' % c for c in b)
if len(sys.argv) > 2:
    ask('AUTH', sys.argv[2])
for db in range(16):
    ask('SELECT', db)
    keys = ask('KEYS', '*')
    for at in range(0, len(keys), 500):
        part = keys[at:at + 500]
        s.sendall(b''.join(pack((c, key)) for key in part for c in ('TYPE', 'PEXPIRETIME', 'GET')))
        for key in part:
            kind, expiry, value = answer(), answer(), answer()
            if kind == b'string' and value is not None:
                print(db, text(key), text(value), max(0, int(expiry)))
PY
}
same_data() {
    listing "$work/redis.sock" >"$work/theirs"
    listing "$work/kv.sock" >"$work/ours"
    cmp -s "$work/theirs" "$work/ours"
}

# fill SOCKET COUNT: strings of many kinds in databases 0, 3 and 15, a third of them with an expiry far away.
fill() {
    python3 - "$2" <<'PY' | redis-cli -s "$1" --pipe >"$work/fill.log" 2>&1 || fail "fill: $(cat "$work/fill.log")"
import random, sys
r = random.Random(7)
out = sys.stdout.buffer
def put(*args):
    args = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    out.write(b'*%d\r\n' % len(args) + b''.join(b'$%d\r\n%s\r\n' % (len(a), a) for a in args))
for n in range(int(sys.argv[1])):
    if n % 100 == 0:
        put('SELECT', (0, 0, 3, 15)[n // 100 % 4])
    kind = n % 5
    value = (str(n), 'x' * (n % 300), bytes(r.randrange(256) for _ in range(40)), str(-n * 1000003), '')[kind]
    put('SET', 'key:%d' % n if n % 7 else b'\x00\xff bin %d' % n, value, *(('PXAT', 4000000000000 + n) if n % 3 == 0 else ()))
PY
}
