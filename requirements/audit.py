"""`make audit`: asks for known vulnerabilities of all that is locked, on every platform, by way of pip-audit.

Arguments go to pip-audit, such as `--vulnerability-service osv`. requirements/accepted.toml holds those that are let pass.
Exit status: 0 none but those; 1 there are others, or one let pass has expired, or is found no more; 2 the answer is not
complete, so that it says nothing.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from requirements.locks import FOLDER, locks, pins

ACCEPTED = FOLDER / "accepted.toml"


class NotAudited(Exception):
    """The service can't be asked, or does not know all packages: no vulnerability found then means nothing."""


class Package(NamedTuple):
    """One version of a package."""

    name: str
    version: str


class Vulnerability(NamedTuple):
    """One that is known, under all its names, with the versions that have it no more."""

    package: Package
    names: tuple[str, ...]
    fixed: tuple[str, ...]


class Accepted(NamedTuple):
    """One that is let pass until a day."""

    id: str
    package: str
    why: str
    until: date


def accepted(text: str) -> list[Accepted]:
    """Read the file of those let pass; raises TypeError for a missing or an unknown key."""
    return [Accepted(**row) for row in tomllib.loads(text).get("accepted", [])]


def locked() -> dict[Package, list[str]]:
    """Give each package of any lock, whatever its platform, with the locks that have it."""
    found: dict[Package, list[str]] = {}
    for lock in locks():
        for pin in pins(lock):
            found.setdefault(Package(pin.name, pin.version), []).append(lock)
    return found


def ask(packages: Iterable[Package], options: Sequence[str] = ()) -> list[Vulnerability]:
    """Ask for all known vulnerabilities of some packages; raises NotAudited."""
    rounds: list[dict[str, str]] = []  # pip-audit takes a package once
    for name, version in packages:
        free = next((each for each in rounds if name not in each), None)
        if free is None:
            rounds.append(free := {})
        free[name] = version
    return [found for each in rounds for found in _ask(each, options)]


def _ask(versions: Mapping[str, str], options: Sequence[str]) -> list[Vulnerability]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()), "utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps", "--disable-pip"]
        command += ["--format=json", "--progress-spinner=off", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- its arguments are ours
    try:
        answers = json.loads(done.stdout)["dependencies"]
    except ValueError:
        raise NotAudited(
            (done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"])[-1]
        ) from None
    # pip-audit itself passes over these, and then finds no known vulnerabilities
    skipped = [answer["skip_reason"] for answer in answers if "skip_reason" in answer]
    if skipped:
        raise NotAudited(f"{len(skipped)} of {len(versions)} packages have no answer; the first: {skipped[0]}")
    if len(answers) != len(versions):
        raise NotAudited(f"pip-audit has {len(answers)} answers about {len(versions)} packages")
    return [
        Vulnerability(
            Package(answer["name"], answer["version"]), (each["id"], *each["aliases"]), tuple(each["fix_versions"])
        )
        for answer in answers
        for each in answer["vulns"]
    ]


def complaints(
    found: Iterable[Vulnerability], passes: Iterable[Accepted], where: Mapping[Package, list[str]], today: date
) -> list[str]:
    """Say what has to be done, a line each."""
    lines, used = [], set[Accepted]()
    for package, names, fixed in found:
        letting = {each for each in passes if each.package == package.name and each.id in names}
        used |= letting
        if not letting:
            cure = f"fixed in {', '.join(fixed)}" if fixed else "not fixed in any version"
            said = ", ".join(where.get(package, []))
            lines.append(f"{package.name} {package.version} ({said}): {' = '.join(names)}, {cure}")
    for each in passes:
        if each.until < today:
            lines.append(
                f"accepted.toml: {each.id} of {each.package} was let pass until {each.until}: look at it again"
            )
        elif each not in used:
            lines.append(f"accepted.toml: {each.id} of {each.package} is found no more: delete it")
    return lines


def main(options: Sequence[str]) -> int:
    """Audit all locks; gives the exit status."""
    where, passes = locked(), accepted(ACCEPTED.read_text("utf-8"))
    try:
        lines = complaints(ask(where, options), passes, where, datetime.now(UTC).date())
    except NotAudited as error:
        print(f"audit: NOT AUDITED: {error}", file=sys.stderr)
        return 2
    print(*lines, sep="\n", end="\n" if lines else "")
    print(f"audit: {len(where)} packages of {len(locks())} locks, {len(lines)} to look at, {len(passes)} let pass")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
