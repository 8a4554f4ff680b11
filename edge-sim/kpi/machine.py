"""The machine and the versions a report is about."""
import os
import platform
import re
import shutil
import subprocess


def said_by(*argv):
    """The first line of what a program says; "" when it cannot be asked."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).strip().partition("\n")[0] if done.returncode == 0 else ""


def cpu():
    """(model, flags)"""
    with open("/proc/cpuinfo") as f:
        lines = dict(line.split(":", 1) for line in f.read().split("\n\n")[0].splitlines() if ":" in line)
    fields = {k.strip(): v.strip() for k, v in lines.items()}
    return fields.get("model name") or os.uname().machine, set((fields.get("flags") or fields.get("Features") or "").split())


def memory_bytes():
    with open("/proc/meminfo") as f:
        return int(re.search(r"^MemTotal:\s+(\d+) kB", f.read(), re.M).group(1)) * 1024


def device_of(folder):
    """The device that holds the folder, as the kernel names it: source, file system, model."""
    source = said_by("findmnt", "-no", "SOURCE,FSTYPE", "-T", folder)
    name = os.path.basename(source.split()[0]) if source else ""
    block = os.path.join("/sys/class/block", name)
    if name and os.path.exists(os.path.join(block, "partition")):
        block = os.path.dirname(os.path.realpath(block))

    def fact(path):
        try:
            with open(os.path.join(block, path)) as f:
                return f.read().strip()
        except OSError:
            return ""

    return ", ".join(x for x in (source, fact("device/model")) if x) or "unknown"


def machine(folder):
    model, flags = cpu()
    return {
        "cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory_bytes(), "kernel": f"{os.uname().sysname} {os.uname().release}",
        "architecture": os.uname().machine, "device": device_of(folder), "avx512_ifma": "avx512ifma" in flags,
        "root": os.geteuid() == 0,
    }  # fmt: skip


def versions(bin_folder):
    here = os.path.dirname(os.path.realpath(__file__))
    return {
        "programs": said_by(os.path.join(bin_folder, "keyserver"), "--version"),
        "source": said_by("git", "-C", here, "describe", "--always", "--dirty", "--tags"),
        "openssl": said_by("openssl", "version"),
        "redis": said_by("redis-server", "--version") if shutil.which("redis-server") else "",
        "python": "Python " + platform.python_version(),
    }
