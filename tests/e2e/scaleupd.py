#!/usr/bin/env python3
"""Speaks the rescale protocol (scaleup/PROTOCOL.md) by hand: scaleupd.py SECTION ADDRESS [ARGUMENT]...

ADDRESS is unix:PATH or HOST:PORT (TLS, with the environment's PKI folder and CERT name). Prints "ok ..." lines; ends with 1 at the first thing that is wrong.
"""
import json, os, socket, ssl, sys, time

MIB = 1 << 20
section, address, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]


def ok(text):
    print(f"ok - {text}", flush=True)


def fail(text):
    print(f"not ok: {section}: {text}", file=sys.stderr, flush=True)
    sys.exit(1)


def connect():
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        for _ in range(6000):  # a full backlog is told at once, and gives nothing to wait for
            try:
                s.connect(address[5:])
                return s
            except BlockingIOError:
                time.sleep(0.01)
        fail("the backlog stays full")
    host, port = address.rsplit(":", 1)
    pki, cert = os.environ["PKI"], os.environ["CERT"]
    context = ssl.create_default_context(cafile=f"{pki}/ca.pem")
    if cert:
        context.load_cert_chain(f"{pki}/{cert}.pem", f"{pki}/{cert}.key")
    s = socket.socket()
    s.settimeout(60)
    s.connect((host, int(port)))
    return context.wrap_socket(s, server_hostname="localhost")


class Peer:
    """A session. Messages that nobody waits for yet are kept."""

    def __init__(self, vnf=None, hello=True, **members):
        self.socket, self.bytes, self.kept, self.ended = connect(), b"", [], False
        self.granted = 0
        if hello:
            who = {"role": "vnf", "vnf": vnf} if vnf else {"role": "operator"}
            self.say(type="hello", version=1, **who, **members)

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError:  # it has closed; what it said can still be read
            pass

    def say(self, **message):
        self.raw(json.dumps(message).encode() + b"\n")

    def read(self):
        """The next message; None: the connection has ended."""
        while b"\n" not in self.bytes:
            try:
                more = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                more = b""
            if not more:
                self.ended = True
                return None
            self.bytes += more
        line, self.bytes = self.bytes.split(b"\n", 1)
        message = json.loads(line)
        self.granted = message.get("granted_bytes", self.granted)
        return message

    def next(self, kind, **members):
        """The next message of that type with those members."""
        fits = lambda m: m["type"] == kind and all(m.get(k) == v for k, v in members.items())
        for i, message in enumerate(self.kept):
            if fits(message):
                return self.kept.pop(i)
        while (message := self.read()) is not None:
            if fits(message):
                return message
            self.kept.append(message)
        fail(f"expected {kind} {members}, the connection ended; had {self.kept}")

    def welcome(self):
        message = self.next("welcome")
        self.granted = message.get("granted_bytes", 0)
        return message

    def ask(self, target, ident, **members):
        self.say(type="rescale", id=ident, target_bytes=target, **members)

    def final(self, ident):
        return self.next("response", id=ident, final=True)

    def rescale(self, target, ident, **members):
        self.ask(target, ident, **members)
        return self.final(ident)

    def refused(self, code):
        message = self.next("error")
        if message["code"] != code or self.read() is not None:
            fail(f"expected {code} and the end, found {message}")
        self.socket.close()

    def close(self):
        self.socket.close()


def expect(message, state, granted=None):
    if message["state"] != state or (granted is not None and message["granted_bytes"] != granted):
        fail(f"expected {state} {granted}, found {message}")
    return message


def status(vnf=None):
    operator = Peer()
    operator.welcome()
    operator.say(type="status", **({"vnf": vnf} if vnf else {}))
    message = operator.next("status")
    operator.close()
    return message


def line(vnf):
    return next(v for v in status()["vnfs"] if v["vnf"] == vnf)


