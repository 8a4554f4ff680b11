#!/usr/bin/env bash
# The store where the system says no: a full disk, a folder that is taken or read-only, limits on file sizes, descriptors and
# address space, kill -9 under load. Clear errors, and nothing lost that was acknowledged: kvsoak judges every answer.
# MEC_E2E_SCALE=N divides the times.
. "$(dirname "$0")/lib.sh" "$@"

soak=$(dirname "$bin")/tests/kvsoak
[ -x "$soak" ] || fail "$soak is missing"
seconds=$((10 / ${MEC_E2E_SCALE:-1} + 2))
sizes=
if nm "$soak" 2>/dev/null | has -E ' (__asan_init|__tsan_init)'; then
    sizes=--no-sizes
fi
mounted=
unmount() {
    [ -z "$mounted" ] || umount "$mounted" 2>/dev/null || umount -l "$mounted" || true
    mounted=
}
at_end() { unmount; }

# soaked NAME OPTION...: a run without differences; its counts are in $work/NAME.json.
soaked() {
    local name=$1
    shift
    mkdir -p "$work/$name"
    "$soak" --json "$work/$name.json" $sizes --seconds "$seconds" --store "$work/$name/store" "$@" >"$work/$name.out" 2>"$work/$name.log" ||
        fail "$name: $(head -n 3 "$work/$name.log")"
}
count() { # count NAME MEMBER
    sed -n "s/.*\"$2\": \([0-9]*\).*/\1/p" "$work/$1.json"
}
opens() {
    "$soak" --probe "$1" >"$work/probe.out"
}
# probe STATUS COMMAND...: what the command prints begins with one of the statuses, and says more than that.
probe() {
    local want=$1 status=0
    shift
    "$@" >"$work/probe.out" 2>"$work/probe.log" || status=$?
    [ "$status" -eq 3 ] || fail "exit status $status instead of 3: $(cat "$work/probe.out")"
    has -E "^($want): .*[a-z]" "$work/probe.out" || fail "expected '$want: ...', found: $(cat "$work/probe.out")"
}

# ---- two processes on one store

"$soak" --probe "$work/two" --hold 10 >"$work/first.out" &
first=$!
pids+=("$first")
wait_for 60 test -s "$work/two/MANIFEST" || fail "the first process did not make a store"
sleep 0.3
probe ".*" "$soak" --probe "$work/two"
ok "a store that another process has open: $(cat "$work/probe.out")"
wait "$first" || fail "the first process: $(cat "$work/first.out")"
check "and when that has gone it opens" opens "$work/two"
"$soak" --probe "$work/two" --hold 60 >"$work/first.out" &
first=$!
pids+=("$first")
sleep 0.5
kill -9 "$first"
{ wait "$first" || true; } 2>/dev/null
check "the lock of a killed process is gone with it" opens "$work/two"

# ---- read-only

if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    other="setpriv --reuid=65534 --regid=65534 --clear-groups"
else
    other=
fi
reader=$work/probe-by-others
cp "$soak" "$reader"
chmod 755 "$work" "$reader"
chmod -R u+rwX,go+rX "$work/two"
chmod -R a-w "$work/two"
if $other test -w "$work/two/MANIFEST"; then
    echo "skip: a read-only folder (no way to lose the right to write)"
else
    probe ".*" $other "$reader" --probe "$work/two"
    ok "a read-only store: $(cat "$work/probe.out")"
    mkdir -m 0555 "$work/empty"
    probe ".*" $other "$reader" --probe "$work/empty"
    ok "a read-only folder without a store: $(cat "$work/probe.out")"
fi
chmod -R u+w "$work/two"
check "writable again, it opens" opens "$work/two"
echo text >"$work/file"
probe ".*" "$soak" --probe "$work/file"
ok "a file in the folder's place: $(cat "$work/probe.out")"

# ---- limits of the process

soaked load --kill-every 1 --keys 4000 --fsync always
ok "kill -9 under load, $(count load kills) times: $(count load answers_checked) answers, no differences"

soaked fsize --kill-every 5 --keys 3000 --tolerate --fsize 3000 --segment 16384
ok "RLIMIT_FSIZE: $(count fsize errors_tolerated) errors, no differences"

soaked nofile --kill-every 3 --keys 6000 --tolerate --nofile 60 --segment 256
ok "RLIMIT_NOFILE: $(count nofile errors_tolerated) errors, no differences"
(ulimit -n 14 && probe ".*" "$soak" --probe "$work/nofile/store")
ok "more segments than descriptors: $(cat "$work/probe.out")"
check "and with enough of them it opens" opens "$work/nofile/store"

if [ -n "$sizes" ]; then
    echo "skip: RLIMIT_AS (a sanitizer's own address space is larger)"
else
    # Either it makes do with what there is, or it says what it lacks.
    for mib in 20 60 200 800; do
        status=0
        (ulimit -v $((mib * 1024)) && "$soak" --probe "$work/two" >"$work/probe.out" 2>&1) || status=$?
        [ "$status" -eq 0 ] || [ "$status" -eq 3 ] || fail "RLIMIT_AS $mib MiB: exit status $status: $(cat "$work/probe.out")"
    done
    ok "RLIMIT_AS at the opening: $(cat "$work/probe.out")"
    soaked as --kill-every 3 --keys 20000 --tolerate --as 2048
    ok "RLIMIT_AS under load: $(count as errors_tolerated) errors, no differences"
fi

# ---- a full disk

# full NAME: in the file system mounted at $mounted, with keys and values for more than there is room for. A slow disk takes longer to fill.
full() {
    local long=$seconds
    mkdir -p "$work/$1"
    while :; do
        "$soak" --json "$work/$1.json" $sizes --seconds "$long" --kill-every 3 --store "$mounted/store" --keys 12000 --disk 40000 --segment 1024 \
            --tolerate >"$work/$1.out" 2>"$work/$1.log" || fail "$1: $(head -n 3 "$work/$1.log")"
        [ "$(count "$1" errors_tolerated)" -eq 0 ] || break
        [ "$long" -lt 120 ] || fail "$1: the disk was never full"
        long=$((long * 3))
        rm -rf "$mounted/store"
    done
    ok "$1: $(count "$1" errors_tolerated) errors, $(count "$1" kills) kills, no differences"
    unmount
}

mkdir "$work/disk"
if [ "$(id -u)" -ne 0 ]; then
    echo "skip: full disks (only root may mount)"
    finish
    exit 0
fi
if mount -t tmpfs -o size=16m none "$work/disk" 2>"$work/mount.log"; then
    mounted=$work/disk
    full "full-tmpfs"
else
    echo "skip: a full tmpfs ($(head -n 1 "$work/mount.log"))"
fi
truncate -s 16M "$work/image"
if mkfs.ext4 -q -F "$work/image" 2>"$work/mount.log" && mount -o loop "$work/image" "$work/disk" 2>"$work/mount.log"; then
    mounted=$work/disk
    full "full-ext4"
else
    echo "skip: a full ext4 ($(head -n 1 "$work/mount.log"))"
fi
finish
