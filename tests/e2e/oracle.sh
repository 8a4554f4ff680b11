#!/usr/bin/env bash
# RSA decryption has one outcome to the eye: 100,000 good and malformed ciphertexts of every kind, before and after a restart.
# MEC_E2E_SCALE=N divides the number (sanitizer builds).
. "$(dirname "$0")/lib.sh" "$@"

make_pki
site rsa2048 -newkey rsa:2048
site rsa4096 -newkey rsa:4096
import "$work/site" >"$work/import.log"
# "busy" for what waited too long is no news about a ciphertext, and on a slow machine things wait.
patient=(--operation-timeout 60s)
start_keyserver "${patient[@]}"

oracle() { # oracle SITE COUNT [--compare]
    "$bin/../tests/ski_oracle" --connect "$ks" --ca "$work/pki/ca.pem" --cert "$work/pki/edge-edge-1.pem" \
        --key "$work/pki/edge-edge-1.key" --site "$work/site/$1.pem" --count "$2" --seed 7 --answers "$work/$1.answers" "${@:3}"
}
count=$((100000 / ${MEC_E2E_SCALE:-1}))
check "$count ciphertexts, RSA-2048" oracle rsa2048 "$count"
check "RSA-4096" oracle rsa4096 $((count / 50 + 1))

# A ciphertext of another length than the modulus is public knowledge: malformed, whatever is in it.
spki=$(spki_of "$work/site/rsa2048.pem")
for len in 10 255 257 512; do
    body="{\"protocol\":\"TLS 1.2\",\"spki\":\"$spki\",\"method\":\"RSA\",\"input\":\"$(head -c "$len" /dev/urandom | base64 -w0)\"}"
    [ "$(ski /ski "$body" | member error)" = "malformed request" ] || fail "length $len: $(cat "$work/body")"
done
ok "ciphertexts of a wrong length are malformed"

stop_keyserver
start_keyserver "${patient[@]}"
check "after a restart every answer is the same" oracle rsa2048 $((count / 10 + 1)) --compare
if grep -q '"result":"\(error\|denied\)"' "$work/audit.log"; then fail "an audit line tells bad from good"; fi
ok "the audit log does not tell bad from good"
check_engine
stop_keyserver
finish
