"""Random arguments: keys that meet each other, values of every kind, numbers at their edges.

No number here is a time that ends, or a size that fills memory, while the test runs: relative times are at least 10^5 seconds, and nothing
lies between 10^5 and 2^32, where an offset of SETBIT or SETRANGE would allocate up to 512 MiB.
"""
import random

KEYS = [b"", b"a", b"b", b"c", b"key:1", b"key:2", b"{tag}x", b"n1", b"n2", b"\x00\xff\r\n key", b"long-" * 50]
PATTERNS = [b"*", b"key:*", b"?", b"[a-c]", b"[^a]", b"*\r\n*", b"\\*", b"key:[0-9]", b"{tag}*", b"", b"n[12]", b"[", b"\\", b"*x*", b"[b-a]",
            b"none"]
BAD_NUMBERS = [b"", b"abc", b" 1", b"1 ", b"+1", b"01", b"-0", b"1.0", b"1e3", b"0x10", b"9223372036854775808", b"-9223372036854775809",
               b"18446744073709551616", b"9" * 40, b"1\x00", b"-", b"(1", b"--1"]
EDGES = [b"0", b"-1", b"9223372036854775807", b"-9223372036854775808", b"10000000000"]
JUNK = BAD_NUMBERS[1:] + EDGES + [b"nx", b"XX", b"GET", b"\xff\xfe\r\n", b"x" * 70, b"*", b"withscores", b"KEEPTTL"]
FLOATS = [b"1.5", b"0.1", b"-0.1", b"3.0e3", b"1e-5", b"-.5", b"5.", b"1e17", b"123456789012345.678", b"0", b"-0", b"1e400", b"inf", b"-inf", b"nan",
          b"abc", b"", b" 1", b"1 ", b"1e", b"0x1p4", b"1.7e308", b"10000000000000000000000", b"3.14159265358979323846", b"infinity", b"1e-400"]


class Values(random.Random):
    """A source of random arguments."""

    def key(self):
        return self.choice(KEYS)

    def keys(self, most=4):
        return [self.key() for _ in range(self.randint(1, most))]

    def value(self):
        kind = self.random()
        if kind < 0.3:
            return b"%d" % self.randint(-1000, 100000)
        if kind < 0.55:
            return self.choice([b"hello", b"", b"x", b"OK", b"0", b"\x00", b"\xff\x00\xff", b"\r\n", b"3.5", b"9223372036854775807", b"-1"])
        if kind < 0.7:
            return bytes(self.choices(b"abcdefg\x00\xff ", k=self.choice([19, 20, 21, 43, 44, 45, 63, 64, 65])))
        if kind < 0.85:
            return self.randbytes(self.randint(1, 200))
        if kind < 0.995:
            return b"0123456789" * self.randint(1, 300)
        return self.randbytes(1 << self.randint(10, 15)) * self.randint(1, 32)

    def integer(self):
        kind = self.random()
        if kind < 0.75:
            return b"%d" % self.randint(-20, 300)
        if kind < 0.9:
            return self.choice(EDGES)
        return self.choice(BAD_NUMBERS)

    def offset(self, most=3000):
        """A place in a value."""
        kind = self.random()
        if kind < 0.85:
            return b"%d" % self.randint(0, most)
        if kind < 0.9:
            return b"%d" % self.randint(-30, 100000)
        return self.choice(EDGES + BAD_NUMBERS)

    def float(self):
        return self.choice(FLOATS) if self.random() < 0.5 else b"%.*f" % (self.randint(0, 12), self.uniform(-1000, 1000))

    def seconds(self):
        """A time to live that does not end here, and rarely one that cannot be."""
        if self.random() < 0.93:
            return b"%d" % self.randint(10 ** 5, 10 ** 9)
        return self.choice([b"0", b"-1", b"-100000", b"9223372036854775807", b"9223372036854775", b"-9223372036854775808"] + BAD_NUMBERS[:6])

    def milliseconds(self):
        return b"%d000" % self.randint(10 ** 5, 10 ** 9) if self.random() < 0.93 else self.seconds()

    def moment(self):
        """A UNIX time in seconds."""
        return b"%d" % self.randint(3 * 10 ** 9, 9 * 10 ** 9) if self.random() < 0.9 else self.choice([b"1", b"1000000000", b"0", b"-1", b"abc",
                                                                                                        b"9223372036854775807"])

    def moment_future(self):
        """As moment, but no time that has passed: SET would keep a dead key that each server drops when it likes."""
        return b"%d" % self.randint(3 * 10 ** 9, 9 * 10 ** 9) if self.random() < 0.95 else self.choice([b"0", b"-1", b"abc", b"9223372036854775807"])

    def moment_future_ms(self):
        return b"%d" % self.randint(3 * 10 ** 12, 9 * 10 ** 12) if self.random() < 0.95 else self.choice([b"0", b"-5", b"abc", b""])

    def moment_ms(self):
        return b"%d" % self.randint(3 * 10 ** 12, 9 * 10 ** 12) if self.random() < 0.9 else self.moment()

    def database(self):
        return b"%d" % self.randint(0, 3) if self.random() < 0.85 else self.choice([b"15", b"16", b"-1", b"abc", b"", b"9223372036854775808"])

    def case(self, name):
        """The name as some client may write it."""
        kind = self.random()
        if kind < 0.8:
            return name
        return name.lower() if kind < 0.95 else bytes(self.choice((c, ord(chr(c).lower()))) for c in name)

    def spoil(self, command):
        """The same command with a fault: an argument less, one more, or another."""
        command = list(command)
        kind = self.random()
        if kind < 0.3 and len(command) > 1:
            del command[self.randrange(1, len(command))]
        elif kind < 0.6 or len(command) == 1:
            command.insert(self.randint(1, len(command)), self.choice(JUNK))
        else:
            command[self.randrange(1, len(command))] = self.choice(JUNK)
        return command
