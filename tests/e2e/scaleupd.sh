#!/usr/bin/env bash
# The scale-up controller: sessions by hand (scaleupd.py) and by `rescale`, competing VNFs, leases, kill -9 in the middle of a raise, strangers, hostile
# peers, certificates, reload, a real control group. What is said is compared with status, metrics and the book.
. "$(dirname "$0")/lib.sh" "$@"

[ -x "$bin/scaleupd" ] || fail "$bin/scaleupd is missing"
sock=unix:$work/s
speak() { python3 "$(dirname "$0")/scaleupd.py" "$@"; }
section() { # section NAME ARGUMENT...: of scaleupd.py, whose checks count as ours
    speak "$@" >"$work/section.out" 2>"$work/section.log" || {
        cat "$work/section.out" "$work/section.log" >&2
        fail "section $*"
    }
    local text
    while read -r _ _ text; do ok "$text"; done <"$work/section.out"
}
# start OPTION...: the daemon with a fresh log; sets su_pid, admin.
start() {
    : >"$work/scaleupd.log"
    "$bin/scaleupd" --listen "$sock" --admin 127.0.0.1:0 "$@" 2>>"$work/scaleupd.log" &
    su_pid=$!
    pids+=("$su_pid")
    wait_for 60 grep -q ' ready ' "$work/scaleupd.log" || fail "scaleupd did not start"
    admin=$(log_addr "$work/scaleupd.log" admin_listening)
}
stop() { # stop [SIGNAL]
    local status=0
    kill "-${1:-TERM}" "$su_pid"
    { wait "$su_pid" || status=$?; } 2>/dev/null
    [ "${1:-TERM}" != TERM ] || [ "$status" -eq 0 ] || fail "scaleupd ended with status $status"
}
fresh() { rm -f "$work"/s.book* "$work"/state*; }
me="allow=uid:$(id -u)"
one="backend=simulated min=64mb $me"

# ---- usage

usage() {
    local status=0
    "$bin/scaleupd" "$@" >"$work/usage.out" 2>&1 || status=$?
    [ "$status" -eq 2 ] || fail "scaleupd $*: exit status $status: $(cat "$work/usage.out")"
    has '^scaleupd: ' "$work/usage.out" || fail "scaleupd $*: $(cat "$work/usage.out")"
}
usage --pool 1gb
usage --listen "$sock" --pool 1gb --backend cgroup
usage --listen "$sock" --pool 1gb --backend qmp
usage --listen "$sock" --pool 1gb --vnf "ks1 backend=magic"
usage --listen "$sock" --pool 1gb --vnf "ks1 min=2gb max=1gb"
usage --listen "$sock" --pool 1gb --vnf "ks1 $one" --vnf "ks1 $one"
usage --listen "$sock" --pool 1gb --vnf "ks1 allow=someone"
usage --listen "$sock" --pool 1gb --backend simulated --operator everyone
usage --listen 127.0.0.1:0 --pool 1gb --backend simulated
ok "what cannot be right is refused"
check "--check" "$bin/scaleupd" --listen "$sock" --pool 1gb --vnf "ks1 $one" --check
[ ! -e "$work/s.book" ] || fail "--check made a book"
refuse "--check: minimums beyond the pool" "$bin/scaleupd" --listen "$sock" --pool 100mb --vnf "a $one" --vnf "b $one" --check
refuse "--check: a back-end's setting" "$bin/scaleupd" --listen "$sock" --pool 1gb --vnf "a $one nonsense=1" --check
"$bin/scaleupd" --print-config >"$work/sample.ini"
check "the sample configuration reads" "$bin/scaleupd" --config "$work/sample.ini" --listen "$sock" --pool 1gb --backend simulated --check

# ---- the shortest command line

