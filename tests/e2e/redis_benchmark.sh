#!/usr/bin/env bash
# redis-benchmark in the ways that people run it: it must end well, print a line for each test and no error. Nothing is timed.
. "$(dirname "$0")/lib.sh" "$@"
need_tool redis-benchmark "Debian package redis-tools"
scale=${MEC_E2E_SCALE:-1}
count=$((6000 / scale))

# benchmark NAME TESTS OPTION...: TESTS are beginnings of lines that must be there
benchmark() {
    local name=$1 tests=$2 test status=0
    shift 2
    timeout 300 redis-benchmark -p "$port" -n "$count" -q "$@" >"$work/benchmark.out" 2>"$work/benchmark.err" || status=$?
    tr '\r' '\n' <"$work/benchmark.out" >"$work/benchmark.lines"
    if [ "$status" -ne 0 ] || [ -s "$work/benchmark.err" ] || grep -qiE 'error|warning|ERR ' "$work/benchmark.lines"; then
        cat "$work/benchmark.err" && tail -n 5 "$work/benchmark.lines"
        fail "$name (status $status)"
    fi
    for test in $tests; do
        has "^$test.*requests per second" "$work/benchmark.lines" || fail "$name: no line of $test"
    done
    ok "$name"
}
keys() { redis-cli -p "$port" "$@" dbsize; }

start_kvstore
benchmark "-t set,get,incr,mset,ping -P 16" "SET GET INCR MSET PING_INLINE PING_MBULK" -t set,get,incr,mset,ping -P 16
benchmark "without pipelining, random keys" "SET GET" -t set,get -r 1000 -d 100
[ "$(keys)" -ge 500 ] || fail "the keys are not there"
benchmark "--threads 2" "SET GET" -t set,get -P 16 --threads 2
benchmark "200 connections" "SET GET" -t set,get -c 200 -P 16 --threads 2
many=$count
count=$((1000 / scale))
benchmark "large values" "SET GET" -t set,get -P 4 -d 100000 -r 100 --threads 2
count=$many
benchmark "-3" "SET GET INCR" -t set,get,incr -P 16 -3
benchmark "a command of one's own" "" -P 4 -r 100 setrange key:__rand_int__ 10 hello
benchmark "in another database" "SET" -t set --dbnum 5
[ "$(keys -n 5)" -ge 1 ] || fail "--dbnum"
stop_kvstore

# redis-benchmark 7.0 wants two nodes at least. Ours shows two masters at its one address, so that it runs. A cluster of one redis-server is refused: what it
# says shows that it has read CLUSTER NODES and found the node and its slots.
start_cluster_node
if [ "${MEC_E2E_SERVER:-}" = redis ]; then
    status=0
    redis-benchmark -p "$port" -n "$count" -q -t set,get -P 16 --cluster >"$work/benchmark.out" 2>&1 || status=$?
    [ "$status" -eq 1 ] && [ "$(cat "$work/benchmark.out")" = "Invalid cluster: 1 node(s)." ] || { cat "$work/benchmark.out" && fail "--cluster"; }
    ok "--cluster finds a cluster of one node, which is less than it takes"
else
    benchmark "--cluster" "SET GET" -t set,get -P 16 --cluster
    [ "$(keys)" -ge 2 ] || fail "--cluster: the keys are not there"
fi
stop_kvstore

echo -n secret >"$work/password"
chmod 600 "$work/password"
start_kvstore --password-file "$work/password"
benchmark "-a" "SET GET" -t set,get -P 16 -a secret
stop_kvstore

start_kvstore_tls
port=$tls_port
benchmark "--tls" "SET GET" -t set,get -P 16 -d 1000 "${tls_options[@]}"
stop_kvstore
finish
