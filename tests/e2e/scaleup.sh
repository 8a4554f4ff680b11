#!/usr/bin/env bash
# Memory that follows the load, in a real memory cgroup (scaleup.py): the load rises and falls, and limit, hits and resident size with it; somebody else lowers the
# limit; scaleupd is killed and comes back. No lookup fails, no value is wrong, the kernel never has to hold the server back.
# MEC_SCALEUP_OUT=DIR: the timelines as JSON, and as SVG with gnuplot. MEC_SCALEUP_LONG=N: N times the keys and the times. MEC_SCALEUP_STRICT=1: times count as well.
. "$(dirname "$0")/lib.sh" "$@"

for scenario in load outside crash; do
    status=0
    python3 "$(dirname "$0")/scaleup.py" "$scenario" "$bin" "$work/run" >"$work/out" 2>"$work/notes.log" || status=$?
    if [ "$status" -eq 77 ]; then
        echo "SKIP: memory that follows the load: $(cat "$work/notes.log")" >&2
        exit 77
    fi
    while read -r _ _ text; do ok "$scenario: $text"; done <"$work/out"
    cat "$work/notes.log"
    if [ "$status" -ne 0 ]; then
        cp "$work"/run/*.log "$work"
        fail "$scenario"
    fi
done
finish
