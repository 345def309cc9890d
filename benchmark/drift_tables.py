"""Tables of what was found, what was not, and what was found for nothing; and a chart of what was found how soon."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy import stats

from benchmark.drift_cases import CASES, CLEAN, SENSOR
from benchmark.drift_contenders import Standing, Stretch
from benchmark.drift_trials import HARMFUL, Alarm, Quiet, Trial
from monitoring.drift.verdict import PERSON, RETRAIN, TICKET
from occupancy.report import Chart, Table

WEEK = 7 * 1440.0  # minutes
CONSEQUENCES = (PERSON, TICKET, RETRAIN)
FOUND, DELAY_MINUTES, PAGES_A_WEEK, TIMES_FASTER = 0.95, 30.0, 1.0, 20.0  # targets


def markdown(table: Table) -> str:
    """Write a table for a terminal."""
    return "\n".join(
        ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
        + ["| " + " | ".join(map(str, row)) + " |" for row in table.rows]
    )


def bound(count: int, exposure: float) -> str:
    """Write a rate with its exact one-sided 95 % bound (Garwood, 1936); with a count of 0 that is the rule of three.

    >>> bound(0, 10), bound(4, 8)
    ('0.00 (at most 0.30)', '0.50 (at most 1.14)')
    """
    return f"{count / exposure:.2f} (at most {stats.chi2.ppf(0.95, 2 * (count + 1)) / 2 / exposure:.2f})"


def false_alarms(quiets: Sequence[Quiet], unit: str, days_of_unit: float) -> Table:
    """Tell how often a clean room raised an alarm: by consequence, then by what raised it."""
    exposure = sum(quiet.days for quiet in quiets) / days_of_unit
    alarms = [alarm for quiet in quiets for alarm in quiet.alarms]
    by_consequence = Counter(alarm.consequence for alarm in alarms)
    by_rule = Counter(f"{alarm.consequence}: {_name(alarm)}" for alarm in alarms)
    rows = [(f"all: {what}", by_consequence[what], bound(by_consequence[what], exposure)) for what in CONSEQUENCES]
    rows += [(name, count, bound(count, exposure)) for name, count in sorted(by_rule.items())]
    return Table([f"{exposure:.1f} clean {unit}s", "false alarms", f"a {unit} (95 %)"], rows)


def power(trials: Sequence[Trial]) -> Table:
    """Give a row for each case: its harm, how often it was found and by what, and how long that took."""
    rows = []
    for name, of_case in by_case(trials).items():
        rows.append(
            (
                name,
                len(of_case),
                f"{statistics.mean(trial.harm for trial in of_case):.1f}",
                percent(of_case, lambda trial: bool(trial.alarms)),
                *(percent(of_case, partial(led_to, what)) for what in CONSEQUENCES),
                *delays([delay(trial) for trial in of_case]),
                delays([delay(trial) - trial.shows for trial in of_case])[0],
                usual(of_case),
            )
        )
    columns = ["change", "onsets", "points lost", "found", *CONSEQUENCES]
    return Table([*columns, "median delay", "p90", "median since it shows", "mostly by"], rows)


def by_case(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Sort trials by their case, in the cases' order."""
    tried = {case.name: [trial for trial in trials if trial.case == case.name] for case in CASES}
    return {name: of_case for name, of_case in tried.items() if of_case}


def led_to(consequence: str, trial: Trial) -> bool:
    """Tell whether an alarm of a trial had a consequence."""
    return any(alarm.consequence == consequence for alarm in trial.alarms)


def delay(trial: Trial) -> float:
    """Give minutes from onset to the first alarm; infinite where there was none."""
    return min((alarm.minutes for alarm in trial.alarms), default=np.inf)


def quantile(minutes: Sequence[float], share: float) -> float:
    """Give a quantile of delays, of which some may be infinite, or not known (NaN, left out); NaN of none."""
    ordered = sorted(value for value in minutes if not np.isnan(value))
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else np.nan


def delays(minutes: Sequence[float]) -> tuple[str, str]:
    """Write median and 90th percentile; what was never found is later than all."""
    return clock(quantile(minutes, 0.5)), clock(quantile(minutes, 0.9))


def clock(minutes: float) -> str:
    """Write minutes as a person would.

    >>> [clock(value) for value in (7, 150, 4320, float("inf"), float("nan"))]
    ['7 min', '2.5 h', '3.0 d', 'never', '–']
    """
    if not np.isfinite(minutes):
        return "–" if np.isnan(minutes) else "never"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 2880 else f"{minutes / 1440:.1f} d"


def usual(trials: Sequence[Trial]) -> str:
    """Name the rule and sensor that most often spoke first."""
    first = Counter(_name(min(trial.alarms, key=lambda alarm: alarm.minutes)) for trial in trials if trial.alarms)
    return first.most_common(1)[0][0] if first else "–"


