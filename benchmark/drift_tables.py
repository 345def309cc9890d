"""Tables of what was found, what was not, and what was found for nothing."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from scipy import stats

from benchmark.drift_trials import HARMFUL, Alarm, Quiet, Trial

CONSEQUENCES = ("person", "ticket", "retrain")
FOUND, DELAY_MINUTES, PAGES_A_WEEK = 0.95, 30.0, 1.0  # targets


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table."""
    return "\n".join(
        ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        + ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    )


def bound(count: int, exposure: float) -> str:
    """Write a rate with its exact one-sided 95 % bound (Garwood, 1936); with a count of 0 that is the rule of three."""
    return f"{count / exposure:.2f} (at most {stats.chi2.ppf(0.95, 2 * (count + 1)) / 2 / exposure:.2f})"


def false_alarms(quiets: Sequence[Quiet], unit: str, days_of_unit: float) -> str:
    """Write how often a clean room raised an alarm: by consequence, then by what raised it."""
    exposure = sum(quiet.days for quiet in quiets) / days_of_unit
    alarms = [alarm for quiet in quiets for alarm in quiet.alarms]
    by_consequence = Counter(alarm.consequence for alarm in alarms)
    by_rule = Counter(f"{alarm.consequence}: {alarm.rule} {alarm.sensor}".rstrip() for alarm in alarms)
    rows = [(f"**{what}**", by_consequence[what], bound(by_consequence[what], exposure)) for what in CONSEQUENCES]
    rows += [(name, count, bound(count, exposure)) for name, count in sorted(by_rule.items())]
    return markdown([f"{exposure:.1f} clean {unit}s", "false alarms", f"a {unit} (95 %)"], rows)


def power(trials: Sequence[Trial]) -> str:
    """Write a row for each case: its harm, how often it was found and by what, and how long that took."""
    rows = []
    for name in dict.fromkeys(trial.case for trial in trials):
        of_case = [trial for trial in trials if trial.case == name]
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
    return markdown([*columns, "median delay", "p90", "median since it shows", "mostly by"], rows)


def led_to(consequence: str, trial: Trial) -> bool:
    """Tell whether an alarm of a trial had a consequence."""
    return any(alarm.consequence == consequence for alarm in trial.alarms)


def delay(trial: Trial) -> float:
    """Give minutes from onset to the first alarm; infinite where there was none."""
    return min((alarm.minutes for alarm in trial.alarms), default=np.inf)


def delays(minutes: Sequence[float]) -> tuple[str, str]:
    """Write median and 90th percentile; what was never found is later than all."""
    ordered = sorted(value for value in minutes if not np.isnan(value))
    if not ordered:
        return "–", "–"
    middle, late = (ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.5, 0.9))
    return clock(middle), clock(late)


def clock(minutes: float) -> str:
    """Write minutes as a person would.

    >>> [clock(value) for value in (7, 150, 4320, float("inf"))]
    ['7 min', '2.5 h', '3.0 d', 'never']
    """
    if np.isinf(minutes):
        return "never"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 2880 else f"{minutes / 1440:.1f} d"


def usual(trials: Sequence[Trial]) -> str:
    """Name the rule and sensor that most often spoke first."""
    first = Counter(_name(min(trial.alarms, key=lambda a: a.minutes)) for trial in trials if trial.alarms)
    return first.most_common(1)[0][0] if first else "–"


def _name(alarm: Alarm) -> str:
    return f"{alarm.rule} {alarm.sensor}".rstrip()


def percent(trials: Sequence[Trial], which: Callable[[Trial], bool]) -> str:
    """Write the share of trials for which something holds."""
    return f"{np.mean([which(trial) for trial in trials]):.0%}" if trials else "–"


def targets(quiets: Sequence[Quiet], trials: Sequence[Trial]) -> str:
    """Hold what was measured to the targets."""
    weeks = sum(quiet.days for quiet in quiets) / 7
    pages = Counter(alarm.consequence for quiet in quiets for alarm in quiet.alarms)
    harmful = [trial for trial in trials if trial.harm >= HARMFUL]
    harmless = [trial for trial in trials if trial.harm < HARMFUL]
    asked = sum(led_to("retrain", trial) for trial in harmless)
    rows = [
        ("false pages (person) a week and room", bound(pages["person"], weeks), f"at most {PAGES_A_WEEK:g}"),
        ("false alarms of any kind a week and room", bound(pages.total(), weeks), ""),
    ]
    for what, chosen in {
        "harmful changes": harmful,
        "harmful sensor faults": [t for t in harmful if t.group == "sensor"],
        "harmful changes of behaviour": [t for t in harmful if t.group == "behaviour"],
    }.items():
        found = delays([delay(trial) for trial in chosen])
        shown = delays([delay(trial) - trial.shows for trial in chosen])
        goals = (f"at least {FOUND:.0%}", f"at most {DELAY_MINUTES:g} min") if what == "harmful changes" else ("", "")
        rows += [
            (f"{what} ({len(chosen)} of {len(trials)} trials) found", percent(chosen, lambda t: bool(t.alarms)), goals[0]),
            (f"{what}: median delay from the onset (p90)", f"{found[0]} ({found[1]})", goals[1]),
            (f"{what}: median delay since it shows (p90)", f"{shown[0]} ({shown[1]})", ""),
        ]  # fmt: skip
    rows.append((f"harmless changes ({len(harmless)} trials) that asked for retraining", str(asked), "0"))
    return markdown([f"harmful: {HARMFUL:g} points of accuracy lost or more", "", "target"], rows)
