"""Tables of what the loop did in each scenario, how that compares with the targets, and what went wrong."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from benchmark.loop_truth import HELPED, WORSE, Result
from occupancy.report import Table

HELPED_SHARE = 0.9


def by_scenario(found: Sequence[Result]) -> dict[str, list[Result]]:
    """Sort results by their scenario, in the order given."""
    names = dict.fromkeys(one.scenario for one in found)
    return {name: [one for one in found if one.scenario == name] for name in names}


def scenarios(found: Sequence[Result]) -> Table:
    """Give a row for each scenario; accuracies are means over seeds, on days to come of the changed world."""
    rows = []
    for name, some in by_scenario(found).items():
        changes = [change for one in some for change in one.deployments]
        soonest = [min((c.hours for c in one.deployments), default=None) for one in some]
        rows.append(
            (
                name,
                len(some),
                sum(one.asked is not None for one in some),
                len(changes),
                sum(change.worth == HELPED for change in changes),
                sum(change.worth == WORSE for change in changes),
                sum(change.action == "undo" for one in some for change in one.changes),
                sum(one.wanted for one in some),
                sum(one.missed for one in some),
                days([hours for hours in soonest if hours is not None]),
                " / ".join(percent(some, which) for which in (_champion, _final, _oracle)),
                f"{100 * statistics.mean(one.served - one.kept for one in some):+.1f}",
                f"{100 * statistics.mean(one.final.old_accuracy - one.champion.old_accuracy for one in some):+.1f}",
            )
        )
    columns = ["scenario", "seeds", "asked for", "deployments", "helped", "worse", "rollbacks", "would have helped"]
    columns += ["missed", "days to deployment", "accuracy: champion / loop / oracle", "gained meanwhile", "old world"]
    caption = (
        "Helped and worse: of the deployments, on the seven days to come. Would have helped, and missed: streams. Days: "
        "median from the onset. Gained meanwhile, old world: points of accuracy, against the champion."
    )
    return Table(columns, rows, caption)


def _champion(one: Result) -> float:
    return one.champion.accuracy


def _final(one: Result) -> float:
    return one.final.accuracy


def _oracle(one: Result) -> float:
    return one.oracle.accuracy


def percent(some: Sequence[Result], which: Callable[[Result], float]) -> str:
    """Write a mean share."""
    return f"{100 * statistics.mean(map(which, some)):.1f}"


def days(hours: Sequence[float]) -> str:
    """Write a median as days.

    >>> days([24.0, 60.0, 96.0]), days([])
    ('2.5', '–')
    """
    return f"{statistics.median(hours) / 24:.1f}" if hours else "–"


def targets(found: Sequence[Result]) -> Table:
    """Hold what was found to the targets."""
    deployed = [change for one in found for change in one.deployments]
    wanted = [one for one in found if one.wanted]
    came = sum(not one.missed for one in wanted)
    quiet = [one for one in found if not one.wanted]
    ends = sum(one.end == WORSE for one in found)
    rows = [
        (f"deployments that make things worse, of {len(deployed)}", str(sum(c.worth == WORSE for c in deployed)), "0"),
        (f"streams that end with a worse model than they began with, of {len(found)}", str(ends), "0"),
        (
            f"streams that a deployment would have helped and that it helped, of {len(wanted)}",
            f"{came} ({came / len(wanted):.0%})" if wanted else "–",
            f"at least {HELPED_SHARE:.0%}",
        ),
        (f"deployments in the {len(quiet)} other streams", str(sum(len(one.deployments) for one in quiet)), ""),
    ]
    return Table(["", "found", "target"], rows)


def outcomes(found: Sequence[Result]) -> Table:
    """Count how the runs ended, one a day."""
    words = list(dict.fromkeys(text.partition(":")[0] for one in found for text in one.outcomes))
    rows = []
    for name, some in by_scenario(found).items():
        counts = Counter(text.partition(":")[0] for one in some for text in one.outcomes)
        rows.append((name, *(counts[word] for word in words)))
    return Table(["scenario", *words], rows)


def failures(found: Sequence[Result]) -> Table:
    """List each deployment that made things worse, each stream that missed one, each run that failed."""
    rows = []
    for one in found:
        rows += [
            (one.scenario, one.seed, f"{change.action} after {change.hours / 24:.1f} days: {change.worth}")
            for change in one.changes
            if change.worth == WORSE
        ]
        if one.missed:
            stopped = [text for text in one.outcomes if not text.startswith(("idle", "deployed"))]
            why = stopped[-1] if stopped else "nothing asked for it"
            gain = 100 * (one.oracle.accuracy - one.champion.accuracy)
            rows.append((one.scenario, one.seed, f"missed {gain:.1f} points; last: {why}"))
        rows += [(one.scenario, one.seed, text) for text in one.outcomes if text.startswith("failed")]
    return Table(["scenario", "seed", "what"], rows)