def _name(alarm: Alarm) -> str:
    return f"{alarm.rule} {alarm.sensor}".rstrip()


def percent(trials: Sequence[Trial], which: Callable[[Trial], bool]) -> str:
    """Write the share of trials for which something holds."""
    return f"{np.mean([which(trial) for trial in trials]):.0%}" if trials else "–"


def targets(quiets: Sequence[Quiet], trials: Sequence[Trial]) -> Table:
    """Hold what was measured to the targets."""
    weeks = sum(quiet.days for quiet in quiets) / 7
    pages = Counter(alarm.consequence for quiet in quiets for alarm in quiet.alarms)
    harmful = [trial for trial in trials if trial.harm >= HARMFUL]
    harmless = [trial for trial in trials if trial.harm < HARMFUL]
    asked = sum(led_to(RETRAIN, trial) for trial in harmless)
    rows = [
        ("false pages (person) a week and room", bound(pages[PERSON], weeks), f"at most {PAGES_A_WEEK:g}"),
        ("false alarms of any kind a week and room", bound(pages.total(), weeks), ""),
    ]
    for what, chosen in {
        "harmful changes": harmful,
        "harmful sensor faults": [trial for trial in harmful if trial.group == "sensor"],
        "harmful changes of behaviour": [trial for trial in harmful if trial.group == "behaviour"],
    }.items():
        found = delays([delay(trial) for trial in chosen])
        shown = delays([delay(trial) - trial.shows for trial in chosen])
        goals = (f"at least {FOUND:.0%}", f"at most {DELAY_MINUTES:g} min") if chosen is harmful else ("", "")
        share = percent(chosen, lambda trial: bool(trial.alarms))
        rows += [
            (f"{what} ({len(chosen)} of {len(trials)} trials) found", share, goals[0]),
            (f"{what}: median delay from the onset (p90)", f"{found[0]} ({found[1]})", goals[1]),
            (f"{what}: median delay since it shows (p90)", f"{shown[0]} ({shown[1]})", ""),
        ]
    rows.append((f"harmless changes ({len(harmless)} trials) that asked for retraining", str(asked), "0"))
    return Table([f"harmful: {HARMFUL:g} points of accuracy lost or more", "", "target"], rows)


def standings(found: Sequence[Standing], stretches: Sequence[Stretch]) -> Table:
    """Tell how the detectors did beside each other on some stretches."""
    clean = sum(stretch.case == CLEAN.name for stretch in stretches)
    harmful = sum(stretch.harm >= HARMFUL for stretch in stretches)
    shown = f"{clean} clean stretches, {harmful} harmful, {len(stretches) - clean - harmful} harmless"
    rows = [
        (
            each.detector,
            f"{each.clean_days_with_alarm:.0%}",
            f"{each.alarms_a_clean_day:.1f}",
            f"{each.harmful_found:.0%}",
            clock(each.delay),
            f"{each.harmless_alarmed:.0%}",
        )
        for each in found
    ]
    columns = [shown, "clean days with an alarm", "alarms a clean day", "harmful found", "median delay"]
    return Table([*columns, "harmless with an alarm"], rows)


def soon(trials: Sequence[Trial]) -> Chart:
    """Draw each harmful case: how soon half of its onsets were found, and nine tenths."""
    rows = []
    for name, of_case in by_case(trials).items():
        if statistics.mean(trial.harm for trial in of_case) >= HARMFUL:
            minutes = [delay(trial) for trial in of_case]
            half, most = (min(max(quantile(minutes, share), 1.0), WEEK) for share in (0.5, 0.9))
            kind = "sensor fault" if of_case[0].group == SENSOR else "change of behaviour"
            rows.append({"change": name, "half": half, "most": most, "kind": kind})
    ticks = {"values": [1, 30, 60, 360, 1440, 10080], "labelExpr": _TICKS, "grid": True}
    scale = {"type": "log", "domain": [1, WEEK]}
    y = {"field": "change", "type": "nominal", "sort": {"field": "half"}, "title": None}
    x = {"field": "half", "type": "quantitative", "scale": scale, "axis": ticks, "title": "after the onset"}
    colour = {"field": "kind", "type": "nominal"}
    spec = {
        "data": {"values": rows},
        "height": {"step": 18},
        "encoding": {"y": y, "color": colour},
        "layer": [
            {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": {"x": x, "x2": {"field": "most"}}},
            {"mark": {"type": "point"}, "encoding": {"x": x}},
        ],
    }
    caption = (
        "Harmful changes: the point is when half of their onsets had been found, the line ends where nine in ten had; "
        "at the right end: a week, or never within what was looked at."
    )
    return Chart(spec, caption)


_TICKS = "{'1': '1 min', '30': '30 min', '60': '1 h', '360': '6 h', '1440': '1 day', '10080': '7 days'}[toString(datum.value)]"
