"""RESP2 and RESP3 on the wire: commands to bytes, bytes to trees, and one connection.

A reply is a pair (kind, value). The kind is the byte that begins it on the wire, so that a simple string is not a bulk string and RESP3's
null is not RESP2's. Lists, sets, maps and pushes have a tuple of replies as their value; a map's has keys and values in turn.
"""
import select
import socket

AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}


class Malformed(Exception):
    """What came is not a reply."""


class Short(Exception):
    """The reply has not come whole yet."""


def encode(arguments):
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
    return b"".join(parts)


def parse_one(data, at):
    """The reply at data[at:] and where the next one begins."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Short
    kind, line, at = data[at:at + 1], data[at + 1:end], end + 2
    if kind in b"+-:,#(_" and kind:
        return (kind, line), at
    try:
        length = int(line)
    except ValueError:
        raise Malformed(repr(data[max(0, end - 60):end])) from None
    if kind in (b"$", b"=", b"!"):
        if length < 0:
            return (b"$-1", None), at
        if len(data) < at + length + 2:
            raise Short
        if data[at + length:at + length + 2] != b"\r\n":
            raise Malformed(f"a string of {length} bytes has no end")
        return (kind, data[at:at + length]), at + length + 2
    if kind not in AGGREGATES:
        raise Malformed(repr(data[max(0, end - 60):end]))
    if length < 0:
        return (b"*-1", None), at
    items = []
    for _ in range(length * AGGREGATES[kind]):
        item, at = parse_one(data, at)
        items.append(item)
    return (kind, tuple(items)), at


def parse(data):
    """All replies in data, which ends with a whole one. What is no reply ends the list as kind "?"."""
    replies, at = [], 0
    while at < len(data):
        try:
            reply, at = parse_one(data, at)
        except (Short, Malformed) as why:
            replies.append((b"?", data[at:at + 200] + b" " + str(why).encode()))
            break
        replies.append(reply)
    return replies


def shown(reply, limit=300):
    """A reply for people."""
    kind, value = reply
    if value is None:
        text = {b"$-1": "(null)", b"*-1": "(null array)"}[kind]
    elif isinstance(value, tuple):
        text = kind.decode() + "[" + ", ".join(shown(item, limit) for item in value[:40]) + "]"
    else:
        text = kind.decode() + "'" + repr(value)[2:-1] + "'"  # one kind of quotes, so that patterns need not know two
    return text if len(text) <= limit else text[:limit] + f"... ({len(text)} characters)"


class Closed(Exception):
    """The server closed the connection."""


class Silent(Exception):
    """No reply within the time."""


class Connection:
    """One connection. TIMEOUT is generous: it says that a server hangs, never that it is slow."""

    TIMEOUT = 60

    def __init__(self, path):
        self.path = path
        self.count = 0
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(self.TIMEOUT)
        self.socket.connect(self.path)
        self.rest = b""
        self.out = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        """Sends what the server takes at once, the rest while replies are read: a server may take no more until its replies are read."""
        self.out += data
        self.push_out()

    def push_out(self):
        try:
            while self.out:
                sent = self.socket.send(self.out[:1 << 20], socket.MSG_DONTWAIT)
                self.out = self.out[sent:]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self.out = b""  # the reader sees what came before the end

    def receive(self):
        while self.out:
            readable, writable, _ = select.select([self.socket], [self.socket], [], self.TIMEOUT)
            if readable:
                break
            if not writable:
                raise Silent
            self.push_out()
        try:
            data = self.socket.recv(1 << 18)
        except socket.timeout:
            raise Silent from None
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed
        return data

    def until(self, end):
        """Bytes up to and with the reply that ends so; when the server closes before, what came and then "<closed>"."""
        parts, tail = [self.rest], self.rest
        self.rest = b""
        while not tail.endswith(end):
            try:
                data = self.receive()
            except Closed:
                return b"".join(parts) + b"-<closed>\r\n"
            parts.append(data)
            tail = (tail + data)[-len(end):]
        return b"".join(parts)

    def replies(self, count):
        """Bytes of the next replies, out-of-band ones not counted."""
        data, at, seen = self.rest, 0, 0
        while seen < count:
            try:
                reply, after = parse_one(data, at)
            except Short:
                try:
                    data += self.receive()
                except Closed:
                    self.rest = b""
                    return data + b"-<closed>\r\n"
                continue
            at = after
            seen += reply[0] != b">"
        self.rest = data[at:]
        return data[:at]

    def ask(self, *arguments):
        """One command, one reply, out-of-band ones left out."""
        self.send(encode([a if isinstance(a, bytes) else str(a).encode() for a in arguments]))
        return [r for r in parse(self.replies(1)) if r[0] != b">"][-1]