def wait_for(what, condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            fail(f"waited for nothing: {what}")
        time.sleep(0.05)


def talk():
    """One VNF (max 512 MiB, min 64 MiB, pool 1 GiB): raise, return, what is refused, ids."""
    p = Peer("ks1", holding_bytes=5)
    w = p.welcome()
    if (w["granted_bytes"], w["min_bytes"], w["max_bytes"]) != (64 * MIB, 64 * MIB, 512 * MIB):
        fail(f"welcome: {w}")
    ok("welcome says what there is")
    expect(p.rescale(200 * MIB, "1"), "done", 200 * MIB)
    expect(p.rescale(300 * MIB + 1, "2"), "done", 302 * MIB)
    ok("a raise, rounded up to the granularity")
    expect(p.rescale(100 * MIB, "3"), "done", 100 * MIB)
    expect(p.rescale(1, "4"), "done", 64 * MIB)
    ok("a return, and no further than the minimum")
    expect(p.rescale(2048 * MIB, "5"), "partial", 512 * MIB)
    expect(p.rescale(2048 * MIB, "6", min_bytes=600 * MIB), "infeasible", 512 * MIB)
    ok("beyond the maximum: partial, or infeasible")
    expect(p.rescale(100 * MIB, "7"), "done")
    expect(p.rescale(100 * MIB, "7"), "done", 100 * MIB)
    m = expect(p.rescale(101 * MIB, "7"), "error")
    if "id used before" not in m.get("detail", ""):
        fail(f"another target with the same id: {m}")
    ok("the same id again: the same answer, or an error for another target")
    p.say(type="ping")
    p.next("pong")
    p.say(type="frobnicate")
    p.next("error", code="unexpected")
    p.say(type="status")
    p.next("error", code="unexpected")
    p.ask(128 * MIB, "8")
    expect(p.final("8"), "done")
    ok("what is unexpected is said, and the session goes on")
    later = Peer("ks1")
    if later.welcome()["granted_bytes"] != 128 * MIB:
        fail("the later session has another grant")
    p.refused("replaced")
    ok("a later session takes over")
    later.close()
    Peer("nobody").refused("unknown_vnf")
    s = status()
    if s["pool_bytes"] != 1024 * MIB or s["free_bytes"] > 1024 * MIB - 128 * MIB or not s["vnfs"]:
        fail(f"status: {s}")
    if len(status("ks1")["vnfs"]) != 1:
        fail("status of one")
    ok("status, of all and of one")


def ghost():
    """No --vnf: a name comes by a hello of the daemon's own user, and by nothing else."""
    for p in (Peer(), Peer("any")):
        p.welcome()
        p.say(type="rescale", id="g1", vnf="ghost", target_bytes=100 * MIB)
        while (m := p.read())["type"] not in ("error", "response"):
            pass
        if m["type"] == "response" and m["state"] not in ("error", "denied"):
            fail(f"a rescale of what does not exist: {m}")
        p.close()
    if any(v["vnf"] == "ghost" for v in status()["vnfs"]):
        fail("a rescale has made a VNF")
    ok("a rescale makes no VNF")


def compete():
    """Pool 1 GiB; low (priority 2), high (priority 7), each min 64 MiB."""
    low, high = Peer("low"), Peer("high")
    low.welcome(), high.welcome()
    expect(low.rescale(900 * MIB, "a", priority=2), "done", 900 * MIB)
    high.ask(512 * MIB, "b", priority=7, deadline_ms=30000)
    r = low.next("reclaim")
    if not 64 * MIB <= r["target_bytes"] <= 512 * MIB:
        fail(f"reclaim: {r}")
    low.say(type="reclaiming", id=r["id"], state="accepted", target_bytes=r["target_bytes"])
    expect(low.rescale(r["target_bytes"], "c", reclaim=r["id"]), "done", r["target_bytes"])
    expect(high.final("b"), "done", 512 * MIB)
    ok("a higher priority: the lower one gives way, and the asker has it")
    s = status()
    if sum(v["granted_bytes"] for v in s["vnfs"]) > s["pool_bytes"]:
        fail(f"more than the pool: {s}")
    m = low.rescale(900 * MIB, "d", priority=2, deadline_ms=300)
    if m["state"] not in ("partial", "deferred"):
        fail(f"nothing is free: {m}")
    m = expect(low.rescale(1000 * MIB, "e", priority=2, min_bytes=900 * MIB, deadline_ms=300), "deferred")
    if m.get("retry_ms", 0) <= 0:
        fail(f"deferred without retry_ms: {m}")
    ok("the lower priority is deferred, and told when to ask again")
    expect(high.rescale(64 * MIB, "f"), "done", 64 * MIB)
    low.next("offer")
    ok("what has become free is offered")
    expect(low.rescale(900 * MIB, "g", priority=2, deadline_ms=30000), "done", 900 * MIB)
    # Refused: the asker gets what there is, and nobody is harmed.
    high.ask(800 * MIB, "h", priority=7, deadline_ms=1500)
    r = low.next("reclaim")
    low.say(type="reclaiming", id=r["id"], state="refused")
    m = high.final("h")
    if m["state"] not in ("partial", "deferred") or line("low")["granted_bytes"] != 900 * MIB:
        fail(f"a refused reclaim: {m} {line('low')}")
    ok("a refused reclaim: the asker gets less, the other keeps what it has")
    high.ask(800 * MIB, "i", priority=7, deadline_ms=1500)
    low.next("reclaim")
    high.final("i")
    wait_for("the overdue counter", lambda: line("low")["overdue"] >= 1)
    ok("an unanswered one counts as overdue")
    operator = Peer()
    operator.welcome()
    expect(operator_rescale(operator, "low", 128 * MIB, "op1", low), "done", 128 * MIB)
    ok("an operator's return is asked of the VNF")
    operator.say(type="rescale", vnf="high", id="op2", target_bytes=300 * MIB)
    expect(operator.final("op2"), "done", 300 * MIB)
    wait_for("grant", lambda: high.granted == 300 * MIB or high.read())
    ok("an operator's raise is told to the VNF")


def operator_rescale(operator, vnf, target, ident, peer):
    operator.say(type="rescale", vnf=vnf, id=ident, target_bytes=target, deadline_ms=30000)
    while True:  # an earlier reclaim may still be there
        r = peer.next("reclaim")
        if r["target_bytes"] == target:
            break
    peer.say(type="reclaiming", id=r["id"], state="accepted", target_bytes=target)
    peer.rescale(target, "r-" + ident, reclaim=r["id"])
    return operator.final(ident)


def lease():
    """Lease 3 s, min 64 MiB."""
    p = Peer("ks1")
    p.welcome()
    expect(p.rescale(512 * MIB, "1"), "done", 512 * MIB)
    for _ in range(40):
        time.sleep(0.1)
        p.say(type="ping")
        p.next("pong")
    if line("ks1")["granted_bytes"] != 512 * MIB:
        fail("a session that pings lost its grant")
    ok("pings keep the grant")
    p.close()
    wait_for("the end of the lease", lambda: line("ks1")["granted_bytes"] == 64 * MIB)
    ok("without them all above the minimum goes back into the pool")
    p = Peer("ks1")
    if p.welcome()["granted_bytes"] != 64 * MIB:
        fail("welcome after the lease")
    expect(p.rescale(256 * MIB, "2"), "done", 256 * MIB)
    ok("and the VNF may come back")


def begin():
    """A raise that the back-end takes long for: ends with it under way."""
    p = Peer("slow")
    p.welcome()
    p.ask(512 * MIB, "7")
    p.next("response", id="7", state="accepted")
    wait_for("the back-end to be told", lambda: line("slow")["change"] == "raise")
    ok("a slow raise has begun")
    os._exit(0)  # as if killed


def again():
    """After kill -9 and a restart: the same id is asked for again."""
    p = Peer("slow")
    had = p.welcome().get("granted_bytes", 0)
    if had > 512 * MIB:
        fail(f"granted {had} after a crash")
    expect(p.rescale(512 * MIB, "7"), "done", 512 * MIB)
    m = line("slow")
    if (m["granted_bytes"], m["actual_bytes"]) != (512 * MIB, 512 * MIB):
        fail(f"book and back-end differ: {m}")
    ok("the same id after the crash: done, and book and back-end agree")


def kept():
    """What was granted is still there after another restart."""
    p = Peer("slow")
    if p.welcome()["granted_bytes"] != 512 * MIB:
        fail("the grant is lost")
    expect(p.rescale(512 * MIB, "7"), "done", 512 * MIB)
    ok("a grant and the answer to its id survive a restart")


def hostile():
    """Garbage, slow peers, floods; max-connections 24. A good one is served all the time."""
    good = Peer("ks1")
    good.welcome()
    count = 0

    def still_served():
        nonlocal count
        count += 1
        expect(good.rescale((100 + 2 * (count % 50)) * MIB, f"good-{count}"), "done")

    for garbage in (b"\n", b"\x00\n", b"[]\n", b"{" * 5000 + b"\n", b"\xff\xfe\n", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\xa5\n",
                    b'{"type":"hello","version":1,"role":"vnf","vnf":"ks1","vnf":"ks2"}\n', b'{"type":"hello","version":1e9,"role":"vnf"}\n',
                    b'{"type":"hello","version":1,"role":"vnf","vnf":"../../etc"}\n', b"x" * 20000):
        p = Peer(hello=False)
        p.raw(garbage)
        p.refused("malformed")
        still_served()
    ok("garbage is refused and closed")
    p = Peer()
    p.welcome()
    p.raw(b'{"type":"status","vnf":"' + b"a" * 20000 + b'"}\n')
    p.refused("malformed")
    p = Peer(hello=False)
    p.say(type="ping")
    p.refused("unexpected")
    ok("a line too long, a first message that is no hello")
    slow = [Peer(hello=False) for _ in range(4)]
    for byte in b'{"type":"hel':
        for p in slow:
            p.raw(bytes([byte]))
        still_served()
    for p in slow:
        p.refused("timeout")
    ok("a slow hello times out")
    many, busy = [], 0
    for _ in range(40):
        p = Peer("other")  # each takes the place of the one before, or is told to wait
        first = p.read()
        busy += first is None or first["type"] == "error"
        many.append(p)
    silent = []
    for _ in range(60):
        p = Peer(hello=False)
        silent.append(p)
    still_served()
    if not status()["vnfs"]:
        fail("an operator is kept out")
    ok("too many connections: those that are served are, and an operator gets in")
    for p in many + silent:
        p.close()
    if busy == 0:
        fail("40 hellos of one VNF at once were all taken")
    flood = None

    def gets_a_turn():  # five hellos a second
        nonlocal flood
        flood = Peer("other")
        message = flood.read()
        if message is not None and message["type"] == "welcome":
            return True
        flood.close()
        return False

    wait_for("a hello to be taken", gets_a_turn)
    ok("hellos of one VNF are bounded")
    began = time.monotonic()
    flood.raw(b'{"type":"ping"}\n' * 400)
    still_served()
    for _ in range(400):
        flood.next("pong")
    if time.monotonic() - began < 1.5:
        fail("400 messages at once were all taken at once")
    ok("a flood waits, and nothing of it is lost")
    deaf = Peer()
    deaf.welcome()
    deaf.socket.setblocking(False)
    try:
        for _ in range(20000):
            deaf.socket.send(b'{"type":"status"}\n')
    except OSError:
        pass
    still_served()
    deaf.close()
    ok("a peer that asks and does not read")
    for _ in range(200):
        Peer("other" if _ % 2 else None).close()
        Peer(hello=False).close()
    still_served()

    def gets_in():  # until those that have gone are seen to have gone, it may be told "busy"
        operator = Peer()
        message = operator.read()
        operator.close()
        return message is not None and message["type"] == "welcome"

    wait_for("connections to go", gets_in)
    ok("connections that come and go")


def stranger():
    """Another user, who may speak for ks2 and no other: uid is the first argument, "known" or "unknown" the second."""
    uid, known = int(arguments[0]), arguments[1] == "known"
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    Peer("ks1").refused("denied")
    Peer().refused("denied")
    Peer("nobody").refused("unknown_vnf" if known else "denied")
    if known:
        p = Peer("ks2")
        p.welcome()
        p.say(type="rescale", id="1", vnf="ks1", target_bytes=0)
        m = p.read()
        if not (m["type"] == "error" or (m["type"] == "response" and m["state"] in ("denied", "error"))):
            fail(f"one VNF named another: {m}")
    else:
        Peer("ks2").refused("denied")
    ok(f"another user who is {'known' if known else 'a stranger'}: only what is allowed")


def locked_out():
    """Another user, where no rule names one: the socket is not for him."""
    os.setgid(int(arguments[0]))
    os.setuid(int(arguments[0]))
    try:
        connect()
    except PermissionError:
        ok("a socket that no rule opens is for its owner only")
        return
    fail("connected")


def tls():
    """By certificate edge-1, allowed for ks1; CERT may be another, for which the argument says what happens."""
    what = arguments[0]
    if what == "good":
        p = Peer("ks1")
        p.welcome()
        expect(p.rescale(100 * MIB, "1"), "done", 100 * MIB)
        Peer("ks2").refused("unknown_vnf" if len(arguments) > 1 else "denied")
        Peer().refused("denied")
        ok("a VNF by its certificate's name, and no more than that")
    elif what == "denied":
        Peer("ks1").refused("denied")
        ok("a certificate that no rule names")
    else:
        try:
            p = Peer("ks1")
            if p.read() is None:
                raise ConnectionError
        except (OSError, ssl.SSLError):
            ok("no certificate, no session")
            return
        fail("without a certificate of ours it got an answer")


def group():
    """A real control group: its folder is the argument. What its limit says is what is granted."""
    folder = arguments[0]
    name = os.path.basename(folder)
    limit_file = next(f for f in ("memory.limit_in_bytes", "memory.max") if os.path.exists(f"{folder}/{f}"))

    def limit():
        with open(f"{folder}/{limit_file}") as f:
            text = f.read().strip()
        return 1 << 62 if text == "max" else int(text)

    p = Peer(name)
    p.welcome()
    expect(p.rescale(256 * MIB, "1"), "done", 256 * MIB)
    if limit() != 256 * MIB:
        fail(f"the group's limit is {limit()}")
    ok("a raise raises the group's limit")
    down, up = os.pipe()
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(up)
        with open(f"{folder}/cgroup.procs", "w") as f:
            f.write(str(os.getpid()))
        block = bytearray(128 * MIB)
        block[:: 1 << 12] = b"x" * (128 << 8)  # every page of it
        os.write(told, b"x")
        os.read(down, 1)
        del block
        os._exit(0)
    os.close(down)
    os.close(told)
    if os.read(ready, 1) != b"x":
        fail("the process in the group did not get its memory")
    try:
        m = p.rescale(64 * MIB, "2", deadline_ms=20000)
        if m["state"] not in ("partial", "deferred") or not 128 * MIB <= limit() <= 256 * MIB:
            fail(f"a return below what is in use: {m}, limit {limit()}")
        ok(f"a return below what is in use: {m['state']}, limit {limit() >> 20} MiB, and nobody is killed")
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            fail("the process in the group has died")
    finally:
        os.close(up)
        os.waitpid(child, 0)
    expect(p.rescale(64 * MIB, "3", deadline_ms=20000), "done", 64 * MIB)
    if limit() != 64 * MIB:
        fail(f"the group's limit is {limit()}")
    ok("when it has been freed the limit falls")
    with open(f"{folder}/{limit_file}", "w") as f:
        f.write(str(48 * MIB))
    wait_for("a grant", lambda: p.granted == 48 * MIB or p.read())
    ok("a limit that somebody changes is told as a grant")


{name: thing for name, thing in list(globals().items()) if callable(thing)}[section]()
