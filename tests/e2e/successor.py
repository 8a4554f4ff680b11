# A successor by hand (keyserver/handover.h): successor.py SOCKET SAY... says these words one after the other, prints what is
# answered, and after "go" waits to be killed. SUCCESSOR_UID in the environment: as that user.
import json, os, socket, sys

path, words = sys.argv[1], sys.argv[2:]
os.setuid(int(os.environ.get("SUCCESSOR_UID", os.getuid())))
s = socket.socket(socket.AF_UNIX)
s.connect(path)
for word in words:
    s.sendall(json.dumps({"handover": 1, "say": word, "version": "by hand"}).encode() + b"\n")
    line, fds, _, _ = socket.recv_fds(s, 65536, 16)
    print(line.decode().strip(), "descriptors", len(fds), flush=True)
