#!/usr/bin/env bash
# A key server in a virtual machine whose memory follows its load: keyserver in a guest, on a disk of its own; scaleupd outside, which gives and takes the guest's memory by QMP (virtio-mem);
# between them TLS over the guest's network. Lookups make the server ask for memory, their end makes it give it back, and edges get their answers all the while. What the server says, what
# scaleupd says, what QEMU says and what the guest's kernel says is compared. Long form, skipped without QEMU or a kernel, as qemu.sh.
. "$(dirname "$0")/lib.sh" "$@"
here=$(cd "$(dirname "$0")" && pwd)
. "$here/qemu_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
command -v mke2fs >/dev/null || skip "no mke2fs (deploy/install-packages qemu)"

at_end() { [ -z "${MEC_QEMU_OUT:-}" ] || cp "$work"/{seen,scaleupd,console}.log "$work"/{load,ski}.json "$MEC_QEMU_OUT/"; }
base=256 most=768         # MiB of the guest: what it is born with (scaleupd's minimum), and the most that the server may ask for
keys=12000 value=32kb     # 375 MiB: more than the guest has
settings=(--keys "$keys" --value-bytes "$value")

choose_accel

free_ports() {
    python3 -c 'import socket
s = [socket.socket() for _ in range(3)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))'
}
read -r ski_port admin_port load_port <<<"$(free_ports)"

# ---- the store, its keys and certificates, made here and put into the guest's disk

"$bin/certs" pki --out "$work/pki" --server 127.0.0.1 --server 10.0.2.2 --edge edge-1 --edge ks1 >"$work/pki.log"
"$bin/certs" master-key --out "$work/master.key" >>"$work/pki.log"
"$bin/kvstore" --dir "$work/store" --listen "unix:$work/kv.sock" --memory 64mb --segment-bytes 32mb --fsync never 2>"$work/kvstore.log" &
kv_pid=$!
pids+=("$kv_pid")
wait_for 60 grep -q ' ready ' "$work/kvstore.log" || fail "kvstore did not start"
check "a store of $keys values of $value" "$bin/edge-sim" load lookup --server "unix:$work/kv.sock" "${settings[@]}" --fill --duration 0s --quiet
kill -TERM "$kv_pid"
wait "$kv_pid"
site rsa -newkey rsa:2048
site ec -newkey ec -pkeyopt ec_paramgen_curve:P-256
import "$work/site" >"$work/import.log"
ok "and keys of two sites"
truncate -s "$(($(du -sm "$work/store" | cut -f1) + 192))M" "$work/disk"
mke2fs -q -t ext4 -m 0 -E root_owner=0:0 -d "$work/store" "$work/disk"
rm -rf "$work/store"

# ---- scaleupd outside, the guest

"$bin/scaleupd" --listen "unix:$work/su.sock" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --pool 1gb --lease 60s \
    --cert "$work/pki/server.pem" --key "$work/pki/server.key" --client-ca "$work/pki/ca.pem" \
    --vnf "ks1 backend=qmp address=unix:$work/qmp.sock min=${base}mb max=${most}mb allow=cert:ks1 stall=60s timeout=60s" 2>"$work/scaleupd.log" &
pids+=("$!")
wait_for 30 grep -q ' ready ' "$work/scaleupd.log" || fail "scaleupd did not start"
su_admin=$(log_addr "$work/scaleupd.log" admin_listening)
su_port=$(sed -n 's/.* listening addr=127.0.0.1:\([0-9]*\).*/\1/p' "$work/scaleupd.log")

# The load runs inside: the control socket is where values are looked up, and it is no network's.
cat >"$work/load" <<GUEST
#!/bin/busybox sh
case \$(head -n 1) in
start)
    edge-sim load lookup --server unix:/run/control.sock ${settings[*]} --workload zipf:0.9 --connections 2 --verify --duration 2h --quiet --json /tmp/load.json >/tmp/load.out 2>&1 </dev/null &
    echo \$! >/tmp/load.pid
    ;;
