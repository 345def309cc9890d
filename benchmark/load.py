"""A constant rate against any URL, sent by k6: an open loop, which waits for no answer before it sends the next.

`python -m benchmark load http://127.0.0.1:8080` runs k6 from the PATH; `-` instead of a URL reads what k6 said elsewhere, as
in a Job: kubectl logs job/load | python -m benchmark load -. It prints the percentiles of the latencies and draws them.
It fails when a request was dropped or k6 was late itself, since then the latencies are too good, and when one failed.
"""

import math
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import vl_convert
from msgspec import Meta

from benchmark.drift_tables import markdown
from occupancy import settings
from occupancy.errors import InputError
from occupancy.report import Table

SCRIPT = Path(__file__).parent / "k6" / "load.js"
LATE_MS = 100.0  # at the 99th percentile: k6 itself does not keep up


class Settings(msgspec.Struct, frozen=True):
    """What `python -m benchmark load` can be told."""

    urls: Annotated[tuple[str, ...], Meta(description="the service's URL, or - to read a summary of k6/load.js")] = ()
    rate: Annotated[int, Meta(ge=1, le=100_000, description="requests a second")] = 100
    seconds: Annotated[int, Meta(ge=1, le=3600, description="how long")] = 30
    fresh: Annotated[bool, Meta(description="a connection for each request, so that replicas share them")] = False
    save_path: Annotated[str, Meta(min_length=1, description="picture to write")] = "out/load.png"


class Summary(msgspec.Struct, frozen=True):
    """What k6/load.js says at its end; times in ms."""

    url: str
    rate: float
    seconds: float
    fresh: bool
    dropped: int
    errors: int
    latency: dict[str, float]
    late: dict[str, float]


class NoK6(InputError):
    """The load tool is not installed."""


class NoSummary(InputError):
    """K6 ended without saying what became of its requests."""


def main(argv: list[str]) -> int:
    """Send, or read what was sent; print and draw it; 1 when it says nothing, or a request failed."""
    try:
        chosen = settings.read(Settings, prog="benchmark load", argv=argv, environ={}, about=__doc__ or "")
        if len(chosen.urls) != 1:
            raise settings.InvalidSetting("Expected one URL such as http://127.0.0.1:8080, or -")
        found = summary(sys.stdin.read() if chosen.urls == ("-",) else send(chosen))
        print(markdown(table(found)))
        path = Path(chosen.save_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(vl_convert.vegalite_to_png(picture(found), scale=2))
        print(f"\n{path} shows it")
    except InputError as error:
        print(f"benchmark load: {error}", file=sys.stderr)
        return 2
    said = faults(found)
    for fault in said:
        print(fault, file=sys.stderr)
    return 1 if said else 0


def send(chosen: Settings) -> str:
    """Run k6 and give what it prints; raises NoK6."""
    given = {"URL": chosen.urls[0], "RATE": chosen.rate, "SECONDS": chosen.seconds, "FRESH": str(chosen.fresh).lower()}
    pairs = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
    command = ["k6", "run", "--quiet", "--no-usage-report", *pairs, str(SCRIPT)]
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    except FileNotFoundError:
        raise NoK6(
            "k6 is not on the PATH; one of: brew install k6; go install go.k6.io/k6@v1.8.1; "
            "https://grafana.com/docs/k6/latest/set-up/install-k6"
        ) from None


def summary(printed: str) -> Summary:
    """Find the script's summary in what k6 printed; raises NoSummary."""
    for line in printed.splitlines():
        if line.startswith('{"url"'):
            try:
                found = msgspec.json.decode(line, type=Summary)
            except msgspec.ValidationError:
                continue
            if found.latency.get("count"):
                return found
    raise NoSummary("k6 gave no summary with an answer in it; the end of what it said:\n" + printed[-1000:])


def table(found: Summary) -> Table:
    """Write the rate, the percentiles and what went wrong."""
    count = int(found.latency["count"])
    rows = [
        ("URL, connections", f"{found.url}, {'fresh' if found.fresh else 'kept alive'}"),
        ("requests a second: asked, sent", f"{found.rate:g}, {count / found.seconds:.1f} ({found.seconds:g} s)"),
        ("dropped, not answered with a label", f"{found.dropped}, {found.errors} of {count}"),
        *((f"latency {_named(name)}, ms", f"{value:.1f}") for name, value in percentiles(found)),
        ("k6 itself was late, p99, ms", f"{found.late['p(99)']:.0f}"),
    ]
    return Table(["", "measured"], rows)


def percentiles(found: Summary) -> list[tuple[float, float]]:
    """Give share and latency in ms, as far as there are samples beyond; 1 is the largest."""
    count, of = found.latency["count"], found.latency
    shares = {0.5 if name == "med" else float(name[2:-1]) / 100: of[name] for name in of if name[:2] in ("p(", "me")}
    return [*sorted((s, v) for s, v in shares.items() if (1 - s) * count >= 1), (1.0, of["max"])]


def _named(share: float) -> str:
    return "max" if share == 1 else f"p{100 * share:g}"


def faults(found: Summary) -> list[str]:
    """Say why the latencies say nothing, and what failed."""
    said = {
        f"{found.dropped} requests were dropped, since every virtual user was waiting": found.dropped,
        f"k6 was {found.late['p(99)']:.0f} ms late at the 99th percentile: this machine is too busy": found.late[
            "p(99)"
        ]
        > LATE_MS,
        f"{found.errors} requests were not answered with a label": found.errors,
    }
    return [what for what, so in said.items() if so]


def picture(found: Summary) -> dict[str, Any]:
    """Draw the latency by percentile, the last ones as wide as the first: each step to the right is ten times rarer."""
    points = percentiles(found)
    rows = [{"rare": 1 / (1 - share), "ms": value} for share, value in points[:-1]]
    rows.append({"rare": found.latency["count"], "ms": points[-1][1]})
    ticks = [2] + [10.0**power for power in range(1, 1 + math.floor(math.log10(found.latency["count"])))]
    names = "datum.value == 2 ? 'median' : (100 - 100 / datum.value) + ' %'"
    x = {
        "field": "rare",
        "type": "quantitative",
        "scale": {"type": "log"},
        "axis": {"values": ticks, "labelExpr": names},
        "title": "share of the requests that were faster",
    }
    y = {"field": "ms", "type": "quantitative", "scale": {"zero": True}, "title": "latency in ms"}
    return {
        "data": {"values": rows},
        "background": "white",
        "width": 560,
        "height": 260,
        "title": f"{found.rate:g} requests a second for {found.seconds:g} s",
        "mark": {"type": "line", "point": True},
        "encoding": {"x": x, "y": y},
    }
