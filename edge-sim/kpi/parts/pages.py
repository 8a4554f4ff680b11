"""Pages fetched by users through an edge that holds no private key."""
import re
import shutil
import subprocess
import time

from .. import stats
from ..servers import Edge, Keyserver, Sites, s_time
from ..work import Failed

TITLE = "Page fetches through the edge"
METHOD = (
    "edge-sim serve terminates users' TLS and asks the key server for each full handshake. openssl s_time fetches a page of 1 KiB, each on "
    "a new connection: one user alone (its mean time is what a user waits for handshake and page), then eight at once. curl then fetches "
    "pages over one connection: no key operation at all. User, edge and key server share the processors."
)
CASES = (  # name, words, site, options of s_time
    ("rsa2048-rsa", "RSA-2048, TLS 1.2, RSA key exchange", "rsa2048", ["-tls1_2", "-cipher", "AES128-GCM-SHA256"]),
    ("rsa2048-ecdhe", "RSA-2048, TLS 1.2, ECDHE", "rsa2048", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
    ("rsa2048-tls13", "RSA-2048, TLS 1.3", "rsa2048", ["-tls1_3"]),
    ("rsa4096-ecdhe", "RSA-4096, TLS 1.2, ECDHE", "rsa4096", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
    ("p256-ecdhe", "P-256, TLS 1.2, ECDHE", "p256", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
    ("p256-tls13", "P-256, TLS 1.3", "p256", ["-tls1_3"]),
)
USERS = 8


def cases(s):
    return s.pick(CASES, (CASES[0], CASES[2], CASES[5]))


def seconds(s):
    return 2 + len(cases(s)) * s.runs * 2.2 * max(round(s.seconds(3, 1)), 1)


def measure(w, r):
    s = w.settings
    sites = Sites(w, sorted({site for _, _, site, _ in cases(s)}))
    server = Keyserver(w)
    add = r.table("pages", "A new connection for each page", ["user's handshake", "one user: ms a page", "pages/s", f"{USERS} users: pages/s"])
    edge, edge_of = None, None
    for name, words, site, options in cases(s):
        if site != edge_of:
            if edge is not None:
                edge.stop()
            edge, edge_of = Edge(w, server, sites, [site]), site
        fetch = ["-new", "-www", "/index.html", "-CAfile", sites.certificate(site), *options]
        alone, many = [], []
        for run in range(s.runs):
            w.step(f"{words}, run {run + 1} of {s.runs}")
            count, took, command = s_time(w, edge.server, s.seconds(3, 1), *fetch)
            alone.append(count / took)
            many.append(together(w, edge.server, s, fetch))
        rate = r.figure(f"{name}.alone", f"{words}: one user", "pages/s", "higher", alone, command)
        all_rate = r.figure(f"{name}.users", f"{words}: {USERS} users", "pages/s", "higher", many, command)
        add(words, 1000 / rate, rate, all_rate, command=command)
    keep_alive(w, r, sites, edge, edge_of)
    edge.stop()
    server.stop()


def together(w, server, s, fetch):
    """Pages a second of several users at once."""
    argv = ["openssl", "s_time", "-connect", server, "-time", max(round(s.seconds(3, 1)), 1), *fetch]
    begin = time.monotonic()
    users = [w.spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(USERS)]
    texts = [u.communicate(timeout=600)[0] for u in users]
    took = time.monotonic() - begin
    for u in users:
        w.children.remove(u)
    pages = sum(int(n) for t in texts for n in re.findall(r"(\d+) connections in \d+ real seconds", t))
    if pages == 0:
        raise Failed(f"openssl s_time: none of {USERS} users had a page")
    return pages / took


def keep_alive(w, r, sites, edge, site):
    if shutil.which("curl") is None:
        r.leave_out("pages over one connection", "curl is not on this machine (Debian package curl)")
        return
    count = w.settings.pick(2000, 200)
    port = edge.server.rsplit(":", 1)[1]
    curl = ["curl", "-s", "--noproxy", "*", "--cacert", sites.certificate(site), "--resolve", f"{site}.test:{port}:127.0.0.1"]
    curl += ["-w", r"%{http_code} %{time_total}\n", "-o", "/dev/null", f"https://{site}.test:{port}/index.html?[1-{count}]"]
    out, command = w.run(curl)
    rows = [line.split() for line in out.splitlines()]
    times = [1e6 * float(t) for code, t in rows if code == "200"]
    if len(times) != count:
        raise Failed(f"curl: {count - len(times)} of {count} pages were not served")
    r.figure("keepalive.p50", "Page over an open connection, p50 as curl sees it", "us", "lower", [stats.percentile(times[1:], 50)], command)
    r.figure("keepalive.p99", "Page over an open connection, p99 as curl sees it", "us", "lower", [stats.percentile(times[1:], 99)], command)
