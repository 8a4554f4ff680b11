"""Whether two servers said the same: byte for byte, except where an answer is not a function of what was asked (times, ids, random picks)."""
import intended
import rdb
from wire import parse, shown

SLACK_SECONDS = 900  # two servers take the same command at two moments; nothing here may fail because a machine is slow
INTEGER, STRING, ARRAY = b":", b"$", (b"*", b"~")


def text(reply):
    return reply[0] in (b"$", b"=") and reply[1] is not None


def integers(slack):
    def same(_, redis, ours):
        if redis[0] != INTEGER or ours[0] != INTEGER:
            return False
        a, b = int(redis[1]), int(ours[1])
        return a > 0 and b > 0 and abs(a - b) <= slack
    return same


def both(kind):
    """Nothing but the kind of the reply is compared."""
    return lambda _, redis, ours: redis[0] == ours[0] == kind and (redis[1] is None) == (ours[1] is None)


def as_set(_, redis, ours):
    return redis[0] == ours[0] and isinstance(redis[1], tuple) and isinstance(ours[1], tuple) and sorted(redis[1], key=repr) == sorted(ours[1], key=repr)


def time_shape(_, redis, ours):
    return ours[0] == b"*" and len(ours[1]) == 2 and all(text(part) and part[1].isdigit() for part in ours[1])


def random_key(_, redis, ours):
    return text(ours) and text(redis)


def fields(reply):
    """key=value words of a line of CLIENT LIST."""
    return [dict(word.split(b"=", 1) for word in line.split(b" ") if b"=" in word) for line in reply[1].removeprefix(b"txt:").splitlines()]


def client_lines(_, redis, ours):
    """CLIENT LIST and INFO: every field of Redis is there; those that do not depend on memory and time are the same."""
    if not (text(redis) and redis[0] == ours[0] and text(ours)):
        return False
    names = (b"name", b"db", b"sub", b"psub", b"multi", b"flags", b"user", b"resp", b"redir")

    def facts(reply):
        return sorted(tuple(one.get(name) for name in names) for one in fields(reply))
    theirs = {name for one in fields(redis) for name in one}
    return facts(redis) == facts(ours) and all(theirs <= one.keys() for one in fields(ours))


def without_id(_, redis, ours):
    """HELLO: all but the version and the id."""
    def rest(reply):
        if reply[0] not in (b"*", b"%") or len(reply[1]) % 2:
            return reply
        names = reply[1][::2]
        return reply[0], names, tuple(v if n[1] not in (b"version", b"id") else v[0] for n, v in zip(names, reply[1][1::2]))
    return rest(redis) == rest(ours)


def info(command, redis, ours):
    """INFO: sections asked for by name; those of the key space with their numbers, of the rest only the headings that matter to tools."""
    if not (redis[0] == ours[0] and text(redis) and text(ours)):
        return False

    def keyspace(reply):
        return [line.split(b",avg_ttl")[0] for line in reply[1].splitlines() if line.startswith(b"db")]

    return keyspace(redis) == keyspace(ours) and (bool(redis[1].strip()) == bool(ours[1].strip()))


def command_info(command, redis, ours):
    """COMMAND and COMMAND INFO: name, arity, flags, first, last, step, categories; of the subcommands, and of the whole table, those that we have."""
    if redis[0] != b"*" or ours[0] != b"*":
        return False
    if len(command) > 2:
        return len(redis[1]) == len(ours[1]) and all(one_command(a, b) for a, b in zip(redis[1], ours[1]))
    known = {one[1][0]: one for one in redis[1]}
    return all(one[1][0] in known and one_command(known[one[1][0]], one) for one in ours[1])


def one_command(redis, ours):
    if not isinstance(redis[1], tuple) or not isinstance(ours[1], tuple):
        return redis == ours
    if len(redis[1]) != len(ours[1]):
        return False
    a, b = redis[1], ours[1]
    if a[:2] != b[:2] or a[3:6] != b[3:6] or not as_set(None, a[2], b[2]) or not as_set(None, a[6], b[6]):
        return False
    known = {sub[1][0]: sub for sub in a[9][1]}
    return all(sub[1][0] not in known or one_command(known[sub[1][0]], sub) for sub in b[9][1])


