"""What a new connection from an edge costs the key server."""
from ..servers import Keyserver, Sites, s_time

TITLE = "TLS handshakes between edge and key server"
METHOD = (
    "openssl s_time connects to the key server with an edge's certificate, one connection after the other, and closes. The server's "
    "processor time is taken from the kernel before and after and divided by the handshakes that it counted. That is why edges keep their "
    "connections: a handshake costs as much as several key operations."
)
CASES = (
    ("tls13-full", "TLS 1.3, full", ["-tls1_3", "-new"]),
    ("tls13-resumed", "TLS 1.3, resumed", ["-tls1_3", "-reuse"]),
    ("tls12-full", "TLS 1.2, full", ["-tls1_2", "-new"]),
    ("tls12-resumed", "TLS 1.2, resumed", ["-tls1_2", "-reuse"]),
)


def seconds(s):
    return 1 + len(CASES) * s.runs * max(round(s.seconds(3, 1)), 1.1)


def measure(w, r):
    s = w.settings
    Sites(w, ("p256",))
    server = Keyserver(w)
    p = w.path
    channel = ["-cert", p("pki/edge-kpi.pem"), "-key", p("pki/edge-kpi.key"), "-CAfile", p("pki/ca.pem")]
    got = {name: [] for name, *_ in CASES}
    for run in range(s.runs):
        for name, words, options in CASES:
            w.step(f"{words}, run {run + 1} of {s.runs}")
            before = counters(server)
            _, took, command = s_time(w, server.server, s.seconds(3, 1), *channel, *options)
            handshakes, resumed, cpu = (now - then for now, then in zip(counters(server), before))
            got[name].append((handshakes / took, 1e6 * cpu / handshakes, 100 * resumed / handshakes, command))
    add = r.table("handshakes", "New connections", ["handshake", "connections/s, one client", "server's processor time, us", "resumed %"])
    for name, words, _ in CASES:
        runs = got[name]
        if "resumed" in name and all(x[2] < 1 for x in runs):
            r.leave_out(f"handshakes: {words}", "openssl s_time had no session to resume: it does not wait for the tickets of TLS 1.3")
            continue
        rate = r.figure(f"{name}.rate", f"{words}: connections, one client", "1/s", "higher", [x[0] for x in runs], runs[0][3])
        cost = r.figure(f"{name}.cpu", f"{words}: server's processor time", "us", "lower", [x[1] for x in runs], runs[0][3])
        add(words, rate, cost, sum(x[2] for x in runs) / len(runs), command=runs[0][3])
    if any(1 <= x[2] < 99 for name in ("tls13-resumed", "tls12-resumed") for x in got[name]):
        r.note("Where less than all were resumed, the row is a mixture: the last column says of what.")
    server.stop()


def counters(server):
    return server.metric("ks_tls_handshakes_total"), server.metric("ks_tls_handshakes_resumed_total"), server.cpu()
