"""Single commands that concern connections, the server and the table of commands, and those of data that we do not keep."""
from values import PATTERNS

CLIENT_NAMES = [b"me", b"", b"a b", b"x\ny", b"edge-7", b"\xff"]
PARAMETERS = [b"databases", b"appendonly", b"maxmemory-policy", b"timeout", b"tcp-keepalive", b"notify-keyspace-events", b"no-such", b"proto-max-*"]
SELF = [b"get", b"SET", b"mget", b"mset", b"del", b"getex", b"set", b"append", b"copy", b"rename", b"bitop", b"lcs", b"expire", b"ping", b"scan",
        b"restore", b"object|encoding", b"client|list", b"config|get", b"memory|usage", b"no-such", b"get|x", b"multi", b"subscribe", b"publish",
        b"msetnx", b"move", b"swapdb", b"touch", b"unlink", b"exists", b"bitfield", b"setrange", b"hello", b"command", b"acl|whoami", b"object", b"getset", b"client", b"cluster|slots",
        b"module", b"module|list", b"lolwut", b"replconf", b"shutdown"]
GETKEYS = [b"GET a", b"SET k v EX 10 GET", b"MGET a b c", b"MSET a 1 b 2", b"DEL a b", b"RENAME a b", b"COPY a b REPLACE", b"BITOP AND d a b", b"PING",
           b"NOSUCH x", b"GET", b"OBJECT ENCODING k", b"MEMORY USAGE k", b"LCS a b", b"MSETNX a 1 b", b"BITFIELD k GET u8 0", b"SCAN 0", b"RESTORE k 0 x",
           b"WATCH a b", b"GETEX k PERSIST", b"EXISTS a a", b"SET k v"]
CONTAINERS = [b"CLIENT", b"CONFIG", b"COMMAND", b"OBJECT", b"MEMORY", b"SLOWLOG", b"LATENCY", b"ACL", b"PUBSUB", b"CLUSTER", b"DEBUG", b"MODULE"]

CONNECTION = [
    (lambda r: [b"PING"] + r.choice([[], [r.value()[:500]]]), 4),
    (lambda r: [b"ECHO", r.value()[:500]], 2),
    (lambda r: [b"SELECT", r.database()], 3),
    (lambda r: [b"HELLO"] + r.choice([[], [b"2"], [b"3"], [b"1"], [b"4"], [b"x"], [b"3", b"SETNAME", b"hello-name"], [b"2", b"SETNAME", b"a b"],
                                      [b"3", b"AUTH", b"default", b"x"], [b"3", b"AUTH", b"nobody", b"x"], [b"3", b"NONE"], [b"3", b"AUTH", b"default"]]), 3),
    (lambda r: [b"AUTH"] + r.choice([[b"x"], [b"default", b"x"], [b"nobody", b"x"], [b"a", b"b", b"c"]]), 2),
    (lambda r: [b"RESET"], 1),
    (lambda r: [b"CLIENT", b"SETNAME", r.choice(CLIENT_NAMES)], 2),
    (lambda r: [b"CLIENT", r.choice([b"GETNAME", b"ID", b"GETREDIR", b"TRACKINGINFO", b"INFO", b"LIST"])], 3),
    (lambda r: [b"CLIENT", b"LIST"] + r.choice([[b"TYPE", b"normal"], [b"TYPE", b"pubsub"], [b"TYPE", b"x"], [b"ID", b"x"], [b"ID", b"999999"]]), 1),
    (lambda r: [b"CLIENT", b"NO-EVICT", r.choice([b"on", b"OFF", b"x"])], 1),
    (lambda r: [b"CLIENT", b"KILL"] + r.choice([[b"ID", b"999999"], [b"1.2.3.4:5"], [b"ID", b"x"], [b"TYPE", b"x"], [b"SKIPME", b"x"], [b"ADDR", b"1.2.3.4:5"],
                                                [b"TYPE", b"replica"], [b"USER", b"nobody"], [b"LADDR", b"1.2.3.4:5"], [b"NONE", b"1"]]), 1),
    (lambda r: [b"CLIENT", b"CACHING", r.choice([b"YES", b"no", b"x"])], 1),
    (lambda r: [b"CLIENT", b"UNBLOCK", r.choice([b"999999", b"x"])] + r.choice([[], [b"TIMEOUT"], [b"ERROR"], [b"x"]]), 1),
    (lambda r: [b"CLIENT", b"UNPAUSE"], 1),
    (lambda r: [b"CLIENT", b"REPLY", r.choice([b"ON", b"x"])], 1),
    (lambda r: [b"CLIENT", b"SETINFO", r.choice([b"LIB-NAME", b"LIB-VER"]), b"x"], 1),
    (lambda r: [b"GET", r.key()], 2),
    (lambda r: [b"READONLY"], 0),
]

