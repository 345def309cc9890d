"""The dashboards as one HTML page that needs no server: `python -m monitoring report [FILE...]`.

Everything is counted here, before: the page holds, for each room and panel, the latest values of each interval, and a
sample of single readings. However many records there are, it opens as quickly. Times are UTC.
"""

import hashlib
import math
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from markupsafe import Markup
from msgspec import Meta

from monitoring import records, settings
from monitoring.dashboards import embedded, scorecard
from monitoring.dashboards.embedded import Span
from monitoring.dashboards.findings import CLOCK, Finding, findings, words
from monitoring.dashboards.panels import BAND, DATED, EXPECTED_TEMPERATURE, GROUPS, panels
from monitoring.dashboards.scorecard import Thresholds
from monitoring.drift.command import chosen, recorded, summary
from monitoring.drift.judge import Judge, State, advance
from monitoring.drift.verdict import Verdict
from monitoring.records import Records
from monitoring.saving import save
from monitoring.settings import Source
from occupancy.errors import InputError
from occupancy.reading import NAMES
from occupancy.report import render as static
from occupancy.report import templates

TITLE = "Monitoring report"
ROOMS = 8
FINDINGS = 100
EVENTS = 24  # that a chart has room for
ALL_ROOMS = "all rooms"
SIMULATED = (
    "SIMULATED DATA: these answers come from a model that learned from a room that was made up. "
    "They say nothing about a real one."
)
BANDS = ((0.4, 0.6), BAND, (0.2, 0.8), (0.1, 0.9))
KINDS = ("refused", "flagged", "uncertain", "wrong")
HERE = Path(__file__).parent


class BandReversed(InputError):
    """The band of uncertain answers ends before it begins."""


class Report(Source, frozen=True, kw_only=True):
    """Which records become a page, and what it takes for doubtful at first; a reader can choose otherwise in it."""

    save_path: Annotated[str, Meta(description="where the page is written")] = "out/monitoring.html"
    uncertain_from: Annotated[
        float, Meta(ge=0, le=1, description="an answer counts as uncertain from this probability on")
    ] = BAND[0]
    uncertain_to: Annotated[float, Meta(ge=0, le=1, description="and up to this one")] = BAND[1]
    temperature_limit: Annotated[
        float,
        Meta(
            ge=0,
            le=50,
            description=f"a temperature stands out beyond so many °C beside its expected {EXPECTED_TEMPERATURE:g}",
        ),
    ] = 1.0
    sample: Annotated[
        int,
        Meta(ge=1, le=5000, description="single readings on the page: the latest so many, and of each doubtful kind"),
    ] = 200


