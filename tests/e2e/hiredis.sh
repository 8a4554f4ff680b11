#!/usr/bin/env bash
# hiredis, the C client: synchronous, pipelined, asynchronous on libevent (hiredis.c).
. "$(dirname "$0")/lib.sh" "$@"
client=$bin/../tests/hiredis_client
[ -x "$client" ] || fail "$client is not built"
start_kvstore
timeout 250 "$client" "$port" >"$work/hiredis.out" || { cat "$work/hiredis.out" && fail "the client"; }
cat "$work/hiredis.out"
while read -r line; do ok "${line#ok }"; done < <(grep '^ok ' "$work/hiredis.out")
stop_kvstore
finish