def command_docs(command, redis, ours):
    """COMMAND DOCS: the names, and of each and of its subcommands all but arguments: the tables have their own words for their parts."""
    def facts(reply):
        docs = {}
        for name, doc in zip(reply[1][::2], reply[1][1::2]):
            if name[1] in intended.OWN_COMMANDS:
                continue
            members = dict(zip(doc[1][::2], doc[1][1::2]))
            subcommands = members.pop((b"$", b"subcommands"), None)
            members.pop((b"$", b"arguments"), None)
            docs[name] = tuple(members.items())
            docs.update(facts(subcommands) if subcommands else {})
        return docs
    try:
        theirs, mine = facts(redis), facts(ours)
    except (TypeError, IndexError):
        return False
    return redis[0] == ours[0] and (theirs == mine if len(command) > 2 else mine.items() <= theirs.items())


def command_list(_, redis, ours):
    """COMMAND LIST: what we have is Redis's, apart from what is said to be intended."""
    if redis[0] != b"*" or ours[0] != b"*":
        return False
    return {name[1].lower() for name in ours[1]} <= {name[1].lower() for name in redis[1]} | intended.OWN_COMMANDS


def lolwut(_, redis, ours):
    """LOLWUT: the kind of the reply, and the version behind the picture."""
    return redis[0] == ours[0] and text(redis) and redis[1].splitlines()[-1].split(b"Redis ver.")[1] == ours[1].splitlines()[-1].split(b"Redis ver.")[1]


def help_lines(_, redis, ours):
    return redis[0] == ours[0] == b"*" and len(ours[1]) > 2 and ours[1][0][1].split(b" ")[0] == redis[1][0][1].split(b" ")[0]


def dump(_, redis, ours):
    """DUMP: the same string, however it is packed."""
    try:
        return text(redis) and text(ours) and rdb.value_of(redis[1]) == rdb.value_of(ours[1])
    except (ValueError, IndexError):
        return False


def config_get(_, redis, ours):
    """CONFIG GET: the order of the names is free."""
    def named(reply):
        return {name[1]: value[1] for name, value in zip(reply[1][::2], reply[1][1::2])}
    if redis[0] != ours[0] or not isinstance(redis[1], tuple) or not isinstance(ours[1], tuple) or len(redis[1]) != len(ours[1]):
        return False
    theirs = named(redis)
    return named(ours) == {name: intended.OWN_PARAMETERS.get(name, value) for name, value in theirs.items()}


SECONDS, MILLISECONDS = integers(SLACK_SECONDS), integers(SLACK_SECONDS * 1000)
RULES = {
    b"TTL": SECONDS, b"PTTL": MILLISECONDS, b"EXPIRETIME": SECONDS, b"PEXPIRETIME": MILLISECONDS, b"OBJECT IDLETIME": both(INTEGER),
    b"MEMORY USAGE": both(INTEGER), b"TIME": time_shape, b"LASTSAVE": both(INTEGER), b"RANDOMKEY": random_key, b"KEYS": as_set,
    b"CLIENT ID": both(INTEGER), b"CLIENT INFO": client_lines, b"CLIENT LIST": client_lines, b"HELLO": without_id, b"INFO": info,
    b"COMMAND COUNT": both(INTEGER), b"COMMAND": command_info, b"COMMAND INFO": command_info, b"SCAN": both(b"*"), b"COMMAND DOCS": command_docs, b"COMMAND LIST": command_list,
    b"ACL CAT": as_set, b"ACL LIST": both(b"*"), b"ACL GENPASS": both(STRING), b"SLOWLOG LEN": both(INTEGER), b"SLOWLOG GET": both(b"*"),
    b"DEBUG OBJECT": both(b"+"), b"DUMP": dump, b"CONFIG GET": config_get, b"PUBSUB CHANNELS": as_set, b"LOLWUT": lolwut,
}
KIND_ONLY = {b"LATENCY DOCTOR", b"MEMORY DOCTOR", b"MEMORY MALLOC-STATS", b"MEMORY STATS"}


def rule(command):
    name = command[0].upper()
    two = name + b" " + command[1].upper() if len(command) > 1 else name
    if two.endswith(b" HELP"):
        return help_lines
    if two in KIND_ONLY:
        return lambda _, redis, ours: redis[0] == ours[0]
    return RULES.get(two) or (RULES.get(name) if name != b"COMMAND" or len(command) == 1 else None)


class Difference:
    def __init__(self, command, redis, ours, index, note=""):
        self.command, self.redis, self.ours, self.index, self.note = command, redis, ours, index, note

    def signature(self):
        """What two differences have in common when they have one cause."""
        name = b" ".join(self.command[:2] if len(self.command) > 1 and self.command[0].upper() in CONTAINER else self.command[:1]).upper()
        return name, outline(self.redis), outline(self.ours)


