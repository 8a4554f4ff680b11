# shellcheck shell=bash
# Common to the tests with a virtual machine, sourced after lib.sh. Skips the test, and says so, without QEMU or a kernel; then $kernel is a Debian kernel's folder,
# choose_accel finds out whether KVM may be used, and boot starts a guest. $here: this folder.
skip() {
    echo "SKIPPED: $1" >&2
    exit 77
}
command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64 (deploy/install-packages qemu)"
command -v busybox >/dev/null || skip "no busybox (deploy/install-packages qemu)"
[ "$(uname -m)" = x86_64 ] || skip "the guest is an x86-64 one"
kernel=$("$here/qemu_kernel.sh" 2>"$work/kernel.log") || skip "no kernel: $(tail -n 1 "$work/kernel.log")"

# boot INITRAMFS QEMU-OPTION...: sets qemu_pid; the guest's console goes to $work/console.log.
boot() {
    local initramfs=$1
    shift
    rm -f "$work/qmp.sock"
    : >"$work/console.log"
    qemu-system-x86_64 -machine q35 "${accel[@]}" -smp 2 -nodefaults -no-reboot -display none \
        -kernel "$(echo "$kernel"/boot/vmlinuz-*)" -initrd "$initramfs" \
        -append "console=ttyS0 quiet memhp_default_state=online_movable no_timer_check panic=-1" \
        -serial "file:$work/console.log" -qmp "unix:$work/qmp.sock,server=on,wait=off" "$@" >"$work/qemu.log" 2>&1 &
    qemu_pid=$!
    pids+=("$qemu_pid")
}

# KVM may be there and still not run a guest (a virtual machine in a virtual machine): seen by trying.
echo true >"$work/nothing"
"$here/qemu_initramfs.sh" --out "$work/initramfs.nothing" --kernel "$kernel" --main "$work/nothing"
kvm_boots() {
    [ -w /dev/kvm ] || return 1
    accel=(-accel kvm -cpu "$1")
    boot "$work/initramfs.nothing" -m 256M
    wait_for "${MEC_QEMU_KVM_SECONDS:-20}" up_or_dead && grep -q '^guest: up' "$work/console.log"
}
up_or_dead() { grep -q '^guest: up' "$work/console.log" || ! kill -0 "$qemu_pid"; }
choose_accel() {
    local cpu
    for cpu in max max,-arch-capabilities; do
        if kvm_boots "$cpu"; then break; fi
        stop_all 2>/dev/null
        accel=(-accel tcg -cpu max)
    done
    stop_all 2>/dev/null
    echo "guest: ${accel[*]}"
}
