#!/usr/bin/env python3
"""Hostile and broken peers against a running key server: hostile.py HOST:PORT PKI-FOLDER SPKI

Each refusal must be clear, nothing may crash, and a good edge that asks all the time must be answered all the time.
"""
import base64, json, os, socket, ssl, sys, threading, time

host, port = sys.argv[1].rsplit(":", 1)
port = int(port)
pki, spki = sys.argv[2], sys.argv[3]
scale = int(os.environ.get("MEC_E2E_SCALE", "1"))


def context(certificate=True):
    ctx = ssl.create_default_context(cafile=f"{pki}/ca.pem")
    ctx.check_hostname = False
    if certificate:
        ctx.load_cert_chain(f"{pki}/edge-edge-2.pem", f"{pki}/edge-edge-2.key")
    return ctx


SHARED = context()


def tcp(source="127.0.0.1", timeout=60):
    s = socket.socket()
    s.settimeout(timeout)
    s.bind((source, 0))
    s.connect((host, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def connect(source="127.0.0.1", timeout=60, ctx=SHARED):
    return ctx.wrap_socket(tcp(source, timeout), server_hostname="localhost")


def read_answer(s, data=b""):
    """One answer: (status, headers, body, rest)."""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            return None
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = {l.split(":")[0].lower(): l.split(":", 1)[1].strip() for l in lines[1:]}
    need = int(headers.get("content-length", "0"))
    while len(rest) < need:
        more = s.recv(65536)
        if not more:
            return None
        rest += more
    return int(lines[0].split()[1]), headers, rest[:need], rest[need:]


def closed(s):
    try:
        return s.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def input_bytes():
    return base64.b64encode(os.urandom(64) + b"\x03\x00\x1d\x20" + os.urandom(32)).decode()


def body(**changes):
    members = {"protocol": "TLS 1.2", "spki": spki, "method": "ECDHE", "hash": "SHA-256", "input": input_bytes()}
    members.update(changes)
    return json.dumps(members).encode()


def post(b, extra="", path="/ski", version="1.1"):
    return f"POST {path} HTTP/{version}\r\nHost: k\r\nContent-Length: {len(b)}\r\n{extra}\r\n".encode() + b


class GoodEdge(threading.Thread):
    """Another edge, from another address, that asks one thing after the other all the time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stop, self.answered, self.worst, self.errors = False, 0, 0.0, []

    def run(self):
        s = connect("127.0.0.2")
        while not self.stop:
            start = time.monotonic()
            try:
                s.sendall(post(body()))
                answer = read_answer(s)
                if answer is None or answer[0] != 200:
                    self.errors.append(answer)
                    return
            except Exception as e:
                self.errors.append(repr(e))
                return
            self.worst = max(self.worst, time.monotonic() - start)
            self.answered += 1
            time.sleep(0.005)


good = GoodEdge()
good.start()
count = 0


def ok(name):
    global count
    assert not good.errors, f"{name}: the good edge got {good.errors}"
    count += 1
    print(f"ok {count} {name} (good edge: {good.answered} answers, worst {good.worst * 1000:.0f} ms)", flush=True)


def expect(name, data, status, closes=True):
    s = connect()
    s.sendall(data)
    answer = read_answer(s)
    assert answer is not None, f"{name}: closed without an answer"
    assert answer[0] == status, f"{name}: {answer[0]}, expected {status}"
    assert json.loads(answer[2])["error"] in ("malformed request", "unspecified error"), f"{name}: {answer[2]}"
    if closes:
        assert answer[1].get("connection") == "close" and closed(s), f"{name}: the connection stays"
    else:
        s.sendall(post(body()))
        assert read_answer(s)[0] == 200, f"{name}: the connection does not go on"
    s.close()


# ---- HTTP
expect("1 MB of header", b"POST /ski HTTP/1.1\r\nHost: k\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", 431)
expect("100,000 header lines", b"POST /ski HTTP/1.1\r\nHost: k\r\n" + b"X: y\r\n" * 100_000, 431)
expect("long request line", b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 414)
expect("1 MB of body announced", b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000, 413)
expect("2^64 bytes announced", b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: 18446744073709551616\r\n\r\n", 400)
expect("negative length", b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: -1\r\n\r\n", 400)
expect("two lengths", b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400)
expect("length and chunks", b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
expect("endless chunks", b"POST /ski HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50_000, 400)
expect("huge chunk", b"POST /ski HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\nfffffff0\r\n", 413)
expect("NUL in the request line", b"POST /ski\0 HTTP/1.1\r\nHost: k\r\n\r\n", 400)
expect("NUL in a header", b"POST /ski HTTP/1.1\r\nHost: k\0\r\n\r\n", 400)
expect("folded header", b"POST /ski HTTP/1.1\r\nHost: k\r\nX: a\r\n b\r\n\r\n", 400)
expect("blank before the colon", b"POST /ski HTTP/1.1\r\nHost : k\r\n\r\n", 400)
expect("bare line feeds", b"POST /ski HTTP/1.1\nHost: k\n\nPOST /ski HTTP/1.1\r\n\r\n", 400)
expect("no host", b"POST /ski HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400)
expect("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
expect("random bytes", b"\x16\x03" + os.urandom(500).replace(b"\n", b"") + b"\r\n\r\n", 400)
expect("unknown transfer coding", b"POST /ski HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: gzip\r\n\r\n", 501)
expect("unknown expectation", b"POST /ski HTTP/1.1\r\nHost: k\r\nExpect: wonders\r\n\r\n", 417)
s = connect()
b = body()
s.sendall(f"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: {len(b) - 5}\r\n\r\n".encode() + b + b"\r\n\r\n")
a = read_answer(s)
a2 = read_answer(s, a[3])
assert a[0] == 400 and a2[0] == 400 and a2[1]["connection"] == "close" and closed(s), (a, a2)
s.close()
ok("HTTP: 21 malformed requests are refused with the right status")

# ---- JSON: an answer, and the connection goes on
for name, b in [
    ("deep arrays", b"[" * 16000), ("deep objects", b'{"a":' * 3000), ("NUL bytes", b'{"protocol":"TLS 1.2\0"}'),
    ("escaped NUL", b'{"protocol":"TLS 1.2\\u0000"}'), ("bad UTF-8", b'{"protocol":"\xff\xfe"}'), ("long string", b'{"spki":"' + b"A" * 15000 + b'"}'),
    ("huge number", b'{"spki":' + b"9" * 15000 + b"}"), ("empty", b""), ("text", b"hello"), ("trailing", body() + b"x"),
    ("input too long", body(input=base64.b64encode(bytes(2000)).decode())), ("wrong type", body(method=["RSA"])), ("number", body(hash=256)),
]:
    expect("JSON " + name, post(b), 400, closes=False)
ok("JSON: 13 malformed bodies are refused and the connection goes on")

# ---- things that are allowed
s = connect()
chunked = b"POST /ski HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n"
b = body()
s.sendall(chunked + b"".join(b"%x;ext=1\r\n%c\r\n" % (1, c) for c in b) + b"0\r\nTrailer: x\r\n\r\n" + post(body(), version="1.0", extra="Connection: keep-alive\r\n"))
a = read_answer(s)
a2 = read_answer(s, a[3])
assert a[0] == 200 and a2[0] == 200 and a2[1]["connection"] == "keep-alive", (a, a2)
s.sendall(b"POST /ski HTTP/1.1\r\nHost: k\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(b))
assert s.recv(1000).startswith(b"HTTP/1.1 100"), "no 100 Continue"
s.sendall(b)
assert read_answer(s)[0] == 200
s.close()
ok("chunks, HTTP/1.0 keep-alive, 100-continue")

s = connect()
n = 500
writer = threading.Thread(target=lambda: s.sendall(b"".join(post(body()) for _ in range(n))))
writer.start()
rest = b""
for i in range(n):
    status, _, answer, rest = read_answer(s, rest)
    assert status == 200 and b"output" in answer, (i, status, answer)
writer.join()
s.close()
ok(f"{n} pipelined requests, answers in order")

s = connect()
data = post(body())
for byte in data:
    s.sendall(bytes([byte]))
assert read_answer(s)[0] == 200
s.close()
ok("a request that comes byte by byte")

# ---- slow and silent peers
def slow_loris(n):
    conns = []
    for _ in range(n):
        s = connect("127.0.0.3")
        s.sendall(b"POST /ski HTTP/1.1\r\nHost: k\r\n")
        conns.append(s)
    return conns


slow = slow_loris(200 // scale)
half = [connect("127.0.0.3") for _ in range(20)]
for s in half:
    s.sendall(b"POST /ski HTTP/1.1\r\nHost: k\r\nContent-Length: 500\r\n\r\n{")
deadline = time.monotonic() + 60
for i, s in enumerate(slow + half):
    while True:  # a byte now and then does not help
        try:
            if i < 5:
                s.sendall(b"X")
            s.settimeout(0.5)
            answer = read_answer(s)
            assert answer is None or answer[0] == 408, answer
            break
        except (TimeoutError, socket.timeout):
            assert time.monotonic() < deadline, "a slow peer is still there"
        except (ConnectionError, ssl.SSLError):
            break
    s.close()
ok(f"{len(slow)} slow-loris and {len(half)} half-sent bodies end with 408 in time")

silent = [tcp("127.0.0.3") for _ in range(200 // scale)]
time.sleep(0.2)
for s in silent:
    s.settimeout(60)
    assert closed(s), "a silent peer is still there"
    s.close()
ok(f"{len(silent)} peers that never start TLS are dropped")

deaf = []
big = post(body()) * 400
for _ in range(10):
    s = connect("127.0.0.3")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.setblocking(False)
    try:
        for _ in range(50):
            s.send(big)
    except (BlockingIOError, ssl.SSLWantWriteError, ConnectionError):
        pass
    deaf.append(s)
time.sleep(1)
ok("10 peers that never read")
for s in deaf:
    s.close()

# ---- floods, up to the limit of one address
def has_ended(s):
    s.setblocking(False)
    try:
        return s.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


flood = [tcp("127.0.0.4") for _ in range(400)]
deadline = time.monotonic() + 60
while (refused := sum(has_ended(s) for s in flood)) < 100:  # those that stay would be dropped for their silence in five seconds
    assert time.monotonic() < deadline, f"only {refused} of 400 connections of one address were refused"
    time.sleep(0.01)
assert refused < 400, "none was let in, or the limit of one address does not hold"
s = connect("127.0.0.5")
s.sendall(post(body()))
assert read_answer(s)[0] == 200
s.close()
for s in flood:
    s.close()
ok(f"400 connections of one address: {refused} refused, others connect")

for i in range(200 // scale):
    s = tcp("127.0.0.6")
    s.sendall(os.urandom(100))
    s.close()
ok("garbage instead of TLS")

# A peer that goes away in the middle of its operations.
for i in range(50):
    s = connect("127.0.0.7")
    s.sendall(post(body()) * 20)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()
ok("50 peers that vanish with 20 requests in flight")

good.stop = True
good.join(60)
assert not good.errors and good.answered > 10, (good.errors, good.answered)
print(f"{count} checks passed; the good edge had {good.answered} answers, the worst after {good.worst * 1000:.0f} ms")
