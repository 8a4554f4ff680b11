#!/usr/bin/env bash
# The QEMU back-end on a real guest: a Debian kernel in QEMU (KVM where it may be used, else slowly without), memory raised and lowered from outside by virtio-mem and by DIMMs, looked
# at from inside; and the cgroup back-end's own test on a kernel with control groups of version 2. Long form: ctest -C long -L long. Skipped, and it says so, without QEMU or a kernel.
. "$(dirname "$0")/lib.sh" "$@"
here=$(cd "$(dirname "$0")" && pwd)
driver=$bin/../tests/backend_driver
group_test=$bin/../tests/test_backend_cgroup_real
. "$here/qemu_lib.sh"

cat >"$work/main" <<'GUEST'
nc -ll -p 7000 -e /bin/cat &
while :; do
    sed -n 's/^MemTotal: */memtotal /p' /proc/meminfo
    usleep 500000
done
GUEST
modules=(--module virtio_pci --module virtio_mem --module virtio_net)
"$here/qemu_initramfs.sh" --out "$work/initramfs" --kernel "$kernel" --main "$work/main" "${modules[@]}"

guest_is_up() { grep -q '^memtotal' "$work/console.log"; }
memtotal() { tail -n 3 "$work/console.log" | sed -n 's/^memtotal \([0-9]*\) kB.*/\1/p' | tail -n 1; } # KiB
# What the kernel keeps of its 512 MiB at the start never comes; of what is added, all but a little does.
memtotal_is() {
    local expected=$(($(cat "$work/base") + ($1 - 512) * 1024))
    [ "$(memtotal)" -ge $((expected * 98 / 100)) ] && [ "$(memtotal)" -le $((expected * 102 / 100)) ]
}
wait_for_guest() {
    wait_for 240 guest_is_up || fail "the guest did not boot"
    memtotal >"$work/base"
}
expect_memory() { # expect_memory MIB
    wait_for 120 memtotal_is "$1" || fail "the guest has $(memtotal) KiB with $1 MiB; $(cat "$work/base") with 512 MiB"
    ok "the guest sees $(memtotal) KiB of $1 MiB"
}

# start_driver GRANULARITY SETTINGS; tell LINE; answer NUMBER: the final report of the change with that id.
start_driver() {
    rm -f "$work/commands"
    mkfifo "$work/commands"
    : >"$work/driver.log"
    "$driver" qmp "$1" "$2" <"$work/commands" >>"$work/driver.log" 2>&1 &
    pids+=("$!")
    exec 7>"$work/commands"
    changes=0
}
stop_driver() { exec 7>&-; }
answer() { grep -E "^report $1 (done|partial|refused|failed) " "$work/driver.log"; }
change() { # change SIZE: prints "OUTCOME MIB DETAIL"
    changes=$((changes + 1))
    echo "set $1" >&7
    wait_for 180 answer "$changes" || fail "no final report for $1"
    answer "$changes" | awk '{ printf "%s %d ", $3, $4 / 1048576; for (i = 6; i <= NF; i++) printf "%s%s", $i, i < NF ? " " : "" }' >"$work/answer"
}
expect() { # expect SIZE "OUTCOME MIB"
    change "$1"
    case $(cat "$work/answer") in
    "$2 "*) ok "$1: $(cat "$work/answer")" ;;
    *) fail "$1: '$(cat "$work/answer")' instead of '$2'" ;;
    esac
}
has_report() { grep -q "$1" "$work/driver.log"; }

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mem_device=(-m 512M,maxmem=4G -object memory-backend-ram,id=vmem0b,size=2G,reserve=off
    -device virtio-mem-pci,id=vmem0,memdev=vmem0b,requested-size=0,block-size=2M
    -netdev "user,id=net0,hostfwd=tcp:127.0.0.1:$port-:7000" -device virtio-net-pci,netdev=net0,romfile=)

choose_accel

# The back-end may be there before the VM.
start_driver 2mb "address=unix:$work/qmp.sock stall=10s"
changes=1
echo "set 1gb" >&7
wait_for 20 has_report '^report 1 refused' || fail "refused without a VM"
ok "refused without a VM"
boot "$work/initramfs" "${mem_device[@]}"
wait_for 60 has_report '^report 0 changed 536870912 ' || fail "the VM is told about when it is there"
ok "the VM is told about when it is there"
wait_for_guest
expect_memory 512

# A port of the guest, from outside.
exec 8<>"/dev/tcp/127.0.0.1/$port" && echo "hello guest" >&8 && read -r -t 30 line <&8
[ "$line" = "hello guest" ] || fail "the guest's port answers"
ok "the guest's port answers"
exec 8>&-

expect 1gb "done 1024"
expect_memory 1024
expect 2gb "done 2048"
expect_memory 2048
expect 768mb "done 768"
expect_memory 768
expect 8gb "partial 2560"
expect_memory 2560
expect 512mb "done 512"
expect_memory 512
expect 256mb "partial 512"
echo "set 1gb" >&7
changes=$((changes + 1))
kill -9 "$qemu_pid"
wait_for 20 answer "$changes" || fail "a VM that is killed ends the change"
ok "a VM that is killed ends the change: $(answer "$changes" | cut -d' ' -f3)"
: >"$work/driver.log"
boot "$work/initramfs" "${mem_device[@]}"
wait_for 60 has_report '^report 0 changed 536870912 ' || fail "the VM that comes back is told about"
ok "the VM that comes back is told about"
wait_for_guest
expect 1gb "done 1024"
expect_memory 1024
kill -9 "$qemu_pid"
stop_driver

# DIMMs.
boot "$work/initramfs" -m 512M,slots=4,maxmem=4G
start_driver 256mb "address=unix:$work/qmp.sock mode=dimm dimm=256mb stall=20s"
wait_for_guest
expect 1gb "done 1024"
expect_memory 1024
expect 1100mb "partial 1024"
expect 768mb "done 768"
expect_memory 768
expect 4gb "partial 1536" # four slots
expect_memory 1536
expect 512mb "done 512"
expect_memory 512
kill -9 "$qemu_pid"
stop_driver

# Control groups of version 2, which this machine may not have. The guest's only file system is in memory: the test of the page cache says so itself.
cat >"$work/main" <<'GUEST'
echo "memtotal 0 kB"
TMPDIR=/tmp test_backend_cgroup_real
GUEST
"$here/qemu_initramfs.sh" --out "$work/initramfs.group" --kernel "$kernel" --main "$work/main" --program "$group_test"
boot "$work/initramfs.group" -m 1G
guest_is_through() { grep -q '^guest: main ended with' "$work/console.log"; }
wait_for 300 guest_is_through || fail "the test in the guest did not end"
check "the cgroup back-end with version 2" grep -q 'main ended with 0' "$work/console.log"
check "nothing of it was skipped" sh -c "! grep -q SKIP '$work/console.log'"
finish
