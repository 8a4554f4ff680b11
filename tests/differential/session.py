"""Both servers with their connections, and the steps that a stream is made of.

A step runs on both servers and gives None or the first Difference. Connections 0 and 2 begin with RESP2, 1 and 3 with RESP3.
"""
import itertools
import time

import compare
from compare import Difference, shown_command
from wire import Connection, encode, parse, shown

CONNECTIONS = 4
tokens = itertools.count(1)


class Id:
    """Stands for CLIENT ID of a connection: another number on each server."""

    def __init__(self, connection):
        self.connection = connection

    def __repr__(self):
        return f"'<id of connection {self.connection}>'"

    def __len__(self):
        return 0

    def upper(self):
        return b"<ID>"


class Session:
    def __init__(self, servers, judge, skip_missing=False):
        self.servers = servers
        self.judge = judge
        self.skip_missing = skip_missing
        self.known = {}
        self.skipped = {}
        self.links = [[], []]
        self.held = {}  # by connection, what it has queued
        self.ids = [[0] * CONNECTIONS, [0] * CONNECTIONS]

    def clear(self):
        """As after a start: no keys, new connections."""
        self.held.clear()
        for side, server in enumerate(self.servers):
            for link in self.links[side]:
                link.close()
            self.links[side] = [Connection(server.path) for _ in range(CONNECTIONS)]
            first = self.links[side][0]
            if first.ask("FLUSHALL")[0] == b"-":
                keys = [item[1] for item in first.ask("KEYS", "*")[1]]
                if keys:
                    first.ask("DEL", *keys)
            first.ask("CONFIG", "SET", "notify-keyspace-events", "")
            for at in range(CONNECTIONS):
                self.begin(side, at)

        self.settle()

    def settle(self):
        """Waits until both servers have seen that the connections we closed are closed."""
        for side in (0, 1):
            end = time.monotonic() + Connection.TIMEOUT
            while time.monotonic() < end:
                reply = self.links[side][0].ask("CLIENT", "LIST")
                if reply[0] not in (b"$", b"=") or reply[1].count(b"\n") <= CONNECTIONS:
                    break
                time.sleep(0.001)

    def begin(self, side, at):
        link = self.links[side][at]
        reply = link.ask("CLIENT", "ID")
        self.ids[side][at] = reply[1] if reply[0] == b":" else b"0"
        if at % 2:
            link.ask("HELLO", 3)

    def reopen(self, at):
        self.held.pop(at, None)
        for side, server in enumerate(self.servers):
            self.links[side][at].close()
            self.links[side][at] = Connection(server.path)
            self.begin(side, at)
        self.settle()

    def bytes_for(self, side, commands):
        return encode_all([[self.ids[side][a.connection] if isinstance(a, Id) else a for a in command] for command in commands])

    def has(self, command):
        """Whether ours knows the command: asked once a name."""
        if not self.skip_missing or not command:
            return True
        name = command[0].lower()
        if name in compare.CONTAINER_NAMES and len(command) > 1 and not isinstance(command[1], Id):
            return self.has(command[:1]) and self.knows(name + b"|" + command[1].lower())
        return self.knows(name)

    def knows(self, name):
        if name not in self.known:
            theirs, ours = (Connection(server.path) for server in self.servers)
            self.known[name] = null(theirs.ask("COMMAND", "INFO", name)) or not null(ours.ask("COMMAND", "INFO", name))
            theirs.close()
            ours.close()
            self.settle()
        if not self.known[name]:
            self.skipped[name] = self.skipped.get(name, 0) + 1
        return self.known[name]


def null(reply):
    return not isinstance(reply[1], tuple) or not reply[1] or reply[1][0][1] is None


def encode_all(commands):
    return b"".join(map(encode, commands))


class Batch:
    """Commands sent at once on one connection. Then all replies are read: up to a PING of our own, or as many as commands where PING would be
    queued (counted). Then what came to the other connections that listen."""

    def __init__(self, at, commands, counted=False, listeners=(), strict=False):
        self.at, self.commands, self.counted, self.listeners, self.strict = at, commands, counted, listeners, strict

    def size(self):
        return len(self.commands)

    def run(self, session):
        commands = [c for c in self.commands if session.has(c)]
        data = [None, None]
        if self.counted:
            for side in (0, 1):
                session.links[side][self.at].send(session.bytes_for(side, commands))
            for side in (0, 1):
                data[side] = session.links[side][self.at].replies(len(commands))
        else:
            commands.append([b"PING", b"sync-%d" % next(tokens)])
            exchange(session, self.at, commands, data)
        session.judge.strict = self.strict
        found = session.judge.batch(commands, *data, session.held.setdefault(self.at, {}))
        session.judge.strict = False
        for listener in self.listeners if not found else ():
            ping = [[b"PING", b"sync-%d" % next(tokens)]]
            exchange(session, listener, ping, data)
            if data[0] != data[1] and not found:
                found = listened(commands, listener, *data)
        return found

    def show(self):
        how = " counted" if self.counted else ""
        return "\n".join(f"  [{self.at}{how}] {shown_command(c)}" for c in self.commands)


