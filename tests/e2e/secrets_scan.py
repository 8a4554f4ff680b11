#!/usr/bin/env python3
"""Looks for secrets where none may be.

  secrets_scan.py needles OUT MASTER-KEY PREMASTER KEY.pem...   the bytes to look for, one per line: NAME HEX
  secrets_scan.py memory NEEDLES PID dumped|kept                in what a core dump would have (or in the rest)
  secrets_scan.py files NEEDLES PATH...                         in files and folders

Prints what was found; exit status 1 when that is anything. A number is looked for in both byte orders, since OpenSSL keeps
it with the least significant limb first.
"""
import base64
import os
import re
import subprocess
import sys

CHUNK = 16 << 20


def numbers_of(path):
    """The secret numbers in `openssl pkey -text`."""
    text = subprocess.run(["openssl", "pkey", "-in", path, "-noout", "-text"], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^(priv|privateExponent|prime1|prime2|exponent1|exponent2|coefficient):\s*\n((?:    .*\n)+)", text, re.M)
    return [(name, bytes.fromhex(re.sub(r"[\s:]", "", hexes)).lstrip(b"\0")) for name, hexes in found]


def make_needles(out, master, premaster, keys):
    needles = []
    text = open(master).read().strip()
    needles += [("master key", bytes.fromhex(text)), ("master key as text", text.encode())]
    secret = open(premaster, "rb").read()
    needles += [("premaster", secret), ("premaster in Base64", base64.b64encode(secret)[:60])]
    for path in keys:
        name = os.path.basename(path)
        numbers = numbers_of(path)
        assert numbers, path
        for what, number in numbers:
            # Any 24 bytes in a row of a number are as telling as all of it, and survive when its ends do not.
            middle = len(number) // 2 - 12 if len(number) > 48 else 0
            part = number[middle:middle + 24]
            needles += [(f"{name} {what}", part), (f"{name} {what} reversed", part[::-1])]
    with open(out, "w") as file:
        for name, value in needles:
            file.write(f"{value.hex()} {name}\n")


def load(path):
    return [(bytes.fromhex(line.split(" ", 1)[0]), line.split(" ", 1)[1].strip()) for line in open(path)]


def search(read, end, needles, where, found):
    overlap, at, tail = max(len(n) for n, _ in needles), 0, b""
    while at < end:
        data = read(at, min(CHUNK, end - at))
        if not data:
            break
        block = tail + data
        for needle, name in needles:
            if needle in block:
                found.add(f"{name} in {where}")
        tail = block[-overlap:]
        at += len(data)
    return at


def regions(pid):
    """Start, end, permissions, name, VmFlags of each mapping."""
    now = None
    for line in open(f"/proc/{pid}/smaps"):
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
        if head:
            now = [int(head[1], 16), int(head[2], 16), head[3], head[4].strip()]
        elif line.startswith("VmFlags:"):
            yield (*now, line.split()[1:])


def scan_memory(needles, pid, dumped):
    found, seen = set(), 0
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    for start, end, permissions, name, flags in regions(pid):
        if permissions[0] != "r" or name in ("[vvar]", "[vvar_vclock]", "[vsyscall]") or "io" in flags or ("dd" in flags) == dumped:
            continue
        def read(at, size, start=start):
            try:
                return os.pread(memory, size, start + at)
            except OSError: # gone meanwhile
                return b""
        seen += search(read, end - start, needles, f"{name or 'anonymous'} {start:x}-{end:x}", found)
    print(f"{seen} bytes of memory read")
    assert seen > (1 << 20 if dumped else 0), "there was nothing to look at"
    return found


def scan_files(needles, paths):
    found, seen = set(), 0
    for path in paths:
        names = [path] if not os.path.isdir(path) else [os.path.join(d, f) for d, _, files in os.walk(path) for f in files]
        for name in names:
            if os.path.isfile(name):
                with open(name, "rb") as file:
                    seen += search(lambda at, size: file.read(size), os.path.getsize(name), needles, name, found)
    print(f"{seen} bytes of files read")
    assert seen > 0, "there was nothing to look at"
    return found


def main(do, needles, *rest):
    if do == "needles":
        make_needles(needles, rest[0], rest[1], rest[2:])
        return 0
    found = scan_memory(load(needles), rest[0], rest[1] == "dumped") if do == "memory" else scan_files(load(needles), rest)
    for line in sorted(found):
        print("found:", line)
    return 1 if found else 0


sys.exit(main(*sys.argv[1:]))
