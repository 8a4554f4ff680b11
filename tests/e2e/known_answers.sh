#!/usr/bin/env bash
# Signatures and premasters of the key server, by curl, checked by the openssl command line: every protocol and hash, both dialects.
. "$(dirname "$0")/lib.sh" "$@"

make_pki
site rsa2048 -newkey rsa:2048
site rsa4096 -newkey rsa:4096
site p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
site p384 -newkey ec -pkeyopt ec_paramgen_curve:P-384
site p521 -newkey ec -pkeyopt ec_paramgen_curve:P-521
import "$work/site" >"$work/import.log"
start_keyserver

# Something to sign: randoms and ECDH parameters of each curve.
randoms() { head -c 64 /dev/urandom; }
point() { openssl ecparam -name "$1" -genkey -noout | openssl ec -pubout -outform DER 2>/dev/null | tail -c "$2"; }
{ randoms; printf '\003\000\027\101'; point prime256v1 65; } >"$work/in.p256"
{ randoms; printf '\003\000\030\141'; point secp384r1 97; } >"$work/in.p384"
{ randoms; printf '\003\000\031\205'; point secp521r1 133; } >"$work/in.p521"
{ randoms; printf '\003\000\035\040'; head -c 32 /dev/urandom; } >"$work/in.x25519"
{ randoms; printf '\003\000\036\070'; head -c 56 /dev/urandom; } >"$work/in.x448"

# request SITE PROTOCOL INPUT-FILE [MORE-MEMBERS]
request() {
    printf '{"protocol":"%s","spki":"%s","method":"ECDHE","input":"%s"%s}' "$2" "$(spki_of "$work/site/$1.pem")" \
        "$(base64 -w0 <"$3")" "${4:-}"
}

# sign SITE PROTOCOL INPUT [MORE]: leaves the signature in $work/sig
sign() {
    ski /ski "$(request "$@")" | member output | base64 -d >"$work/sig"
    [ "$(http_status)" = 200 ] && [ -s "$work/sig" ]
}

verify() { # verify SITE DIGEST INPUT [OPENSSL-OPTION...]
    local name=$1 digest=$2 input=$3
    shift 3
    openssl x509 -in "$work/site/$name.pem" -noout -pubkey >"$work/pub"
    openssl dgst "-$digest" -verify "$work/pub" -signature "$work/sig" "$@" "$input" >/dev/null
}

for name in rsa2048 rsa4096 p256 p384 p521; do
    for hash in SHA1:sha1 SHA-224:sha224 SHA-256:sha256 SHA-384:sha384 SHA-512:sha512; do
        sign "$name" "TLS 1.2" "$work/in.p256" ",\"hash\":\"${hash%:*}\"" || fail "$name ${hash%:*}: no signature"
        verify "$name" "${hash#*:}" "$work/in.p256" || fail "$name ${hash%:*}: does not verify"
    done
    ok "TLS 1.2 ECDHE, $name: SHA-1, SHA-224, SHA-256, SHA-384, SHA-512 verify with openssl dgst"
    sign "$name" "DTLS 1.2" "$work/in.p256" && verify "$name" sha1 "$work/in.p256" || fail "$name default hash"
done
ok "DTLS 1.2, hash absent: SHA-1"

for curve in p256 p384 p521 x25519 x448; do
    sign rsa2048 "TLS 1.2" "$work/in.$curve" ',"hash":"SHA-256"' && verify rsa2048 sha256 "$work/in.$curve" ||
        fail "ECDH parameters of $curve"
done
ok "ECDH parameters of P-256, P-384, P-521, X25519 and X448"