RANGES = {"30 days": 2_592_000, "7 days": 604_800, "24 hours": 86400, "6 hours": 21600, "1 hour": 3600}


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Write the page and say where it is; gives the exit status."""
    table = settings.read(Report, "report", argv, environ, __doc__)
    if table.uncertain_from > table.uncertain_to:
        raise BandReversed(f"uncertain from {table.uncertain_from:g} to {table.uncertain_to:g}: the second is smaller")
    by = chosen(table)
    found = recorded(table, "report")
    page = render(found, by, table).encode("utf-8", "replace")
    save(table.save_path, page)
    sys.stdout.write(f"{len(found.predictions):,} readings in {Path(table.save_path)}, {len(page) / 1e6:.1f} MB\n")
    return 0


def render(found: Records, by: Judge, table: Report) -> str:
    """Render the page of these records, judged; it asks for nothing outside of it."""
    if found.predictions.empty:
        return static(TITLE, words([], []), {}, [])
    state = State()
    verdicts = advance(state, found, by)
    found = found._replace(verdicts=_verdicts(verdicts, found))
    judged = scorecard.judged(found.predictions, found.feedback)
    limits = Thresholds(table.uncertain_from, table.uncertain_to, table.temperature_limit)
    bands = sorted({limits[:2], *BANDS}, key=lambda band: band[0] - band[1], reverse=True)
    whole, events = embedded.spans(found), findings(verdicts)
    rooms = [ALL_ROOMS, *judged["occupancy.room"].dropna().value_counts().index[:ROOMS]]
    charts = embedded.charts([panels(by.reference, band) for band in bands], whole)
    counted = _rows(found, charts)
    rows, tallies = [embedded.squeezed(counted)], [embedded.squeezed(_tallies(judged, whole[DATED]))]
    for room in rooms[1:]:
        rows.append(embedded.squeezed(_rows(embedded.of_room(found, room), charts)))
        tallies.append(embedded.squeezed(_tallies(judged[judged["occupancy.room"] == room], whole[DATED])))
    shown, taken = bands.index(limits[:2]), sample(judged, limits, table.sample)
    script, library = (HERE / "page.js").read_text("utf-8"), embedded.library()
    data = {
        "span": [second * 1000 for second in whole[DATED]],
        "fit": embedded.FIT,
        "rooms": rooms,
        "bands": bands,
        "latency_step": scorecard.LATENCY_STEP,
        "expected": EXPECTED_TEMPERATURE,
        "tallies": [each.plain() for each in embedded.kept(embedded.INTERVALS, whole[DATED])],
        "charts": [chart.plain() for chart in charts],
        "events": [_event(event) for event in events],
        "sample": taken,
    }
    return (
        templates(HERE)
        .get_template("page.html.jinja")
        .render(
            title=TITLE,
            warning=SIMULATED if (judged["occupancy.simulated"] == True).any() else "",  # noqa: E712 -- absent is not true
            verdict=words(events, summary(verdicts, state, by).splitlines()),
            facts=_facts(judged, whole[DATED], rooms),
            hashes=" ".join(_hash(text) for text in (library, script)),
            span=[_clock(second) for second in whole[DATED]],
            ranges={name: wide for name, wide in RANGES.items() if wide < whole[DATED].until - whole[DATED].since},
            intervals=[each.title for each in embedded.INTERVALS],
            rooms=rooms,
            bands=[f"{low:g} to {high:g}" for low, high in bands],
            band=shown,
            limit=limits.limit,
            expected=EXPECTED_TEMPERATURE,
            cards=_cards(judged, found, table, events),
            findings=events[:FINDINGS],
            more=len(events) - FINDINGS,
            clock=CLOCK,
            groups=_groups(charts, counted, shown),
            sample_words=_words_of(taken, judged),
            kinds=KINDS,
            data=Markup(embedded.script(data)),  # noqa: S704 -- nothing in it ends its element
            rows=rows,
            tallies=tallies,
            library=Markup(library),  # noqa: S704 -- the library, and our own script
            script=Markup(script),  # noqa: S704
        )
    )


def _verdicts(verdicts: Sequence[Verdict], found: Records) -> pd.DataFrame:
    """Put the latest events where the panel of verdicts looks for them: what was just judged, not what was once stored."""
    model = next(iter(found.predictions["occupancy.model.version"].dropna().iloc[::-1]), "")
    latest = {(v.room, v.rule, v.sensor, v.since): None for v in reversed(verdicts)}
    chosen = set(list(latest)[:EVENTS])
    lines = [v.record(model) for v in verdicts if (v.room, v.rule, v.sensor, v.since) in chosen]
    return records.frames(lines).verdicts


def _event(finding: Finding) -> dict[str, Any]:
    until = finding.closed and finding.closed.at.timestamp() * 1000
    return {"room": finding.opened.room, "since": finding.opened.since.timestamp() * 1000, "until": until}


def _rows(found: Records, charts: Sequence[embedded.Chart]) -> dict[str, Any]:
    """Count the rows of all charts, by question and interval."""
    return {
        question: {name: embedded.packed(rows) for name, rows in embedded.rows(panel, found, chart.kept).items()}
        for chart in charts
        for question, panel in dict(chart.variants).items()
    }


def _tallies(judged: pd.DataFrame, whole: Span) -> dict[str, Any]:
    """Count what the scorecard is counted again from, by interval."""
    return {
        each.interval.name: scorecard.tally(judged, each.span.since, each.interval.seconds)
        for each in embedded.kept(embedded.INTERVALS, whole)
    }


def sample(judged: pd.DataFrame, limits: Thresholds, size: int) -> dict[str, Any]:
    """Take the latest readings and, of each doubtful kind, the latest; says of each why it is there, and how many there were."""
    masks = {
        "refused": judged["refused"],
        "flagged": judged["flagged"],
        "uncertain": judged["occupancy.probability"].between(limits.low, limits.high),
        "wrong": judged["right"] == 0,
    }
    taken = judged.index[-size:]
    for mask in masks.values():
        taken = taken.union(judged.index[mask][-size:])
    part = judged.loc[taken[::-1]]
    kinds = pd.DataFrame({kind: mask.loc[part.index] for kind, mask in masks.items()})
    columns = {
        "time": part[DATED].dt.as_unit("ms").astype("int64"),
        "room": part["occupancy.room"],
        "is": [", ".join(kind for kind, holds in zip(masks, row, strict=True) if holds) for row in kinds.to_numpy()],
        "answer": part["occupancy.answer"],
        "probability": part["occupancy.probability"],
        **{name: part[f"occupancy.reading.{name}"] for name in NAMES},
        "doubts": part["occupancy.flags"].map(lambda flags: ", ".join(flags) if isinstance(flags, list) else None),
        "refusal": part["occupancy.refusal.detail"],
        "told": part["truth"].map({1.0: "occupied", 0.0: "empty"}),
        "ms": part["event.duration"] / 1e6,
        "id": part["event.id"],
    }
    table = pd.DataFrame(columns).astype(object)
    return {
        "columns": list(columns),
        "rows": table.where(table.notna(), None).to_numpy().tolist(),
        "counts": {kind: int(mask.sum()) for kind, mask in masks.items()},
    }


def _words_of(taken: Mapping[str, Any], judged: pd.DataFrame) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in taken["counts"].items())
    return (
        f"A sample: {len(taken['rows']):,} of {len(judged):,} readings, namely the latest and, of each doubtful kind, the "
        f"latest. In all there were {kinds} by feedback. The probability is that the room is occupied."
    )


def _facts(judged: pd.DataFrame, whole: Span, rooms: Sequence[str]) -> dict[str, object]:
    return {
        "readings": len(judged),
        "time of the readings, UTC": " to ".join(_clock(second).replace("T", " ") for second in whole),
        "rooms": ", ".join(rooms[1:]) + (" and others" if judged["occupancy.room"].nunique() > ROOMS else ""),
        "models": ", ".join(judged["occupancy.model.version"].dropna().unique()[::-1][:ROOMS]),
    }


def _cards(
    judged: pd.DataFrame, found: Records, table: Report, events: Sequence[Finding]
) -> list[tuple[str, str, str, str]]:
    """Give each card's name, title, text and note; page.js writes those again that depend on a choice."""
    limits = Thresholds(table.uncertain_from, table.uncertain_to, table.temperature_limit)
    score = scorecard.scores(judged, limits)
    off = f"readings more than {limits.limit:g} °C beside {EXPECTED_TEMPERATURE:g}"
    told = f"right, of {score['told']:,} told" if score["told"] else "nobody told the truth in this time"
    gone = scorecard.missing(found.predictions, found.feedback, found.losses)
    admitted = f"numbers without a record; {found.losses['occupancy.lost'].sum():,.0f} that the service knows of"
    lost = (f"{gone:,}", admitted)
    if table.since or table.until or table.room:
        lost = ("not counted", "only the whole of all rooms can tell")
    lasting = sum(event.is_open for event in events)
    return [
        ("readings", "readings", f"{score['readings']:,}", "answered or refused"),
        ("refused", "refused", f"{score['refused']:,}", f"{_share(score['refused'] / len(judged))} of readings"),
        ("uncertain", "uncertain", _share(score["uncertain"]), f"of answers, from {limits.low:g} to {limits.high:g}"),
        ("flagged", "flagged", f"{score['flagged']:,}", f"{_share(score['flagged'] / len(judged))} of readings"),
        ("off", "temperature off", f"{score['off']:,}", off),
        ("latency", "latency", _milliseconds(score["median"]), f"median; p99 {_milliseconds(score['p99'])}"),
        ("accuracy", "accuracy by feedback", _share(score["accuracy"]), told),
        ("estimate", "accuracy estimated", _share(score["estimate"]), "by the model itself; broken sensors fool it"),
        ("open", "open findings", f"{lasting:,}", f"of {len(events):,} in this time"),
        ("missing", "missing records", *lost),
    ]


def _share(part: float) -> str:
    return "–" if math.isnan(part) else f"{part:.1%}"


def _milliseconds(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g} ms"


def _groups(
    charts: Sequence[embedded.Chart], counted: Mapping[str, Any], band: int
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Order the panels by group, each with a drawing of the whole time for readers without JavaScript."""
    found: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    for chart in charts:
        question, panel = chart.variants[chart.choice[band]]
        fits = embedded.fitting(chart.kept, chart.whole)
        rows = embedded.unpacked(counted[question][fits.interval.name])
        found[panel.group].append(
            {"panel": panel, "drawing": embedded.drawing(panel, rows) if any(row["count"] for row in rows) else None}
        )
    return [(GROUPS[group], drawn) for group, drawn in found.items() if drawn]


def _clock(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M")


def _hash(script: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