start --pool 1gb --backend simulated --lease 1m
section ghost "$sock"
check "rescale raises" "$bin/rescale" --connect "$sock" --vnf any --target 100mb
"$bin/rescale" --connect "$sock" --status --json >"$work/status.json"
python3 -c 'import json,sys; s=json.load(open(sys.argv[1])); v=s["vnfs"][0]; assert s["type"]=="status" and v["vnf"]=="any" and v["granted_bytes"]==100<<20, s' "$work/status.json"
ok "its status as JSON"
"$bin/rescale" --connect "$sock" --status | has '^any .*100mb' || fail "its status as a table"
ok "its status as a table"
"$bin/rescale" --connect "$sock" --vnf .. --target 100mb >"$work/out" 2>&1 && fail "a VNF called .."
ok "a name that leaves the folder is none"
refuse "a second daemon on the same book" "$bin/scaleupd" --listen "unix:$work/s2" --book "$work/s.book" --pool 1gb --backend simulated
stop
fresh

# ---- one VNF, and metrics

start --pool 1gb --vnf "ks1 $one max=512mb"
section talk "$sock"
[ "$(metric 'su_vnf_granted_bytes{vnf="ks1"}')" = $((128 << 20)) ] || fail "metrics: $(metric 'su_vnf_granted_bytes{vnf="ks1"}')"
[ "$(metric su_pool_bytes)" = $((1 << 30)) ] || fail "su_pool_bytes"
[ "$(metric 'su_rescales_total{direction="raise"}')" -ge 3 ] || fail "su_rescales_total"
curl -sS "http://$admin/metrics" | awk '/^#/ { next } { n[$1]++ } END { for (k in n) if (n[k] > 1) exit 1 }' || fail "a metric comes twice"
curl -sS "http://$admin/status" | python3 -c 'import json,sys; s=json.load(sys.stdin); assert s["pool"]["vnfs"][0]["vnf"]=="ks1", s'
[ "$(curl -sS "http://$admin/healthz")" = ok ] || fail healthz
ok "metrics, /status and /healthz"
stop
[ ! -S "$work/s" ] || fail "the socket is left behind"
fresh

# ---- several

start --pool 1gb --vnf "low $one priority=2" --vnf "high $one priority=7"
section compete "$sock"
stop
fresh
start --pool 1gb --lease 3s --vnf "ks1 $one"
section lease "$sock"
[ "$(metric su_leases_ended_total)" -ge 1 ] || fail "su_leases_ended_total"
stop
fresh

# ---- kill -9 in the middle of a raise

slow="slow $one state=$work/state"
start --pool 1gb --vnf "$slow delay=20s"
section begin "$sock"
stop KILL
has '"pending"' "$work/s.book" || fail "the book does not know of the raise: $(cat "$work/s.book")"
start --pool 1gb --lease 60s --vnf "$slow delay=300ms"
section again "$sock"
stop KILL
start --pool 1gb --lease 60s --vnf "$slow"
section kept "$sock"
stop
printf x >>"$work/s.book"
refuse "a book that was tampered with" "$bin/scaleupd" --listen "$sock" --pool 1gb --vnf "$slow"
fresh

# ---- hostile peers

start --pool 1gb --max-connections 24 --hello-timeout 5s --vnf "ks1 $one" --vnf "other $one"
section hostile "$sock"
for reason in malformed timeout busy; do
    [ "$(metric "su_connections_refused_total{reason=\"$reason\"}")" -gt 0 ] || fail "su_connections_refused_total $reason"
done
ok "and counted"
left() { [ "$(metric su_connections)" -le 0 ]; }
wait_for 60 left || fail "connections left: $(metric su_connections)"
ok "no connection is left behind"

# ---- reload

cat >"$work/su.ini" <<INI
pool = 1gb
vnf = ks1 $one
INI
stop
fresh
start --config "$work/su.ini"
granted() { "$bin/rescale" --connect "$sock" --status --vnf "$1" | has "^$1 "; }
reloads=0
reload() {
    reloads=$((reloads + 1))
    kill -HUP "$su_pid"
    reloaded() { [ "$(grep -c ' reload' "$work/scaleupd.log")" -ge "$reloads" ]; }
    wait_for 60 reloaded || fail "no reload"
}
printf 'vnf = ks2 %s\n' "$one" >>"$work/su.ini"
reload
check "a VNF that a reload brings" granted ks2
check "and it is served" "$bin/rescale" --connect "$sock" --vnf ks2 --target 100mb
sed -i 's/ks2 backend=simulated min=64mb/ks2 backend=simulated min=1000mb/' "$work/su.ini"
reload
grep -q 'vnf_refused vnf=ks2 .*minimum' "$work/scaleupd.log" || fail "a minimum beyond the pool was taken over"
ok "a minimum that there is no room for is refused"
printf 'vnf = ks3 backend=magic\n' >>"$work/su.ini"
reload
grep -q 'reload_failed .*magic' "$work/scaleupd.log" || fail "no word of the bad line"
check "a bad line changes nothing" granted ks2
printf 'pool = 1gb\nvnf = ks1 backend=simulated min=32mb max=200mb %s\n' "$me" >"$work/su.ini"
reload
grep -q 'vnf_changed vnf=ks1 min=33554432 max=209715200' "$work/scaleupd.log" || fail "bounds were not taken over"
ok "other bounds are taken over"
grep -q 'vnf_gone vnf=ks2' "$work/scaleupd.log" || fail "no word of the VNF that has gone"
ok "a VNF that has gone from the file is closed off"
stop
fresh

# ---- who may

chmod 755 "$work"
if [ "$(id -u)" -eq 0 ]; then
    start --pool 1gb --vnf "ks1 $one" --vnf "ks2 backend=simulated allow=uid:65533"
    section stranger "$sock" 65533 known
    section stranger "$sock" 65534 unknown
    [ "$(metric 'su_connections_refused_total{reason="denied"}')" -ge 5 ] || fail "denials are not counted"
    stop
    fresh
    start --pool 1gb --vnf "ks1 $one"
    section locked_out "$sock" 65534
    grep -q 'warn .*operator_is_root vnf=ks1' "$work/scaleupd.log" || fail "no word of root being the operator"
    stop
    fresh
    start --pool 1gb --operator uid:0 --vnf "ks1 $one"
    grep -q operator_is_root "$work/scaleupd.log" && fail "warned of an operator who is named"
    ok "root as the operator that nobody named is warned of"
    stop
    fresh
else
    echo "SKIP: other users (only root can be one)" >&2
fi
make_pki
"$bin/certs" pki --out "$work/other" --server localhost --edge edge-1 >"$work/pki2.log"
files="--cert $work/pki/server.pem --key $work/pki/server.key --client-ca $work/pki/ca.pem"
start --listen 127.0.0.1:0 $files --pool 1gb --vnf "ks1 backend=simulated allow=cert:edge-1" --vnf "ks2 backend=simulated"
tls=$(sed -n 's/.* listening addr=\([0-9].*\)/\1/p' "$work/scaleupd.log")
export PKI=$work/pki
CERT=edge-edge-1 section tls "$tls" good
CERT=edge-edge-2 section tls "$tls" denied
CERT="" section tls "$tls" refused
mkdir "$work/mixed"
cp "$work/pki/ca.pem" "$work/mixed/"
cp "$work/other/edge-edge-1".* "$work/mixed/"
PKI=$work/mixed CERT=edge-edge-1 section tls "$tls" refused
[ "$(metric 'su_connections_refused_total{reason="handshake"}')" -ge 2 ] || fail "failed handshakes are not counted"
stop
fresh

# ---- a control group

group=
remove_group() { [ -z "$group" ] || rmdir "$group" 2>/dev/null || { sleep 1 && rmdir "$group" || true; }; }
at_end() { stop_all && remove_group; }
parent=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print "/sys/fs/cgroup/memory" $3; found = 1 } $2 == "" { v2 = "/sys/fs/cgroup" $3 } END { if (!found && v2) print v2 }' /proc/self/cgroup | head -n 1)
parent=${parent%/}
group=$parent/mec-e2e-$$
if [ -n "$parent" ] && mkdir "$group" 2>/dev/null && { [ -w "$group/memory.limit_in_bytes" ] || [ -w "$group/memory.max" ]; }; then
    start --pool 512mb --lease 1m --backend cgroup --cgroup-root "$parent"
    section group "$sock" "$group"
    stop
    fresh
else
    echo "SKIP: a real control group ($group cannot be made or has no memory limit)" >&2
fi
remove_group
group=
finish
