"""Streams: lists of units, each a list of steps that belong together. All comes from the source of random arguments."""
import commands
import intended
import server_commands
from session import Batch, Exchange, Id, OursOnly, Raw, Reopen, Scan
from values import PATTERNS

GROUPS = {**commands.PLAIN, **server_commands.PLAIN}
WRITERS = commands.STRINGS + commands.BITS + commands.EXPIRY


def draw(r, table, count):
    """Commands of a table, some with a fault."""
    generators, weights = zip(*table)
    result = []
    for generate in r.choices(generators, weights, k=count):
        command = generate(r)
        if r.random() < 0.08 and command[0].upper() not in commands.NEVER_SPOILED:
            command = r.spoil(command)
        command[0] = r.case(command[0])
        result.append(command)
    return result


def plain(r, table, at):
    """A pipeline, at times with a transaction in it."""
    batch = draw(r, table, r.choice([1, 5, 20, 60]))
    if r.random() < 0.25:
        inner = [c for c in draw(r, table, r.randint(0, 6)) if c[1:2] != [b"SETINFO"]]  # unknown to Redis, it spoils a transaction
        if r.random() < 0.2:
            inner.insert(r.randint(0, len(inner)), r.choice([[b"MULTI"], [b"WATCH", b"a"], [b"NOSUCH"], [b"GET"], [b"UNWATCH"]]))
        place = r.randint(0, len(batch))
        batch[place:place] = [[b"MULTI"], *inner, r.choice([[b"EXEC"], [b"EXEC"], [b"EXEC"], [b"DISCARD"], [b"EXEC", b"x"], [b"RESET"]])]
        if batch[place + len(inner) + 1] == [b"EXEC", b"x"]:
            batch.insert(place + len(inner) + 2, [b"DISCARD"])
    return [Batch(at, batch)]


def writes(r, count=3):
    return draw(r, WRITERS, count)


def watch(r):
    key = r.key()
    touch = r.choice([[[b"SET", key, r.value()]], [[b"DEL", key]], [[b"GET", key]], [[b"APPEND", key, b""]], [[b"EXPIRE", key, r.seconds()]],
                      [[b"SELECT", b"1"], [b"SET", key, b"x"], [b"SELECT", b"0"]], [[b"SWAPDB", b"0", b"1"]], [[b"FLUSHDB"]], [[b"RENAME", r.key(), key]],
                      [[b"PERSIST", key]], [[b"COPY", r.key(), key, b"REPLACE"]], writes(r), [[b"SETRANGE", key, b"0", b""]], [[b"MOVE", key, b"1"]]])
    at, by = r.choice([(2, 0), (3, 0), (2, 2), (3, 1)])
    steps = [Batch(at, r.choice([[], [[b"SET", key, b"1"]]]) + [[b"WATCH", key] + r.choice([[], [r.key()]])]), Batch(by, touch)]
    if r.random() < 0.2:
        steps.append(Batch(at, [r.choice([[b"UNWATCH"], [b"SELECT", b"1"], [b"DISCARD"]])]))
    inner = draw(r, WRITERS, r.randint(0, 3))
    if r.random() < 0.5:
        return steps + [Batch(at, [[b"MULTI"], *inner, [b"EXEC"], [b"SELECT", b"0"]])]
    return steps + [Batch(at, [[b"MULTI"], *inner], counted=True), Batch(0, writes(r)), Batch(at, [[b"EXEC"], [b"SELECT", b"0"]])]


CHANNELS = [b"ch1", b"ch2", b"news.a", b"\xff\x00"]


def publish(r):
    return [r.choice([b"PUBLISH", b"PUBLISH", b"SPUBLISH"]), r.choice(CHANNELS), r.value()[:2000]]


