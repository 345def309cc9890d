"""One week in three acts: a sensor that sticks, the heating season, and people who change their ways; and what is said of it.

A simulated room learns for 14 days. On Monday its CO2 sensor sticks for five hours; from Monday on it is heated by three
degrees more, the air as damp as before; from Thursday on people leave the lamps off. One prediction in ten is labelled.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import vl_convert
from msgspec import Meta

from benchmark.drift_rooms import DAY, Room, learnt, records, scored
from monitoring.drift.judge import Judge, judge
from monitoring.drift.verdict import CLOSED, OPENED, PERSON, RETRAIN, TICKET, Verdict
from monitoring.records import Records, labelled
from occupancy import settings
from occupancy.humidity import humidity_ratios
from occupancy.mapping import DATE, LABEL
from occupancy.reading import DERIVED
from occupancy.simulate import LAMPS_LUX, Fault, simulate, spoil

STUCK, HEATED, DARK = 11 * 60, 3.0, 3 * DAY
COLOURS = {PERSON: "#b3261e", TICKET: "#9a6700", RETRAIN: "#0b57d0"}


class Settings(msgspec.Struct, frozen=True):
    """What `python -m benchmark drift_week` can be told."""

    seed: Annotated[int, Meta(ge=0, description="seed of the room")] = 1
    save_path: Annotated[str, Meta(min_length=1, description="picture to write")] = "docs/drift.png"


class Week(NamedTuple):
    """The room, the records of its week, and the verdicts on them."""

    room: Room
    records: Records
    verdicts: list[Verdict]


def main(argv: list[str]) -> int:
    """Judge the week, print the verdicts, draw them."""
    chosen = settings.read(Settings, prog="benchmark drift_week", argv=argv, environ={}, about=__doc__ or "")
    week = judged(chosen.seed)
    for verdict in week.verdicts:
        print(f"{verdict.at:%a %H:%M} UTC  {verdict.state:7s} {verdict.consequence:8s} {verdict.message}")
    Path(chosen.save_path).write_bytes(vl_convert.vegalite_to_png(picture(week), scale=2))
    print(f"{chosen.save_path} shows it")
    return 0


def judged(seed: int) -> Week:
    """Simulate, spoil, score and judge."""
    frame = simulate(21, seed, date(2026, 2, 2))
    early = frame[DATE] < frame[DATE].iloc[0] + pd.Timedelta(days=14)
    room = learnt("office", seed, frame[early], _acts(frame[~early].reset_index(drop=True), seed), simulated=True)
    found = records(scored(room.booster, room.frame, room.frame[DATE]), room.name, seed, one_in=10)
    found.feedback["occupancy.feedback.authenticated"] = True
    return Week(room, found, judge(found, Judge(room.reference)))


def _acts(clean: pd.DataFrame, seed: int) -> pd.DataFrame:
    damp = clean[DERIVED].to_numpy()
    stuck = Fault("stuck", "CO2", STUCK, STUCK + 300)
    frame = spoil(
        clean,
        [stuck, Fault("ramp", "Temperature", 0, 300, HEATED), Fault("offset", "Temperature", 300, 7 * DAY, HEATED)],
        seed,
    )
    full = humidity_ratios(frame["Temperature"].to_numpy(), np.full(len(frame), 100.0), np)
    frame["Humidity"] = np.round(100 * damp / (0.62198 + damp) / (full / (0.62198 + full)), 4)
    frame[DERIVED] = humidity_ratios(frame["Temperature"].to_numpy(), frame["Humidity"].to_numpy(), np)
    lit = (frame[LABEL] == 1) & (np.arange(len(frame)) >= DARK)
    frame.loc[lit, "Light"] = (frame["Light"] - LAMPS_LUX).clip(lower=0)
    return frame


def picture(week: Week) -> dict[str, Any]:
    """Draw CO2, temperature against its season, errors told, and below them the verdicts."""
    rows = week.room.frame.iloc[::10]
    time = rows[DATE].dt.strftime("%Y-%m-%dT%H:%M")
    season = rows[DATE].dt.hour * 2 + rows[DATE].dt.minute // 30
    expected = season.map(dict(enumerate(week.room.reference.sensors["Temperature"].level)))
    told = labelled(week.records)
    wrong = (told["label"] != told["truth"]).groupby(told["time"].dt.floor("3h")).mean()
    end = str(time.iloc[-1])
    x = {"field": "time", "type": "temporal", "title": None, "axis": {"format": "%a %d", "tickCount": 8}}

    def line(values: list[dict[str, Any]], title: str, marks: list[dict[str, Any]]) -> dict[str, Any]:
        y = {"type": "quantitative", "title": title, "scale": {"zero": False}}
        layers = [{"mark": m["mark"], "encoding": {"x": x, "y": {"field": m["field"], **y}}} for m in marks]
        return {"width": 760, "height": 110, "data": {"values": values}, "layer": layers}

    co2 = [{"time": t, "value": v} for t, v in zip(time, rows["CO2"], strict=True)]
    warm = [{"time": t, "value": v, "season": s} for t, v, s in zip(time, rows["Temperature"], expected, strict=True)]
    hours = pd.DatetimeIndex(wrong.index).tz_convert(rows[DATE].dt.tz)
    errors = [{"time": f"{t:%Y-%m-%dT%H:%M}", "value": v} for t, v in zip(hours, wrong, strict=True)]
    plain, dashed = {"type": "line", "color": "#444"}, {"type": "line", "color": "#2a7f6f", "strokeDash": [4, 3]}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "config": {"view": {"stroke": "#ddd"}, "axis": {"gridColor": "#eee"}},
        "vconcat": [
            line(co2, "CO2, ppm", [{"mark": plain, "field": "value"}]),
            line(warm, "Temperature, °C (dashed: season)", [{"mark": plain, "field": "value"}, {"mark": dashed, "field": "season"}]),
            line(errors, "wrong, of those labelled", [{"mark": {**plain, "interpolate": "step-after"}, "field": "value"}]),
            {
                "width": 760,
                "height": 90,
                "data": {"values": _bars(week, end)},
                "layer": [
                    {"mark": {"type": "bar", "height": 10, "opacity": 0.35}, "encoding": {"x2": {"field": "until"}}},
                    {"mark": {"type": "tick", "thickness": 3, "height": 18}, "encoding": {"x": {"field": "told", "type": "temporal"}}},
                ],
                "encoding": {
                    "x": {**x, "scale": {"domain": [str(time.iloc[0]), end]}},
                    "y": {"field": "what", "type": "nominal", "title": None, "axis": {"labelLimit": 240}},
                    "color": {
                        "field": "consequence", "type": "nominal", "title": "asks for", "legend": {"orient": "bottom"},
                        "scale": {"domain": list(COLOURS), "range": list(COLOURS.values())},
                    },
                },
            },
        ],
        "resolve": {"scale": {"x": "shared"}},
    }  # fmt: skip


def _bars(week: Week, end: str) -> list[dict[str, str]]:
    """Give an event's begin, the time it was told, and its end."""
    zone = week.room.frame[DATE].dt.tz
    ends = {(v.rule, v.sensor): f"{v.at.astimezone(zone):%Y-%m-%dT%H:%M}" for v in week.verdicts if v.state == CLOSED}
    return [
        {
            "time": f"{v.since.astimezone(zone):%Y-%m-%dT%H:%M}",
            "told": f"{v.at.astimezone(zone):%Y-%m-%dT%H:%M}",
            "until": ends.get((v.rule, v.sensor), end),
            "what": f"{v.layer}: {v.sensor or 'the answers'}",
            "consequence": v.consequence,
        }
        for v in week.verdicts
        if v.state == OPENED
    ]
