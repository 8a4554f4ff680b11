#!/usr/bin/env python3
"""What the pool of Jedis 2.9 sends, byte by byte, and the bytes that it expects: jedis.py PORT PASSWORD"""
import socket, sys

port, password = int(sys.argv[1]), sys.argv[2].encode()


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def connect():
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def expect(s, wanted):
    got = b""
    while len(got) < len(wanted):
        data = s.recv(len(wanted) - len(got))
        if not data:
            break
        got += data
    assert got == wanted, f"found {got!r}, expected {wanted!r}"


def ask(s, sent, wanted):
    s.sendall(sent)
    expect(s, wanted)


def closed(s):
    assert s.recv(1) == b"", "not closed"
    s.close()


# A connection that is not authenticated may do nothing else.
s = connect()
ask(s, command(b"GET", b"x"), b"-NOAUTH Authentication required.\r\n")
ask(s, command(b"AUTH", b"wrong"), b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
s.close()

# The pool: each connection says AUTH and SELECT, each waits for the answer.
pool = []
for _ in range(8):
    s = connect()
    ask(s, command(b"AUTH", password), b"+OK\r\n")
    ask(s, command(b"SELECT", b"0"), b"+OK\r\n")
    ask(s, command(b"PING"), b"+PONG\r\n")  # testOnBorrow
    pool.append(s)

# A lock, and a key that may be read by each.
ask(pool[0], command(b"SET", b"lock", b"owner-0", b"NX", b"PX", b"30000000"), b"+OK\r\n")
for s in pool[1:]:
    ask(s, command(b"SET", b"lock", b"other", b"NX", b"PX", b"30000000"), b"$-1\r\n")
    ask(s, command(b"GET", b"lock"), b"$7\r\nowner-0\r\n")
ask(pool[1], command(b"DEL", b"lock"), b":1\r\n")

value = bytes(range(256)) * 16
ask(pool[2], command(b"SETEX", b"blob", b"86400", value), b"+OK\r\n")
ask(pool[3], command(b"GET", b"blob"), b"$%d\r\n%b\r\n" % (len(value), value))
ask(pool[3], command(b"EXISTS", b"blob"), b":1\r\n")
ask(pool[3], command(b"TTL", b"none"), b":-2\r\n")

# Pipelined, as Pipeline.sync() reads it.
sent = b"".join(command(b"SET", b"p:%d" % n, b"%d" % n) + command(b"GET", b"p:%d" % n) for n in range(500))
ask(pool[4], sent, b"".join(b"+OK\r\n$%d\r\n%d\r\n" % (len(str(n)), n) for n in range(500)))

# A transaction, as Transaction.exec() reads it.
ask(pool[5], command(b"MULTI") + command(b"INCR", b"n") + command(b"GET", b"n") + command(b"EXEC"), b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n$1\r\n1\r\n")

# A command in pieces: the network cuts where it likes.
data = command(b"SET", b"pieces", b"x" * 1000)
for at in range(0, len(data), 7):
    pool[6].sendall(data[at:at + 7])
expect(pool[6], b"+OK\r\n")

for s in pool:
    ask(s, command(b"QUIT"), b"+OK\r\n")
    closed(s)