def exchange(session, at, commands, data):
    for side in (0, 1):
        session.links[side][at].send(session.bytes_for(side, commands))
    for side in (0, 1):
        data[side] = session.links[side][at].until(b"\r\n" + commands[-1][1] + b"\r\n")


def listened(commands, listener, redis, ours):
    a, b = parse(redis), parse(ours)
    for one, two in itertools.zip_longest(a, b, fillvalue=(b"-", b"<nothing>")):
        if one != two:
            return Difference(commands[0] if len(commands) < 3 else (b"(batch)",), one, two, 0, f"what came to connection {listener}")
    return None


class Reopen:
    def __init__(self, at):
        self.at = at

    def size(self):
        return 0

    def run(self, session):
        session.reopen(self.at)

    def show(self):
        return f"  [{self.at}] closed and opened again"


class Scan:
    """SCAN to its end: the keys as a set."""

    def __init__(self, at, options):
        self.at, self.options = at, options

    def size(self):
        return 1

    def run(self, session):
        found = []
        for side in (0, 1):
            link, keys, cursor = session.links[side][self.at], set(), b"0"
            for _ in range(100000):
                reply = link.ask("SCAN", cursor, *self.options)
                if reply[0] != b"*" or len(reply[1]) != 2:
                    keys = {shown(reply)}
                    break
                cursor = reply[1][0][1]
                keys.update(item[1] for item in reply[1][1][1])
                if cursor == b"0":
                    break
            else:
                keys = {"no end"}
            found.append(keys)
        if found[0] == found[1]:
            return None
        both = [(b"*", tuple((b"$", k if isinstance(k, bytes) else k.encode()) for k in sorted(keys, key=repr))) for keys in found]
        return Difference([b"SCAN", b"(to its end)", *self.options], *both, 0)

    def show(self):
        return f"  [{self.at}] SCAN to its end {shown_command(self.options)}"


class Exchange:
    """DUMP on each server, RESTORE on the other: the value must come through."""

    def __init__(self, at, key):
        self.at, self.key = at, key

    def size(self):
        return 4

    def run(self, session):
        if not (session.has([b"DUMP"]) and session.has([b"RESTORE"])):
            return None
        links = [session.links[side][self.at] for side in (0, 1)]
        dumps = [link.ask("DUMP", self.key) for link in links]
        if dumps[0][1] is None or dumps[1][1] is None or b"-" in (dumps[0][0], dumps[1][0]):
            return None if dumps[0] == dumps[1] else Difference([b"DUMP", self.key], *dumps, 0)
        said = [link.ask("RESTORE", "exchanged", 0, dump[1], "REPLACE") for link, dump in zip(links, reversed(dumps))]
        values = [link.ask("GET", "exchanged") for link in links]
        for link in links:
            link.ask("DEL", "exchanged")
        if said[0] != said[1]:
            return Difference([b"RESTORE", b"exchanged", b"0", b"(the other's dump)", b"REPLACE"], *said, 0)
        return None if values[0] == values[1] else Difference([b"GET", b"exchanged"], *values, 0, "after RESTORE of the other server's DUMP")

    def show(self):
        return f"  [{self.at}] DUMP {shown_command([self.key])}, RESTORE on the other server, GET"


class Raw:
    """Bytes on a connection of their own, read until the server has answered a PING after them or has closed. Where a line's length alone
    closes no PING is sent (endless): its line end would make it another error for a server that reads all at once."""

    def __init__(self, data, endless=False):
        self.data, self.endless = data, endless

    def size(self):
        return 1

    def run(self, session):
        ping = [b"PING", b"sync-%d" % next(tokens)]
        answers = []
        for server in session.servers:
            link = Connection(server.path)
            link.send(self.data + (b"" if self.endless else encode(ping)))
            answers.append(link.until(b"\r\n" + ping[1] + b"\r\n"))
            link.close()
        session.settle()
        if answers[0] == answers[1]:
            return None
        found = session.judge.one_by_one([(b"(raw)", self.data)], *map(parse, answers))
        why = found and session.judge.same(found.command, found.redis, found.ours)
        return None if why else found

    def show(self):
        return f"  [new] bytes {self.data[:300]!r}" + (f"... ({len(self.data)})" if len(self.data) > 300 else "")


class OursOnly:
    """Commands of data types that we do not keep: our answer must say so, the real server never sees them."""

    def __init__(self, commands, answer):
        self.commands, self.answer = commands, answer

    def size(self):
        return len(self.commands)

    def run(self, session):
        link = session.links[1][0]
        for index, command in enumerate(self.commands):
            reply = link.ask(*command)
            if reply[0] == b"-" and self.answer.match(reply[1]):
                continue
            if session.skip_missing and reply[1].startswith(b"ERR unknown command"):
                session.skipped[b"(other data types)"] = session.skipped.get(b"(other data types)", 0) + 1
                continue
            return Difference(command, (b"-", b"(an error like " + self.answer.pattern + b")"), reply, index)
        return None

    def show(self):
        return "\n".join(f"  [ours only] {shown_command(c)}" for c in self.commands)
