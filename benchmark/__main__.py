"""`python -m benchmark NAME [options]`; `python -m benchmark` lists the names."""

import importlib
import sys

BENCHMARKS = {
    "blocks": "the gate's interval: how often it misses the truth, by the length of its blocks",
    "continual": "what keeps a model good when the world changes: full retraining beside continued boosting and refreshed leaves",
    "drift": "false alarms, power and delay of monitoring's judge, beside naive KS, Evidently, NannyML and river",
    "drift_week": "a simulated week with a stuck sensor, a heating season and a change of behaviour, as a picture",
    "growth": "1, 2, 4, 8 replicas of the Deployment: answers a second, CPU and memory of each",
    "load": "a constant rate against any URL by k6: percentiles of the latency, what was dropped, a picture",
    "loop": "the retraining loop, end to end, over simulated weeks: what it deployed, what it missed, what it made worse",
    "proposals": "labels that propose names beside labels drawn at random: what a model that learns from them gets wrong later",
    "replicas": "100 readings at once to 1, 2, 3 replicas on a cluster, beside the least time that they can take",
    "seeds": "trains with ten seeds: how much of the result is chance",
    "serving": "the service's throughput beside an empty Flask handler, FastAPI and MLServer; its latency, start and memory",
    "training": "the search against scikit-learn's RandomizedSearchCV on the same candidates and folds",
}


def main(argv: list[str]) -> int:
    """Run the benchmark named first; each takes its own options."""
    if not argv or argv[0] not in BENCHMARKS:
        print(__doc__, *(f"  {name:10} {what}" for name, what in BENCHMARKS.items()), sep="\n")
        return 0 if not argv else 2
    return int(importlib.import_module(f"benchmark.{argv[0]}").main(argv[1:]) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
