# What a service manager does with sockets: listens on a free port of loopback for each NAME, starts a program on them
# (sd_listen_fds(3)), and starts it again when it has ended well, until the file STOP is there.
#   activate.py PIDS STOP NAME... -- PROGRAM ARGUMENT...     PIDS: gets a line for each start
import os, socket, sys

pids, stop = sys.argv[1:3]
split = sys.argv.index("--")
names, command = sys.argv[3:split], sys.argv[split + 1:]
sockets = []
for _ in names:
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(1024)
    sockets.append(s)


def start():
    pid = os.fork()
    if pid != 0:
        return pid
    high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i)
        os.set_inheritable(3 + i, True)
        os.close(fd)
    environment = dict(os.environ, LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
    os.execve(command[0], command, environment)


while True:
    child = start()
    with open(pids, "a") as f:
        f.write(f"{child}\n")
    status = os.waitpid(child, 0)[1]
    if status != 0:
        sys.exit(f"the program ended with wait status {status}")
    if os.path.exists(stop):
        break
