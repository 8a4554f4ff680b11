#!/usr/bin/env bash
# What an intruder would look for is not there: keys' numbers, premasters and the master key in what a core dump would hold, in the
# store's files and the logs; privileges and system calls are gone; and the master key changes while the server serves.
# MEC_E2E_SCALE=N divides the number of keys and kills. Memory is read, and users are changed, by root only.
. "$(dirname "$0")/lib.sh" "$@"
scan() { python3 "$(dirname "$0")/secrets_scan.py" "$@"; }
root() { [ "$(id -u)" = 0 ]; }

make_pki
site rsa2048 -newkey rsa:2048
site rsa3072 -newkey rsa:3072
site p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
import "$work/site" >"$work/import.log"
mkdir "$work/logs"
user=()
if root; then
    user=(--user nobody)
    chmod 755 "$work"
    chown -R nobody "$work/store" "$work/logs" "$work/pki" # SIGHUP reads certificates as the user
fi
{ printf '\003\003'; head -c 46 /dev/urandom; } >"$work/premaster"
scan needles "$work/needles" "$work/master.key" "$work/premaster" "$work"/site/*.key
spki=$(spki_of "$work/site/rsa2048.pem")
openssl pkeyutl -encrypt -certin -inkey "$work/site/rsa2048.pem" -in "$work/premaster" -out "$work/epms"
request="{\"protocol\":\"TLS 1.2\",\"spki\":\"$spki\",\"method\":\"RSA\",\"input\":\"$(base64 -w0 <"$work/epms")\"}"
decrypts() { [ "$(ski /ski "$request" | member output)" = "$(base64 -w0 <"$work/premaster")" ]; }
start() { # start MASTER-KEY [OPTION...]
    start_keyserver --master-key "$1" --audit-log "$work/logs/audit.log" "${user[@]}" "${@:2}"
}
status_is() { # status_is FIELD VALUE
    [ "$(awk -v name="$1:" '$1 == name { print $2 }' "/proc/$ks_pid/status")" = "$2" ]
}
threads_have() { # threads_have FIELD VALUE: each of them
    local thread
    for thread in "/proc/$ks_pid/task"/*; do
        [ "$(awk -v name="$1:" '$1 == name { print $2 }' "$thread/status")" = "$2" ] || return 1
    done
}

# ---- privileges and system calls
start "$work/master.key"
check "it serves" decrypts
check "no new privileges" threads_have NoNewPrivs 1
if grep -q ' no_sandbox reason="built with a sanitizer"' "$work/keyserver.log"; then
    sandboxed=no
    check "no sandbox in a sanitizer build, and the log says so" status_is Seccomp 0
else
    sandboxed=yes
    check "all threads are in the sandbox" threads_have Seccomp 2
fi
if root; then
    for field in CapInh CapPrm CapEff CapAmb; do
        check "no thread has capabilities: $field" threads_have "$field" 0000000000000000
    done
    check "all threads are the user's" threads_have Uid "$(id -u nobody)"
    check "and its group's" threads_have Gid "$(id -g nobody)"
    if grep -q running_as_root "$work/keyserver.log"; then fail "it says it runs as root"; fi
fi
kill -HUP "$ks_pid"
wait_for 60 grep -q ' reloaded ' "$work/keyserver.log" || fail "SIGHUP: no reload"
check "and serves after SIGHUP" decrypts

# ---- memory, while it is busy
"$bin/edge-sim" load ski --keyserver "https://$ks" --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key" --ca "$work/pki/ca.pem" \
    --site "$work/site/rsa2048.pem" --site "$work/site/rsa3072.pem" --site "$work/site/p256.pem" --connections 4 --duration 10m >"$work/load.log" 2>&1 &
load_pid=$!
pids+=("$load_pid")
busy() { [ "$(metric 'ks_requests_total{method="ECDHE",key_type="EC",result="ok"}')" -gt 200 ]; }
wait_for 300 busy || fail "the load does not run"
if ! root || [ "$sandboxed" = no ]; then
    echo "memory is not read: not root, or a sanitizer build"
else
    check "another premaster asked for meanwhile" decrypts
    for look in 1 2 3; do
        scan memory "$work/needles" "$ks_pid" dumped >"$work/scan.log" 2>&1 || fail "secrets in memory that a core dump would hold: $(cat "$work/scan.log")"
    done
    ok "no secret in memory that a core dump would hold: $(tail -n 1 "$work/scan.log")"
    if scan memory "$work/needles" "$ks_pid" kept >"$work/scan.log" 2>&1; then fail "the search does not find keys where they are"; fi
    grep -q 'p256.key priv' "$work/scan.log" || fail "the search does not find keys where they are: $(cat "$work/scan.log")"
    ok "and in the memory left out of dumps the search finds keys"
    prlimit --pid "$ks_pid" --core=unlimited:unlimited 2>/dev/null || true
fi

# ---- a core dump is asked for under load
kill -ABRT "$ks_pid"
status=0
{ wait "$ks_pid"; } 2>"$work/abort.err" || status=$?
[ "$status" -ne 0 ] || fail "SIGABRT did not end it"
kill "$load_pid" 2>/dev/null && wait "$load_pid" 2>/dev/null || true
if grep -q 'core dumped' "$work/abort.err"; then fail "it left a core dump"; fi
[ -z "$(find "$work" . -maxdepth 1 -name 'core*' -newer "$work/needles")" ] || fail "there is a core dump"
ok "SIGABRT under load leaves no core dump"
check "no secret in the store's files and in the logs" scan files "$work/needles" "$work/store" "$work/logs" "$work/keyserver.log" "$work/load.log"

# ---- refusals
options=(--listen 127.0.0.1:0 --store "$work/store" --cert "$work/pki/server.pem" --key "$work/pki/server.key" --client-ca "$work/pki/ca.pem")
says() { # says TEXT COMMAND...: it fails and says so
    local text=$1
    shift
    if "$@" >"$work/says.out" 2>&1; then return 1; fi
    grep -qF -e "$text" "$work/says.out" || { cat "$work/says.out" >&2; return 1; }
}
checked() { "$bin/keyserver" "${options[@]}" --check "$@"; }
if root; then
    check "a user that is not there" says "no such user" checked --master-key "$work/master.key" --user no-such-user
    check "root as the user" says "another than root" checked --master-key "$work/master.key" --user root
    check "a user, and not root" says "only root" setpriv --reuid nobody --clear-groups "$bin/keyserver" "${options[@]}" --check --master-key "$work/master.key" --user nobody
fi
check "a passphrase and no protected key" says "no passphrase protects" checked --master-key "$work/master.key" --master-key-passphrase-fd 0 </dev/null
check "a credential without a service manager" says "CREDENTIALS_DIRECTORY" env -u CREDENTIALS_DIRECTORY "$bin/keyserver" "${options[@]}" --check --master-key credential:ks
mkdir "$work/credentials"
cp "$work/master.key" "$work/credentials/ks"
chmod 440 "$work/credentials/ks"
export CREDENTIALS_DIRECTORY=$work/credentials
check "a credential" checked --master-key credential:ks
check "not a credential's name" says "not the name" checked --master-key credential:../credentials/ks
chmod 644 "$work/credentials/ks"
check "a credential that all may read" says "may read or write" checked --master-key credential:ks
phrase() { printf 'a passphrase of the test\n'; }
phrase | "$bin/certs" master-key --out "$work/protected.key" --passphrase-fd 0 >>"$work/pki.log"
check "a short passphrase" says "at least 8" "$bin/certs" master-key --out "$work/short.key" --passphrase-fd 0 <<<short
check "a protected key without its passphrase" says "protects this master key" checked --master-key "$work/protected.key"
check "another passphrase" says "another passphrase" checked --master-key "$work/protected.key" --master-key-passphrase-fd 0 <<<"a passphrase of the tests"
sed 's/scrypt 17/scrypt 16/' "$work/protected.key" >"$work/changed.key"
chmod 600 "$work/changed.key"
check "a protected key that was changed" says "another passphrase" checked --master-key "$work/changed.key" --master-key-passphrase-fd 0 < <(phrase)
check "the same master key twice" says "is the key of" "$bin/certs" rekey --store "$work/store" --master-key "$work/master.key" --new-master-key "$work/master.key"

# ---- another master key, offline, by a passphrase
check "certs rekey offline" "$bin/certs" rekey --store "$work/store" --master-key "$work/master.key" --new-master-key "$work/protected.key" --new-master-key-passphrase-fd 0 < <(phrase)
check "the old key opens nothing" says "another master key" "$bin/certs" verify --store "$work/store" --master-key "$work/master.key"
start "$work/protected.key" --master-key-passphrase-fd 9 9< <(phrase)
check "the server serves with a passphrase's key" decrypts

# ---- another master key, while it serves; killed in the middle, both of them
count=$((400 / ${MEC_E2E_SCALE:-1} + 70))
mkdir "$work/many"
for i in $(seq 1 "$count"); do openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/many/$i.key" 2>/dev/null; done
"$bin/certs" import --store "$work/store" --master-key "$work/protected.key" --master-key-passphrase-fd 0 "$work/many" < <(phrase) >"$work/import.log"
"$bin/certs" master-key --out "$work/next.key" >>"$work/pki.log"
if root; then chown nobody "$work/next.key"; fi
rekey() { "$bin/certs" rekey --store "$work/store" --master-key "$work/protected.key" --master-key-passphrase-fd 0 --new-master-key "$work/next.key" "$@" < <(phrase); }
check "not before the server knows the new key" says "send SIGHUP" rekey
stop_keyserver
cat >"$work/ks.ini" <<INI
master-key-passphrase-fd = 9
INI
start "$work/protected.key" --config "$work/ks.ini" 9< <(phrase)
check "not yet" says "send SIGHUP" rekey
if root; then chown nobody "$work/ks.ini"; fi
echo "new-master-key = $work/next.key" >>"$work/ks.ini"
kill -HUP "$ks_pid"
wait_for 60 grep -q -e ' master_key_accepted ' -e reload_failed "$work/keyserver.log"
grep -q ' master_key_accepted ' "$work/keyserver.log" || fail "SIGHUP did not give it the new key"
ok "SIGHUP gives it the new key"
rekey >"$work/rekey.log" 2>&1 &
rekey_pid=$!
pids+=("$rekey_pid")
wait_for 60 grep -q rekeyed "$work/rekey.log"
kill -9 "$rekey_pid" 2>/dev/null || true
wait "$rekey_pid" 2>/dev/null || true
check "certs rekey killed: every key is served" decrypts
rekey >"$work/rekey.log" 2>&1 &
rekey_pid=$!
pids+=("$rekey_pid")
wait_for 60 grep -q rekeyed "$work/rekey.log" || true
stop_keyserver KILL 2>/dev/null
wait "$rekey_pid" 2>/dev/null || true
start "$work/protected.key" --config "$work/ks.ini" 9< <(phrase)
check "the key server killed: it serves with both keys" decrypts
rekey >"$work/rekey.log" 2>&1 || fail "the last rekey: $(tail -n 3 "$work/rekey.log")"
check "the rest is done when it is repeated" grep -q "left 0, faults 0" "$work/rekey.log"
check "it serves" decrypts
check "every key is under the new one" "$bin/certs" verify --store "$work/store" --master-key "$work/next.key"
stop_keyserver
start "$work/next.key"
check "it starts and serves with the new one alone" decrypts
stop_keyserver
scan needles "$work/needles" "$work/next.key" "$work/premaster" "$work"/site/*.key
check "no secret in files and logs after all that" scan files "$work/needles" "$work/store" "$work/logs" "$work/keyserver.log" "$work/rekey.log"
if grep -q 'sandbox: system call' "$work"/*.log; then fail "the sandbox ended a server"; fi

# ---- modes
echo "a password of the test" >"$work/password"
chmod 600 "$work/password"
if root; then chown nobody "$work/password"; fi
start "$work/next.key" --sandbox off --redis-listen 127.0.0.1:0 --redis-password-file "$work/password"
check "the password's file is the user's" has_addr "$work/keyserver.log" redis_listening
check "--sandbox off" status_is Seccomp 0
grep -q ' no_sandbox ' "$work/keyserver.log" || fail "the log does not say so"
stop_keyserver
if [ "$sandboxed" = yes ]; then
    start "$work/next.key" --sandbox log
    check "--sandbox log" status_is Seccomp 2
    check "serves" decrypts
    stop_keyserver
fi
finish
