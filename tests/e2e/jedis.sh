#!/usr/bin/env bash
# What a pool of Jedis 2.9 sends, byte by byte (jedis.py).
. "$(dirname "$0")/lib.sh" "$@"
echo -n foobared >"$work/password"
chmod 600 "$work/password"
start_kvstore --password-file "$work/password"
python3 "$(dirname "$0")/jedis.py" "$port" foobared
ok "a pool of Jedis: AUTH, SELECT, SET NX PX, GET, pipelines, MULTI, QUIT"
stop_kvstore
finish
