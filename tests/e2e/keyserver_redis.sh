#!/usr/bin/env bash
# The Redis protocol inside the key server: off by default, only with a password, only for this machine; what lies there is sealed.
. "$(dirname "$0")/lib.sh" "$@"
need_tool redis-cli redis-tools

make_pki
site p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
import "$work/site" >"$work/import.log"
log=$work/keyserver.log
printf 'first password\nof two lines\n' >"$work/password"
chmod 600 "$work/password"

# ---- off by default
start_keyserver
[ "$(log_addr "$log" redis_listening)" = "" ] || fail "there is a listener that nobody asked for"
ok "off by default"
stop_keyserver

# ---- what is not taken
run() { # run OPTION...: --check
    "$bin/keyserver" --listen 127.0.0.1:0 --store "$work/store" --master-key "$work/master.key" --cert "$work/pki/server.pem" --key "$work/pki/server.key" \
        --client-ca "$work/pki/ca.pem" --check "$@"
}
says() { grep -q -- "$1" "$work/refused.out" || fail "expected '$1', found: $(cat "$work/refused.out")"; }
password=(--redis-password-file "$work/password")
check "--check takes loopback and a password" run --redis-listen 127.0.0.1:0 "${password[@]}"
refuse "an address that others reach" run --redis-listen 0.0.0.0:6379 "${password[@]}"
says 'keyserver: --redis-listen: found 0.0.0.0:6379, which other machines can reach, expected a loopback address or unix:PATH'
refuse "no password" run --redis-listen 127.0.0.1:0
says '--redis-listen: needs --redis-password-file'
refuse "no master key" "$bin/keyserver" --listen 127.0.0.1:0 --store "$work/store" --cert "$work/pki/server.pem" --key "$work/pki/server.key" \
    --client-ca "$work/pki/ca.pem" --check --redis-listen 127.0.0.1:0 "${password[@]}"
says '--redis-listen: needs --master-key'
refuse "a password for nothing" run "${password[@]}"
says '--redis-password-file: needs --redis-listen'
chmod 644 "$work/password"
refuse "a password that others may read" run --redis-listen 127.0.0.1:0 "${password[@]}"
says 'nobody else may read'
chmod 600 "$work/password"
: >"$work/empty"
chmod 600 "$work/empty"
refuse "an empty password" run --redis-listen 127.0.0.1:0 --redis-password-file "$work/empty"
says 'expected a password on the first line'
refuse "a file that is not there" run --redis-listen 127.0.0.1:0 --redis-password-file "$work/none"

# ---- with it
cat >"$work/keyserver.ini" <<INI
redis-listen = 127.0.0.1:0
redis-password-file = $work/password
INI
start_keyserver --config "$work/keyserver.ini"
port=$(log_addr "$log" redis_listening | sed 's/.*://')
cli() { REDISCLI_AUTH=$secret redis-cli -p "$port" "$@" 2>&1; }
control() { redis-cli -s "$work/store/control.sock" "$@" 2>&1; }
secret="first password"
redis-cli -p "$port" dbsize | has NOAUTH
secret=wrong cli dbsize | has -E 'WRONGPASS|NOAUTH'
ok "nothing without the password"
redis-cli -p "$port" config set requirepass x | has NOAUTH
check "DBSIZE" test "$(cli dbsize)" -ge 1
name=$(spki_of "$work/site/p256.pem")
cli --scan | has -x -F "$name"
cli --no-raw get "$name" >"$work/value"
check "GET of a record" test "$(wc -c <"$work/value")" -gt 100
openssl pkey -in "$work/site/p256.key" -outform DER >"$work/plain"
python3 - "$work" "$port" "$name" <<'PY' || fail "the record shows its key"
import socket, sys
work, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.create_connection(("127.0.0.1", port), 30)
f = s.makefile("rb")
def ask(*words):
    s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    line = f.readline()
    return f.read(int(line[1:]) + 2)[:-2] if line[:1] == b"$" else line
assert ask(b"AUTH", b"first password") == b"+OK\r\n"
value = ask(b"GET", name.encode())
plain = open(work + "/plain", "rb").read()
i = plain.index(b"\x04\x20") + 2 # the private scalar of a P-256 key
assert len(value) > 100 and plain[i:i + 32] not in value and b"PRIVATE KEY" not in value, value
PY
ok "what GET returns is sealed"
[ "$(cli select 1)" = "ERR DB index is out of range" ] || fail "SELECT 1: $(cli select 1)"
ok "one database"