def pubsub(r):
    at = r.choice([2, 3])  # with one pattern: which of two comes first is as Redis's hash table has it
    listen = [[b"SUBSCRIBE"] + r.sample(CHANNELS, r.randint(1, 3)), [b"PSUBSCRIBE", r.choice([b"ch*", b"news.?", b"*", b"[c]h1"])],
              [b"SSUBSCRIBE", r.choice(CHANNELS)]]
    steps = [Batch(at, r.sample(listen, r.randint(1, 3)))]
    for _ in range(r.randint(1, 4)):
        steps.append(Batch(0, [publish(r) for _ in range(r.randint(1, 4))], listeners=(at,)))
        if r.random() < 0.5:
            steps.append(Batch(at, [r.choice([[b"GET", b"a"], [b"PING"], [b"PING", b"x"], [b"UNSUBSCRIBE", r.choice(CHANNELS)], [b"PUNSUBSCRIBE", b"ch*"],
                                              [b"SUBSCRIBE", r.choice(CHANNELS)], [b"SUNSUBSCRIBE", r.choice(CHANNELS)], [b"SUBSCRIBE"], [b"SET", b"a"],
                                              [b"CLIENT", b"GETNAME"], publish(r), [b"MULTI"] if at == 2 else [b"SELECT", b"0"]])]))
        if r.random() < 0.4:
            steps.append(Batch(0, [r.choice([[b"PUBSUB", b"CHANNELS"], [b"PUBSUB", b"NUMSUB", *CHANNELS], [b"PUBSUB", b"NUMPAT"],
                                             [b"PUBSUB", b"CHANNELS", r.choice(PATTERNS)], [b"PUBSUB", b"SHARDCHANNELS"]])]))
    return steps + [Batch(at, [[b"RESET"]]), Batch(0, [[b"PUBSUB", b"NUMPAT"], [b"PUBLISH", b"ch1", b"x"]]), Reopen(at)]


def unsubscribe_all(r):
    at = r.choice([2, 3])
    return [Batch(at, r.choice([[[b"UNSUBSCRIBE"]], [[b"SUBSCRIBE", b"one"], [b"UNSUBSCRIBE"]], [[b"PSUBSCRIBE", b"o*"], [b"PUNSUBSCRIBE"], [b"GET", b"a"]],
                                [[b"PUNSUBSCRIBE"], [b"SUNSUBSCRIBE"]], [[b"SUBSCRIBE", b"x", b"x"], [b"UNSUBSCRIBE", b"x", b"y"]]]))]


def keyspace_events(r):
    at = r.choice([2, 3])
    kinds = r.choice([b"KEA", b"EA", b"KA", b"E$", b"Kg", b"Ex$", b"KEAm", b"Em", b"KEAn"])
    steps = [Batch(0, [[b"CONFIG", b"SET", b"notify-keyspace-events", kinds], [b"SELECT", r.choice([b"0", b"2"])]]), Batch(at, [[b"PSUBSCRIBE", b"__key*"]])]
    steps += [Batch(0, draw(r, WRITERS + commands.KEYSPACE, r.choice([1, 1, 3, 10])), listeners=(at,)) for _ in range(r.randint(1, 5))]
    return steps + [Batch(at, [[b"RESET"]]), Reopen(at), Batch(0, [[b"CONFIG", b"SET", b"notify-keyspace-events", b""]])]


def tracking(r):
    mode = r.choice([[], [], [b"NOLOOP"], [b"OPTIN"], [b"OPTOUT"], [b"BCAST"], [b"BCAST", b"PREFIX", b"key:", b"PREFIX", b"n"], [b"BCAST", b"NOLOOP"]])
    steps = [Batch(3, [[b"CLIENT", b"TRACKING", b"ON", *mode], [b"CLIENT", b"TRACKINGINFO"], [b"CLIENT", b"GETREDIR"]])]
    for _ in range(r.randint(1, 5)):
        caching = r.choice([[], [[b"CLIENT", b"CACHING", r.choice([b"YES", b"NO"])]]])
        reads = [r.choice([[b"GET", r.key()], [b"MGET", *r.keys()], [b"STRLEN", r.key()], [b"TTL", r.key()], [b"EXISTS", r.key()], [b"GETRANGE", r.key(), b"0", b"1"]])
                 for _ in range(r.randint(1, 2))]
        steps.append(Batch(3, [c for c in caching + reads]))
        key = r.key()
        write = r.choice([[b"SET", key, b"1"], [b"DEL", key], [b"MSET", key, b"1", b"n2", b"2"], [b"EXPIRE", key, r.seconds()], [b"INCR", key],
                          [b"FLUSHALL"], [b"RENAME", key, b"other"], [b"APPEND", key, b"x"], [b"GETDEL", key]])
        broadcast = b"BCAST" in mode
        if broadcast and write[0] in (b"MSET", b"RENAME"):
            write = [b"SET", key, b"1"]
        # Broadcasts to the writer itself come when Redis has answered all that it had read: after our PING.
        steps.append(Batch(0 if broadcast else r.choice([0, 0, 3]), [write], listeners=(3,)))
    return steps + [Batch(3, [[b"CLIENT", b"TRACKING", r.choice([b"OFF", b"ON", b"x"])], [b"CLIENT", b"TRACKINGINFO"], [b"RESET"]]), Reopen(3)]