SERVER = [
    (lambda r: [r.choice([b"TIME", b"LASTSAVE", b"ROLE", b"DBSIZE"])], 2),
    (lambda r: [b"WAIT", b"0", r.choice([b"0", b"10", b"-1", b"x"])], 1),
    (lambda r: [b"WAIT", r.choice([b"1", b"x", b"-1"]), b"1"], 1),
    (lambda r: [b"CONFIG", b"GET"] + [r.choice(PARAMETERS) for _ in range(r.randint(1, 3))], 3),
    (lambda r: [b"CONFIG", b"SET", b"notify-keyspace-events", r.choice([b"", b"KEA", b"Kg$", b"Ex", b"AKE", b"KEm", b"n", b"q!", b"Elg"])], 2),
    (lambda r: [b"CONFIG", b"SET", r.choice([b"no-such", b"databases", b"timeout"]), r.choice([b"x", b"", b"-1"])], 1),
    (lambda r: [b"CONFIG", r.choice([b"RESETSTAT", b"REWRITE"])], 1),
    (lambda r: [b"INFO"] + r.choice([[], [b"keyspace"], [b"server"], [b"KEYSPACE", b"clients"], [b"all"], [b"everything"], [b"default"], [b"none"]]), 2),
    (lambda r: [b"ACL"] + r.choice([[b"WHOAMI"], [b"USERS"], [b"CAT"], [b"CAT", b"string"], [b"CAT", b"x"], [b"LIST"], [b"GENPASS"], [b"GETUSER", b"nobody"]]), 2),
    (lambda r: [b"SLOWLOG"] + r.choice([[b"LEN"], [b"GET"], [b"GET", b"0"], [b"GET", b"-2"], [b"GET", b"x"], [b"RESET"]]), 1),
    (lambda r: [b"LATENCY"] + r.choice([[b"LATEST"], [b"RESET"], [b"HISTORY", b"command"], [b"DOCTOR"], [b"HISTOGRAM", b"no-such"]]), 1),
    (lambda r: [b"MEMORY"] + r.choice([[b"DOCTOR"], [b"STATS"], [b"PURGE"], [b"MALLOC-STATS"]]), 1),
    (lambda r: [b"CLUSTER", r.choice([b"INFO", b"NODES", b"SLOTS", b"MYID"])] if r.random() < 0.2 else [r.choice([b"READONLY", b"READWRITE", b"ASKING"])], 1),
    (lambda r: [b"DEBUG"] + r.choice([[b"SLEEP", b"0"], [b"OBJECT", r.key()], [b"NONE"]]), 1),
    (lambda r: [b"MODULE"] + r.choice([[b"LIST"], [b"LIST", b"x"], [b"LOAD"], [b"LOAD", b"/none.so"], [b"LOADEX", b"/none.so"], [b"UNLOAD", b"x"]]), 1),
    (lambda r: [b"LOLWUT"] + r.choice([[], [b"VERSION"], [b"VERSION", b"x"], [b"VERSION", b"5"], [b"VERSION", b"6", b"8", b"4"], [b"VERSION", b"6", b"x"], [b"x"]]), 1),
    (lambda r: [b"PUBSUB"] + r.choice([[b"CHANNELS"], [b"CHANNELS", r.choice(PATTERNS)], [b"NUMSUB"], [b"NUMSUB", b"x", b"y"], [b"NUMPAT"],
                                       [b"SHARDCHANNELS"], [b"SHARDNUMSUB", b"x"]]), 2),
    (lambda r: [r.choice([b"PUBLISH", b"SPUBLISH"]), r.choice([b"ch1", b"ch2", b"\xff"]), r.value()[:300]], 2),
    (lambda r: [r.choice(CONTAINERS), r.choice([b"NO-SUCH", b"", b"\xff\r\n", b"HELP"])], 1),
    (lambda r: [r.choice(CONTAINERS)], 1),
    (lambda r: [r.choice([b"NOSUCH", b"", b"get ", b"\xff\r\n", b"x" * 200, b"GETT"])] + r.choice([[], [r.value()[:300]], [b"a", b"b" * 200]]), 2),
    (lambda r: [r.choice([b"EXEC", b"DISCARD", b"UNWATCH"])], 1),
]

COMMAND = [
    (lambda r: [b"COMMAND", b"COUNT"], 1),
    (lambda r: [b"COMMAND", b"INFO"] + [r.choice(SELF) for _ in range(r.randint(1, 3))], 8),
    (lambda r: [b"COMMAND", b"DOCS"] + [r.choice(SELF) for _ in range(r.randint(1, 2))], 3),
    (lambda r: [b"COMMAND", b"GETKEYS"] + r.choice(GETKEYS).split(), 8),
    (lambda r: [b"COMMAND", b"GETKEYSANDFLAGS"] + r.choice(GETKEYS).split(), 4),
    (lambda r: [b"COMMAND", b"LIST"] + r.choice([[], [b"FILTERBY", b"PATTERN", b"get*"], [b"FILTERBY", b"ACLCAT", b"string"],
                                                 [b"FILTERBY", b"MODULE", b"x"], [b"FILTERBY", b"x", b"y"], [b"x"]]), 2),
    (lambda r: [b"COMMAND"] + r.choice([[b"NO-SUCH"], [b"GETKEYS"], [b"COUNT", b"x"]]), 1),
]

PLAIN = {"connection": CONNECTION, "server": SERVER, "command": COMMAND}

# Of data types that the store does not keep: ours says so in plain words, and the real server must not see them.
OTHER_TYPES = [line.split() for line in b"""
LPUSH k a|RPUSH k a b|LPOP k|LRANGE k 0 -1|LLEN k|BLPOP k 1|LMOVE a b LEFT RIGHT|SADD k a|SMEMBERS k|SREM k a|SINTER a b|SPOP k|SCARD k|SISMEMBER k a
HSET k f v|HGET k f|HGETALL k|HDEL k f|HINCRBY k f 1|HMGET k f|ZADD k 1 a|ZRANGE k 0 -1|ZSCORE k a|ZRANGEBYSCORE k 0 1|ZINCRBY k 1 a|ZCARD k
XADD k * f v|XRANGE k - +|XREAD STREAMS k 0|XLEN k|GEOADD k 1 1 m|GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 m|PFADD k a|PFCOUNT k|SORT k|HSCAN k 0
SSCAN k 0|ZSCAN k 0|lpush k a|Hset k f v
""".replace(b"\n", b"|").split(b"|") if line]