CONTAINER_NAMES = {b"client", b"config", b"command", b"object", b"memory", b"slowlog", b"latency", b"acl", b"pubsub", b"cluster", b"debug", b"module"}
CONTAINER = {b"CLIENT", b"CONFIG", b"COMMAND", b"OBJECT", b"MEMORY", b"SLOWLOG", b"LATENCY", b"ACL", b"PUBSUB", b"CLUSTER", b"DEBUG", b"MODULE", b"HELLO"}


def outline(reply):
    kind, value = reply
    if value is None or isinstance(value, tuple) or len(value) > 20 and kind != b"-":
        return kind
    return kind, value.split(b"'")[0]


class Judge:
    """Compares, and counts what was let pass as intended."""

    def __init__(self):
        self.let_pass = {}
        self.strict = False  # no masks: what is compared is a function of what was asked

    def same(self, command, redis, ours):
        if redis == ours:
            return True
        check = rule(command)
        if check and not self.strict and redis[0] != b"-" and ours[0] != b"-" and check(command, redis, ours):
            return True
        why = intended.reason(shown_command(command, 10 ** 6), redis, ours)
        if why:
            self.let_pass[why] = self.let_pass.get(why, 0) + 1
        return bool(why)

    def batch(self, commands, redis, ours, held):
        """None, or the first Difference between what two servers said to the same commands. `held` keeps what the connection has queued from
        one batch to the next: a MULTI and its EXEC may be in two."""
        if redis == ours:
            for command in commands:
                note_queued(held, command, True)
            return None
        a, b = parse(redis), parse(ours)
        if len(in_band(a)) != len(commands) or len(in_band(b)) != len(commands):
            return self.one_by_one(commands, a, b)
        for index, (command, (push_a, one), (push_b, two)) in enumerate(zip(commands, heard_behind(commands, in_band(a)), in_band(b))):
            if push_a != push_b:
                return Difference(command, (b">", tuple(push_a)), (b">", tuple(push_b)), index, "out-of-band messages before the reply")
            queue = held.get("queue")
            whole = queue is not None and command[0].upper() == b"EXEC" and one[0] == two[0] == b"*" and one[1] and two[1] and len(one[1]) == len(two[1]) == len(queue)
            if whole:
                for inner, x, y in zip(queue, one[1], two[1]):
                    if not self.same(inner, x, y):
                        return Difference(inner, x, y, index, "inside EXEC")
            elif not self.same(command, one, two):
                return Difference(command, one, two, index)
            note_queued(held, command, one == (b"+", b"QUEUED"))
        return None

    def one_by_one(self, commands, a, b):
        """When replies are more or fewer than commands (subscribers, silenced ones) nothing is masked."""
        for index in range(max(len(a), len(b))):
            one = a[index] if index < len(a) else (b"-", b"<no reply>")
            two = b[index] if index < len(b) else (b"-", b"<no reply>")
            if one != two:
                command = commands[min(index, len(commands) - 1)] if commands else (b"(none)",)
                return Difference(command, one, two, index, "replies are counted, the command may be one near it")
        return None


def note_queued(held, command, queued):
    name, queue = command[0].upper(), held.get("queue")
    if name == b"MULTI":
        held["queue"] = [] if queue is None else queue
    elif name in (b"EXEC", b"DISCARD", b"RESET"):
        held["queue"] = None
    elif queue is not None and queued:
        queue.append(command)


def in_band(replies):
    """Each reply with the out-of-band messages before it."""
    result, pushes = [], []
    for reply in replies:
        if reply[0] == b">":
            pushes.append(reply)
        else:
            result.append((pushes, reply))
            pushes = []
    return result


def heard_behind(commands, replies):
    """Redis's messages before the reply to a command of the listener's own, where ours send them: before the next reply."""
    for index, command in enumerate(commands[:-1]):
        pushes, reply = replies[index]
        if pushes and command[0].upper() in intended.HEARD_BEHIND:
            replies[index] = [], reply
            replies[index + 1] = pushes + replies[index + 1][0], replies[index + 1][1]
    return replies


def shown_command(command, limit=200):
    words = []
    for word in command:
        word = repr(bytes(word) if isinstance(word, (bytes, bytearray)) else word)
        words.append((word[1:] if word.startswith("b") else word) if len(word) < limit else word[1:limit] + f"'...({len(word)})")
    return " ".join(words)
