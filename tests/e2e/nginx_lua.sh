#!/usr/bin/env bash
# lua-resty-redis in nginx, as an edge server has it: GET and SET over a pool of connections that are kept.
. "$(dirname "$0")/lib.sh" "$@"
nginx=$(command -v nginx || ls /usr/sbin/nginx 2>/dev/null) || skip "nginx is missing (Debian package nginx)"
modules=/usr/lib/nginx/modules
[ -f $modules/ngx_http_lua_module.so ] || skip "the Lua module is missing (Debian package libnginx-mod-http-lua)"
[ -f /usr/share/lua/5.1/nginx/redis.lua ] || skip "lua-resty-redis is missing (Debian package lua-nginx-redis)"
start_kvstore
web=$(free_port)
mkdir "$work/nginx"
cat >"$work/nginx/nginx.conf" <<CONF
load_module $modules/ndk_http_module.so;
load_module $modules/ngx_http_lua_module.so;
user $(id -un);
worker_processes 2;
pid $work/nginx/pid;
error_log $work/nginx.log info;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $work/nginx/body;
    proxy_temp_path $work/nginx/proxy;
    fastcgi_temp_path $work/nginx/fastcgi;
    uwsgi_temp_path $work/nginx/uwsgi;
    scgi_temp_path $work/nginx/scgi;
    init_by_lua_block {
        -- Runs f with a connection of the pool, and gives it back.
        function with_store(f)
            local redis = require "nginx.redis"
            local r = redis:new()
            r:set_timeouts(60000, 60000, 60000)
            local good, err = r:connect("127.0.0.1", $port)
            if not good then return ngx.exit(502) end
            local reused = r:get_reused_times()
            local answer = f(r)
            assert(r:set_keepalive(60000, 16))
            ngx.header["X-Reused"] = reused
            ngx.print(answer)
        end
    }
    server {
        listen 127.0.0.1:$web;
        location /set { content_by_lua_block { with_store(function(r)
            return assert(r:set(ngx.var.arg_key, ngx.var.arg_value, "EX", 100000))
        end) } }
        location /get { content_by_lua_block { with_store(function(r)
            local value = assert(r:get(ngx.var.arg_key))
            return value == ngx.null and "nothing" or value
        end) } }
        location /pipeline { content_by_lua_block { with_store(function(r)
            r:init_pipeline()
            for n = 1, 100 do r:incr("lua:counter") end
            r:get("lua:counter")
            local answers = assert(r:commit_pipeline())
            return #answers .. " " .. tostring(answers[#answers])
        end) } }
        location /transaction { content_by_lua_block { with_store(function(r)
            assert(r:multi())
            assert(r:set("lua:t", "1"))
            assert(r:incr("lua:t"))
            local answers = assert(r:exec())
            return answers[1] .. " " .. answers[2]
        end) } }
        location /error { content_by_lua_block { with_store(function(r)
            local good, err = r:incr("lua:text")
            return tostring(good) .. " " .. err
        end) } }
    }
}
CONF
"$nginx" -p "$work/nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx.log" -g 'daemon off;' >>"$work/nginx.log" 2>&1 &
nginx_pid=$!
at_end() { # its workers end with it
    kill -TERM "$nginx_pid" 2>/dev/null && wait "$nginx_pid"
}
page() { curl -sS --max-time 100 "http://127.0.0.1:$web$1"; }
same() { [ "$(page "$1")" = "$2" ] || fail "$1: found '$(page "$1")', expected '$2'"; }
wait_for 60 page /get?key=none || fail "nginx did not start"
same "/get?key=lua:none" nothing
same "/set?key=lua:text&value=hello" OK
same "/get?key=lua:text" hello
ok "GET and SET"
same /pipeline "101 100"
same /transaction "OK 2"
same /error "false ERR value is not an integer or out of range"
ok "a pipeline, a transaction, an error"
seq 400 | xargs -P 8 -I {} curl -sS --max-time 100 -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$web/get?key=lua:text" >"$work/codes"
[ "$(sort "$work/codes" | uniq -c | tr -d ' ')" = 400200 ] || fail "400 requests: $(sort "$work/codes" | uniq -c)"
reused() { curl -sS --max-time 100 -D - -o /dev/null "http://127.0.0.1:$web/get?key=lua:text" | sed -n 's/^X-Reused: \([0-9]*\).*/\1/p'; }
[ "$(reused)" -gt 5 ] || fail "connections are not kept"
ok "400 requests over kept connections"
kill -QUIT "$nginx_pid"
wait "$nginx_pid" || fail "nginx ended with an error"
stop_kvstore
finish
