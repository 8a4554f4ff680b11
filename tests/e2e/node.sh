#!/usr/bin/env bash
# node-redis and ioredis from npm, installed into the test's folder.
. "$(dirname "$0")/lib.sh" "$@"
need_tool node "Node.js 18 or later"
need_tool npm "Node.js 18 or later"
packages="redis@5.12.1 ioredis@5.11.1"
mkdir "$work/node"
echo '{"private": true}' >"$work/node/package.json"
# shellcheck disable=SC2086
(cd "$work/node" && timeout 240 env -u no_proxy -u NO_PROXY npm install --no-audit --no-fund $packages >"$work/npm.log" 2>&1) ||
    { tail -n 5 "$work/npm.log" && skip "npm cannot install $packages"; }
start_kvstore_tls
plain=$port
if [ "${MEC_E2E_SERVER:-}" = redis ]; then
    mv "$work/db" "$work/db0"
    start_cluster_node
fi
timeout 250 node "$(dirname "$0")/node.mjs" "$plain" "$work/node" "$port" "$tls_port" "$work/pki" >"$work/node.out" 2>&1 || { cat "$work/node.out" && fail "node.mjs"; }
while read -r line; do ok "${line#ok }"; done < <(grep '^ok ' "$work/node.out")
[ "$passed" -eq 8 ] || fail "$passed of 8"
stop_kvstore
finish
