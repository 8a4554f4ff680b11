# A request that stops in the middle until SIGUSR1 comes: held.py HOST:PORT WORK-FOLDER REQUEST. Prints "begun", and ends well
# when it was answered.
import signal, socket, ssl, sys

address, work, request = sys.argv[1:]
host, port = address.rsplit(":", 1)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
context = ssl.create_default_context(cafile=f"{work}/pki/ca.pem")
context.load_cert_chain(f"{work}/pki/edge-edge-1.pem", f"{work}/pki/edge-edge-1.key")
c = context.wrap_socket(socket.create_connection((host, int(port)), timeout=300), server_hostname=host)
whole = f"POST /ski HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(request)}\r\n\r\n{request}".encode()
c.sendall(whole)  # answered, so that the connection counts as open
if not c.recv(65536).startswith(b"HTTP/1.1 200"):
    sys.exit("no answer")
c.sendall(whole[:-10])
print("begun", flush=True)
signal.sigwait([signal.SIGUSR1])
c.sendall(whole[-10:])
answer = c.recv(65536)
print(answer)
sys.exit(not answer.startswith(b"HTTP/1.1 200"))
