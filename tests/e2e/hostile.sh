#!/usr/bin/env bash
# Hostile, broken, slow and vanishing peers (hostile.py); then: no crash, no leak of connections or memory, a clean end.
. "$(dirname "$0")/lib.sh" "$@"

make_pki
site p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
import "$work/site" >"$work/import.log"
start_keyserver --request-timeout 5s --handshake-timeout 5s --write-timeout 2s --max-connections-per-address 300
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$ks_pid/status"; }

hostile() { python3 "$(dirname "$0")/hostile.py" "$ks" "$work/pki" "$(spki_of "$work/site/p256.pem")"; }
check "first round" hostile
before=$(memory)
check "second round" hostile
after=$(memory)
grown=$((after - before))
[ "$grown" -lt 8192 ] || [ -n "${MEC_E2E_SCALE:-}" ] || fail "resident memory grew by $grown KiB in the second round ($before to $after)"
ok "resident memory after the second round: $grown KiB more"
gone() { [ "$(metric ks_edges_connected)" = 0 ]; }
wait_for 60 gone || fail "connections left: $(metric ks_edges_connected)"
ok "no connection is left behind"
stop_keyserver
finish
