"""What the tests of kpi-report share: the package's place, a part's result made up."""
import os
import sys

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../../../edge-sim"))
sys.path.insert(0, SOURCE)

from kpi.result import Result, axis, series  # noqa: E402


def part(name="ski", values=(10.0, 12.0, 11.0)):
    """The JSON of a part as main.measure_part() leaves it."""
    r = Result(name, f"The part {name}")
    r.method = "By <measuring> & counting."
    command = r.command("edge-sim load ski --json -")
    r.figure("rate", "Rate", "1/s", "higher", values, command)
    add = r.table("rows", "Rows", ["what", "how much"], "A note.")
    add("one", 1, command=command)
    add("nothing", None)
    r.plot("line", "A line", axis("x", low=0), [{"y": axis("y", log=True), "series": [series("s", [(1, 10), (2, None), (3, 1000)])]}], marks=[(2, "+1")], commands=[command])
    r.leave_out("Redis", "redis-server not on this machine")
    return {**r.json(), "started": "2026-01-01T00:00:00Z", "seconds": 1.5}