def redirected(r):
    steps = [Batch(2, [[b"SUBSCRIBE", b"__redis__:invalidate"]]), Batch(1, [[b"CLIENT", b"TRACKING", b"ON", b"REDIRECT", Id(2)], [b"GET", b"a"], [b"GET", b"b"]])]
    steps += [Batch(0, [[b"SET", r.choice([b"a", b"b", b"c"]), b"x"]], listeners=(2,)) for _ in range(r.randint(1, 3))]
    if r.random() < 0.3:
        steps += [Batch(0, [[b"FLUSHDB"]], listeners=(2,))]
    return steps + [Batch(1, [[b"CLIENT", b"TRACKING", b"OFF"]]), Reopen(2)]


def tracking_errors(r):
    return [Batch(r.choice([2, 3]), [[b"CLIENT", b"TRACKING", b"on", *r.choice([[b"REDIRECT", b"999999"], [b"REDIRECT", b"x"], [b"OPTIN", b"OPTOUT"], [b"PREFIX", b"x"],
                                     [b"BCAST", b"PREFIX", b"ab", b"PREFIX", b"abc"], [b"BCAST", b"OPTIN"], [b"NONE"], [b"PREFIX"]])],
                                     [b"CLIENT", b"TRACKINGINFO"], [b"CLIENT", b"TRACKING", b"off"]])]


def killed(r):
    how = r.choice([[b"CLIENT", b"KILL", b"ID", Id(2)], [b"CLIENT", b"KILL", b"ID", Id(2), b"TYPE", b"normal"], [b"CLIENT", b"KILL", b"ID", Id(2), b"TYPE", b"pubsub"],
                    [b"CLIENT", b"KILL", b"ID", Id(2), b"USER", b"default", b"SKIPME", b"no"]])
    return [Batch(2, [[b"CLIENT", b"SETNAME", b"victim"], [b"SET", b"a", b"1"]]), Batch(0, [how, [b"CLIENT", b"LIST", b"ID", Id(2)]]), Batch(2, [[b"GET", b"a"]]), Reopen(2)]


def silenced(r):
    inner = draw(r, commands.STRINGS, r.randint(1, 4))
    return [Batch(2, r.choice([[[b"CLIENT", b"REPLY", b"OFF"], *inner, [b"CLIENT", b"REPLY", b"ON"], [b"GET", b"a"]],
                               [[b"CLIENT", b"REPLY", b"SKIP"], *inner], [[b"CLIENT", b"REPLY", b"OFF"], *inner, [b"RESET"], [b"CLIENT", b"REPLY", b"ON"]]])), Reopen(2)]


def last_words(r):
    return [Batch(2, draw(r, commands.STRINGS, 2) + [[r.case(b"QUIT")], [b"SET", b"a", b"after QUIT"]]), Reopen(2), Batch(0, [[b"GET", b"a"]])]


def passed(r):
    """A time that has passed: the key is read at once, so that no server keeps it until it likes to drop it."""
    key = r.key()
    time = r.choice([[b"PXAT", b"1"], [b"EXAT", b"1"], [b"PXAT", b"1000000000000"], [b"EXAT", b"1000000000"]])
    return [Batch(0, [[b"SET", key, r.value(), *time], [b"GET", key], [b"TTL", key], [b"DBSIZE"]])]