# TLS 1.0 and 1.1: RSA signs MD5 || SHA-1 without DigestInfo, ECDSA signs SHA-1.
for protocol in "TLS 1.0" "TLS 1.1" "DTLS 1.0"; do
    for name in rsa2048 rsa4096; do
        sign "$name" "$protocol" "$work/in.p256" || fail "$protocol $name"
        openssl x509 -in "$work/site/$name.pem" -noout -pubkey >"$work/pub"
        openssl pkeyutl -verifyrecover -pubin -inkey "$work/pub" -in "$work/sig" >"$work/recovered"
        { openssl md5 -binary "$work/in.p256"; openssl sha1 -binary "$work/in.p256"; } >"$work/expected"
        cmp "$work/recovered" "$work/expected"
    done
    sign p256 "$protocol" "$work/in.p256" && verify p256 sha1 "$work/in.p256" || fail "$protocol p256"
done
ok "TLS 1.0, 1.1, DTLS 1.0: MD5||SHA-1 for RSA, SHA-1 for ECDSA"

for bits in 256 384 512; do
    sign rsa2048 "TLS 1.2" "$work/in.p256" ",\"scheme\":\"rsa_pss_rsae_sha$bits\"" &&
        verify rsa2048 "sha$bits" "$work/in.p256" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest ||
        fail "PSS sha$bits"
done
ok "scheme rsa_pss_rsae_*"

{ printf '%064d' 0 | tr 0 ' '; printf 'TLS 1.3, server CertificateVerify\0'; head -c 32 /dev/urandom; } >"$work/in.cv"
sign p256 "TLS 1.3" "$work/in.cv" ',"scheme":"ecdsa_secp256r1_sha256"' && verify p256 sha256 "$work/in.cv" || fail "TLS 1.3 ECDSA"
sign rsa2048 "TLS 1.3" "$work/in.cv" ',"scheme":"rsa_pss_rsae_sha256"' &&
    verify rsa2048 sha256 "$work/in.cv" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest || fail "TLS 1.3 PSS"
ok "TLS 1.3 CertificateVerify"

# RSA: the premaster comes back, by either fingerprint and either dialect.
for version in "TLS 1.0:\003\001" "TLS 1.1:\003\002" "TLS 1.2:\003\003" "DTLS 1.0:\376\377" "DTLS 1.2:\376\375"; do
    for name in rsa2048 rsa4096; do
        { printf "${version#*:}"; head -c 46 /dev/urandom; } >"$work/premaster"
        openssl pkeyutl -encrypt -certin -inkey "$work/site/$name.pem" -in "$work/premaster" -out "$work/epms"
        for spki in "$(spki_of "$work/site/$name.pem")" "$(sha1_of "$work/site/$name.pem")"; do
            for path in /ski /; do
                ski "$path" "{\"protocol\":\"${version%%:*}\",\"spki\":\"$spki\",\"method\":\"RSA\",\"input\":\"$(base64 -w0 <"$work/epms")\"}" |
                    member output | base64 -d >"$work/got"
                cmp "$work/premaster" "$work/got"
            done
        done
    done
done
ok "RSA premasters of every protocol, by SHA-256 and SHA-1 fingerprint, on /ski and /"

# The offered version, when it differs from the negotiated one.
{ printf '\003\003'; head -c 46 /dev/urandom; } >"$work/premaster"
openssl pkeyutl -encrypt -certin -inkey "$work/site/rsa2048.pem" -in "$work/premaster" -out "$work/epms"
body="{\"protocol\":\"TLS 1.1\",\"client_version\":\"TLS 1.2\",\"spki\":\"$(spki_of "$work/site/rsa2048.pem")\",\"method\":\"RSA\",\"input\":\"$(base64 -w0 <"$work/epms")\"}"
ski /ski "$body" | member output | base64 -d >"$work/got"
check "client_version is what the premaster must carry" cmp "$work/premaster" "$work/got"

