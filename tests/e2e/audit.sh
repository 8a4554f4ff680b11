#!/usr/bin/env bash
# The audit log of a real server under load: whole as it is, broken however it is tampered with; kill -9, rotation, a full disk, strict and
# lossy, alarms.
. "$(dirname "$0")/lib.sh" "$@"

at_end() {
    [ ! -d "$work/disk" ] || umount "$work/disk" 2>/dev/null || true
}

make_pki
site rsa2048 -newkey rsa:2048
site p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
import "$work/site" >"$work/import.log"
openssl genpkey -algorithm ed25519 -out "$work/audit.key"
chmod 600 "$work/audit.key"
openssl pkey -in "$work/audit.key" -pubout -out "$work/audit.pub"

verify() { "$bin/keyserver" --verify-audit --audit-public "$work/audit.pub" "$@" >"$work/verify.out" 2>&1; }

whole() { # whole NAME [OPTION|FILE]...
    local name=$1
    shift
    verify "$@" || { cat "$work/verify.out" && fail "$name"; }
    ok "$name"
}

broken() { # broken NAME TEXT FILE...: exit status 1, and the text among what is said
    local name=$1 text=$2 status=0
    shift 2
    verify "$@" || status=$?
    [ "$status" = 1 ] && has -F -e "$text" <"$work/verify.out" || { cat "$work/verify.out" && fail "$name (status $status)"; }
    ok "$name"
}

load() { # from two edges, until end_load
    local edge pids_of=()
    for edge in edge-1 edge-2; do
        "$bin/edge-sim" load ski --keyserver "https://$ks" --cert "$work/pki/edge-$edge.pem" --key "$work/pki/edge-$edge.key" \
            --ca "$work/pki/ca.pem" --site "$work/site/rsa2048.pem" --site "$work/site/p256.pem" --connections 8 --in-flight 4 \
            --duration 600s >>"$work/load.log" 2>&1 &
        pids_of+=($!)
        pids+=($!)
    done
    load_pids=("${pids_of[@]}")
}
end_load() {
    local pid
    for pid in "${load_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${load_pids[@]}"; do wait "$pid" || true; done
}
# has_lines N FILE...: so many answers have their lines.
has_lines() { [ "$(ok_lines "${@:2}")" -ge "$1" ]; }
ok_lines() { cat "$@" | grep -c '"result":"ok"' || true; }
logs() { find "$work" -maxdepth 1 -name "$1.0*" | sort; }

# ---- strict, with rotation, under load

