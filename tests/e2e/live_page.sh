#!/usr/bin/env bash
# The live page in headless Chromium, under load; its JSON, headers and metrics; edges with hostile names; what expires. MEC_LIVE_OUT=FOLDER keeps the
# pictures and the table of METRICS.md. Without chromium and chromedriver the browser's part is left out (tests/run installs them).
. "$(dirname "$0")/lib.sh" "$@"

# With warnings of its own: certificates of lib.sh's sites have 30 days.
make_pki
site one -newkey ec -pkeyopt ec_paramgen_curve:P-256
site two -newkey ec -pkeyopt ec_paramgen_curve:P-256
import "$work/site/one".* "$work/site/two".* >"$work/import.log"
hostile='<script>alert(1)</script><img src=x onerror=alert(1)>' # a common name has 64 characters at most
edge_cert() { # edge_cert NAME SUBJECT
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
    openssl x509 -req -in "$work/$1.csr" -CA "$work/pki/ca.pem" -CAkey "$work/pki/ca.key" -days 5 \
        -extfile <(echo extendedKeyUsage=clientAuth) -out "$work/$1.pem" 2>/dev/null
}
edge_cert hostile "${hostile//\//\\/}"
edge_cert quoted 'a"b\\c{}'
start_keyserver

load() { # load CERT KEY: until the test ends
    "$bin/edge-sim" load ski --keyserver "https://$ks" --cert "$1" --key "$2" --ca "$work/pki/ca.pem" --site "$work/site/one.pem" --connections 2 \
        --rate 50 --duration 60m >>"$work/load.log" 2>&1 &
    pids+=($!)
}
load "$work/pki/edge-edge-1.pem" "$work/pki/edge-edge-1.key"
load "$work/hostile.pem" "$work/hostile.key"
load "$work/quoted.pem" "$work/quoted.key"

head_of() { curl -sS -D- -o /dev/null "http://$admin$1"; }
live() { curl -sS "http://$admin/live.json" | python3 -c "import json,sys; d = json.load(sys.stdin); assert $1, d"; }
edge() { # edge NAME CONDITION on e
    curl -sS "http://$admin/live.json" | python3 -c '
import json, sys
e = next(e for e in json.load(sys.stdin)["about"]["edges"] if e["edge"] == sys.argv[1])
assert eval(sys.argv[2]), e' "$@"
}
check "the page" has '<title>MEC key server</title>' <<<"$(curl -sS "http://$admin/")"
for path in / /live.js /live.css /live.svg /live.json /history.json /status /metrics; do
    head_of $path >"$work/head"
    has -i "^content-security-policy: default-src 'none'; script-src 'self';" "$work/head" || fail "$path: Content-Security-Policy"
    has -i '^x-content-type-options: nosniff' "$work/head" || fail "$path: X-Content-Type-Options"
