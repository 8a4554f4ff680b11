# Stops one thread of a process, by ptrace as a debugger would, until this program ends: stop_thread.py PID THREAD-NAME.
# "stopped" on standard output when it stands; status 77 where tracing is not allowed.
import ctypes, os, signal, sys, time

pid, name = sys.argv[1:]
tid = next(int(t) for t in os.listdir(f"/proc/{pid}/task") if open(f"/proc/{pid}/task/{t}/comm").read().strip() == name)
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT = 0x4206, 0x4207
if libc.ptrace(SEIZE, tid, None, None) != 0:
    print("ptrace:", os.strerror(ctypes.get_errno()), file=sys.stderr)
    sys.exit(77)
libc.ptrace(INTERRUPT, tid, None, None)
os.waitpid(tid, 0x40000000)  # __WALL
print("stopped", flush=True)
signal.pause()
