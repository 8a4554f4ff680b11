#!/usr/bin/env bash
# kvcheck on the store of a key server: sound, in use, damaged in each way, dry run, repair; and a disk that is really full (root: a
# tmpfs of its own; skipped otherwise).
. "$(dirname "$0")/lib.sh" "$@"

make_pki
mkdir "$work/keys"
for i in $(seq 1 40); do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/keys/$(printf %03d "$i").pem" 2>/dev/null
done
import "$work/keys" >"$work/import.log" 2>&1
store=$work/store

status_of() { # status_of COMMAND...: its exit status; output in $work/out
    local status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    echo "$status"
}
expect_status() { # expect_status NAME STATUS COMMAND...
    local name=$1 expected=$2 got
    shift 2
    got=$(status_of "$@")
    [ "$got" = "$expected" ] || fail "$name: exit status $got instead of $expected: $(tail -n 5 "$work/out" "$work/err")"
    ok "$name"
}
fresh() { # an own copy of the store
    rm -rf "$work/copy"
    cp -a "$store" "$work/copy"
}
keys_in() { # keys_in STORE: how many a list shows
    "$bin/certs" verify --store "$1" --master-key "$work/master.key" | sed -n 's/^keys \([0-9]*\),.*/\1/p'
}
flip() { # flip FILE OFFSET
    python3 - "$1" "$2" <<'PY'
import sys
f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1); f.seek(int(sys.argv[2])); f.write(bytes([b[0] ^ 1]))
PY
}
sums() { (cd "$1" && sha256sum ./*.seg MANIFEST); }

expect_status "a sound store" 0 "$bin/kvcheck" "$store"
has 'sound$' <"$work/out" || fail "says so"
check "as JSON" sh -c "'$bin/kvcheck' '$store' --json | python3 -c 'import json,sys; d=json.load(sys.stdin); assert d[\"sound\"] and d[\"keys\"] >= 40 and not d[\"findings\"]'"
expect_status "no folder is wrong usage" 2 "$bin/kvcheck"
expect_status "an unknown option is wrong usage" 2 "$bin/kvcheck" "$store" --mend
mkdir "$work/empty"
expect_status "an empty folder is no store" 3 "$bin/kvcheck" "$work/empty"
[ -z "$(ls "$work/empty")" ] || fail "a check left a file"

start_keyserver
expect_status "a store in use is refused" 3 "$bin/kvcheck" "$store" --repair
has 'another process has it open' <"$work/err" || fail "says why"
stop_keyserver KILL
expect_status "after kill -9 it is sound" 0 "$bin/kvcheck" "$store"
start_keyserver
stop_keyserver TERM

# A byte of a value: told with its place; a dry run changes nothing; repair loses one key and says so.
fresh
seg=$work/copy/00000001.seg
flip "$seg" 400
before=$(sums "$work/copy")
expect_status "a flipped bit" 1 "$bin/kvcheck" "$work/copy"
has 'damage: segment 00000001: [0-9]* bytes at [0-9]*:' <"$work/out" || fail "says where"
expect_status "dry run" 1 "$bin/kvcheck" "$work/copy" --dry-run
has 'would do: .*overwrite with zeros' <"$work/out" || fail "says what it would do"
[ "$before" = "$(sums "$work/copy")" ] || fail "a dry run changed something"
ok "a dry run changes nothing"
expect_status "repair with a loss" 1 "$bin/kvcheck" "$work/copy" --repair
expect_status "sound after it" 0 "$bin/kvcheck" "$work/copy"
[ "$(keys_in "$work/copy")" -ge $(($(keys_in "$store") - 1)) ] || fail "more than one key is gone"
ok "one key at most is gone"

# The end of a segment.
fresh
size=$(stat -c %s "$seg")
truncate -s $((size - 100)) "$seg"
refuse "a store that was cut does not open" "$bin/certs" list --store "$work/copy"
has "segment 00000001: $((size - 100)) bytes, the manifest says $size" <"$work/refused.out" || fail "says why: $(cat "$work/refused.out")"
expect_status "kvcheck tells it" 1 "$bin/kvcheck" "$work/copy"
expect_status "and repairs it with a loss" 1 "$bin/kvcheck" "$work/copy" --repair
expect_status "sound after it" 0 "$bin/kvcheck" "$work/copy"
check "it opens" "$bin/certs" verify --store "$work/copy" --master-key "$work/master.key"

# A copy of the manifest: repaired without a loss. Both: from the segments.
fresh
flip "$work/copy/MANIFEST" 33
expect_status "one copy of the manifest" 1 "$bin/kvcheck" "$work/copy"
expect_status "is repaired without a loss" 0 "$bin/kvcheck" "$work/copy" --repair
[ "$(sums "$work/copy")" = "$(sums "$store")" ] || fail "the manifest is not what it was"
ok "the manifest is what it was"
rm "$work/copy/MANIFEST"
expect_status "no manifest" 1 "$bin/kvcheck" "$work/copy"
expect_status "is made again from the segments" 1 "$bin/kvcheck" "$work/copy" --repair --json
[ "$(keys_in "$work/copy")" = "$(keys_in "$store")" ] || fail "keys are missing"
ok "with every key"

# A segment's file.
fresh
rm "$seg"
refuse "a store with a missing segment does not open" "$bin/certs" list --store "$work/copy"
expect_status "it is forgotten" 1 "$bin/kvcheck" "$work/copy" --repair
expect_status "sound after it" 0 "$bin/kvcheck" "$work/copy"

# A full disk, really: what was reported as imported is there, the rest is refused with the reason.
if [ "$(id -u)" = 0 ] && mkdir "$work/disk" && mount -t tmpfs -o size=24m tmpfs "$work/disk" 2>/dev/null; then
    at_end() { umount -l "$work/disk" 2>/dev/null || true; }
    "$bin/certs" import --store "$work/disk/store" --master-key "$work/master.key" --json "$work/keys" >"$work/full.json" 2>"$work/full.err"
    dd if=/dev/zero of="$work/disk/filler" bs=1k 2>/dev/null || true
    mkdir "$work/more"
    for i in $(seq 1 40); do
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$work/more/$i.pem" 2>/dev/null
    done
    refuse "an import onto a full disk" sh -c "'$bin/certs' import --store '$work/disk/store' --master-key '$work/master.key' --json '$work/more' >>'$work/full.json' 2>>'$work/full.err'"
    cat "$work/full.err" "$work/full.json" | has -i 'no space left' || fail "says why: $(tail -n 3 "$work/full.err")"
    ok "says why"
    expect_status "and leaves a sound store" 0 "$bin/kvcheck" "$work/disk/store"
    imported=$(grep '"result": *"\(imported\|unchanged\)"' "$work/full.json" | grep -o '"spki": *"[^"]*"' | sort -u | wc -l)
    [ "$imported" -ge 40 ] || fail "$imported keys were reported as imported"
    rm "$work/disk/filler"
    [ "$(keys_in "$work/disk/store")" -ge "$imported" ] || fail "$imported keys were reported, there are $(keys_in "$work/disk/store")"
    ok "with the $imported keys that were reported"
    check "and with room again it goes on" "$bin/certs" import --store "$work/disk/store" --master-key "$work/master.key" "$work/more" >"$work/again.log" 2>&1
    umount "$work/disk"
else
    echo "skipped: a full disk (not root, or no tmpfs)"
fi
finish
