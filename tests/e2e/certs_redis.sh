#!/usr/bin/env bash
# Keys out of the Redis of a Java key server: certs import --from-rdb, --from-redis (socket, TCP with a password, TLS), and the keys are found by SHA-1.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/redis_lib.sh"
redis_program

make_pki
site one -newkey rsa:2048
site two -newkey ec -pkeyopt ec_paramgen_curve:P-256
site three -newkey rsa:2048
port=$(free_port)
tls=$(free_port)
start_redis --port "$port" --tls-port "$tls" --tls-cert-file "$work/pki/server.pem" --tls-key-file "$work/pki/server.key" \
    --tls-ca-cert-file "$work/pki/ca.pem" || true
r CONFIG SET requirepass 'p@ss/word:1' >/dev/null
export REDISCLI_AUTH='p@ss/word:1'
for name in one two; do
    openssl pkey -in "$work/site/$name.key" -outform DER | base64 -w0 | r -x SET "$(sha1_of "$work/site/$name.pem")" >/dev/null
done
openssl pkey -in "$work/site/three.key" | r -n 2 -x SET "$(sha1_of "$work/site/three.pem")" >/dev/null
r SET greeting hello >/dev/null
r SET number 012345 >/dev/null
r RPUSH queue a >/dev/null
printf 'AAAA' | base64 -w0 | r -x SET base64 >/dev/null
r SAVE | has OK
echo 'p@ss/word:1' >"$work/redis.password"
chmod 600 "$work/redis.password"

take() { # take NAME OPTION...: into a fresh store
    local name=$1
    shift
    rm -rf "$work/store"
    import "$@" >"$work/$name.out" 2>&1 || fail "$name: $(cat "$work/$name.out")"
}
all() { # all NAME: the three keys are there
    local site
    for site in one two three; do
        "$bin/certs" list --store "$work/store" --master-key "$work/master.key" >"$work/list" 2>&1 || "$bin/certs" list --store "$work/store" >"$work/list"
    done
    [ "$(grep -c 'imported' "$work/$1.out")" -ge 3 ] || fail "$1: $(cat "$work/$1.out")"
}

take rdb --from-rdb "$work/redis/dump.rdb"
all rdb
has 'greeting.*holds no private key' "$work/rdb.out"
has 'number.*holds no private key' "$work/rdb.out"
has 'base64.*holds no private key' "$work/rdb.out"
has 'queue.*is a list' "$work/rdb.out"
ok "from an RDB: three keys, what else there is is named"
start_keyserver
for name in one two three; do
    spki=$(sha1_of "$work/site/$name.pem")
    ski /ski "{\"method\":\"ECDHE\",\"hash\":\"SHA256\",\"spki\":\"$spki\",\"input\":\"$(head -c 96 /dev/zero | base64 -w0)\"}" >/dev/null || true
    "$bin/certs" show --store "$work/store" "$spki" >"$work/shown" 2>&1 || fail "$name is not found by SHA-1: $(cat "$work/shown")"
done
stop_keyserver
ok "they are found by the certificates' SHA-1"
for name in one two three; do cp "$work/site/$name.pem" "$work/site/cert-$name.pem"; done
take paired --from-rdb "$work/redis/dump.rdb" "$work/site/cert-one.pem"
"$bin/certs" show --store "$work/store" "$(sha1_of "$work/site/one.pem")" | has 'one.test' || fail "paired with a certificate of a file"
ok "a certificate of a file goes with a key of Redis"

take unix --from-redis "unix:$work/redis.sock" --redis-password-file "$work/redis.password"
[ "$(grep -c ' imported\|^imported' "$work/unix.out")" -ge 2 ] || fail "unix: $(cat "$work/unix.out")"
take tcp --from-redis "redis://:p%40ss%2Fword%3A1@127.0.0.1:$port/2"
has -i "$(sha1_of "$work/site/three.pem")" "$work/tcp.out" || fail "tcp: $(cat "$work/tcp.out")"
ok "from a running Redis: a Unix socket, TCP with a password, another database"
if r CONFIG GET tls-port | has "^$tls$"; then
    take tls --from-redis "rediss://default@localhost:$tls/0" --redis-password-file "$work/redis.password" --redis-ca "$work/pki/ca.pem" \
        --redis-cert "$work/pki/edge-edge-1.pem" --redis-key "$work/pki/edge-edge-1.key"
    refuse "an authority that did not sign it" import --from-redis "rediss://localhost:$tls" --redis-password-file "$work/redis.password"
    ok "from a running Redis over TLS"
fi
refuse "a wrong password" import --from-redis "redis://:wrong@127.0.0.1:$port"
has 'AUTH: .*WRONGPASS' "$work/refused.out" || fail "$(cat "$work/refused.out")"
! has wrong "$work/refused.out" 2>/dev/null || true
refuse "nobody there" import --from-redis "redis://127.0.0.1:$(free_port)"
refuse "no address" import --from-redis "http://127.0.0.1"
head -c 300 "$work/redis/dump.rdb" >"$work/short.rdb"
refuse "a damaged file" import --from-rdb "$work/short.rdb"
has 'short.rdb: rdb: offset' "$work/refused.out" || fail "$(cat "$work/refused.out")"
unset REDISCLI_AUTH
kill "$redis"
wait "$redis" || true
finish
