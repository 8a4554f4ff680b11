"""A key server to measure: its PKI, store and process, what the system and its own metrics say of it, and the load of `edge-sim`."""
import collections, json, os, re, shutil, signal, subprocess, time, urllib.request

TICK = os.sysconf("SC_CLK_TCK")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"{os.path.basename(command[0])}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def openssl_rate(algorithm, cores, seconds):
    """Private operations a second of `openssl speed` on so many cores."""
    out = run("openssl", "speed", "-multi", str(cores), "-seconds", str(seconds), algorithm)
    line = [l for l in out.splitlines() if re.search(r"(rsa|ecdsa)", l) and re.search(r"\d+\.\d+s", l)][-1]
    return float(re.findall(r"([\d.]+)(?!\S)", line)[-2])  # sign/s, the one before verify/s


def cpu_seconds(pid):
    """Processor time of a process so far: user and system."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def make_pki(bin, work, edges=("bench",)):
    run(f"{bin}/certs", "pki", "--out", f"{work}/pki", "--server", "127.0.0.1", *[a for edge in edges for a in ("--edge", edge)])
    run(f"{bin}/certs", "master-key", "--out", f"{work}/master.key")


SITES = {"rsa2048": ["-newkey", "rsa:2048"], "rsa4096": ["-newkey", "rsa:4096"], "p256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}


def make_sites(bin, work, names):
    """Certificates in sites/, their keys in store/."""
    os.mkdir(f"{work}/sites")
    for name in names:
        run("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{work}/sites/{name}.key",
            "-out", f"{work}/sites/{name}.pem", *SITES[name])
    run(f"{bin}/certs", "import", "--store", f"{work}/store", "--master-key", f"{work}/master.key", f"{work}/sites")


class Server:
    """A key server on a free port of 127.0.0.1, with a copy of a store of its own: several may run at once."""

    def __init__(self, bin, work, engine="auto", name=None, options=(), store="store", prefix=()):
        self.work, self.bin = work, bin
        name = name or engine
        self.log = f"{work}/keyserver-{name}.log"
        copy = f"{work}/store-{name}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(f"{work}/{store}", copy)
        if os.path.exists(self.log):  # of another one before, whose words would be taken for this one's
            os.remove(self.log)
        wait = () if "--queue-delay" in options else ("--queue-delay", "10s")  # a closed loop waits as long as it takes
        self.process = subprocess.Popen(
            [*prefix, f"{bin}/keyserver", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store", copy, "--master-key", f"{work}/master.key",
             "--cert", f"{work}/pki/server.pem", "--key", f"{work}/pki/server.key", "--client-ca", f"{work}/pki/ca.pem",
             "--audit-log", f"{work}/audit-{name}.log", "--log-file", self.log, "--rsa-engine", engine, *wait, *options])
        self.pid = self.process.pid
        for _ in range(1500):
            if self.process.poll() is not None:
                break
            text = open(self.log).read() if os.path.exists(self.log) else ""
            if " ready " in text:
                self.addr = re.search(r" listening addr=(\S+)", text).group(1)
                self.admin = re.search(r" admin_listening addr=(\S+)", text).group(1)
                self.engine = re.search(r" rsa_engine engine=(\S+)", text).group(1)
                return
            time.sleep(0.02)
        self.stop()
        raise SystemExit(f"the key server did not start (--rsa-engine {engine}): see its words above")

    def load_command(self, key, method, options, connections, in_flight, seconds, result, edge="bench"):
        """key: a site's name; None where the options say which."""
        site = [] if key is None else ["--site", f"{self.work}/sites/{key}.pem"]
        return [f"{self.bin}/edge-sim", "load", "ski", "--keyserver", f"https://{self.addr}", "--cert", f"{self.work}/pki/edge-{edge}.pem",
                "--key", f"{self.work}/pki/edge-{edge}.key", "--ca", f"{self.work}/pki/ca.pem", *site, "--method", method,
                "--connections", str(connections), "--in-flight", str(in_flight), "--duration", f"{seconds}s", "--json", result, *options]

    def load(self, key, method, options, args, seconds=None):
        result = f"{self.work}/load.json"
        run(*self.load_command(key, method, options, args.connections, args.in_flight, seconds or args.seconds, result))
        with open(result) as f:
            return json.load(f)

    def metrics(self):
        """All metrics by their names, the sum over their labels."""
        values = collections.Counter()
        for name, value in re.findall(r"^([a-z_]+)(?:{.*})? (\S+)$", self.metrics_text(), re.M):
            values[name] += float(value)
        return values

    def metrics_text(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(f"http://{self.admin}/metrics", timeout=60).read().decode()

    def fills(self):
        """How many operations were computed so far in batches of 1 to 8, and one by one (0)."""
        text, counts = self.metrics_text(), collections.Counter()
        for fill, n in re.findall(r'^ks_rsa_batches_total{.*fill="(\d)"} (\d+)$', text, re.M):
            counts[int(fill)] += int(fill) * int(n)
        for n in re.findall(r'^ks_rsa_singles_total{.*} (\d+)$', text, re.M):
            counts[0] += int(n)
        return counts

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