# ---- what would end it, write files, or hand the store on
denied() { # denied NAME COMMAND...
    local name=$1
    shift
    cli "$@" | has -x "NOPERM this user has no permissions to run the '$name' command" || fail "$*: $(cli "$@")"
}
denied shutdown SHUTDOWN NOSAVE
denied save SAVE
denied bgsave BGSAVE
denied 'config|rewrite' CONFIG REWRITE
denied 'client|pause' CLIENT PAUSE 1
denied debug DEBUG SLEEP 0
printf 'MULTI\nSAVE\nEXEC\n' | cli | has EXECABORT
cli config set requirepass "" | has -i err
cli dbsize | has -E '^[0-9]+$'
ok "SHUTDOWN, SAVE, CONFIG REWRITE, DEBUG are refused; the password stays"

# ---- the control socket goes on as it was
check "the control socket asks for no password" test "$(control dbsize)" = "$(cli dbsize)"
[ "$(printf 'RESET\nDBSIZE\n' | control | tail -n 1)" = "$(cli dbsize)" ] || fail "after RESET: $(printf 'RESET\nDBSIZE\n' | control)"
control save | has -x OK
site late -newkey ec -pkeyopt ec_paramgen_curve:P-256
before=$(cli dbsize)
import "$work/site" >"$work/import2.log"
check "certs imports beside it" test "$(cli dbsize)" -gt "$before"
# As many as there may be leave the control socket alone.
python3 - "$port" "$work/store/control.sock" <<'PY' || fail "Redis's clients keep certs out"
import socket, sys
held, full = [], False
for _ in range(200):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
    s.sendall(b"PING\r\n")
    answer = s.recv(100)
    held.append(s)
    if b"max number of clients" in answer:
        full = True
        break
    assert answer.startswith(b"-NOAUTH"), answer
assert full and len(held) > 32, len(held)
c = socket.socket(socket.AF_UNIX)
c.settimeout(30)
c.connect(sys.argv[2])
c.sendall(b"PING\r\n")
assert c.recv(100) == b"+PONG\r\n"
PY
ok "its clients leave room for certs"
answers() { cli dbsize | has -E '^[0-9]+$'; }
wait_for 60 answers || fail "room again: $(cli dbsize)"

# ---- SIGHUP
printf 'second\n' >"$work/password"
kill -HUP "$ks_pid"
wait_for 60 grep -q ' reloaded ' "$log"
secret=second cli dbsize | has -E '^[0-9]+$'
cli dbsize | has -E 'WRONGPASS|NOAUTH'
secret=second
ok "SIGHUP takes a new password"
chmod 644 "$work/password"
printf 'third\n' >"$work/password"
kill -HUP "$ks_pid"
check "a file that others may read is refused" wait_for 60 grep -q 'reload_failed .*nobody else' "$log"
cli dbsize | has -E '^[0-9]+$'
chmod 600 "$work/password"
: >"$work/keyserver.ini"
kill -HUP "$ks_pid"
check "so is a reload without one" wait_for 60 grep -q 'reload_failed .*needs --redis-password-file' "$log"
cli dbsize | has -E '^[0-9]+$'
stop_keyserver
if grep -qF -e "first password" -e second "$log"; then fail "the log has a password"; fi
ok "no password in the log"

# ---- on a Unix socket, with and without the control socket
start_keyserver --redis-listen "unix:$work/redis.sock" --redis-password-file "$work/password" --control off
secret=third
socket() { REDISCLI_AUTH=$secret redis-cli -s "$work/redis.sock" "$@" 2>&1; }
redis-cli -s "$work/redis.sock" dbsize | has NOAUTH
check "a Unix socket, without the control socket" test "$(socket dbsize)" -ge 2
[ "$(stat -c %a "$work/redis.sock")" = 600 ]
[ ! -e "$work/store/control.sock" ]
stop_keyserver
[ ! -e "$work/redis.sock" ]
ok "the socket is gone after a stop"

# ---- a key that lies there plain
grep -q redis_plain_keys "$log" && fail "a warning of keys that are sealed"
"$bin/certs" import --store "$work/plain-store" --plain "$work/site" >>"$work/import2.log"
mv "$work/store" "$work/sealed-store"
mv "$work/plain-store" "$work/store"
start_keyserver --redis-listen 127.0.0.1:0 --redis-password-file "$work/password"
check "plain keys are warned of" grep -q 'redis_plain_keys sampled=2 plain=2' "$log"
stop_keyserver
finish
