"""The parts, in the order of the report: each has TITLE, METHOD, seconds(settings) and measure(work, result)."""
from . import curve, day, figures, keys, latency, lookup, pages, recovery, ski, table5, tables, threads, tls

PARTS = {
    "ski": ski, "latency": latency, "lookup": lookup, "keys": keys, "tables": tables, "figures": figures, "table5": table5,
    "day": day, "curve": curve, "threads": threads, "tls": tls, "pages": pages, "recovery": recovery,
}  # fmt: skip
