# An HTTP client that repeats nothing: one request after the other by a connection that is kept, and a fresh one only when the
# server has said "Connection: close" in an answer. Until the file STOP is there. A request that fails ends it with status 1.
#   patient.py HOST:PORT WORK-FOLDER REQUEST STOP
import http.client, os, ssl, sys

address, work, request, stop = sys.argv[1:]
host, port = address.rsplit(":", 1)
context = ssl.create_default_context(cafile=f"{work}/pki/ca.pem")
context.load_cert_chain(f"{work}/pki/edge-edge-1.pem", f"{work}/pki/edge-edge-1.key")
answers = fresh = 0
connection = None
while not os.path.exists(stop):
    if connection is None:
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=300)
        connection.connect()
        fresh += 1
    connection.request("POST", "/ski", request, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or b'"output"' not in body:
        sys.exit(f"status {answer.status}: {body!r}")
    answers += 1
    if answer.will_close:
        connection.close()
        connection = None
print(f"answers {answers} connections {fresh}")