stop)
    kill -TERM "\$(cat /tmp/load.pid)"
    while [ -d "/proc/\$(cat /tmp/load.pid)" ]; do usleep 100000; done
    cat /tmp/load.json
    ;;
esac
GUEST
chmod 755 "$work/load"
cat >"$work/main" <<GUEST
mount -t ext4 /dev/vda /store || exit
nc -ll -p 7000 -e /load &
keyserver --listen 0.0.0.0:7001 --admin 0.0.0.0:7002 --control unix:/run/control.sock --store /store --master-key /etc/master.key \
    --cert /etc/pki/server.pem --key /etc/pki/server.key --client-ca /etc/pki/ca.pem --audit-log /dev/null \
    --scaleup 10.0.2.2:$su_port --vnf ks1 --scaleup-cert /etc/pki/edge-ks1.pem --scaleup-key /etc/pki/edge-ks1.key \
    --memory 64mb --memory-min 96mb --memory-max ${most}mb --memory-reserve 32mb --hit-goal 90 --return-after 3s \
    --handshake-timeout 60s --request-timeout 60s --operation-timeout 60s --queue-delay 60s --write-timeout 60s
GUEST
mkdir "$work/empty"
"$here/qemu_initramfs.sh" --out "$work/initramfs" --kernel "$kernel" --main "$work/main" --program "$bin/keyserver" --program "$bin/edge-sim" \
    --file "$work/load:load" --file "$work/master.key:etc/master.key" --file "$work/pki:etc/pki" --file "$work/empty:store" \
    --module virtio_pci --module virtio_mem --module virtio_net --module virtio_blk
boot "$work/initramfs" -m "${base}M,maxmem=4G" -object memory-backend-ram,id=vmem0b,size=1G,reserve=off \
    -device virtio-mem-pci,id=vmem0,memdev=vmem0b,requested-size=0,block-size=2M \
    -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" -qmp "unix:$work/qmp2.sock,server=on,wait=off" \
    -netdev "user,id=net0,hostfwd=tcp:127.0.0.1:$ski_port-:7001,hostfwd=tcp:127.0.0.1:$admin_port-:7002,hostfwd=tcp:127.0.0.1:$load_port-:7000" \
    -device virtio-net-pci,netdev=net0,romfile=

# look [CONDITION]: one line of what all four say now, in MiB, added to $work/seen; fails unless the condition (Python) holds.
cat >"$work/look.py" <<'PYTHON'
import json, socket, sys, urllib.request

def get(address):
    with urllib.request.urlopen(f"http://{address}/status", timeout=60) as f:
        return json.load(f)

