#!/usr/bin/env bash
# Makes the initial file system of a small guest: busybox, kernel modules, programs with the shared libraries they need, and a script that the guest runs.
#
#   qemu_initramfs.sh --out FILE --kernel FOLDER --main SCRIPT [--module NAME]... [--program FILE]... [--file FROM:TO]...
#
# --kernel: as qemu_kernel.sh prints it. --main runs (busybox sh) when /proc, /sys, /dev, /tmp and the control groups (version 2, memory controller on) are mounted, the
# modules are loaded and, with virtio_net among them, eth0 has 10.0.2.15, the address that QEMU's user network expects. When it ends, the guest is switched off.
# --program: into /bin, executable, with all libraries that ldd names. --file: anything else; folders are made. All that the guest prints goes to the serial console.
set -euo pipefail
usage() {
    sed -n '2,4p' "$0" >&2
    exit 2
}
out='' kernel='' main='' modules=() programs=() files=()
while [ $# -gt 1 ]; do
    case $1 in
    --out) out=$2 ;;
    --kernel) kernel=$2 ;;
    --main) main=$2 ;;
    --module) modules+=("$2") ;;
    --program) programs+=("$2") ;;
    --file) files+=("$2") ;;
    *) usage ;;
    esac
    shift 2
done
[ $# -eq 0 ] && [ -n "$out" ] && [ -n "$kernel" ] && [ -n "$main" ] || usage
out=$(realpath -m "$out")
busybox=$(command -v busybox) || { echo "qemu_initramfs: busybox is missing (Debian package busybox-static)" >&2 && exit 1; }

tree=$(mktemp -d /tmp/mec-initramfs.XXXXXX)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{bin,dev,proc,sys,tmp,run,root,etc,modules}
cp "$busybox" "$tree/bin/busybox"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
done

add_library() {
    mkdir -p "$tree/$(dirname "$1")"
    cp -nL "$1" "$tree/$1"
}
for program in "${programs[@]}"; do
    cp -L --remove-destination "$program" "$tree/bin/"
    while read -r library; do add_library "$library"; done < <(ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | sort -u)
done
for file in "${files[@]}"; do
    mkdir -p "$tree/$(dirname "${file#*:}")"
    cp -rL "${file%%:*}" "$tree/${file#*:}"
done

# Modules, each after what it depends on. One that is not there as a file is built into the kernel, or the guest says what is missing.
: >"$tree/modules/order"
add_module() {
    local name=${1//-/_} file dependency
    grep -qx "$name" "$tree/modules/order" && return
    file=$(find "$kernel/lib/modules" -name "$name.ko" -o -name "${name//_/-}.ko" | head -n 1)
    [ -n "$file" ] || return 0
    for dependency in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr ',' ' '); do add_module "$dependency"; done
    cp "$file" "$tree/modules/$name.ko"
    echo "$name" >>"$tree/modules/order"
}
for module in "${modules[@]}"; do add_module "$module"; done

cp "$main" "$tree/main"
cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup && echo +memory >/sys/fs/cgroup/cgroup.subtree_control
while read -r module; do insmod "/modules/$module.ko" || echo "guest: $module: not loaded"; done </modules/order
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    ip addr add 10.0.2.15/24 dev eth0
    ip route add default via 10.0.2.2
fi
echo "guest: up"
sh /main
echo "guest: main ended with $?"
poweroff -f
INIT
chmod 755 "$tree/init"
(cd "$tree" && find . | "$busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$out"
