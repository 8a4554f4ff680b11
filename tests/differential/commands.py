"""Single commands, by group: each function takes the source of arguments and gives one command.

A list has generators and their weights. A fault may be put on top of any of them but those of NEVER_SPOILED, where it could block the server
or change both servers for good.
"""
from rdb import dump_payload, rdb_string
from values import KEYS, PATTERNS

ENCODINGS = [b"u1", b"u8", b"i8", b"u16", b"i16", b"u32", b"i32", b"u63", b"i64", b"i5", b"u7", b"u64", b"i65", b"u0", b"x8", b"8", b"i", b""]


def one_of(*names):
    return lambda r: [r.choice(names), r.key()]


def expiry_option(r, others):
    return r.choice([[b"EX", r.seconds()], [b"PX", r.milliseconds()], [b"EXAT", r.moment_future()], [b"PXAT", r.moment_future_ms()]] + others)


def set_(r):
    command = [b"SET", r.key(), r.value()]
    options = []
    for _ in range(r.choice([0, 0, 0, 1, 1, 2, 3])):
        options += r.choice([[b"NX"], [b"XX"], [b"GET"], expiry_option(r, [[b"KEEPTTL"]]), expiry_option(r, [[b"KEEPTTL"]])])
    return command + [r.case(o) for o in options]


def getex(r):
    options = []
    for _ in range(r.choice([0, 1, 1, 1, 2])):
        options += expiry_option(r, [[b"PERSIST"]])
    return [b"GETEX", r.key()] + options


def pairs(name):
    def generate(r):
        command = [name]
        for _ in range(r.randint(1, 3)):
            command += [r.key(), r.value()]
        return command
    return generate


def lcs(r):
    keys = [r.choice([b"lcs:1", b"lcs:2", b"lcs:3"]) for _ in range(2)]
    if r.random() < 0.4:
        return [b"SET", keys[0], bytes(r.choices(b"abcd", k=r.randint(0, 60)))]
    options = []
    for _ in range(r.randint(0, 3)):
        options += r.choice([[b"LEN"], [b"IDX"], [b"WITHMATCHLEN"], [b"MINMATCHLEN", r.choice([b"0", b"2", b"4", b"-1", b"x"])], [b"NONE"]])
    return [b"LCS"] + keys + options


STRINGS = [
    (set_, 12),
    (one_of(b"GET", b"STRLEN", b"GETDEL"), 8),
    (lambda r: [b"MGET"] + r.keys(), 2),
    (lambda r: [r.choice([b"SETNX", b"GETSET", b"APPEND"]), r.key(), r.value()], 6),
    (lambda r: [b"SETEX", r.key(), r.seconds(), r.value()], 2),
    (lambda r: [b"PSETEX", r.key(), r.milliseconds(), r.value()], 2),
    (getex, 4),
    (pairs(b"MSET"), 2),
    (pairs(b"MSETNX"), 2),
    (lambda r: [r.choice([b"GETRANGE", b"SUBSTR"]), r.key(), r.integer(), r.integer()], 4),
    (lambda r: [b"SETRANGE", r.key(), r.offset(), r.value()], 3),
    (one_of(b"INCR", b"DECR"), 4),
    (lambda r: [r.choice([b"INCRBY", b"DECRBY"]), r.key(), r.integer()], 5),
    (lambda r: [b"SET", r.key(), r.choice([b"9223372036854775806", b"-9223372036854775807", b"10", b"1.5", b"1e3", b" 7", b"3.0"])], 2),
    (lambda r: [b"INCRBYFLOAT", r.key(), r.float()], 5),
    (lcs, 3),
]


def bitfield(r, read_only=False):
    command = [b"BITFIELD_RO" if read_only else b"BITFIELD", r.key()]
    for _ in range(r.randint(0, 4)):
        place = [r.choice(ENCODINGS[:11] * 4 + ENCODINGS), r.choice([b"", b"", b"#"]) + r.offset(2000)]
        choices = [[b"GET"] + place]
        if not read_only or r.random() < 0.1:
            choices += [[b"SET"] + place + [r.integer()], [b"INCRBY"] + place + [r.integer()],
                        [b"OVERFLOW", r.choice([b"WRAP", b"SAT", b"FAIL", b"sat", b"NONE"])]]
        command += r.choice(choices)
    return command


def bit_range(r):
    unit = r.choice([[], [], [b"BYTE"], [b"BIT"], [b"bit"], [b"NIBBLE"]])
    return [r.integer(), r.integer()] + unit


def bitpos(r):
    command = [b"BITPOS", r.key(), r.choice([b"0", b"1", b"1", b"0", b"2", b"-1", b"x"])]
    return command + r.choice([[], [r.integer()], bit_range(r), bit_range(r)])


BITS = [
    (lambda r: [b"SETBIT", r.key(), r.offset(), r.choice([b"0", b"1", b"0", b"1", b"2", b"-1", b"x"])], 5),
    (lambda r: [b"GETBIT", r.key(), r.offset()], 3),
    (lambda r: [b"BITCOUNT", r.key()] + r.choice([[], bit_range(r), bit_range(r), [r.integer()]]), 4),
    (bitpos, 4),
    (lambda r: [b"BITOP", r.choice([b"AND", b"OR", b"XOR", b"not", b"NAND"]), r.key()] + r.keys(3), 4),
    (lambda r: [b"BITOP", b"NOT", r.key(), r.key()], 1),
    (bitfield, 5),
    (lambda r: bitfield(r, True), 2),
    (lambda r: [r.choice([b"GET", b"STRLEN", b"DEL"]), r.key()], 2),
    (lambda r: [b"SET", r.key(), r.value()], 2),
]


