"""The seed's own numbers, as far as they are published here; where one is not, the report says so and invents none."""

NOT_PUBLISHED = "not published here"

# what the seed asks of its server
ASKED = {
    "ski_ms": 120, "ski_per_second": 30_000, "lookup_ms": 5, "lookups_per_second": 30_000, "keys": 1_000_000, "key_bytes": 4096,
}  # fmt: skip

# its Table 5: 50,000 entries of 4 KB, direct calls, none and all in memory
TABLE5 = {0: {"rate": 360_000, "mean_us": 2.8}, 2: {"rate": 670_000, "mean_us": 1.5}}

# the server that the seed has (Java, keys in Redis) and two others, measured apart from these reports on 2 cores of an AMD EPYC (Zen 4) that the
# load generator shared: operations a second
PEERS = [
    ("RSA-2048", "1,520 to 1,610 (p99 14 to 170 ms)", "1,640", "6,000 to 6,300 (p99 2.6 to 20 ms)"),
    ("RSA-4096", "280 (p99 52 to 720 ms)", "304", "478 (p99 45 to 180 ms)"),
    ("ECDSA P-256", None, "17,000 to 22,300", "27,000 to 36,700"),
    ("memory", "384 to 967 MB", "24 to 32 MB", "9 to 14 MB"),
]

# its Tables 1 to 4, Redis 4.0rc3 by redis-benchmark: the state of the machine's memory, requests a second
TABLES = [
    ("all in memory", "119,000/s"),
    ("80 % of memory used", "70,000/s"),
    ("swapping", "2,700/s"),
    ("beyond", "ends for want of memory"),
]