# Errors: draft codes on /ski, 200 on /.
good_input=$(base64 -w0 <"$work/in.p256")
good_spki=$(spki_of "$work/site/rsa2048.pem")
expect_error() { # expect_error DRAFT-STATUS TEXT JSON
    local path status
    for path in /ski /; do
        status=$1
        [ "$path" = /ski ] || status=200
        [ "$(ski "$path" "$3" | member error)" = "$2" ] || fail "$path $3: $(cat "$work/body")"
        [ "$(http_status)" = "$status" ] || fail "$path $3: HTTP $(http_status), expected $status"
    done
}
expect_error 404 "spki not found" "{\"protocol\":\"TLS 1.2\",\"spki\":\"$(head -c 32 /dev/urandom | base64 -w0)\",\"method\":\"ECDHE\",\"input\":\"$good_input\"}"
expect_error 404 "spki not found" "{\"protocol\":\"TLS 1.2\",\"spki\":\"odd\",\"method\":\"ECDHE\",\"input\":\"$good_input\"}"
expect_error 400 "malformed request" ""
expect_error 400 "malformed request" "[]"
expect_error 400 "malformed request" "{\"protocol\":\"TLS 1.2\""
expect_error 400 "malformed request" "{\"protocol\":\"tls 1.2\",\"spki\":\"$good_spki\",\"method\":\"ECDHE\",\"input\":\"$good_input\"}"
expect_error 400 "malformed request" "{\"protocol\":\"TLS 1.2\",\"spki\":\"$good_spki\",\"method\":\"DHE\",\"input\":\"$good_input\"}"
expect_error 400 "malformed request" "{\"protocol\":\"TLS 1.2\",\"spki\":\"$good_spki\",\"method\":\"ECDHE\",\"hash\":\"MD5\",\"input\":\"$good_input\"}"
expect_error 400 "malformed request" "{\"protocol\":\"TLS 1.2\",\"spki\":null,\"method\":\"ECDHE\",\"input\":\"$good_input\"}"
expect_error 400 "malformed request" "{\"protocol\":\"TLS 1.2\",\"spki\":\"$good_spki\",\"method\":\"ECDHE\",\"input\":\"*\"}"
expect_error 400 "malformed request" "{\"protocol\":\"TLS 1.2\",\"spki\":\"$good_spki\",\"method\":\"ECDHE\",\"input\":\"${good_input:4}\"}"
expect_error 400 "malformed request" "{\"protocol\":\"TLS 1.2\",\"spki\":\"$good_spki\",\"method\":\"RSA\",\"input\":\"$good_input\"}"
expect_error 400 "malformed request" "{\"protocol\":\"TLS 1.2\",\"spki\":\"$(spki_of "$work/site/p256.pem")\",\"method\":\"RSA\",\"input\":\"$(base64 -w0 <"$work/epms")\"}"
ok "errors: the four texts, draft codes on /ski, 200 on /"
ski /ski "{\"protocol\":\"TLS 1.2\",\"spki\":\"$good_spki\",\"input\":\"$good_input\"}" | member output | has .
ok "the draft's method defaults to ECDHE"
[ "$(ski / "{\"protocol\":\"TLS 1.2\",\"spki\":\"$good_spki\",\"input\":\"$good_input\"}" | member error)" = "malformed request" ]
ok "the Java dialect requires a method"
[ "$(ski /other '{}' | member error)" = "unspecified error" ] && [ "$(http_status)" = 404 ]
[ "$(ski / '' -X GET | member error)" = "unspecified error" ] && [ "$(http_status)" = 404 ]
ok "other paths, and GET: 404"

# What operators see agrees with what was done.
[ "$(metric 'ks_requests_total{method="RSA",key_type="RSA",result="ok"}')" = 41 ] || fail "RSA operations counted: $(metric 'ks_requests_total{method="RSA",key_type="RSA",result="ok"}')"
ok "metrics count the operations"
grep -c '"method":"RSA".*"result":"ok"' "$work/audit.log" | has -x 41
grep -q '"edge":"edge-1"' "$work/audit.log"
ok "the audit log has a line for each, with the edge's name"
if grep -q -e "${good_input:0:40}" -e 'PRIVATE' "$work/audit.log" "$work/keyserver.log"; then fail "request bytes in a log"; fi
ok "no request bytes in any log"
check_engine
stop_keyserver
finish