def exact_times(r):
    key, ms, s = r.key(), b"%d" % r.randint(3 * 10 ** 12, 9 * 10 ** 12), b"%d" % r.randint(3 * 10 ** 9, 9 * 10 ** 9)
    setting = r.choice([[b"PEXPIREAT", key, ms], [b"EXPIREAT", key, s], [b"SET", key, b"v", b"PXAT", ms], [b"SET", key, b"v", b"EXAT", s], [b"GETEX", key, b"PXAT", ms]])
    ask = [[b"PEXPIRETIME", key], [b"EXPIRETIME", key]]
    after = r.choice([[b"APPEND", key, b"x"], [b"RENAME", key, key], [b"SETRANGE", key, b"0", b"x"], [b"SET", key, b"v", b"KEEPTTL"], [b"COPY", key, key], [b"INCR", key],
                      [b"GETSET", key, b"1"], [b"SETBIT", key, b"1", b"1"], [b"EXPIREAT", key, s, r.choice([b"GT", b"LT", b"NX", b"XX"])]])
    return [Batch(r.choice([0, 1]), [setting, *ask, after, *ask], strict=True)]


def scan(r):
    options = []
    for _ in range(r.randint(0, 3)):
        options += r.choice([[b"MATCH", r.choice(PATTERNS)], [b"COUNT", r.choice([b"1", b"3", b"1000"])], [b"TYPE", r.choice([b"string", b"list", b"STRING", b"none"])]])
    return [Scan(r.choice([0, 1]), options)]


def odd_keys(r):
    """Keys at and past the limits of the store; both servers have none of them afterwards."""
    key = r.choice([b"", b"k" * 65535])
    asked = [[b"GET", key], [b"SET", key, b"v"], [b"EXISTS", key], [b"APPEND", key, b"x"], [b"MGET", key], [b"TYPE", key], [b"DEL", key]]
    return [Batch(0, r.sample(asked, r.randint(1, 4)) + [[b"DEL", key], [b"DBSIZE"]])]


RAW = [b"PING\r\n", b"set a 1\r\nget a\r\n", b'SET a "x y\\x41\\n"\r\nGET a\r\n', b"SET a 'x\\'y'\r\nget a\r\n", b'GET "a\r\n', b"GET 'a'b\r\n", b"\r\n\r\nPING\r\n", b"PING\n",
       b"*0\r\nPING\r\n", b"*-1\r\nPING\r\n", b"*1\r\n$4\r\nPING\r\n", b"*x\r\n", b"*1\r\nPING\r\n", b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n", b"*1048577\r\n", b"*2147483648\r\n",
       b"*1\r\n$536870913\r\n", b"*2\r\n$3\r\nGET\r\n:1\r\n", b"   \r\n", b"GET \t a\r\n", b'ECHO ""\r\n',
       b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"POST / HTTP/1.1\r\n", b"Host: x\r\n", b"*\r\n", b"*1\r\n$\r\n", b"* 1\r\n", b"*+1\r\n",
       b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$-5\r\n", b'ECHO "\\xzz\\q"\r\n', b"NOSUCH 'a b'\r\n", b"QUIT\r\nPING\r\n", b"*1048576\r\n$1\r\nx\r\nfoo\r\n"]


ENDLESS = [b"x" * 70000, b"*" + b"1" * 70000, b"*1\r\n$" + b"1" * 70000]


def raw(r):
    if r.random() < 0.1:
        return [Raw(r.choice(ENDLESS), endless=True)]
    return [Raw(r.choice(RAW))]


def other_types(r):
    return [OursOnly([r.choice(server_commands.OTHER_TYPES) for _ in range(5)], intended.OTHER_TYPE_ANSWER)]


SCENARIOS = {
    "transactions": [watch], "pubsub": [pubsub, unsubscribe_all], "events": [keyspace_events], "tracking": [tracking, redirected, tracking_errors],
    "clients": [killed, silenced, last_words], "times": [passed, exact_times], "scan": [scan], "dump": [lambda r: [Exchange(r.choice([0, 1]), r.key())]],
    "limits": [odd_keys], "raw": [raw], "types": [other_types],
}
NAMES = [*GROUPS, *SCENARIOS]
WEIGHTS = {"strings": 14, "bits": 8, "keys": 8, "expiry": 8, "connection": 3, "server": 3, "command": 2, "transactions": 3}


def round_of(r, names, protocols, size=300):
    """Units of about so many commands in all."""
    units, count = [], 0
    weights = [WEIGHTS.get(name, 1) for name in names]
    while count < size:
        name = r.choices(names, weights)[0]
        if name in GROUPS:
            unit = plain(r, GROUPS[name], r.choice(protocols))
        else:
            unit = r.choice(SCENARIOS[name])(r)
        units.append(unit)
        count += sum(step.size() for step in unit)
    return units