def copy(r):
    options = []
    for _ in range(r.choice([0, 0, 1, 1, 2])):
        options += r.choice([[b"REPLACE"], [b"DB", r.database()], [b"NONE"]] + [[b"REPLACE"], [b"DB", b"1"]])
    return [b"COPY", r.key(), r.key()] + options


def restore(r):
    value = r.value()[:3000]
    number = r.randint(-128, 127)
    body = r.choice([b"\x00" + rdb_string(value), b"\x00" + rdb_string(value), b"\x00\xc0" + number.to_bytes(1, "little", signed=True),
                     b"\x00\xc1" + (number * 200).to_bytes(2, "little", signed=True), b"\x00\xc2" + (number * 10 ** 7).to_bytes(4, "little", signed=True),
                     b"\x00\xc3" + bytes([7, 10, 0, ord("a"), 0xe0, 0, 0, 0, 0]), b"\x00" + rdb_string(value + bytes(11))[:-11], b"\x00\x7f", b"", b"\x63x",
                     b"\x00" + rdb_string(value) + b"more", b"\x00\xc0\x01more"])  # what is too short is so by more than the footer, which Redis reads on into
    payload = dump_payload(body, r.choice([10, 10, 10, 9, 6, 1, 80]))  # 11 and 12 are only ours
    if r.random() < 0.1:
        payload = r.choice([b"", b"x", payload[:-1], payload[:-1] + b"\x00", payload + b"x"])
    options = []
    for _ in range(r.choice([0, 1, 1, 1, 2, 3])):
        options += r.choice([[b"REPLACE"], [b"REPLACE"], [b"ABSTTL"], [b"IDLETIME", r.integer()], [b"FREQ", r.choice([b"0", b"255", b"256", b"-1", b"x"])],
                             [b"NONE"]])
    absolute = b"ABSTTL" in options
    time = r.choice([b"0", b"0", r.moment_ms() if absolute else r.milliseconds(), b"-1", b"x"])
    return [b"RESTORE", r.key(), time, payload] + options


KEYSPACE = [
    (lambda r: [r.choice([b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"])] + r.keys(), 6),
    (one_of(b"TYPE"), 2),
    (lambda r: [r.choice([b"RENAME", b"RENAMENX"]), r.key(), r.choice(KEYS + [b"other"])], 4),
    (copy, 4),
    (lambda r: [b"MOVE", r.key(), r.database()], 3),
    (lambda r: [b"SWAPDB", r.database(), r.database()], 1),
    (lambda r: [b"SELECT", r.database()], 2),
    (lambda r: [b"OBJECT", r.choice([b"ENCODING", b"ENCODING", b"REFCOUNT", b"IDLETIME", b"FREQ", b"NONE"]), r.key()], 3),
    (restore, 5),
    (one_of(b"DUMP"), 2),
    (lambda r: [b"KEYS", r.choice(PATTERNS)], 2),
    (lambda r: [b"SCAN"] + r.choice([[b"x"], [b"-1"], [b"0", b"COUNT", r.choice([b"0", b"-1", b"x"])], [b"0", b"MATCH"], [b"0", b"NONE", b"1"],
                                     [b"0", b"TYPE"], [b""]]), 1),
    (lambda r: [b"RANDOMKEY"], 1),
    (lambda r: [b"DBSIZE"], 2),
    (lambda r: [b"SET", r.key(), r.value()], 4),
    (lambda r: [b"MEMORY", b"USAGE", r.key()] + r.choice([[], [b"SAMPLES", r.choice([b"0", b"5", b"-1", b"x"])], [b"NONE", b"1"]]), 1),
    (lambda r: [r.choice([b"FLUSHDB", b"FLUSHALL"])] + r.choice([[], [b"SYNC"], [b"ASYNC"], [b"NONE"]]) if r.random() < 0.05 else [b"DBSIZE"], 1),
]


def expire(name, time):
    def generate(r):
        flags = [r.case(r.choice([b"NX", b"XX", b"GT", b"LT", b"NONE"])) for _ in range(r.choice([0, 0, 1, 1, 2]))]
        return [name, r.key(), time(r)] + flags
    return generate


EXPIRY = [
    (expire(b"EXPIRE", lambda r: r.seconds()), 3),
    (expire(b"PEXPIRE", lambda r: r.milliseconds()), 3),
    (expire(b"EXPIREAT", lambda r: r.moment()), 3),
    (expire(b"PEXPIREAT", lambda r: r.moment_ms()), 3),
    (one_of(b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"), 6),
    (one_of(b"PERSIST"), 2),
    (set_, 4),
    (getex, 2),
    (lambda r: [r.choice([b"GET", b"EXISTS", b"APPEND", b"INCR", b"GETSET", b"SETRANGE"]), r.key()], 3),
    (lambda r: [r.choice([b"APPEND", b"GETSET"]), r.key(), r.value()], 2),
    (lambda r: [r.choice([b"RENAME", b"COPY"]), r.key(), r.key()], 2),
]

PLAIN = {"strings": STRINGS, "bits": BITS, "keys": KEYSPACE, "expiry": EXPIRY}
NEVER_SPOILED = {b"WAIT", b"CONFIG", b"CLIENT", b"DEBUG", b"LCS", b"SWAPDB", b"ACL", b"LATENCY", b"CLUSTER"}
