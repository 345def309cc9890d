"""The story of one stream: a picture of its days, and a page of what the loop did each morning and why."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import vl_convert

from benchmark.drift_rooms import Array
from benchmark.loop_stream import Played, Stream
from benchmark.loop_truth import Result, answers
from monitoring.drift.verdict import OPENED, Verdict
from occupancy import model
from occupancy.mapping import DATE, LABEL
from occupancy.model import THRESHOLD
from occupancy.report import Chart, Section, Table, Text, render

HOURS = 6
WIDTH = 760


def story(told: Stream, played: Played, found: Result, folder: Path) -> Path:
    """Write story.html and story.png into the stream's folder; gives the page's path."""
    drawn = picture(told, played, folder)
    caption = (
        f"Accuracy over {HOURS} hours of the answers given (none, where a reading was refused, is wrong), and of what the champion would have said; labels told by the day "
        "they are about; what monitoring said; the dashed line is the onset, the others what was put live or taken back."
    )
    sections = [
        Section("The days", [Chart(drawn, caption), mornings(told, played)]),
        Section("What it was worth", [worth(found), Text(f"Of the answers since the onset {found.served:.1%} were right; the champion's would have been {found.kept:.1%}.")]),
    ]  # fmt: skip
    facts = {
        "scenario": found.scenario,
        "seed": found.seed,
        "onset": f"{told.sound[DATE].iloc[told.room.onset]:%A %H:%M}",
    }
    page = folder / "story.html"
    page.write_text(render("A room, its changes, and the loop", _verdict(found), facts, sections), "utf-8")
    sized = {**drawn, "vconcat": [{**part, "width": WIDTH} for part in drawn["vconcat"]], "background": "white"}
    (folder / "story.png").write_bytes(vl_convert.vegalite_to_png(sized, scale=2))
    return page


def _verdict(found: Result) -> str:
    count = len(found.deployments)
    return (
        f"{count or 'No'} deployment{'s' * (count != 1)}; what is live at the end, against the champion: {found.end}."
    )


def mornings(told: Stream, played: Played) -> Table:
    """Give a row for each run of the loop."""
    zone = told.sound[DATE].dt.tz
    rows = [(f"{run.at.astimezone(zone):%a %d %H:%M}", run.outcome, run.labels, run.why, run.id) for run in played.runs]
    return Table(["morning", "outcome", "labels", "why", "run"], rows)


def worth(found: Result) -> Table:
    """Compare what was live first and last with the oracle."""
    named = {"champion": found.champion, "live at the end": found.final, "oracle": found.oracle}
    rows = [
        (name, f"{s.loss:.3f}", f"{s.accuracy:.1%}", f"{s.old_loss:.3f}", f"{s.old_accuracy:.1%}")
        for name, s in named.items()
    ]
    return Table(["on the seven days to come", "log loss", "accuracy", "old world: log loss", "accuracy"], rows)


def picture(told: Stream, played: Played, folder: Path) -> dict[str, Any]:
    """Draw accuracy, labels, verdicts and deployments over the days."""
    time = told.sound[DATE]
    first = model.load(folder / "models" / played.deployments[0].version / model.FILE)
    axis = {"format": "%a %d", "tickCount": "day", "labelAngle": 0}
    scale = {"domain": [_at(time.iloc[0]), _at(time.iloc[-1])]}
    x = {"field": "time", "type": "temporal", "title": None, "axis": axis, "scale": scale}
    lines = [
        {"time": f"{begin:%Y-%m-%dT%H:%M}", "accuracy": share, "who": who}
        for who, said in (("live model", played.probability), ("champion", answers(first, told)))
        for begin, share in _accuracy(told, said).items()
    ]
    truth = pd.DataFrame({"day": time.dt.strftime("%Y-%m-%dT12:00"), "wrong": played.wrong})[played.wanted]
    counts = truth.groupby(["day", "wrong"]).size().reset_index(name="labels").to_dict("records")
    labels = [{"time": c["day"], "labels": c["labels"], "told": "wrongly" if c["wrong"] else "rightly"} for c in counts]
    marks = [
        {"time": _at(d.at.astimezone(time.dt.tz)), "what": f"{d.action} {d.version[:4]}"}
        for d in played.deployments[1:]
    ]
    onset = [{"time": _at(time.iloc[told.room.onset])}]
    rules: list[dict[str, Any]] = [
        {"data": {"values": onset}, "mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": {"x": x}},
        {"data": {"values": marks}, "mark": {"type": "rule", "strokeWidth": 2}, "encoding": {"x": x}},
    ]
    text = {"type": "text", "align": "right", "dx": -4, "baseline": "top"}
    named = {
        "data": {"values": marks},
        "mark": text,
        "encoding": {"x": x, "y": {"value": 2}, "text": {"field": "what"}},
    }
    y = {"field": "accuracy", "type": "quantitative", "scale": {"zero": False}}
    accuracy = {"data": {"values": lines}, "mark": {"type": "line", "interpolate": "step-after"}, "encoding": {"x": x, "y": y, "color": {"field": "who", "type": "nominal", "title": None}}}  # fmt: skip
    bars = {"data": {"values": labels}, "mark": {"type": "bar", "width": 14}, "encoding": {"x": x, "y": {"field": "labels", "type": "quantitative"}, "color": {"field": "told", "type": "nominal", "title": "told"}}}  # fmt: skip
    said = {"data": {"values": _spans(played.verdicts, time)}, "mark": {"type": "bar", "height": 10}, "encoding": {"x": x, "x2": {"field": "until"}, "y": {"field": "what", "type": "nominal", "title": None}, "color": {"field": "asks for", "type": "nominal"}}}  # fmt: skip
    return {
        "vconcat": [
            {"height": 160, "layer": [accuracy, *rules, named]},
            {"height": 80, "layer": [bars, *rules]},
            {"height": {"step": 18}, "layer": [said, *rules]},
        ],
        "resolve": {"scale": {"color": "independent"}},
    }


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M}"


def _accuracy(told: Stream, probability: Array) -> "pd.Series[float]":
    right = ((probability >= THRESHOLD) == (told.sound[LABEL] == 1).to_numpy()) & ~np.isnan(probability)
    share: pd.Series[float] = (
        pd.Series(right).groupby(told.sound[DATE].dt.tz_localize(None).dt.floor(f"{HOURS}h")).mean()
    )
    return share


def _spans(verdicts: Sequence[Verdict], time: "pd.Series[pd.Timestamp]") -> list[dict[str, str]]:
    """Give an event's begin and end: that of the picture where it is open."""
    spans: list[dict[str, str]] = []
    for verdict in verdicts:
        key = f"{verdict.rule} {verdict.sensor or ''}".rstrip()
        at = _at(verdict.at.astimezone(time.dt.tz))
        if verdict.state == OPENED:
            spans.append({"what": key, "time": at, "until": _at(time.iloc[-1]), "asks for": verdict.consequence})
        else:
            next(span for span in reversed(spans) if span["what"] == key)["until"] = at
    return spans
