"""The whole retraining loop over simulated weeks: what it deployed, whether that helped, what it missed.

Each room has a champion, trained by `python -m training` on 14 clean days. Then come production days with a change, faults, late
and wrong labels; every morning `python -m training.loop run` looks at the records. What it put live is tried on days to come, of
the changed world, with their true labels; beside it stands an oracle that learns from true labels of the same readings.

Each stream leaves a file in RESULTS, and is not played again while it is there. Seeds for tuning may be looked at often.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from benchmark.drift import in_processes, real_files
from benchmark.drift_tables import markdown
from benchmark.loop_cases import SCENARIOS
from benchmark.loop_story import story
from benchmark.loop_stream import (
    Played,
    Room,
    Stream,
    champion,
    play,
    real_room,
    simulated_room,
    stream,
    without_pictures,
)
from benchmark.loop_tables import failures, outcomes, scenarios, targets
from benchmark.loop_truth import Result, judge
from occupancy import settings
from occupancy.errors import InputError
from occupancy.progress import Progress
from occupancy.report import Section, Table, render

FIRST_SEED = {"tuning": 1000, "judging": 1}


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings; all of the loop's own (LOOP_...) are taken from the environment."""

    seeds: Annotated[Literal["tuning", "judging"], Meta(description="which rooms: tuning may be run often")] = "tuning"
    rooms: Annotated[int, Meta(ge=1, description="rooms, each with every scenario")] = 20
    only: Annotated[str, Meta(description="only scenarios whose names contain this; empty: all")] = ""
    days: Annotated[int, Meta(ge=4, description="production days")] = 14
    one_in: Annotated[int, Meta(ge=1, description="one prediction in so many asks for its label")] = 10
    candidates: Annotated[int, Meta(ge=1, description="how many each training draws")] = 6
    jobs: Annotated[int, Meta(ge=0, description="processes; 0: as many as cores")] = 0
    results: Annotated[str, Meta(min_length=1, description="folder of champions and results")] = "out/loop-benchmark"
    save_path: Annotated[str, Meta(min_length=1, description="page to write")] = "out/loop-benchmark.html"
    real: Annotated[bool, Meta(description="the real days instead, which TRAINING_DATA and TEST_DATA name")] = False
    story: Annotated[
        int, Meta(ge=0, description="play this seed alone, of the first scenario chosen, keep all; 0: no")
    ] = 0


def main(argv: list[str]) -> int:
    """Play the streams that have no result yet, print the tables, and write them as a page."""
    try:
        chosen = settings.read(Settings, prog="benchmark loop", argv=argv, environ={}, about=__doc__ or "")
        names = [name for name in SCENARIOS if chosen.only in name]
        if chosen.story:
            return tell(chosen, names[0])
        seeds = range(FIRST_SEED[chosen.seeds], FIRST_SEED[chosen.seeds] + chosen.rooms)
        jobs = chosen.jobs or os.cpu_count() or 1
        list(in_processes("champions", [partial(prepared, chosen, seed) for seed in seeds], jobs))
        work = [partial(result, chosen, name, seed) for seed in seeds for name in names]
        found = list(in_processes("streams", work, jobs))
    except (InputError, OSError) as error:
        print(f"benchmark loop: {error}", file=sys.stderr)
        return 2
    show(chosen, sorted(found, key=lambda one: (names.index(one.scenario), one.seed)))
    return 0


def show(chosen: Settings, found: list[Result]) -> None:
    """Print the tables, and write them as a page."""
    sections = [
        Section("Scenarios", [scenarios(found)]),
        Section("Targets", [targets(found)]),
        Section("How the runs ended", [outcomes(found)]),
        Section("What went wrong", [failures(found)]),
    ]
    for section in sections:
        shown = [markdown(part) for part in section.parts if isinstance(part, Table)]
        print(f"\n## {section.title}\n", *shown, sep="\n", flush=True)
    page = Path(chosen.save_path)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        render("The loop", (__doc__ or "").partition("\n")[0], msgspec.to_builtins(chosen), sections), "utf-8"
    )
    print(
        f"\n{len(found)} streams of {sum(one.seconds for one in found) / len(found):.0f} s; look at {page}",
        file=sys.stderr,
    )


def result(chosen: Settings, name: str, seed: int) -> Result:
    """Give a stream's result, from its file or by playing it."""
    kind = "real" if chosen.real else f"{chosen.days} days"
    file = Path(chosen.results) / kind / name / f"{seed}.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Result)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".playing-", dir=chosen.results) as folder, without_pictures():
        found, _, _ = played(chosen, name, seed, Path(folder))
    new = file.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(found))
    new.replace(file)
    return found


def played(
    chosen: Settings, name: str, seed: int, folder: Path, lived: Callable[[], object] = lambda: None
) -> tuple[Result, Stream, Played]:
    """Play one stream in a folder, calling `lived` after each day, and judge it."""
    begun, scenario = time.perf_counter(), SCENARIOS[name]
    room, trained = prepared(chosen, seed)
    told = stream(room, scenario, seed)
    done = play(told, scenario, folder, {**own(os.environ), **trained}, one_in=chosen.one_in, seed=seed, lived=lived)
    return judge(told, scenario, done, folder, seed=seed, seconds=time.perf_counter() - begun), told, done


def prepared(chosen: Settings, seed: int) -> tuple[Room, dict[str, str]]:
    """Give a room, and the variables that its champion was trained with: once, for all scenarios of a seed."""
    room = real_room(real_files(os.environ)) if chosen.real else simulated_room(seed, chosen.days)
    folder = Path(chosen.results) / "champions" / f"{room.name}-{seed}-{chosen.candidates}"
    with without_pictures():
        return room, champion(room, folder, chosen.candidates, seed)


def own(environ: Mapping[str, str]) -> dict[str, str]:
    """Take from an environment what the loop and the gate are told, and nothing of where to find this or that."""
    return {name: value for name, value in environ.items() if name.startswith("LOOP_")}


def tell(chosen: Settings, name: str) -> int:
    """Play one stream, keep all of it, and write its story."""
    folder = Path(chosen.results) / f"story-{chosen.story}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Progress(name, chosen.days, "days") as progress:
        found, told, done = played(chosen, name, chosen.story, folder, progress.advance)
    for run in done.runs:
        print(f"{run.at:%a %d %H:%M} UTC  {run.outcome:9} {run.why}")
    print(f"look at {story(told, done, found, folder)}")
    return 0
