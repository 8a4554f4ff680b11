# The service manager's side of sd_notify(3): writes each message that comes to a socket as a line, "SECONDS PID A=1 B=2".
import socket, struct, sys, time

path, out = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind(path)
with open(out, "w") as f:
    while True:
        message, extra, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(12))
        pid = struct.unpack("iii", extra[0][2])[0] if extra else 0
        f.write(f"{time.monotonic():.3f} {pid} {message.decode().replace(chr(10), ' ')}\n")
        f.flush()
