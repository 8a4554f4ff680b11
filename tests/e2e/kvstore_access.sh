#!/usr/bin/env bash
# Who may use the daemon kvstore: passwords, TLS with and without clients' certificates, addresses that others reach, reload, clusters' clients.
. "$(dirname "$0")/lib.sh" "$@"
for tool in redis-cli redis-benchmark; do
    command -v $tool >/dev/null || fail "$tool is missing (Debian package redis-tools)"
done
umask 077
make_pki
log=$work/kvstore.log
start() { # start OPTION...: sets kv_pid, port and, with TLS, tls_port
    : >"$log"
    "$bin/kvstore" --dir "$work/db" --memory 32mb "$@" 2>>"$log" &
    kv_pid=$!
    pids+=("$kv_pid")
    wait_for 60 grep -q ' ready ' "$log" || fail "kvstore did not start"
    port=$(log_addr "$log" listening | sed 's/.*://')
    tls_port=$(log_addr "$log" tls_listening | sed 's/.*://')
}
stop() {
    kill -TERM "$kv_pid"
    local status=0
    wait "$kv_pid" || status=$?
    [ "$status" -eq 0 ] || fail "kvstore ended with status $status"
}
cli() { redis-cli -p "$port" "$@"; }
tls() { redis-cli -h localhost -p "$tls_port" --tls --cacert "$work/pki/ca.pem" "$@" 2>&1; }
tls_edge() { tls --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key" "$@"; }
is() { [ "$(cat)" = "$1" ]; }

# ---- a password
echo first >"$work/password"
start --listen 127.0.0.1:0 --password-file "$work/password" --admin 127.0.0.1:0
admin=$(log_addr "$log" admin_listening)
cli ping | has '^NOAUTH'
cli set a 1 | has '^NOAUTH'
ok "without the password nothing goes"
REDISCLI_AUTH=wrong cli ping 2>&1 | has WRONGPASS
export REDISCLI_AUTH=first
cli ping | is PONG
cli -3 ping | is PONG
cli set a 1 | is OK
ok "with it everything, by AUTH and by HELLO"
[ "$(REDISCLI_AUTH='' python3 - "$port" <<'PY'
import socket, sys
def ask(data):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.settimeout(30)
    s.sendall(data)
    got = b""
    while True:
        more = s.recv(4096)
        if not more:
            return got
        got += more
assert ask(b"*11\r\n") == b"-ERR Protocol error: unauthenticated multibulk length\r\n"
wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
assert ask(b"AUTH x\r\n" * 50 + b"AUTH first\r\nPING\r\n") == wrong * 10
assert ask(b"AUTH x\r\n" * 9 + b"AUTH first\r\nPING\r\nQUIT\r\n") == wrong * 9 + b"+OK\r\n+PONG\r\n+OK\r\n"
assert ask(b"*2\r\n$16385\r\n") == b"-ERR Protocol error: unauthenticated bulk length\r\n"
big = b"x" * 20000
assert ask(b"AUTH first\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$20000\r\n" + big + b"\r\nQUIT\r\n") == b"+OK\r\n+OK\r\n+OK\r\n"
print("good")
PY
)" = good ]
ok "strangers send little, the others much"
[ "$(metric kv_guessers_closed_total)" = 1 ] && [ "$(metric kv_wrong_passwords_total)" -ge 19 ] || fail "guesses: $(metric kv_wrong_passwords_total)"
ok "ten wrong passwords end a connection"
echo second >"$work/password"
kill -HUP "$kv_pid"
now_second() { [ "$(REDISCLI_AUTH=second cli ping 2>/dev/null)" = PONG ]; }
check "SIGHUP brings another password" wait_for 60 now_second
cli ping 2>&1 | has WRONGPASS
chmod 644 "$work/password"
echo third >"$work/password"
kill -HUP "$kv_pid"
check "a file that others may read is refused" wait_for 60 grep -q 'reload_failed .*nobody else' "$log"
check "and the old password stays" now_second
refuse "--listen with such a file" "$bin/kvstore" --dir "$work/other" --listen 127.0.0.1:0 --password-file "$work/password"
check "names it" has "$work/password" "$work/refused.out"
[ "$(grep -c -e first -e second -e third "$log")" = 0 ]
ok "no password is in the log"
stop
chmod 600 "$work/password"

# ---- what others reach
refuse "an open address without a password" "$bin/kvstore" --dir "$work/db" --listen 0.0.0.0:0
check "says what is missing" has -- '--password-file' "$work/refused.out"
start --listen 0.0.0.0:0 --password-file "$work/password"
REDISCLI_AUTH=third cli ping | is PONG
ok "with one it is served"
stop
unset REDISCLI_AUTH

# ---- TLS
files=(--tls-cert "$work/pki/server.pem" --tls-key "$work/pki/server.key")
for bad in "--tls-listen 127.0.0.1:0" "--tls-listen 127.0.0.1:0 ${files[*]}" "--tls-listen 0.0.0.0:0 ${files[*]} --tls-auth-clients no" \
    "--tls-listen 0.0.0.0:0 ${files[*]} --tls-ca $work/pki/ca.pem --tls-auth-clients optional" "--tls-listen nonsense ${files[*]}"; do
    # shellcheck disable=SC2086
    refuse "$bad" "$bin/kvstore" --dir "$work/db" --listen 127.0.0.1:0 $bad --check
    has "^kvstore: --tls-listen: " "$work/refused.out"
done
start --listen "unix:$work/s" --tls-listen 0.0.0.0:0 "${files[@]}" --tls-ca "$work/pki/ca.pem"
tls_edge set a 1 | is OK
tls_edge -3 get a | is 1
ok "TLS with a client's certificate, on an address that others reach"
[ "$(tls ping || true)" != PONG ]
ok "and not without one"
cp "$work/pki/server.pem" "$work/server.pem.old"
kill -HUP "$kv_pid"
check "SIGHUP reads the certificates" wait_for 60 grep -q ' reloaded ' "$log"
tls_edge get a | is 1
echo damaged >"$work/pki/server.pem"
kill -HUP "$kv_pid"
check "a damaged one is refused" wait_for 60 grep -q 'reload_failed .*server.pem' "$log"
tls_edge get a | is 1
ok "and the old one stays"
cp "$work/server.pem.old" "$work/pki/server.pem"
stop
start --listen "unix:$work/s" --tls-listen 127.0.0.1:0 "${files[@]}" --tls-auth-clients no
tls get a | is 1
ok "TLS without clients' certificates"
stop
start --listen "unix:$work/s" --tls-listen 127.0.0.1:0 "${files[@]}" --tls-ca "$work/pki/ca.pem" --tls-auth-clients optional
tls get a | is 1
tls_edge get a | is 1
ok "and with those that are shown"
stop

# ---- clusters' clients
start --listen 127.0.0.1:0
cli -c mset a 1 b 2 | is OK
cli info cluster | has 'cluster_enabled:0'
redis-benchmark --cluster -p "$port" -n 500 -c 4 -t set,get -q >"$work/bench.out" 2>&1
[ "$(tr '\r' '\n' <"$work/bench.out" | grep -c 'requests per second')" -ge 2 ]
ok "redis-benchmark --cluster"
stop
start --listen 127.0.0.1:0 --cluster-enabled yes
cli info cluster | has 'cluster_enabled:1'
cli hello | has '^cluster'
ok "a server that says it is one"

# ---- what one client does to others
python3 - "$port" <<'PY'
import socket, sys, threading
def connect():
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.settimeout(60)
    return s, s.makefile("rb")
def ask(c, line):
    c[0].sendall(line.encode() + b"\r\n")
    return c[1].readline().strip().decode()
a, b, c = connect(), connect(), connect()
number = ask(a, "CLIENT ID")[1:]
assert ask(b, "CLIENT KILL ID " + number) == ":1"
assert a[1].read() == b"", "killed"
assert ask(b, "CLIENT KILL ID " + number) == ":0"
assert ask(b, "CLIENT PAUSE 300 ALL") == "+OK"
assert ask(c, "PING") == "+PONG" and ask(b, "PING") == "+PONG", "the pause has ended"
assert ask(b, "CLIENT PAUSE 100000000 WRITE") == "+OK"
done = threading.Thread(target=lambda: ask(c, "SET held 1"))
done.start()
assert ask(b, "EXISTS nothing") == ":0" and done.is_alive(), "reads go on, the write waits"
assert ask(b, "CLIENT UNPAUSE") == "+OK"
done.join(60)
assert not done.is_alive() and ask(b, "EXISTS held") == ":1"
PY
ok "CLIENT KILL, PAUSE and UNPAUSE across connections"

# ---- PAUSE ends with the server
cli client pause 100000000 write | is OK
cli set a 1 >"$work/held.out" 2>&1 &
held=$!
pids+=("$held")
held_up() { cli client list | has 'cmd=NULL\|cmd=set'; }
wait_for 60 held_up || true
cli get a | is 1
stop
ok "commands that a pause holds do not hold the end"
finish
