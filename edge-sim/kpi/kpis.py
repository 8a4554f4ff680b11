"""The KPI table: what is asked, what was measured, whether that is enough."""
from . import page, seed

MILLION = 1_000_000
KINDS = (("rsa2048-decrypt", "RSA-2048 decryption"), ("rsa2048-sign", "RSA-2048 signature"), ("rsa4096-decrypt", "RSA-4096 decryption"),
         ("rsa4096-sign", "RSA-4096 signature"), ("p256-sign", "P-256 signature"))  # fmt: skip
MORE = (("rsa3072-sign", "RSA-3072 signature"), ("p384-sign", "P-384 signature"))  # where they were measured
LATENCY = (("rsa2048", "RSA-2048"), ("rsa4096", "RSA-4096"), ("p256", "P-256"))
NOT_MEASURED = "part {}: see what was left out"


class Figures:
    def __init__(self, parts):
        self.found = {f["id"]: (f, p) for p in parts for f in p["figures"]}

    def __call__(self, name):
        return self.found[name][0]["median"] if name in self.found else None

    def command(self, name):
        if name not in self.found or self.found[name][0]["command"] is None:
            return ""
        figure, part = self.found[name]
        return part["commands"][figure["command"] - 1]


def row(figures, name, asked, figure, show, good, note=""):
    """show(value) and good(value) of the figure's median; good gives None where it cannot be judged."""
    value = figures(figure)
    if value is None:
        note, show, good, figure = NOT_MEASURED.format(figure.partition(".")[0]), lambda v: "", lambda v: None, None
    return {
        "name": name, "asked": asked, "measured": show(value), "pass": good(value), "note": note, "figure": figure,
        "command": figures.command(figure) if figure else "",
    }  # fmt: skip


def with_unit(unit):
    return lambda v: f"{page.number(v)} {unit}"


def response_times(f):
    rows, most = [], seed.ASKED["ski_ms"]
    for kind, words in LATENCY:
        at, ms = f"latency.{kind}", with_unit("ms")
        show = lambda v, at=at, ms=ms: f"p50 {ms(f(at + '.p50'))}, p99 {ms(f(at + '.p99'))}, p99.9 {ms(v)}"
        name = f"SKI response time, {words}, at 80 % of capacity"
        rows.append(row(f, name, f"< {most} ms", f"{at}.p99_9", show, lambda v: v < most, "judged by p99.9"))
    goal = "Our goal: RSA-4096 p99 at 80 % of capacity"
    return [*rows, row(f, goal, "< 10 ms", "latency.rsa4096.p99", with_unit("ms"), lambda v: v < 10)]


def requests(f, cores):
    rows, asked = [], seed.ASKED["ski_per_second"]
    show = lambda v: f"{v:,.0f}/s on {cores} cores; {v / cores:,.0f} a core; {asked / v * cores:,.1f} cores for {asked:,}/s"
    kinds = [*KINDS, *((k, words) for k, words in MORE if f(f"ski.{k}.rate") is not None)]
    for kind, words in kinds:
        rows.append(row(f, f"SKI requests/s, {words}", f"{asked:,}/s", f"ski.{kind}.rate", show, lambda v: v >= asked,
                        "load generator and server share the cores"))  # fmt: skip
    for kind, words in kinds:
        rows.append(row(f, f"Our goal: over openssl speed, {words}", ">= 0.9", f"ski.{kind}.ratio", page.number,
                        lambda v: v >= 0.9, "same cores, in turn"))  # fmt: skip
    return rows


def lookups(f):
    keys, within, asked = f("lookup.keys") or 0, seed.ASKED["lookup_ms"], seed.ASKED["lookups_per_second"]
    note = f"{keys:,.0f} keys of 4 KiB, a tenth of them in memory, by the Redis protocol"
    own = f("lookup.device_max")
    beside = f"; the device's own slowest read in the same run {page.number(own)} ms" if own else ""
    large = lambda good: lambda v: good(v) if keys >= MILLION else None
    share = lambda v: f"{v:.4f} %, the slowest {page.number(f('lookup.paced_max'))} ms"
    paced = f"Key lookup within {within} ms, at {page.number(f('lookup.paced_rate_asked'))}/s"
    return [
        row(f, paced, "100 %", "lookup.within_goal", share, large(lambda v: v >= 100), note + beside),
        row(f, "Lookups/s, fully loaded", f"{asked:,}/s", "lookup.rate_tenth", lambda v: f"{v:,.0f}/s", large(lambda v: v >= asked), note),
        row(f, "Our goal: memory tier, p50 of the engine", "< 1 us", "lookup.memory_p50", with_unit("us"), lambda v: v < 1,
            "all in memory, one thread"),
    ]  # fmt: skip


def keys(f):
    small, large, size = f("keys.count") or 0, f("keys.records") or 0, seed.ASKED["key_bytes"]
    full = lambda n, good: lambda v: good(v) if n >= MILLION else None
    sizes = lambda v: f"{v:,.0f} bytes a sealed RSA-4096 key's record; in PEM {page.number(f('keys.pem_bytes'))} bytes"
    ready = lambda n, what: lambda v: f"{page.number(v)} s until ready, {page.number(n)} {what} keys"
    memory = lambda at: lambda v: f"{v / 2**20:,.0f} MiB resident after start, {page.number(f(at + '_per_key'))} bytes a key in all"
    served = lambda what: lambda v: f"{v:,.0f} {what} keys sealed, key server started on them, answers right"
    made = f"{page.number(f('keys.moduli'))} distinct moduli, many public exponents each: every key has a name and a seal of its own"
    asked, goal, start, index = f"{MILLION:,} at least", "our goal: < 2 s", "Start-up of the key server, {} keys", "our goal: <= 24"
    return [
        row(f, "Number of keys, P-256", asked, "keys.count", served("P-256"), full(small, lambda v: v >= MILLION), "each made by itself, imported, checked"),
        row(f, "Number of keys, RSA-4096", asked, "keys.records", served("RSA-4096"), full(large, lambda v: v >= MILLION), made),
        row(f, "Mean key size", f"{size:,} bytes (PEM)", "keys.record_bytes", sizes, lambda v: v >= size),
        row(f, start.format("P-256"), goal, "keys.start", ready(small, "P-256"), full(small, lambda v: v < 2)),
        row(f, start.format("RSA-4096"), goal, "keys.rsa_start", ready(large, "RSA-4096"), full(large, lambda v: v < 2)),
        row(f, "Index, bytes a key", index, "keys.rsa_index_bytes", with_unit("bytes"), full(large, lambda v: v <= 24)),
        row(f, "Memory, P-256 keys", "", "keys.resident", memory("keys.resident"), lambda v: None),
        row(f, "Memory, RSA-4096 keys", "", "keys.rsa_resident", memory("keys.rsa_resident"), lambda v: None),
    ]  # fmt: skip


def judge(parts, cores):
    f = Figures(parts)
    return response_times(f) + requests(f, cores) + lookups(f) + keys(f)
