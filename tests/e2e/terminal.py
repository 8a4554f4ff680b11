#!/usr/bin/env python3
"""redis-cli at a terminal: terminal.py redis-cli ARGUMENT...

Types what a person types and waits for what must appear; what came is printed when it does not.
"""
import fcntl, os, pty, re, select, signal, struct, sys, termios, time

TIMEOUT = 30
PROMPT = rb":\d+(?:\[\d+\])?(?:\(TX\))?> "
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="xterm", HOME="/nonexistent")
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""


def expect(pattern):
    """Waits for the pattern in what came since the last one."""
    global seen
    end = time.monotonic() + TIMEOUT
    while True:
        clean = re.sub(rb"\r+\n", b"\n", re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", seen))  # without colours and movements
        found = re.search(pattern, clean, re.DOTALL)
        if found:
            seen = clean[found.end():]
            return found
        if time.monotonic() > end or not select.select([terminal], [], [], TIMEOUT)[0]:
            sys.exit(f"not ok: expected {pattern!r}, found {seen[-2000:]!r}")
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            sys.exit(f"not ok: redis-cli ended; expected {pattern!r}, found {seen[-2000:]!r}")


def type_in(text):
    os.write(terminal, text)


def line(text, answer):
    type_in(text + b"\r")
    expect(answer)


expect(PROMPT)
line(b"set typed hello", rb"\nOK\n.*" + PROMPT)
line(b"get typed", rb'\n"hello"\n.*' + PROMPT)
type_in(b"EXPIRET\t")  # completion
expect(rb"EXPIRETIME")
type_in(b" typed\r")
expect(rb"\n\(integer\) -1\n.*" + PROMPT)
type_in(b"set ")  # the hint behind the cursor
expect(rb"(?i)key.{0,20}value")
type_in(b"k v\r")
expect(rb"\nOK\n.*" + PROMPT)
line(b"help get", rb"(?i)GET key.*summary: .*since: 1\.0\.0.*group: string.*" + PROMPT)
line(b"help @string", rb"(?i)SETRANGE.*" + PROMPT)
line(b"select 5", rb"\nOK\n[^\n]*\[5\]> ")
line(b"multi", rb"\nOK\n[^\n]*\(TX\)> ")
line(b"incr n", rb"QUEUED\n.*" + PROMPT)
line(b"exec", rb"1\) \(integer\) 1\n.*" + PROMPT)
line(b"nosuch", rb"\(error\) ERR unknown command.*" + PROMPT)
line(b"hello 3", rb'\n3# "proto" => \(integer\) 3\n.*' + PROMPT)
type_in(b"subscribe news\r")
expect(rb'1\) "subscribe"\n2\) "news"\n3\) \(integer\) 1\n')
type_in(b"\x03")  # Ctrl-C ends the reading
expect(rb"\^C.*" + PROMPT)
line(b"get typed", rb"\n\(nil\)\n.*" + PROMPT)
type_in(b"quit\r")
deadline = time.monotonic() + TIMEOUT
while os.waitpid(pid, os.WNOHANG) == (0, 0):
    if time.monotonic() > deadline:
        os.kill(pid, signal.SIGKILL)
        sys.exit("not ok: redis-cli did not end")
    if select.select([terminal], [], [], 0.05)[0]:
        try:
            os.read(terminal, 65536)
        except OSError:
            pass
print("ok")
