"""Where our answers differ from redis-server 7.0 on purpose: patterns and reasons. What is not here is a failure.

Each entry: the command and both replies as regular expressions (they match from the beginning, on the text that a failure shows; commands
in any letter case), and why. Keep it short: each line is a place where a client may notice that we are not Redis.
"""
import re

from wire import shown

# Commands that Redis 7.0 has not.
OWN_COMMANDS = {b"client|setinfo", b"client|no-touch", b"memory|curve"}

# CONFIG GET: what is so here and can be nothing else.
OWN_PARAMETERS = {b"appendonly": b"yes", b"tcp-keepalive": b"0"}

# Who listens to the channel itself hears of it behind the reply, as from Redis 7.2 on, and not before.
HEARD_BEHIND = {b"PUBLISH", b"SPUBLISH"}

# What a command of another data type is answered: it names the limit.
OTHER_TYPE_ANSWER = re.compile(rb"ERR (?!unknown command).*string", re.IGNORECASE)

INTENDED = [
    (r"'CLIENT' 'SETINFO'", r"-'ERR unknown subcommand", r"\+'OK'|-'ERR",
     "CLIENT SETINFO is Redis 7.2's: newer clients send it to everybody"),
    (r"'OBJECT' 'ENCODING'", r"\$'(raw|embstr|int)'", r"\$'(int|embstr|raw)'",
     "OBJECT ENCODING goes by the value; Redis remembers how it was made (raw after APPEND and SETRANGE)"),
    (r"'OBJECT' 'REFCOUNT'", r":'\d+'", r":'(1|2147483647)'",
     "OBJECT REFCOUNT goes by the value: small numbers are said to be shared, also where Redis made a copy"),
    (r"'P?(TTL|EXPIRETIME)'", r":'9\d{12,18}'", r":'2(79|8[01])\d{9,12}'",
     "an expiry after the year 10889 (2^48 ms) is kept as that moment"),
    (r"'\(raw\)' '(POST|Host:)", r"-'<closed>'", r"-'ERR this is no HTTP server'",
     "lines of HTTP requests: a word of error before the connection is closed"),
    (r"'\w+' 'k{65535}'", r"[^-]", r"-'ERR key or value too large|\(null\)|_''|:'0'|\+'none'|\*\[(\(null\)|_'')\]",
     "keys over 65,526 bytes outside database 0: the store's have at most 65,535, with the prefix of the database"),
    (r"'\(raw\)' '\*1048577", r"-", r"-'ERR Protocol error: invalid multibulk length",
     "a command has at most 1,048,576 words, as in Redis up to 6.2: their memory is bounded"),
    (r"'MODULE' '(LOAD|LOADEX|UNLOAD)'", r"-'ERR MODULE command not allowed", r"-'ERR MODULE command not allowed. This server loads no modules",
     "MODULE LOAD and UNLOAD: there is no parameter that would allow them"),
    (r"'(CLUSTER|READONLY|READWRITE|ASKING)'", r"-'ERR This instance has cluster support disabled", r"",
     "CLUSTER and its kin answer without cluster-enabled: cluster clients work with no option"),
]

_COMPILED = [(re.compile(c, re.IGNORECASE), re.compile(r, re.DOTALL), re.compile(o, re.DOTALL), why) for c, r, o, why in INTENDED]


def reason(command, redis, ours):
    for pattern, theirs, mine, why in _COMPILED:
        if pattern.match(command) and theirs.match(shown(redis)) and mine.match(shown(ours)):
            return why
    return None