def requested(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    f = s.makefile("rw")
    def answer():
        while "event" in (line := json.loads(f.readline())): pass
        return line
    answer()
    for command in ({"execute": "qmp_capabilities"}, {"execute": "qom-get", "arguments": {"path": "/machine/peripheral/vmem0", "property": "requested-size"}}):
        print(json.dumps(command), file=f, flush=True)
        got = answer()["return"]
    return got

admin, su_admin, qmp, base, seen, condition = sys.argv[1:]
ks, vnf = get(admin), get(su_admin)["pool"]["vnfs"][0]
m = ks["memory"]
v = {"granted": vnf["granted_bytes"], "actual": vnf["actual_bytes"], "requested": (int(base) << 20) + requested(qmp), "memtotal": m["limits"]["machine_bytes"],
     "store_limit": m["store_limit_bytes"], "store": m["store_bytes"], "resident": m["limits"]["resident_bytes"], "need": m["policy"]["need_bytes"]}
v = {k: n >> 20 for k, n in v.items()}
v |= {"state": m["state"], "reason": m["policy"]["reason"], "connected": m["orchestrator"]["connected"], "last": m["orchestrator"]["last_answer"],
      "over_ceiling": m["counts"]["over_ceiling_ticks"], "oom_kills": m["limits"]["oom_kills"]}
with open(seen, "a") as f:
    print(json.dumps(v), file=f)
sys.exit(not eval(condition, {}, v))
PYTHON
look() { python3 "$work/look.py" "127.0.0.1:$admin_port" "$su_admin" "$work/qmp2.sock" "$base" "$work/seen.log" "${1:-True}"; }
seen() { # seen NAME: its latest value
    tail -n 1 "$work/seen.log" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}
# until_seen SECONDS CONDITION WHAT: looks each second.
until_seen() {
    local end=$((SECONDS + $1))
    until look "$2" 2>>"$work/look.log"; do
        kill -0 "$qemu_pid" 2>/dev/null || fail "$3: the guest has ended"
        [ "$SECONDS" -lt "$end" ] || fail "$3: $2"
        sleep 1
    done
    ok "$3: MiB granted $(seen granted), requested of QEMU $(seen requested), there $(seen actual); MemTotal $(seen memtotal), store limit $(seen store_limit), store $(seen store), resident $(seen resident)"
}
# all_right FILE WHAT: a result of edge-sim without a single failure.
all_right() {
    python3 - "$1" >"$work/sum" <<'PYTHON' || fail "$2: $(cat "$work/sum")"
import json, sys
r = json.load(open(sys.argv[1]))
bad = {k: r[k] for k in ("wrong", "missing", "errors", "lost", "unanswered", "connections_lost") if r.get(k)}
bad |= {k: n for k, n in r.get("outcomes", {}).items() if n and k != "ok"}
print(f"{r['right']} of {r['sent']} right", bad or "")
sys.exit(bool(bad) or r["right"] != r["sent"] or r["sent"] == 0)
PYTHON
    ok "$2: $(cat "$work/sum")"
}
tell_load() { # tell_load start|stop: prints the answer
    exec 8<>"/dev/tcp/127.0.0.1/$load_port"
    echo "$1" >&8
    cat <&8
    exec 8>&-
}

# ---- up, with what it was born with

until_seen 600 'connected and state == "steady"' "the server in the guest has found scaleupd"
born=$(seen memtotal)
born_limit=$(seen store_limit)
check "it has the least" [ "$(seen granted)/$(seen requested)/$(seen actual)" = "$base/$base/$base" ]
"$bin/edge-sim" load ski --keyserver "https://127.0.0.1:$ski_port" --cert "$work/pki/edge-edge-1.pem" --key "$work/pki/edge-edge-1.key" --ca "$work/pki/ca.pem" \
    --site "$work/site/rsa.pem" --site "$work/site/ec.pem" --connections 2 --rate 4 --duration 2h --quiet --json "$work/ski.json" >"$work/ski.log" 2>&1 &
ski_pid=$!
pids+=("$ski_pid")

# ---- load: it grows

tell_load start >/dev/null
until_seen 900 "granted >= $base + 64 and memtotal >= $born + 56 and store_limit >= $born_limit + 48" "under load the guest grows, and the store's limit with it"
until_seen 900 'state == "steady" and granted == requested == actual' "it comes to rest"
until_seen 900 "store >= $born_limit + 64 and resident >= $born_limit + 64" "what was added is used"
peak=$(seen granted) peak_total=$(seen memtotal) peak_limit=$(seen store_limit) peak_resident=$(seen resident)

# ---- no load: it shrinks

tell_load stop >"$work/load.json"
all_right "$work/load.json" "every lookup was answered"
until_seen 900 "granted <= $base + ($peak - $base) // 4 and granted == requested == actual" "without load the guest shrinks again"
until_seen 120 "memtotal <= $peak_total - 48 and store_limit <= $peak_limit - 48 and resident <= $peak_resident - 32" "and the server with it"
kill -TERM "$ski_pid"
wait "$ski_pid" || fail "edge-sim load ski: exit status $?"
all_right "$work/ski.json" "every edge was answered, all the while"
check "nothing was killed for want of memory" [ "$(seen oom_kills)" -eq 0 ]
check "the server kept to its grant" [ "$(seen over_ceiling)" -eq 0 ]
finish