start_keyserver --audit strict --audit-key "$work/audit.key" --audit-rotate 20kb --audit-head-lines 20
load
rotated() { [ "$(metric ks_audit_rotations_total)" -ge 5 ]; }
wait_for 300 rotated || fail "no rotation"
end_load
requests=$(curl -sS "http://$admin/metrics" | awk '/^ks_requests_total.*result="ok"/ { n += $2 } END { print n + 0 }')
[ "$(metric ks_audit_dropped_total)" = 0 ] || fail "lines were dropped"
writes=$(metric ks_audit_writes_total)
check "many lines go out by one write" test "$writes" -lt "$(metric ks_audit_lines_total)"
curl -sS "http://$admin/status" | has '"mode": "strict"' || fail "/status does not say how the log is kept"
stop_keyserver
mapfile -t files < <(logs audit.log)
check "the log was rotated by its size" test "${#files[@]}" -ge 2
files+=("$work/audit.log")
whole "the log of a server under load is whole, its heads signed" "${files[@]}"
check "it has a line for each answer" test "$(ok_lines "${files[@]}")" -eq "$requests"
for i in $(seq 1 $((${#files[@]} - 1))); do
    [ "$(tail -n 1 "${files[i - 1]}")" = "$(head -n 1 "${files[i]}")" ] || fail "${files[i]} does not begin with the last head"
done
ok "each file begins with the last head of the one before"
whole "a file by itself is whole too" "${files[1]}"

# The signature by other means: fixed text, then the line up to its signature.
line=$(tail -n 1 "$work/audit.log")
{ printf 'MEC key server audit head 1\n' && printf '%s' "${line%%,\"sig\":*}"; } >"$work/head.signed"
sed 's/.*"sig":"\([0-9a-f]*\)".*/\1/' <<<"$line" | tr a-f A-F | basenc --base16 -d >"$work/head.sig"
check "openssl verifies a head by itself" openssl pkeyutl -verify -pubin -inkey "$work/audit.pub" -rawin -in "$work/head.signed" -sigfile "$work/head.sig"

# ---- tampering

f=${files[1]}
n=$(wc -l <"$f")
tamper() { # tamper SED-SCRIPT: a copy, in the place of the second file
    sed "$1" "$f" >"$work/tampered"
}
tampered=("${files[@]}")
tampered[1]=$work/tampered
tamper '5s/"result":"ok"/"result":"not"/;5s/"edge":"edge-./"edge":"edge-9/'
broken "a changed line" "tampered:5: " "${tampered[@]}"
tamper 5d
broken "a removed line" ": 1 missing" "${tampered[@]}"
tamper '5{h;d};6{G}'
broken "lines that changed places" "moved or copied" "${tampered[@]}"
tamper 5p
broken "a line twice" "moved or copied" "${tampered[@]}"
tamper '5s/.*/nonsense/'
broken "a line that is none" "tampered:5: found 8 bytes that are no line" "${tampered[@]}"
tamper "$n"'s/"sig":"./"sig":"x/'
broken "a head that was spoilt" "tampered:$n: " "${tampered[@]}"
tamper "$((n - 3)),\$d"
broken "a file that was cut off" " missing" "${tampered[@]}"
broken "a file that was taken away" " missing" "${files[0]}" "${files[@]:2}"
broken "files in the wrong order" "moved or copied" "${files[1]}" "${files[0]}" "${files[@]:2}"
head -n -1 "$work/audit.log" >"$work/cut"
broken "an end that was cut off" "the end is no head that closes the log" "$work/cut"
head -c -40 "$work/audit.log" >"$work/cut"
broken "an end in the middle of a line" "the end is torn" "$work/cut"
head=$(tail -n 1 "$work/audit.log" | tr -d '\n' | sha256sum | cut -d' ' -f1)
check "the log has noted it" grep -q "audit_closed file=$work/audit.log seq=[0-9]* hash=$head" "$work/keyserver.log"
whole "the head that was noted is there" --expect-head "$head" "${files[@]}"
broken "and is missed" "found no line with hash $head" --audit-open --expect-head "$head" "$work/cut"
openssl genpkey -algorithm ed25519 2>/dev/null | openssl pkey -pubout -out "$work/other.pub"
refuse "another's signatures" "$bin/keyserver" --verify-audit --audit-public "$work/other.pub" "${files[@]}"
status=0
verify "$work/absent" || status=$?
check "a file that cannot be read is another matter" test "$status" = 2

# ---- kill -9 under load: no answer without its line

rm -f "$work"/audit.log*
start_keyserver --audit strict --audit-key "$work/audit.key" --audit-head-lines 50
: >"$work/load.log"
load
wait_for 300 has_lines 300 "$work/audit.log" || fail "no load"
stop_keyserver KILL
end_load
right=$(sed -n 's/.* \([0-9]*\) right answers.*/\1/p' "$work/load.log" | awk '{ n += $1 } END { print n + 0 }')
check "every answer that left before a kill has its line" test "$right" -gt 0 -a "$right" -le "$(ok_lines "$work/audit.log")"
before=$(stat -c %s "$work/audit.log")
cp "$work/audit.log" "$work/killed"
printf '{"time":"2026-11-23T23:25:38.456973Z","edge":"ed' >>"$work/audit.log" # as a write that was cut off leaves it
start_keyserver --audit strict --audit-key "$work/audit.key"
load
wait_for 300 has_lines $(($(ok_lines "$work/audit.log") + 20)) "$work/audit.log" || fail "no load"
end_load
stop_keyserver
check "the log says that it was not closed" grep -q "audit_unclosed file=$work/audit.log seq=[0-9]* hash=[0-9a-f]* torn_bytes=48 " "$work/keyserver.log"
check "what was there stays, the torn line too" cmp -n "$before" "$work/killed" "$work/audit.log"
whole "the chain goes on behind it" "$work/audit.log"
check "and the verifier tells of it" has -F "note: a torn line of 48 bytes" <"$work/verify.out"
check "and of the server that was killed" has -F "had not closed its log" <"$work/verify.out"

# Stopped at once, by a second signal, while results wait for their lines.
rm -f "$work"/audit.log*
start_keyserver --audit strict --audit-key "$work/audit.key" --drain-timeout 10m
load
wait_for 300 has_lines 50 "$work/audit.log" || fail "no load"
kill -TERM "$ks_pid"
stop_keyserver
end_load
whole "stopped at once under load" "$work/audit.log"

# ---- logrotate: renamed, then SIGHUP, under load

rm -f "$work"/audit.log*
start_keyserver --audit-key "$work/audit.key"
load
for i in 1 2 3; do
    wait_for 300 has_lines 20 "$work/audit.log" || fail "no load"
    mv "$work/audit.log" "$work/rotated.$i"
    kill -HUP "$ks_pid"
    wait_for 60 test -s "$work/audit.log" || fail "the log was not reopened"
done
end_load
stop_keyserver
whole "renamed and reopened under load" "$work"/rotated.[123] "$work/audit.log"

# ---- alarms

start_keyserver
spki=$(spki_of "$work/site/rsa2048.pem")
{ printf '\003\003' && head -c 46 /dev/urandom; } >"$work/premaster"
openssl pkeyutl -encrypt -certin -inkey "$work/site/rsa2048.pem" -in "$work/premaster" -out "$work/ciphertext"
body="{\"protocol\":\"TLS 1.2\",\"spki\":\"$spki\",\"method\":\"RSA\",\"input\":\"$(base64 -w0 "$work/ciphertext")\"}"
ski /ski "$body" >/dev/null
[ "$(metric 'ks_audit_alarms_total{alarm="ciphertext_again"}')" = 0 ] || fail "an alarm for nothing"
ski /ski "$body" >/dev/null
[ "$(metric 'ks_audit_alarms_total{alarm="ciphertext_again"}')" = 1 ] || fail "no alarm for a ciphertext that came again"
ski /ski "$body" --cert "$work/pki/edge-edge-2.pem" --key "$work/pki/edge-edge-2.key" >/dev/null
[ "$(metric 'ks_audit_alarms_total{alarm="ciphertext_other_edge"}')" = 1 ] || fail "no alarm for one from another edge"
for _ in $(seq 60); do ski /ski '{"nonsense":1}' >/dev/null; done
[ "$(metric 'ks_audit_alarms_total{alarm="error_share"}')" -ge 1 ] || fail "no alarm for an edge whose errors jump"
stop_keyserver
for alarm in ciphertext_again ciphertext_other_edge error_share; do
    grep -q "audit_alarm alarm=$alarm" "$work/keyserver.log" || fail "the log has no $alarm"
    grep -q "\"event\":\"alarm\",\"alarm\":\"$alarm\"" "$work/audit.log" || fail "the audit log has no $alarm"
done
ok "a ciphertext again, from another edge, and a jump of errors raise alarms"

# ---- what cannot be written

start_keyserver --audit-log /dev/full --audit strict
ski /ski "$body" >/dev/null
[ "$(http_status)" = 500 ] || fail "strict answered $(http_status)"
has -F '{"error":"unspecified error"}' <"$work/body" || fail "strict answered $(cat "$work/body")"
[ "$(metric ks_audit_refused_total)" = 1 ] && [ "$(metric ks_audit_failing)" = 1 ] || fail "strict did not count"
check "strict refuses a result that cannot be audited" grep -q ' error keyserver audit_failing ' "$work/keyserver.log"
stop_keyserver
start_keyserver --audit-log /dev/full
ski /ski "$body" | has '"output"' || fail "lossy did not answer"
dropped() { [ "$(metric ks_audit_dropped_total)" = 1 ]; }
check "lossy answers and counts" wait_for 60 dropped
stop_keyserver

mkdir "$work/disk"
if mount -t tmpfs -o size=128k none "$work/disk" 2>/dev/null; then
    head -c 122880 /dev/zero >"$work/disk/filler" # one page is left
    start_keyserver --audit-log "$work/disk/audit.log" --audit strict --audit-key "$work/audit.key"
    refused() { ski /ski "$body" >/dev/null && [ "$(http_status)" = 500 ]; }
    check "strict refuses when the disk is full" wait_for 120 refused
    refused && refused || fail "and goes on refusing"
    [ "$(metric ks_audit_failing)" = 1 ] || fail "no alarm"
    rm "$work/disk/filler"
    answered() { ski /ski "$body" >/dev/null && [ "$(http_status)" = 200 ]; }
    check "and answers when there is room again" answered
    stop_keyserver
    grep -q audit_recovered "$work/keyserver.log" || fail "the log does not say that it recovered"
    whole "what was written around it is whole" "$work/disk/audit.log"
    has -F "a torn line of" <"$work/verify.out" || fail "the torn line is not told"
    grep -q '"event":"dropped"' "$work/disk/audit.log" || fail "lost lines are not told"
    ok "the torn line and the lost ones are told"
else
    echo "no tmpfs can be mounted here: /dev/full was all"
fi

# ---- what is refused

cp "$work/audit.key" "$work/open.key"
chmod 644 "$work/open.key"
refuse "strict without a log" "$bin/keyserver" --listen 127.0.0.1:0 --store "$work/store" --cert c --key k --client-ca a --audit strict
for args in "--audit-key $work/open.key" "--audit-key $work/audit.pub" "--audit-key $work/absent"; do
    # shellcheck disable=SC2086
    refuse "${args##*/}" "$bin/keyserver" --listen 127.0.0.1:0 --store "$work/store" --master-key "$work/master.key" --cert "$work/pki/server.pem" \
        --key "$work/pki/server.key" --client-ca "$work/pki/ca.pem" --audit-log "$work/other.log" $args --check
done
refuse "no file to verify" "$bin/keyserver" --verify-audit
refuse "a head that is none" "$bin/keyserver" --verify-audit --expect-head x "$work/audit.log"
check "every option is in the manual page" page_has_options keyserver "$(dirname "$0")/../../keyserver/keyserver.1"
finish
