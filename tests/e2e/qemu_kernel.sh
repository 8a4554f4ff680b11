#!/usr/bin/env bash
# Prints a folder with boot/vmlinuz-VERSION and lib/modules/VERSION of a Debian kernel for virtual machines: $MEC_QEMU_KERNEL if set, what a run before has left in
# $XDG_CACHE_HOME/mec-qemu-kernel, or the Debian package linux-image-cloud-amd64, downloaded and unpacked there. Nothing is installed on this machine.
set -euo pipefail
if [ -n "${MEC_QEMU_KERNEL:-}" ]; then
    echo "$MEC_QEMU_KERNEL"
    exit 0
fi
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mec-qemu-kernel
if ! compgen -G "$cache/boot/vmlinuz-*" >/dev/null; then
    image=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$image" ] || { echo "qemu_kernel: the package linux-image-cloud-amd64 is not known: apt-get update?" >&2 && exit 1; }
    new=$(mktemp -d /tmp/mec-qemu-kernel.XXXXXX)
    trap 'rm -rf "$new"' EXIT
    (cd "$new" && apt-get download -q "$image" >&2)
    dpkg-deb -x "$new"/*.deb "$new/tree"
    mkdir -p "$(dirname "$cache")"
    rm -rf "$cache"
    mv "$new/tree" "$cache"
fi
echo "$cache"
