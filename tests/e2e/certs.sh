#!/bin/bash
# The certs program from beginning to end, with the openssl command line making every form of input and checking what
# comes out. Usage: certs.sh BIN_FOLDER. Prints `ok NAME` for each check, and stops at the first that fails.
set -euo pipefail

bin=${1:?usage: certs.sh BIN_FOLDER}
certs=$(cd "$bin" && pwd)/certs
dir=$(mktemp -d "${TMPDIR:-/tmp}/certs-e2e.XXXXXX")
child=
cleanup() {
    local status=$?
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    if [ $status -ne 0 ] && [ -s "$dir/out" ]; then
        echo "--- output of the last command:"
        cat "$dir/out"
    fi
    rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"

ok() { echo "ok $1"; }
fail() {
    echo "not ok $1"
    exit 1
}
# run STATUS COMMAND...: the command's output in ./out, its exit status as expected.
run() {
    local want=$1 status=0
    shift
    "$@" >out 2>&1 || status=$?
    [ "$status" -eq "$want" ] || fail "exit status $status, expected $want: $*"
}
says() { grep -qE -- "$1" out || fail "the output does not say: $1"; }
says_not() { ! grep -qE -- "$1" out || fail "the output says: $1"; }
spki() { openssl pkey -in "$1" -passin pass:secret -pubout -outform DER 2>/dev/null | openssl dgst -sha256 -binary | base64; }
sha1() { openssl x509 -in "$1" -noout -fingerprint -sha1 | sed 's/.*=//'; }

# ---- usage
run 2 "$certs"
run 2 "$certs" nonsense
run 0 "$certs" --help
run 0 "$certs" --version
for command in pki master-key import list show export delete recode rekey verify; do
    run 0 "$certs" $command --help
    says 'Usage: certs'
    run 2 "$certs" $command --no-such-option
done
run 2 "$certs" import --store s in
says 'no --master-key'
ok usage

# ---- PKI
run 0 "$certs" pki --out pki --server ks.example.org,127.0.0.1 --edge paris berlin=spiffe://mec/berlin
run 0 openssl verify -x509_strict -purpose sslserver -verify_hostname ks.example.org -CAfile pki/ca.pem pki/server.pem
run 0 openssl verify -x509_strict -purpose sslserver -verify_ip 127.0.0.1 -CAfile pki/ca.pem pki/server.pem
run 0 openssl verify -x509_strict -purpose sslclient -CAfile pki/ca.pem pki/edge-paris.pem
run 0 openssl verify -x509_strict -purpose sslclient -CAfile pki/ca.pem pki/edge-berlin.pem
run 2 openssl verify -purpose sslclient -CAfile pki/ca.pem pki/server.pem
run 0 openssl x509 -in pki/edge-berlin.pem -noout -ext subjectAltName
says 'URI:spiffe://mec/berlin'
for key in pki/*.key; do
    [ "$(stat -c %a "$key")" = 600 ] || fail "mode of $key"
    run 0 openssl pkey -in "$key" -check -noout
done
before=$(sha256sum pki/*.key pki/ca.pem)
run 0 "$certs" pki --out pki --server ks.example.org,127.0.0.1 --edge paris,rome
says 'kept pki/server.pem'
says 'created pki/edge-rome.pem'
[ "$before" = "$(sha256sum $(echo "$before" | awk '{print $2}'))" ] || fail "a second run changed what was there"
run 1 "$certs" pki --out pki --server other.example.org
says '--force replaces it'
run 1 "$certs" pki --out pki --edge ../evil
ok pki

# ---- master key
run 0 "$certs" master-key --out master
[ "$(stat -c %a master)" = 600 ] || fail "mode of the master key"
run 1 "$certs" master-key --out master
says 'never overwritten'
run 0 "$certs" master-key --out other-master
cp master open-master
chmod 644 open-master
mkdir none
run 1 "$certs" import --store s --master-key open-master none
says 'may read or write'
ok master-key

# ---- every form of input
mkdir -p in/deep
echo secret >pass
self_signed() { openssl req -x509 -new -key "$1" -passin pass:secret -out "$2" -subj "/CN=$3" -addext "subjectAltName=DNS:$3" -days 90; }
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out in/pkcs8.key 2>/dev/null
self_signed in/pkcs8.key in/pkcs8.crt pkcs8.example.org
openssl genrsa -traditional -out in/pkcs1.key 2048 2>/dev/null
self_signed in/pkcs1.key in/deep/far-away.pem pkcs1.example.org
openssl rsa -in in/pkcs1.key -outform DER -traditional -out pkcs1.der 2>/dev/null
openssl ecparam -name prime256v1 -genkey -out in/sec1.key # with a block of parameters in front
self_signed in/sec1.key in/sec1.crt sec1.example.org
openssl ecparam -name secp384r1 -genkey -noout -outform DER -out in/sec1.der
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -outform DER -out in/pkcs8.der
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:secret -out in/encrypted.pem
self_signed in/encrypted.pem cert.tmp encrypted.example.org
cat cert.tmp >>in/encrypted.pem
openssl ecparam -name prime256v1 -genkey -noout | openssl ec -aes128 -passout pass:secret -out in/traditional.pem 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out p12.key
self_signed p12.key p12.crt p12.example.org
openssl pkcs12 -export -inkey p12.key -in p12.crt -passout pass:secret -out in/modern.p12
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out old.key 2>/dev/null
self_signed old.key old.crt old.example.org
openssl pkcs12 -export -legacy -inkey old.key -in old.crt -passout pass:secret -out in/old.pfx
openssl x509 -in in/sec1.crt -outform DER -out in/deep/again.der
echo "not a key" >in/README
run 0 "$certs" import --store store --master-key master --passphrase-file pass in
says '^imported 9, unchanged 0, skipped 1, refused 0$'
says '^imported in/pkcs1.key: .* RSA-2048 pkcs1.example.org until '
says '^imported in/modern.p12: .* P-256 p12.example.org until '
says '^imported in/old.pfx: .* RSA-2048 old.example.org until '
run 0 "$certs" import --store store --master-key master --passphrase-file /dev/fd/3 in 3<pass
says '^imported 0, unchanged 9, skipped 1, refused 0$'
run 0 "$certs" import --store store --master-key master --json pkcs1.der
says '"result":"unchanged"'
says '"summary":\{"imported":0,"unchanged":1,"skipped":0,"refused":0\}'
run 0 "$certs" verify --store store --master-key master --deep
says '^keys 9, aliases 6, faults 0$'
ok import

# ---- what is refused, with the rest going on
mkdir bad
openssl genrsa -out bad/weak.key 1024 2>/dev/null
openssl genpkey -algorithm ed25519 -out bad/ed25519.key
openssl ecparam -name secp256k1 -genkey -noout -out bad/curve.key
openssl ecparam -name prime256v1 -genkey -noout -out bad/site.key
self_signed p12.key bad/site.crt mismatch.example.org
head -c 900 in/pkcs8.key >bad/cut.key
mkfifo bad/fifo
ln -s ../bad bad/loop
truncate -s 2M bad/huge.key
openssl ecparam -name prime256v1 -genkey -noout -out bad/zz-good.key
openssl ecparam -name prime256v1 -genkey -noout -out bad/expired.key
openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -passout pass:other -out bad/wrong-pass.key
openssl req -new -key bad/expired.key -subj /CN=expired.example.org -out expired.csr
openssl x509 -req -in expired.csr -key bad/expired.key -days -1 -out bad/expired.crt 2>/dev/null
run 1 "$certs" import --store store --master-key master --passphrase-file pass bad
says 'certs: bad/weak.key: refused: RSA key too weak: found 1024 bits, expected 2048 to 8192'
says 'certs: bad/ed25519.key: refused: ED25519 key: expected RSA'
says 'certs: bad/curve.key: refused: EC key on the curve secp256k1: expected P-256'
says 'certs: bad/site.key: refused: the private key does not belong to the certificate'
says 'certs: bad/cut.key: refused: damaged PEM'
says 'certs: bad/fifo: refused: a FIFO'
says 'certs: bad/loop: refused: a folder that contains itself'
says 'certs: bad/huge.key: refused: too large'
says "certs: bad/expired.key: refused: the key's certificate \(expired.example.org\) ended on"
says 'certs: bad/wrong-pass.key: refused: '
says '^imported bad/zz-good.key'
says '^imported 1, unchanged 0, skipped 1, refused 10$'
run 0 "$certs" import --store store --master-key master --allow-expired bad/expired.key bad/expired.crt
run 1 "$certs" import --store store --master-key master in/encrypted.pem
says 'no passphrase was given'
run 1 "$certs" import --store store --master-key master missing.key
says 'No such file'
run 1 "$certs" import --store store --master-key other-master in/pkcs8.key in/pkcs8.crt
says 'sealed under another master key'
ok refusals

# ---- list and show
run 0 "$certs" list --store store
says "^$(spki in/pkcs8.key | sed 's/[+]/\\+/g')  RSA-2048  sealed .*pkcs8.example.org"
says '^11 keys$'
run 0 "$certs" list --store store --json
says '"name":"sec1.example.org"'
run 0 "$certs" show --store store sec1.example.org
says "^spki +$(spki in/sec1.key | sed 's/[+]/\\+/g')"
run 0 "$certs" show --store store --json "$(sha1 in/sec1.crt)"
says '"type":"EC"'
run 0 "$certs" show --store store in/sec1.crt
run 1 "$certs" show --store store nobody.example.org
run 1 "$certs" list --store no-such-store
for shown in list "show $(sha1 in/pkcs8.crt)"; do
    set -- $shown
    run 0 "$certs" "$1" --store store --json "${@:2}"
    says_not 'PRIVATE'
done
ok list-show

# ---- export
check_export() { # FILE KIND: what comes out is what went in
    run 0 "$certs" export --store store --master-key master --out exported "$(spki "$1")"
    [ "$(stat -c %a exported)" = 600 ] || fail "mode of an exported key"
    run 0 openssl pkey -in exported -check -noout
    grep -q '^-----BEGIN PRIVATE KEY' exported || fail "an exported key is PKCS#8"
    cmp -s <(openssl pkey -in "$1" -passin pass:secret -outform DER) <(openssl pkey -in exported -outform DER) ||
        fail "the exported key of $1 is another one"
    rm exported
}
for key in in/pkcs8.key in/pkcs1.key in/sec1.key in/sec1.der in/pkcs8.der in/encrypted.pem in/traditional.pem p12.key old.key; do
    check_export "$key"
done
run 0 "$certs" export --store store --master-key master --out - "$(sha1 p12.crt)"
mv out on-stdout
run 0 openssl pkey -in on-stdout -check -noout
rm on-stdout
run 1 "$certs" export --store store "$(spki p12.key)"
says 'no master key was given'
run 1 "$certs" export --store store --master-key other-master "$(spki p12.key)"
says 'another master key'
echo taken >taken
run 1 "$certs" export --store store --master-key master --out taken "$(spki p12.key)"
says 'exists already'
[ "$(cat taken)" = taken ] || fail "an existing file was overwritten"
ok export

# ---- expiry
openssl ecparam -name prime256v1 -genkey -noout -out soon.key
self_signed soon.key soon.crt soon.example.org
run 0 "$certs" import --store store --master-key master --expire soon.key soon.crt
run 0 "$certs" show --store store soon.example.org
says '^expires +20'
ok expiry

# ---- delete
run 0 "$certs" delete --store store "$(sha1 soon.crt)" "$(spki in/sec1.der)"
says '\(1 aliases\)'
says '\(0 aliases\)'
run 1 "$certs" show --store store "$(sha1 soon.crt)"
run 1 "$certs" delete --store store "$(spki in/sec1.der)"
says 'not in the store'
run 0 "$certs" verify --store store --master-key master
says 'faults 0$'
ok delete

# ---- verify
run 0 "$certs" verify --store store
says 'not opened'
run 1 "$certs" verify --store store --master-key other-master --json
says '"result":"fault"'
cp -r store broken
# One byte in the middle of the sealed part of a record, wherever the store's files have one.
segment=$(grep -lr MKS1 broken | head -1)
offset=$(grep -abo MKS1 "$segment" | head -1 | cut -d: -f1)
printf 'X' | dd of="$segment" bs=1 seek=$((offset + 60)) conv=notrunc status=none
run 1 "$certs" verify --store broken --master-key master
says 'fault'
ok verify

# ---- nothing of a key in the store's files or in what the program said
openssl pkey -in in/pkcs8.key -outform DER -out secret.der
! grep -rqF "$(sed -n 5p in/pkcs8.key)" store || fail "a private key lies in the store in clear"
python=$(command -v python3 || true)
if [ -n "$python" ]; then
    "$python" - store secret.der <<'PYTHON' || fail "a private key lies in the store in clear"
import os, sys
secret = open(sys.argv[2], 'rb').read()[400:900]
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        data = open(os.path.join(folder, name), 'rb').read()
        for at in range(0, len(secret) - 24, 24):
            if secret[at:at + 24] in data:
                sys.exit(1)
PYTHON
fi
ok sealed-at-rest

# ---- killed in the middle: every key that was reported is there
mkdir many
for i in $(seq 1 120); do
    openssl ecparam -name prime256v1 -genkey -noout -out "many/$i.key"
done
for delay in 0.01 0.05 0.1 0.15 0.2; do
    rm -rf killed
    "$certs" import --store killed --master-key master many >out 2>&1 &
    child=$!
    sleep $delay
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null || true
    child=
    cp out reported
    if [ -d killed ] && grep -q '^imported many' reported; then
        run 0 "$certs" verify --store killed --master-key master
        run 0 "$certs" list --store killed
        awk '/^imported many/ {print $3}' reported | while read -r name; do
            grep -qF "$name" out || fail "$name was reported and is not there"
        done
    fi
done
ok kill

# ---- one folder, one owner
"$certs" import --store owned --master-key master many >owner.out 2>&1
( cd "$dir" && "$certs" import --store owned --master-key master many >a.out 2>&1 ) &
child=$!
"$certs" list --store owned >b.out 2>&1 || fail "a list beside an import"
wait $child || fail "an import beside a list"
child=
ok together
