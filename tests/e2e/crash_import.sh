#!/usr/bin/env bash
# kill -9 at random moments of an import: of the key server that an online import goes through, and of an import on its own. Every
# key that was reported is there and verifies. MEC_E2E_SCALE=N divides the number of kills.
. "$(dirname "$0")/lib.sh" "$@"

make_pki
mkdir "$work/keys"
for i in $(seq 1 300); do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/keys/$(printf %03d "$i").pem" 2>/dev/null
done
ok "300 keys made"

verified() { # every fingerprint reported so far is listed, and everything in the store verifies
    if [ ! -e "$work/store/MANIFEST" ] && ! cat "$work"/reported.* | has .; then # killed before there was a store
        echo "0 keys reported 0 missing"
        return
    fi
    verified_store
}
verified_store() {
    "$bin/certs" verify --store "$work/store" --master-key "$work/master.key" >"$work/verify.out" 2>&1 || fail "verify: $(tail -n 3 "$work/verify.out")"
    "$bin/certs" list --store "$work/store" --json >"$work/list.json"
    python3 - "$work/list.json" "$work"/reported.* <<'PY'
import json, re, sys
listed = json.dumps(json.load(open(sys.argv[1])))
missing = reported = 0
for path in sys.argv[2:]:
    for line in open(path, errors="replace"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("result") not in ("imported", "unchanged"):
            continue
        reported += 1
        if entry["spki"] not in listed:
            missing += 1
            print("reported but missing:", entry["spki"])
print(reported, "keys reported", missing, "missing")
sys.exit(1 if missing else 0)
PY
}

import_some() { # in the background; one JSON line per file goes to the given file as soon as the key is durable
    "$bin/certs" import --store "$work/store" --master-key "$work/master.key" --json "$work/keys" >"$1" 2>>"$work/import.log" &
    import_pid=$!
}
# A random moment: in every other round any, in the others after the first keys have been reported.
nap() { # nap ROUND MOST-MS
    [ $(($1 % 2)) -eq 0 ] || wait_for 60 test -s "$work/reported.$1" || true
    sleep "0.$(printf %03d $((RANDOM % $2)))"
}
kills=$((50 / ${MEC_E2E_SCALE:-1}))

for i in $(seq 1 "$kills"); do
    [ $((i % 5)) -ne 1 ] || rm -rf "$work/store" "$work"/reported.*
    start_keyserver
    import_some "$work/reported.$i"
    nap "$i" 300
    stop_keyserver KILL 2>/dev/null || true
    wait "$import_pid" 2>/dev/null || true
    verified >"$work/round.out" || fail "round $i: $(cat "$work/round.out")"
done
ok "$kills times kill -9 of the key server during an import: $(tail -n 1 "$work/round.out")"

rm -rf "$work/store" "$work"/reported.*
for i in $(seq 1 "$kills"); do
    [ $((i % 5)) -ne 1 ] || rm -rf "$work/store" "$work"/reported.*
    import_some "$work/reported.$i"
    nap "$i" 250
    kill -9 "$import_pid" 2>/dev/null || true
    wait "$import_pid" 2>/dev/null || true
    verified >"$work/round.out" || fail "round $i: $(cat "$work/round.out")"
done
ok "$kills times kill -9 of certs import: $(tail -n 1 "$work/round.out")"

# And online, uninterrupted: the running server serves what was imported a moment ago, and no longer what was deleted.
rm -rf "$work/store"
site late -newkey rsa:2048
start_keyserver
"$bin/certs" import --store "$work/store" --master-key "$work/master.key" "$work/site" >>"$work/import.log"
{ head -c 64 /dev/urandom; printf '\003\000\035\040'; head -c 32 /dev/urandom; } >"$work/in"
request="{\"protocol\":\"TLS 1.2\",\"spki\":\"$(spki_of "$work/site/late.pem")\",\"method\":\"ECDHE\",\"input\":\"$(base64 -w0 <"$work/in")\"}"
ski /ski "$request" | has output
ok "a key imported online is served at once"
"$bin/certs" delete --store "$work/store" "$(spki_of "$work/site/late.pem")" >>"$work/import.log"
[ "$(ski /ski "$request" | member error)" = "spki not found" ]
ok "a key deleted online is not served any more"
stop_keyserver
finish
