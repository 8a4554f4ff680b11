"""The two servers, each in a folder of its own on a Unix socket."""
import os
import shutil
import socket
import subprocess
import tempfile
import time


class Server:
    def __init__(self, name, folder, command, socket_path):
        self.name = name
        self.path = socket_path
        self.log_path = os.path.join(folder, name + ".log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait_ready(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(seconds)
                try:
                    s.connect(self.path)
                    s.sendall(b"PING\r\n")
                    if s.recv(64).startswith(b"+PONG"):
                        return
                except OSError:
                    pass
            time.sleep(0.02)
        raise SystemExit(f"differential: {self.name} did not start:\n{self.log()}")

    def alive(self):
        return self.process.poll() is None

    def log(self):
        with open(self.log_path, "rb") as log:
            return log.read()[-4000:].decode(errors="replace")

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def redis(folder, name):
    path = os.path.join(folder, name + ".sock")
    home = os.path.join(folder, name)
    os.mkdir(home)
    return Server(name, folder, ["redis-server", "--port", "0", "--unixsocket", path, "--dir", home, "--save", "", "--appendonly", "no",
                                 "--enable-debug-command", "yes", "--daemonize", "no"], path)


def ours(folder, binary, options):
    path = os.path.join(folder, "kvstore.sock")
    return Server("kvstore", folder, [binary, "--listen", "unix:" + path, "--dir", os.path.join(folder, "kvstore"), "--fsync", "never",
                                      "--log-level", "warn", "--redis-set", "enable-debug-command yes", *options], path)


class Pair:
    """Both servers; a with statement stops them and removes the folder."""

    def __init__(self, binary, options=()):
        self.folder = tempfile.mkdtemp(prefix="mec-differential.")
        self.both = []
        try:
            self.both.append(redis(self.folder, "redis"))
            self.both.append(ours(self.folder, binary, options) if binary else redis(self.folder, "redis2"))
            for server in self.both:
                server.wait_ready()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.statuses = [server.stop() for server in self.both]
        shutil.rmtree(self.folder, ignore_errors=True)