done
ok "no page may run or fetch what is not of this port"
check "types" test "$(for p in / live.js live.css live.svg live.json history.json; do head_of "/${p#/}" | sed -n 's/^[Cc]ontent-[Tt]ype: \([a-z+/]*\).*/\1/p'; done | tr '\n' ' ')" = \
    "text/html text/javascript text/css image/svg+xml application/json application/json "
check "nothing inline" test "$(curl -sS "http://$admin/" | grep -Eci '<style| style=| on[a-z]+=|<script[^>]*>[^<]|(src|href)="?(https?:)?//')" -eq 0
check "load is seen" wait_for 120 edge edge-1 'e["requests_per_s"] > 0 and e["connections"] == 2 and e["requests"] > 20'
check "by every name" wait_for 120 edge "$hostile" 'e["requests"] > 20'
check "with quotes" wait_for 120 edge 'a"b\c{}' 'e["requests"] > 20'
check "no errors" edge edge-1 'e["errors"] == 0'
check "the others are the last" live 'd["about"]["edges"][-1]["others"] and d["about"]["edges"][-1]["edge"] == "other"'
check "samples" wait_for 120 live 'len(d["seconds"]["unix_ms"]) >= 2 and d["seconds"]["requests_per_s"][-1] > 0 and d["seconds"]["p99_us"][-1] > 0'
check "columns are as long as each other" live 'len({len(v) for v in d["seconds"].values()}) == 1 and len(d["seconds"]) == 12'
history() { curl -sS "http://$admin/history.json" | python3 -c "import json,sys; d = json.load(sys.stdin); assert $1, d"; }
check "the history" history 'len(d["seconds"]["queue"]) == len(d["seconds"]["unix_ms"]) >= 2 and d["seconds"]["unix_ms"] == sorted(d["seconds"]["unix_ms"]) and "minutes" in d'
ski /ski '{"spki":"nonsense"}' >/dev/null
check "an error is the edge's" wait_for 120 edge edge-1 'e["errors"] == 1'

# ---- what expires
expiry() { curl -sS "http://$admin/status" | python3 -c "import json,sys; d = json.load(sys.stdin)['expiry']; k = d['keys']; assert $1, d"; }
check "certificates" expiry '[i["what"] for i in d["items"]].count("server") == 1 and any(i["what"] == "client_ca" for i in d["items"])'
check "stored keys are counted" wait_for 300 expiry 'k["keys"] == 2 and k["within_days"] == {"30": 2, "7": 0, "1": 0} and k["expired"] == 0 and len(k["soonest"]) == 2'
check "in the metrics" test "$(metric 'ks_db_keys_expiring{within_days="30"}')" = 2
check "and in the log, once" wait_for 120 grep -q ' keys_expire within_30d=2 within_7d=0 within_1d=0 expired=0' "$work/keyserver.log"
check "own certificate" test "$(metric 'ks_cert_not_after_seconds{what="server"}')" = "$(date -d "$(openssl x509 -in "$work/pki/server.pem" -noout -enddate | cut -d= -f2)" +%s)"
site three -newkey ec -pkeyopt ec_paramgen_curve:P-256
import "$work/site/three".* >>"$work/import.log"
check "a key that is imported is counted soon" wait_for 300 expiry 'k["keys"] == 3'
"$bin/certs" delete --store "$work/store" "$(spki_of "$work/site/three.pem")" >>"$work/import.log" 2>&1
check "and one that is deleted no more" wait_for 300 expiry 'k["keys"] == 2'
check "nothing was told twice" test "$(grep -c ' keys_expire ' "$work/keyserver.log")" -eq 1

# ---- metrics: whole, as a scraper reads them
curl -sS "http://$admin/metrics" >"$work/metrics.txt"
check "labels are escaped" grep -qF 'ks_edge_requests_total{edge="a\"b\\c{}"} ' "$work/metrics.txt"
check "metrics are as Prometheus wants them" "$bin/../tests/metrics_lint" <"$work/metrics.txt"
source_root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
"$bin/../tests/metrics_lint" --table <"$work/metrics.txt" >"$work/table.md"
[ -z "${MEC_LIVE_OUT:-}" ] || { mkdir -p "$MEC_LIVE_OUT" && cp "$work/table.md" "$MEC_LIVE_OUT/"; }
sed -n '/^| name /,$p' "$source_root/keyserver/METRICS.md" >"$work/documented.md"
diff "$work/documented.md" "$work/table.md" >&2 || fail "keyserver/METRICS.md is not what the server says (tests/metrics_lint --table </metrics)"
ok "METRICS.md has every metric"

# ---- the browser
if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    HOME=$work setsid chromedriver --port=0 --log-path="$work/chromedriver.txt" >"$work/driver.log" 2>&1 &
    driver=$!
    pids+=("$driver")
    driver_port() { sed -n 's/.*successfully on port \([0-9]*\).*/\1/p' "$work/driver.log" | grep .; }
    wait_for 120 driver_port || fail "chromedriver did not start"
    mkdir -p "${MEC_LIVE_OUT:-$work/out}"
    stop_browser() { # and what it has started
        kill -- "-$driver" 2>/dev/null || true
        wait "$driver" 2>/dev/null || true
    }
    at_end() { stop_browser; }
    python3 -B "$(dirname "$0")/live_page.py" "$(driver_port)" "$admin" "$work/profile" "${MEC_LIVE_OUT:-$work/out}" "$hostile" || fail "the page in Chromium"
    ok "the page in Chromium"
    stop_browser
else
    echo "SKIPPED: no chromium and chromedriver: the page was not looked at in a browser (Debian packages chromium, chromium-driver)"
fi
finish
